//! Tables and lengths of time, for eyes.

/// A table with a heading; columns are as wide as they need to be.
pub fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let heading: Vec<String> = heading.iter().map(|word| (*word).to_owned()).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&heading).chain(rows).collect();
    let width = |column: usize| {
        all.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let mut text = String::new();
    for row in all {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// What is known, or a dash.
pub fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// A length of time as a person would say it: the two greatest units.
pub fn length(millis: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let seconds = millis / 1_000;
    if seconds < 10 {
        return format!("{}.{} s", seconds, millis % 1_000 / 100);
    }
    let first = UNITS.iter().position(|(unit, _)| seconds >= *unit).unwrap_or(UNITS.len() - 1);
    let (unit, name) = UNITS[first];
    match UNITS.get(first + 1).map(|(next, name)| (seconds % unit / next, name)) {
        Some((rest, small)) if rest > 0 => format!("{} {name} {rest} {small}", seconds / unit),
        _ => format!("{} {name}", seconds / unit),
    }
}

/// So many of something.
pub fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A text cut to so many characters, and without what would move the cursor.
pub fn cut(text: &str, most: usize) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().count() <= most {
        return line;
    }
    line.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["files".to_owned(), "ready".to_owned()], vec!["a".to_owned(), "backoff".to_owned()]];
        assert_eq!(table(&["NAME", "STATE"], &rows), "NAME   STATE\nfiles  ready\na      backoff\n");
    }

    #[test]
    fn lengths_are_told_in_two_units_at_most() {
        for (millis, said) in [
            (0, "0.0 s"),
            (1_250, "1.2 s"),
            (59_999, "59 s"),
            (60_000, "1 m"),
            (3_725_000, "1 h 2 m"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(length(millis), said);
        }
    }

    #[test]
    fn what_others_wrote_cannot_move_the_cursor() {
        assert_eq!(cut("a\u{1b}[2Jb\nc", 20), "a [2Jb c");
        assert_eq!(cut("abcdef", 4), "abc…");
    }
}
