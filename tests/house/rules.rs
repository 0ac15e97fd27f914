//! The rules that one file keeps by itself.

use super::tokens::{self, Kind, Token};
use super::tree::{Breach, File, Tree};

/// Lines of code that a reader takes in at once; see CONTRIBUTING.md.
const LONGEST: usize = 400;
/// The same with the tests at the end of the file, and for files that are tests.
const LONGEST_WITH_TESTS: usize = 600;
/// Lines of the header in which a room says what it is for, what it promises and what it never does.
const SHORTEST_HEADER: usize = 3;
/// What the names of our metrics begin with.
const METRIC: &str = "trunkline_";
const NAMES: &str = "src/telemetry/names.rs";
const SETUP: &str = "src/platform/setup.rs";

/// No file is longer than a reader takes in, but for those that are `known`.
pub fn length(tree: &Tree, known: &[&str]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for file in tree.files().filter(|file| file.is_rust()) {
        let lines = file.text.lines().count();
        let code = if file.is_test() { 0 } else { lines_of_code(&file.text) };
        for (lines, most, what) in [(code, LONGEST, "code"), (lines, LONGEST_WITH_TESTS, "code and tests")] {
            if lines > most && !known.contains(&file.path.as_str()) {
                let cure = format!(
                    "{lines} lines of {what} are more than {most}: give a part of them a file of its own"
                );
                breaches.push(Breach::new(&file.path, lines, cure));
            }
        }
    }
    breaches
}

/// Lines before the module of tests that ends a file.
fn lines_of_code(text: &str) -> usize {
    let tests = text.find("\n#[cfg(test)]\nmod ").or_else(|| text.find("\n#[cfg(all(test"));
    text[..tests.unwrap_or(text.len())].lines().count()
}

/// `lib.rs` and every `mod.rs` hold a header, modules and re-exports.
pub fn faces(tree: &Tree, known: &[&str]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for file in tree.sources().filter(|file| file.path.ends_with("mod.rs") || file.path == "src/lib.rs") {
        let stray = stray_item(file.shipped());
        match (stray, known.contains(&file.path.as_str())) {
            (Some(line), false) => {
                let cure = "a room's face holds its header, `mod` and `pub use` only: move the code to a file beside it";
                breaches.push(Breach::new(&file.path, line, cure));
            }
            (None, true) => {
                breaches.push(Breach::new(&file.path, 1, "holds no code any more: take it off the list"))
            }
            _ => {}
        }
    }
    breaches
}

/// The line of the first item that is neither a module nor a re-export.
fn stray_item(tokens: &[Token]) -> Option<usize> {
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at].is("#") {
            let open = if tokens.get(at + 1)?.is("!") { at + 2 } else { at + 1 };
            at = tokens::closing(tokens, open);
            continue;
        }
        let public = tokens[at].is("pub");
        let mut word = at + usize::from(public);
        if public && tokens.get(word).is_some_and(|token| token.is("(")) {
            word = tokens::closing(tokens, word);
        }
        let item = tokens.get(word)?;
        let end = (word..tokens.len()).find(|i| tokens[*i].is(";")).unwrap_or(tokens.len());
        let inline = tokens[word..end].iter().any(|token| token.is("{"));
        if !(item.is("mod") && !inline || item.is("use") && public) {
            return Some(item.line);
        }
        at = end + 1;
    }
    None
}

/// Every file opens with a header, and every room with one that says what it promises.
pub fn headers(tree: &Tree, known: &[&str]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for file in tree.sources().filter(|file| !file.is_test()) {
        let lines = file.text.lines().take_while(|line| line.starts_with("//!")).count();
        let needed = if is_room_face(&file.path) { SHORTEST_HEADER } else { 1 };
        match (lines < needed, known.contains(&file.path.as_str())) {
            (true, false) => {
                let cure = format!(
                    "begins with {lines} lines of `//!` and needs {needed}: say what it is for, what it promises, what \
                     it never does"
                );
                breaches.push(Breach::new(&file.path, 1, cure));
            }
            (false, true) => {
                breaches.push(Breach::new(&file.path, 1, "has its header: take it off the list"))
            }
            _ => {}
        }
    }
    breaches
}

fn is_room_face(path: &str) -> bool {
    path.split('/').count() == 3 && path.ends_with("/mod.rs")
}

