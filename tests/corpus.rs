//! The seeds of the fuzz targets, and what fuzzers have found, through the same functions in every test run.

#![expect(clippy::expect_used, reason = "a seed that cannot be read is a failed test")]

#[path = "../fuzz/bodies.rs"]
mod bodies;

use std::path::Path;

fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus-seed").join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).expect("the target's seeds") {
        let path = entry.expect("a seed").path();
        let data = std::fs::read(&path).expect("a seed can be read");
        // A failure then tells which seed it was.
        let failed = std::panic::catch_unwind(|| body(&data)).is_err();
        assert!(!failed, "{target} does not keep its promise for {}", path.display());
        count += 1;
    }
    assert!(count > 0, "{} holds no seeds", folder.display());
}

#[test]
fn a_message_gives_back_its_own_bytes() {
    replay("message", bodies::message);
}

#[test]
fn routed_fields_are_found_where_they_stand() {
    replay("params", bodies::params);
}

#[test]
fn lines_do_not_depend_on_how_they_arrive() {
    replay("line", bodies::line);
}

#[test]
fn events_do_not_depend_on_how_they_arrive() {
    replay("sse", bodies::sse);
}

#[test]
fn header_values_survive() {
    replay("header", bodies::header);
}

#[test]
fn translations_keep_what_is_not_theirs() {
    replay("translate", bodies::translate);
}

#[test]
fn nobody_without_the_key_makes_a_session() {
    replay("seal", bodies::seal);
    let seed = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus-seed/seal/session");
    assert!(bodies::is_a_session(&std::fs::read(seed).expect("the seed")), "the seed is a session no more");
}

#[test]
fn an_event_id_says_again_what_it_said() {
    replay("event_id", bodies::event_id);
}
