//! Whatever a file says: it is taken, or told what is wrong, and no credential is shown.

use proptest::prelude::*;

use super::super::EXAMPLE;
use super::super::load::load_with;
use super::given;

const WITH_SECRETS: &str = "\
[gateway]
listen = \"127.0.0.1:1\"
log = { filter = \"info\" }

[servers.a]
command = \"npx\"
args = [\"-y\", \"pkg\"]
env = { FIRST = \"s3cret\", SECOND = \"é ${env:NOPE} s3cret\" }

[servers.b]
headers = { Authorization = \"Bearer s3cret\", X-Other = \"s3cret\" }
url = \"https://b/mcp\"

[servers.c.env]
THIRD = \"s3cret\"
FOURTH = \"\"\"
s3cret\"\"\"
";

/// What a slip of the hand may put in.
const SLIPS: &[&str] =
    &["", "\n", "\"", "'", "=", "[", "]", "{", "}", "#", ".", ",", "x", " ", "é", "${", "\t", "\u{0}"];

/// A text after some slips, each of which replaces one character or puts something before it.
fn slipped(text: &str, slips: &[(prop::sample::Index, bool, usize)]) -> String {
    let mut text: Vec<char> = text.chars().collect();
    for (at, replaces, slip) in slips {
        let at = at.index(text.len());
        text.splice(at..at + usize::from(*replaces), SLIPS[*slip].chars());
    }
    text.into_iter().collect()
}

fn slips() -> impl Strategy<Value = Vec<(prop::sample::Index, bool, usize)>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), 0..SLIPS.len()), 1..3)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_slip_of_the_hand_never_shows_a_credential(slips in slips()) {
        let given = given(&slipped(WITH_SECRETS, &slips));
        if let Err(faults) = load_with(&given.sources, given.folder()) {
            let shown = faults.to_string();
            prop_assert!(!shown.contains("s3cret"), "{shown}");
            prop_assert!(faults.iter().all(|fault| !fault.message().is_empty() && !fault.help().is_empty()));
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in prop_oneof![any::<String>(), slips().prop_map(|it| slipped(EXAMPLE, &it))]) {
        let given = given(&text);
        let _ = load_with(&given.sources, given.folder());
    }
}
