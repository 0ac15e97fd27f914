//! The smallest useful pattern: `*` stands for any run of characters, also for none.

/// Whether `pattern` matches the whole of `text`. There is no escape and no other special character.
///
/// The time is at most the product of the two lengths: only the last `*` is ever tried again.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where the last `*` was, and how much of the text it is taken to cover so far.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p, t));
                p += 1;
            }
            Some(&byte) if byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match retry {
                Some((star, covered)) => {
                    retry = Some((star, covered + 1));
                    p = star + 1;
                    t = covered + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_covers_any_run_and_the_rest_is_literal() {
        let yes =
            [("", ""), ("*", ""), ("*", "x"), ("get_*", "get_"), ("get_*", "get_a"), ("*_file", "read_file")];
        let also = [("a*b*c", "a--b--b--c"), ("**", "ab"), ("é*", "éa"), ("a.c", "a.c")];
        for (pattern, text) in yes.into_iter().chain(also) {
            assert!(matches(pattern, text), "{pattern} should match {text}");
        }
        for (pattern, text) in
            [("", "x"), ("get_*", "set_a"), ("a*b", "abc"), ("a.c", "abc"), ("A", "a"), ("?", "x")]
        {
            assert!(!matches(pattern, text), "{pattern} should not match {text}");
        }
    }
}
