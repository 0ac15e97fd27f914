//! What is written about the code is true of it, and the tree speaks of the project alone.

use std::collections::BTreeSet;

use super::tokens::{Kind, Token};
use super::tree::{Breach, Tree};

const ARCHITECTURE: &str = "ARCHITECTURE.md";
const README: &str = "README.md";
/// What opens a line that states what always holds.
const INVARIANT: &str = "Invariant:";
/// Hosts from which lock files may say that something comes: the public registries.
const PUBLIC: [&str; 4] =
    ["github.com/rust-lang/crates.io-index", "registry.npmjs.org/", "opencollective.com", "pypi.org/"];
/// Files that lead a package client elsewhere.
const CLIENT_FILES: [&str; 5] = [".npmrc", "pip.conf", ".cargo/config.toml", ".cargo/config", ".yarnrc"];

/// Every invariant of ARCHITECTURE.md names tests that hold it, and they exist.
pub fn invariants(tree: &Tree) -> Vec<Breach> {
    let Some(page) = tree.get(ARCHITECTURE) else { return vec![missing(ARCHITECTURE)] };
    let tests: BTreeSet<String> =
        tree.files().filter(|file| file.is_rust()).flat_map(|file| functions(file.tokens())).collect();
    let mut breaches = Vec::new();
    // A paragraph is one statement.
    let mut line = 1;
    for paragraph in page.text.split("\n\n") {
        for statement in paragraph
            .split("\n- ")
            .filter(|part| part.trim_start_matches(['-', ' ', '*']).starts_with(INVARIANT))
        {
            let at = line + paragraph[..paragraph.find(statement).unwrap_or(0)].matches('\n').count();
            let named = statement.rsplit_once("Held by").map_or("", |(_, behind)| behind);
            let named: Vec<&str> = named.split('`').skip(1).step_by(2).collect();
            if named.is_empty() {
                breaches.push(Breach::new(
                    ARCHITECTURE,
                    at,
                    "an invariant ends in: Held by `name_of_a_test`",
                ));
            }
            for name in named.into_iter().filter(|name| !tests.contains(*name)) {
                breaches.push(Breach::new(
                    ARCHITECTURE,
                    at,
                    format!("there is no test `{name}`: name the one that holds it"),
                ));
            }
        }
        line += paragraph.matches('\n').count() + 2;
    }
    breaches
}

/// What a page says to be held by a test is held by one that exists: the last column of its tables of tests.
pub fn tables_of_tests(tree: &Tree) -> Vec<Breach> {
    let tests: BTreeSet<String> =
        tree.files().filter(|file| file.is_rust()).flat_map(|file| functions(file.tokens())).collect();
    let mut breaches = Vec::new();
    for page in tree.files().filter(|file| file.path.ends_with(".md")) {
        let mut within = false;
        for (at, line) in page.text.lines().enumerate() {
            let Some(row) = line.trim().strip_suffix('|').filter(|row| row.starts_with('|')) else {
                within = false;
                continue;
            };
            let last = row.rsplit('|').next().unwrap_or_default().trim();
            within |= last == "test";
            if !within || last == "test" || last.starts_with('-') {
                continue;
            }
            let named: Vec<&str> = last.split('`').skip(1).step_by(2).collect();
            if named.is_empty() {
                breaches.push(Breach::new(&page.path, at + 1, "a row of this table names its test"));
            }
            for name in named.into_iter().filter(|name| !tests.contains(*name)) {
                let cure = format!("there is no test `{name}`: name the one that holds it");
                breaches.push(Breach::new(&page.path, at + 1, cure));
            }
        }
    }
    breaches
}

fn functions(tokens: &[Token]) -> Vec<String> {
    let names = tokens.windows(2).filter(|pair| pair[0].is("fn") && pair[1].kind == Kind::Word);
    names.map(|pair| pair[1].text.clone()).collect()
}

/// Every dependency has its reason in ARCHITECTURE.md.
pub fn dependencies(tree: &Tree) -> Vec<Breach> {
    let (Some(manifest), Some(page)) = (tree.get("Cargo.toml"), tree.get(ARCHITECTURE)) else {
        return vec![missing(ARCHITECTURE)];
    };
    let mut breaches = Vec::new();
    let mut inside = false;
    for (index, line) in manifest.text.lines().enumerate() {
        if line.starts_with('[') {
            inside = line.trim_end().trim_end_matches(']').ends_with("dependencies");
        } else if let Some((name, _)) = line.split_once('=').filter(|_| inside && !line.starts_with('#')) {
            let name = name.trim();
            if !page.text.contains(&format!("`{name}`")) {
                let cure = format!("say in {ARCHITECTURE} why `{name}` is here and what it costs");
                breaches.push(Breach::new("Cargo.toml", index + 1, cure));
            }
        }
    }
    breaches
}

