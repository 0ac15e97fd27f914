//! `trunkline activity verify`: whether the activity log is as it was written.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use crate::activity::{Verdict, verify};

use super::exit;
use super::words::{fail, json_line, print};

/// Says whether the log is as it was written.
///
/// No row may be changed, removed or slipped in, but for what was cleared away or erased with a word of it. It works beside a
/// running gateway and without one, on a log that is kept with `activity.chain = true`, and exits with 5 if something is
/// wrong.
#[derive(Debug, Args)]
pub struct Verify {
    /// The digest of an earlier end of the chain, as this command or the gateway's own log has said it: it has to be in the
    /// chain still. So an end that was cut off, or a chain that was made anew, is found too.
    #[arg(long, value_name = "DIGEST", value_parser = digest)]
    head: Option<String>,
}

/// Digits of a SHA-256 in hexadecimal.
const DIGITS: usize = 64;

impl Verify {
    /// Looks, and says what was found.
    /// A whole log ends with `whole`.
    pub async fn run(&self, file: &Path, json: bool, whole: u8) -> ExitCode {
        let verdict = match verify(file, self.head.as_deref()).await {
            Ok(verdict) => verdict,
            Err(error) => return fail(exit::FAILURE, &error.to_string()),
        };
        let said = match json {
            true => json_line(&verdict).unwrap_or_else(|error| error.to_string()),
            false => words(&verdict),
        };
        print(&format!("{said}\n"));
        ExitCode::from(if verdict.whole { whole } else { exit::NOT_WHOLE })
    }
}

fn words(verdict: &Verdict) -> String {
    let mut lines = Vec::new();
    let since = verdict.since.as_deref().unwrap_or("-");
    match &verdict.broken {
        None if verdict.links == 0 => lines.push("the log is empty".to_owned()),
        None => lines.push(format!(
            "whole: as it was written since {since}, {} in {}",
            rows(verdict.rows),
            links(verdict)
        )),
        Some(broken) => {
            lines.push(format!("NOT whole: {}", broken.what));
            let place = [
                broken.link.map(|link| format!("link {link}")),
                broken.from.as_ref().map(|from| format!("rows from {from}")),
                broken.until.as_ref().map(|until| format!("until {until}")),
            ];
            let place: Vec<String> = place.into_iter().flatten().collect();
            if !place.is_empty() {
                lines.push(format!("  where: {}", place.join(", ")));
            }
            if verdict.links > 0 {
                lines.push(format!(
                    "  before it: as it was written since {since}, {} in {}",
                    rows(verdict.rows),
                    links(verdict)
                ));
            }
        }
    }
    if let Some(unsealed) = &verdict.unsealed {
        lines.push(format!(
            "  in no link: {} from {} until {}; `activity.chain` was false then, or their links were cut off",
            rows(unsealed.rows),
            unsealed.from,
            unsealed.until
        ));
    }
    if verdict.erased > 0 {
        lines.push(format!("  erased with a word of it: {}", rows(verdict.erased)));
    }
    if let Some(retired) = &verdict.retired {
        lines.push(format!("  cleared away: links up to {}, last at {}", retired.link, retired.at));
    }
    if let (Some(head), None) = (&verdict.head, &verdict.broken) {
        lines.push(format!("  its end: link {} of {}", head.link, head.at));
        lines.push(format!(
            "  kept elsewhere, this shows later that nothing was cut off: --head {}",
            head.digest
        ));
    }
    lines.join("\n")
}

fn rows(count: u64) -> String {
    format!("{count} row{}", if count == 1 { "" } else { "s" })
}

fn links(verdict: &Verdict) -> String {
    format!("{} link{}", verdict.links, if verdict.links == 1 { "" } else { "s" })
}

fn digest(text: &str) -> Result<String, String> {
    match text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "a digest is {DIGITS} hexadecimal digits, as the line `--head …` of an earlier run shows"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activity::{Break, Head};

    #[test]
    fn a_verdict_is_said_with_its_place_and_its_end() {
        let head = Head { link: 5, digest: "ab".repeat(32), at: "2026-07-28T09:30:00Z".to_owned() };
        let whole = Verdict { whole: true, links: 5, rows: 196, head: Some(head), ..Verdict::default() };
        let said = words(&whole);
        assert!(
            said.starts_with("whole: as it was written since -, 196 rows in 5 links")
                && said.contains("--head abab"),
            "{said}"
        );
        let broken =
            Break { link: Some(4), from: Some("09:30".into()), until: None, what: "a row is gone".into() };
        let said = words(&Verdict { whole: false, broken: Some(broken), ..whole });
        assert!(said.starts_with("NOT whole: a row is gone\n  where: link 4, rows from 09:30\n"), "{said}");
        assert!(!said.contains("--head"), "nobody should keep the end of a broken chain: {said}");
        assert_eq!(words(&Verdict { whole: true, ..Verdict::default() }), "the log is empty");
    }

    #[test]
    fn a_digest_that_is_none_is_told_at_once() {
        assert!(digest(&"0F".repeat(32)).is_ok());
        assert!(digest("abc").unwrap_err().contains("64"));
    }
}