/// Names of metrics stand in one file, and only the room that has it calls the metrics library.
pub fn metrics(tree: &Tree) -> Vec<Breach> {
    let cure = format!("name the metric in {NAMES} and use the constant");
    shipped(tree, |file, tokens, at| {
        let named =
            file.path != NAMES && tokens[at].kind == Kind::Text && tokens[at].text.starts_with(METRIC);
        let library = file.room() != Some("telemetry")
            && tokens[at].is("metrics")
            && tokens.get(at + 1).is_some_and(|t| t.is(":"))
            && tokens.get(at + 2).is_some_and(|t| t.is(":"))
            && !(at > 1 && tokens[at - 1].is(":"));
        (named || library && !is_own_module(tree, file)).then(|| cure.clone())
    })
}

/// Whether the file's room has a module called `metrics`, which it may name.
fn is_own_module(tree: &Tree, file: &File) -> bool {
    file.room().is_some_and(|room| tree.get(&format!("src/{room}/metrics.rs")).is_some())
}

/// Time goes through the clock that tests can pause.
pub fn clock(tree: &Tree) -> Vec<Breach> {
    shipped(tree, |_, tokens, at| {
        let word = |ahead: usize| tokens.get(at + ahead).map_or("", |token| token.text.as_str());
        if !(word(0) == "std" && word(3) == "time" && word(1) == ":") {
            return None;
        }
        let named: Vec<&Token> = if word(6) == "{" {
            tokens[at + 6..tokens::closing(tokens, at + 6)].iter().collect()
        } else {
            tokens.get(at + 6).into_iter().collect()
        };
        named
            .iter()
            .any(|token| token.is("Instant") || token.is("*"))
            .then(|| "use tokio::time::Instant, which tests can pause".to_owned())
    })
}

/// Only the command line prints: on a pipe, standard output is the wire.
pub fn printing(tree: &Tree) -> Vec<Breach> {
    const MACROS: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];
    shipped(tree, |file, tokens, at| {
        let macro_call = tokens.get(at + 1).is_some_and(|token| token.is("!"));
        let printing = MACROS.iter().any(|name| tokens[at].is(name)) && macro_call;
        (printing && file.room() != Some("cli")).then(|| {
            format!("`{}!` belongs to src/cli: log with `tracing`, or return the text", tokens[at].text)
        })
    })
}

/// `unsafe` has one place.
pub fn unsafety(tree: &Tree) -> Vec<Breach> {
    shipped(tree, |file, tokens, at| {
        (tokens[at].is("unsafe") && file.path != SETUP).then(|| {
            format!("`unsafe` stands in {SETUP} alone: do it without, or put it there with its reason")
        })
    })
}

/// Lints are expected with a reason, and nothing is left for later.
pub fn promises(tree: &Tree) -> Vec<Breach> {
    // Put together here, so that this file does not break its own rule.
    let later = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:"), concat!("HA", "CK:")];
    let mut breaches = Vec::new();
    for file in tree.files().filter(|file| file.is_rust()) {
        for (index, line) in file.text.lines().enumerate() {
            if let Some(word) = later.iter().find(|word| line.contains(**word)) {
                breaches.push(Breach::new(
                    &file.path,
                    index + 1,
                    format!("`{word}`: do it, or leave it out"),
                ));
            }
        }
        let tokens = file.tokens();
        for at in 1..tokens.len().saturating_sub(1) {
            let attribute = tokens[at - 1].is("[") && tokens[at + 1].is("(");
            if attribute && tokens[at].is("allow") {
                let cure = "use #[expect(…, reason = \"…\")], which ends when its cause does";
                breaches.push(Breach::new(&file.path, tokens[at].line, cure));
            }
            let inside = &tokens[at + 1..tokens::closing(tokens, at + 1)];
            if attribute && tokens[at].is("expect") && !inside.iter().any(|token| token.is("reason")) {
                breaches.push(Breach::new(&file.path, tokens[at].line, "an #[expect] gives its reason"));
            }
        }
    }
    breaches
}

/// Applies `check` to each token of the shipped code.
fn shipped(tree: &Tree, check: impl Fn(&File, &[Token], usize) -> Option<String>) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for file in tree.sources() {
        let tokens = file.shipped();
        for at in 0..tokens.len() {
            if let Some(cure) = check(file, tokens, at) {
                breaches.push(Breach::new(&file.path, tokens[at].line, cure));
            }
        }
    }
    breaches
}