/// Every error code of the gateway stands in the README.
pub fn error_codes(tree: &Tree) -> Vec<Breach> {
    const CODES: &str = "src/base/error.rs";
    let (Some(source), Some(page)) = (tree.get(CODES), tree.get(README)) else {
        return vec![missing(README)];
    };
    let mut breaches = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        let code = line.trim().strip_prefix("pub const ").and_then(|rest| rest.split_once(": i64 = "));
        let Some((name, value)) = code else { continue };
        let value = value.trim_end_matches(';');
        if !page.text.contains(&format!("`{value}`")) {
            breaches.push(Breach::new(CODES, index + 1, format!("explain {name} (`{value}`) in {README}")));
        }
    }
    breaches
}

/// Links from one page of the project to another lead somewhere.
pub fn links(tree: &Tree) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for file in tree.files().filter(|file| file.path.ends_with(".md")) {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (index, line) in file.text.lines().enumerate() {
            for target in
                line.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
            {
                let target = target.split('#').next().unwrap_or_default();
                if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                    continue;
                }
                let path = normal(folder, target);
                let there = tree
                    .files()
                    .any(|other| other.path == path || other.path.starts_with(&format!("{path}/")));
                if !there {
                    breaches.push(Breach::new(
                        &file.path,
                        index + 1,
                        format!("the link to {target} leads nowhere"),
                    ));
                }
            }
        }
    }
    breaches
}

fn normal(folder: &str, target: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join("/")
}

/// Nothing in the tree names the folders of one machine or a private registry.
pub fn words(tree: &Tree) -> Vec<Breach> {
    // Put together here, so that this file does not break its own rule.
    let forbidden = [concat!("/ro", "ot/")];
    let mut breaches = Vec::new();
    for file in tree.files() {
        if CLIENT_FILES.iter().any(|name| file.path == *name || file.path.ends_with(&format!("/{name}"))) {
            breaches.push(Breach::new(
                &file.path,
                1,
                "settings of a package client are a machine's: keep them out",
            ));
        }
        let locked = ["Cargo.lock", "package-lock.json"].iter().any(|name| file.path.ends_with(name));
        for (index, line) in file.text.lines().enumerate() {
            let small = line.to_ascii_lowercase();
            if let Some(word) = forbidden.iter().find(|word| small.contains(**word)) {
                breaches.push(Breach::new(
                    &file.path,
                    index + 1,
                    format!("`{word}` is not the project's: leave it out"),
                ));
            }
            let origin = ["source = \"", "\"resolved\": \""].iter().find_map(|key| line.split_once(key));
            if let Some((_, origin)) = origin.filter(|_| locked)
                && !PUBLIC.iter().any(|host| origin.contains(&format!("://{host}")))
            {
                let cure = "the lock file names a registry that is not public: lock against the public one";
                breaches.push(Breach::new(&file.path, index + 1, cure));
            }
        }
    }
    breaches
}

/// Every page, and the image that builds the program, name the version of Rust that the manifest asks for.
pub fn rust_version(tree: &Tree) -> Vec<Breach> {
    const MANIFEST: &str = "Cargo.toml";
    let stated = |text: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("rust-version = \""))?;
        Some(line.trim_end_matches('"').to_owned())
    };
    let Some(wanted) = tree.get(MANIFEST).and_then(|manifest| stated(&manifest.text)) else {
        return vec![Breach::new(MANIFEST, 1, "say which Rust is needed: rust-version")];
    };
    let mut breaches = Vec::new();
    // Decisions and the changelog tell of their day.
    let told = |path: &str| {
        path.ends_with(".md") && !path.starts_with("docs/adr/") && path != "CHANGELOG.md"
            || path.starts_with("docker/")
    };
    for file in tree.files().filter(|file| told(&file.path)) {
        for (index, line) in file.text.lines().enumerate() {
            for rest in ["Rust 1.", "rust:1."].iter().flat_map(|word| line.split(word).skip(1)) {
                let minor = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
                if format!("1.{minor}") != wanted {
                    let cure =
                        format!("{MANIFEST} asks for Rust {wanted}: say the same here, or change it there");
                    breaches.push(Breach::new(&file.path, index + 1, cure));
                }
            }
        }
    }
    breaches
}

fn missing(page: &str) -> Breach {
    Breach::new(page, 1, "the page is missing: write it")
}
