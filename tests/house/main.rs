//! The rules of the house that no compiler checks, each with a proof that it is seen when it is broken.
//!
//! The tests read the tree and run nothing. A failure names file, line and cure. CONTRIBUTING.md states the rules.

#![expect(clippy::unwrap_used, reason = "a tree that cannot be read is a failed test")]

mod imports;
mod instruments;
mod pages;
mod rules;
mod tokens;
mod tree;

use std::sync::LazyLock;

use tree::{Breach, Tree};

static TREE: LazyLock<Tree> = LazyLock::new(Tree::read);

// What stands although a rule forbids it, each with its reason.

/// Longer than the rule allows.
const LONG_FILES: [&str; 1] = [
    // A session with its calls, its questions and its subscriptions.
    "src/session/sessions.rs",
];
/// Circles of files.
const CIRCLES: [&str; 6] = [
    // They share `Sources`, which stands beside what loads from them.
    "src/config/build.rs → src/config/given.rs → src/config/load.rs",
    // They share `Front`, which stands beside what dispatches to them.
    "src/http/front.rs → src/http/post.rs → src/http/stream.rs",
    "src/http/batch.rs → src/http/front.rs → src/http/oldest.rs → src/http/post.rs",
    "src/http/batch.rs → src/http/front.rs → src/http/post.rs",
    "src/http/front.rs → src/http/oldest.rs → src/http/post.rs",
    // An `Answer` may be a call, and a call has its request.
    "src/router/call.rs → src/router/prepare.rs → src/router/request.rs",
];
/// Faces with code.
const FACES_WITH_CODE: [&str; 0] = [];
/// Files without a header.
const BARE_FILES: [&str; 0] = [];

/// A rule, and one way of breaking it: a file of this path with this text.
struct Rule {
    check: fn(&Tree) -> Vec<Breach>,
    broken_by: &'static [(&'static str, &'static str)],
}

/// Fails with every breach in the tree, and if a breaking file goes unnoticed.
fn hold(rule: Rule) {
    for (path, text) in rule.broken_by {
        let seen = (rule.check)(&TREE.with(path, text))
            .iter()
            .any(|breach| breach.to_string().starts_with(&format!("{path}:")));
        assert!(seen, "the rule does not see that it is broken by {path}: {text}");
    }
    let breaches: Vec<String> = (rule.check)(&TREE).iter().map(Breach::to_string).collect();
    assert!(breaches.is_empty(), "{} breaches\n{}", breaches.len(), breaches.join("\n"));
}

#[test]
fn imports_point_down() {
    hold(Rule {
        check: imports::floors,
        broken_by: &[
            ("src/base/up.rs", "use crate::router::Router;"),
            ("src/base/beside.rs", "fn f() { crate::platform::spawn(); }"),
            ("src/protocol/group.rs", "use crate::{base::Era, config::Config};"),
            ("src/upstream/http/far.rs", "use super::super::super::supervisor::Fleet;"),
            ("src/attic/mod.rs", "//! A room that nobody has put on a floor."),
        ],
    });
}

#[test]
fn no_files_of_a_room_import_each_other_in_a_circle() {
    let tree = TREE
        .with("src/base/one.rs", "use super::two::B;")
        .with("src/base/two.rs", "use crate::base::{Three, Era};")
        .with("src/base/three.rs", "use super::one;")
        .with(
            "src/base/mod.rs",
            "mod one; mod two; mod three; mod era; pub use three::C as Three; pub use era::Era;",
        );
    assert!(!imports::circles(&tree, &CIRCLES).is_empty(), "the rule does not see a circle");
    hold(Rule { check: |tree| imports::circles(tree, &CIRCLES), broken_by: &[] });
}

#[test]
fn every_file_can_be_taken_in_at_once() {
    const LONG: &str = include_str!("../../Cargo.lock");
    hold(Rule {
        check: |tree| rules::length(tree, &LONG_FILES),
        broken_by: &[("src/base/long.rs", LONG), ("tests/long.rs", LONG)],
    });
}

#[test]
fn the_face_of_a_room_holds_modules_and_re_exports_only() {
    hold(Rule {
        check: |tree| rules::faces(tree, &FACES_WITH_CODE),
        broken_by: &[
            ("src/base/mod.rs", "//! A header.\nmod era;\nfn code() {}"),
            ("src/base/mod.rs", "//! A header.\nuse std::fmt;"),
            ("src/base/mod.rs", "//! A header.\npub mod inline { }"),
            ("src/lib.rs", "//! A header.\npub const ANSWER: u8 = 42;"),
        ],
    });
}

#[test]
fn every_room_and_every_file_opens_with_its_header() {
    hold(Rule {
        check: |tree| rules::headers(tree, &BARE_FILES),
        broken_by: &[("src/base/mod.rs", "//! One line.\nmod era;"), ("src/base/bare.rs", "use std::fmt;")],
    });
}

#[test]
fn metrics_are_named_in_one_file() {
    hold(Rule {
        check: rules::metrics,
        broken_by: &[
            ("src/http/count.rs", "fn f() { counter(\"trunkline_things_total\"); }"),
            ("src/http/count.rs", "fn f() { metrics::counter!(\"other\"); }"),
            ("src/telemetry/more.rs", "const NAME: &str = \"trunkline_things_total\";"),
        ],
    });
}

#[test]
fn time_goes_through_the_clock_that_tests_can_pause() {
    hold(Rule {
        check: rules::clock,
        broken_by: &[
            ("src/router/time.rs", "use std::time::Instant;"),
            ("src/router/time.rs", "use std::time::{Duration, Instant};"),
            ("src/router/time.rs", "fn f() { let now = std::time::Instant::now(); }"),
        ],
    });
}

#[test]
fn only_the_command_line_prints() {
    hold(Rule {
        check: rules::printing,
        broken_by: &[
            ("src/app/say.rs", "fn f() { println!(\"x\"); }"),
            ("src/demo/say.rs", "fn f() { eprint!(\"x\") }"),
        ],
    });
}

#[test]
fn unsafe_code_has_one_place() {
    hold(Rule {
        check: rules::unsafety,
        broken_by: &[("src/platform/risk.rs", "fn f() { unsafe { g() } }")],
    });
}

#[test]
fn lints_are_expected_with_a_reason_and_nothing_is_left_for_later() {
    hold(Rule {
        check: rules::promises,
        broken_by: &[
            ("src/base/lint.rs", "#[allow(dead_code)]\nfn f() {}"),
            ("tests/it/lint.rs", "#![allow(dead_code)]"),
            ("src/base/lint.rs", "#[expect(dead_code)]\nfn f() {}"),
            ("src/base/later.rs", concat!("// TO", "DO: the rest")),
        ],
    });
}

#[test]
fn every_invariant_names_a_test_that_exists() {
    hold(Rule {
        check: pages::invariants,
        broken_by: &[
            ("ARCHITECTURE.md", "Invariant: the sky is blue."),
            ("ARCHITECTURE.md", "Invariant: the sky is blue. Held by `no_such_test`."),
        ],
    });
}

#[test]
fn every_defect_that_a_page_lists_names_a_test_that_exists() {
    hold(Rule {
        check: pages::tables_of_tests,
        broken_by: &[
            ("docs/x.md", "| what | test |\n| --- | --- |\n| a fault | `no_such_test` |"),
            ("docs/x.md", "| what | test |\n| --- | --- |\n| a fault | none |"),
        ],
    });
}

#[test]
fn every_dependency_has_its_reason() {
    hold(Rule {
        check: pages::dependencies,
        broken_by: &[("Cargo.toml", "[dev-dependencies]\nleft-pad = \"1\"")],
    });
}

#[test]
fn every_error_code_is_explained() {
    hold(Rule {
        check: pages::error_codes,
        broken_by: &[("src/base/error.rs", "    pub const TEAPOT: i64 = -31418;")],
    });
}

#[test]
fn every_page_names_the_same_rust() {
    hold(Rule {
        check: pages::rust_version,
        broken_by: &[
            ("docs/x.md", "Needs Rust 1.12."),
            ("docker/Dockerfile", "ARG RUST=docker.io/library/rust:1.12-slim"),
        ],
    });
}

#[test]
fn links_between_pages_lead_somewhere() {
    hold(Rule { check: pages::links, broken_by: &[("docs/x.md", "See [there](../nowhere.md).")] });
}

#[test]
fn dashboards_and_alerts_name_metrics_and_labels_that_there_are() {
    hold(Rule {
        check: instruments::metrics,
        broken_by: &[
            ("docker/grafana/x.json", r#"{ "expr": "rate(trunkline_wishes_total[5m])" }"#),
            ("docker/grafana/x.json", "{ \"expr\": "),
            ("docker/grafana/x.json", r#"{ "expr": "trunkline_server_state{colour=\"red\"}" }"#),
            ("docker/grafana/x.json", r#"{ "expr": "sum by (server) (trunkline_sessions)" }"#),
            ("docker/grafana/x.json", r#"{ "expr": "trunkline_request_duration_seconds > 1" }"#),
            ("docker/prometheus/x.yml", "expr: trunkline_sessions_count > 1"),
            ("docker/prometheus/x.yml", "  sum by (colour) ("),
        ],
    });
}

#[test]
fn the_tree_speaks_of_the_project_alone() {
    hold(Rule {
        check: |tree| pages::words(tree),
        broken_by: &[
            ("docs/x.md", concat!("Built in /ro", "ot/x.")),
            (".npmrc", "cache=elsewhere"),
            ("Cargo.lock", "source = \"sparse+https://mirror.example.net/index/\""),
        ],
    });
}

#[test]
fn code_is_told_from_comments_strings_and_tests() {
    let source = "// unsafe\n/* unsafe /* nested */ */ \"unsafe\" r#\"un\"safe\"# 'u' '\\'' b'x' &'static str\n\
                  #[cfg(test)]\nmod tests { fn f() { unsafe {} } }\n#[cfg(not(test))]\nunsafe fn g() {}";
    let kept = tokens::shipped(&tokens::tokens(source));
    let lines: Vec<usize> = kept.iter().filter(|token| token.is("unsafe")).map(|token| token.line).collect();
    assert_eq!(lines, [6]);
}
