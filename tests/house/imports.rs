//! Who imports whom: between rooms by floor, between the files of a room without a circle.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::tokens::{Kind, Token};
use super::tree::{Breach, File, Tree};

/// The floors, lowest first. A room may use the rooms of lower floors and itself, and no other of its own floor.
const FLOORS: [&[&str]; 14] = [
    &["base", "platform"],
    &["protocol", "config", "sqlite"],
    &["store", "telemetry"],
    &["upstream", "activity", "guard"],
    &["credentials", "traces"],
    &["supervisor"],
    &["catalog", "enhance"],
    &["router"],
    &["session"],
    &["http", "stdio", "demo", "onboard"],
    &["app"],
    &["cli"],
    &["lib"],
    &["main"],
];

/// A path as it was written, made absolute: `["room", "file", "Name"]`.
struct Import {
    line: usize,
    path: Vec<String>,
    /// The name under which it is known from here on.
    alias: String,
}

/// Imports point down.
pub fn floors(tree: &Tree) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for file in tree.sources() {
        let Some(from) = file.room() else { continue };
        let Some(own) = floor(from) else {
            let cure =
                format!("the room `{from}` stands on no floor: give it one here and in ARCHITECTURE.md");
            breaches.push(Breach::new(&file.path, 1, cure));
            continue;
        };
        if matches!(from, "lib" | "main") {
            continue;
        }
        for import in imports(file) {
            let to = import.path[0].as_str();
            if to == from {
                continue;
            }
            match floor(to) {
                Some(other) if other < own => {}
                Some(other) => {
                    let place = if other == own { "stands on the same floor" } else { "stands above it" };
                    let cure = format!(
                        "`{from}` may not use `{to}`, which {place}: move what both need to a lower floor, or let it \
                         travel as data on a channel"
                    );
                    breaches.push(Breach::new(&file.path, import.line, cure));
                }
                None => {
                    breaches.push(Breach::new(&file.path, import.line, format!("there is no room `{to}`")))
                }
            }
        }
    }
    breaches
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// Three files or more of one room do not import each other in a circle. Two may: a type and its error, a handle and the
/// task behind it, are one thought on two pages. `known` are the circles that stand.
pub fn circles(tree: &Tree, known: &[&str]) -> Vec<Breach> {
    let modules: HashMap<Vec<String>, &File> =
        tree.sources().map(|file| (module(&file.path), file)).collect();
    let mut edges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for file in tree.sources() {
        let own = module(&file.path);
        // The face of a room names all its files; that is its purpose.
        if file.path.ends_with("/mod.rs") || own.is_empty() {
            continue;
        }
        for import in imports(file).into_iter().filter(|import| import.path[0] == own[0]) {
            if let Some(target) = target(&import.path, &modules).filter(|target| target.path != file.path) {
                edges.entry(&file.path).or_default().insert(&target.path);
            }
        }
    }
    let mut breaches = Vec::new();
    for start in edges.keys() {
        let Some(circle) = circle(&mut vec![*start], &edges).map(|circle| circle.join(" → ")) else {
            continue;
        };
        if !known.contains(&circle.as_str()) {
            let cure = format!(
                "the files import each other in a circle ({circle}): move what they share into a file of its own"
            );
            breaches.push(Breach::new(start, 1, cure));
        }
    }
    breaches
}

/// A way of three files or more that continues `way` and comes back to its start, which is the first by name: so each
/// circle is told once.
fn circle<'t>(way: &mut Vec<&'t str>, edges: &BTreeMap<&'t str, BTreeSet<&'t str>>) -> Option<Vec<&'t str>> {
    let start = way[0];
    let nexts = way.last().and_then(|last| edges.get(last))?;
    if way.len() > 2 && nexts.contains(start) {
        return Some(way.clone());
    }
    if way.len() == LONGEST_CIRCLE {
        return None;
    }
    for next in nexts.iter().filter(|next| **next > start) {
        if !way.contains(next) {
            way.push(next);
            if let Some(found) = circle(way, edges) {
                return Some(found);
            }
            way.pop();
        }
    }
    None
}

/// Files in the longest circle that is looked for: longer ones nearly always have a shorter one in them.
const LONGEST_CIRCLE: usize = 6;

/// The file that defines what a path names. A name that a room's face re-exports is looked up there.
fn target<'t>(path: &[String], modules: &HashMap<Vec<String>, &'t File>) -> Option<&'t File> {
    let depth = (1..=path.len()).rev().find(|depth| modules.contains_key(&path[..*depth]))?;
    let file = modules[&path[..depth]];
    let name = path.get(depth).filter(|_| file.path.ends_with("/mod.rs"));
    let exported = name.and_then(|name| imports(file).into_iter().find(|import| import.alias == *name));
    match exported {
        Some(exported) if exported.path != path => target(&exported.path, modules).or(Some(file)),
        _ => Some(file),
    }
}

/// The module that a file makes: `src/room/file.rs` is `["room", "file"]`.
fn module(path: &str) -> Vec<String> {
    let rest = path.trim_start_matches("src/").trim_end_matches(".rs");
    let parts = rest.split('/').filter(|part| !matches!(*part, "mod" | "lib" | "main"));
    parts.map(str::to_owned).collect()
}

/// Every path of the shipped code that leads into the crate.
fn imports(file: &File) -> Vec<Import> {
    let tokens = file.shipped();
    let own = module(&file.path);
    let is_face = file.path.ends_with("/mod.rs");
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let token = &tokens[at];
        let begins = token.kind == Kind::Word && (at == 0 || !tokens[at - 1].is(":"));
        let base = match token.text.as_str() {
            _ if !begins => None,
            "crate" | "trunkline" => Some(Vec::new()),
            "self" => Some(own.clone()),
            "super" => Some(own[..own.len().saturating_sub(1)].to_vec()),
            // In the face of a room, `pub use file::Name` starts at the room itself.
            _ if is_face && at > 0 && tokens[at - 1].is("use") => {
                at = tree(tokens, at, own.clone(), &mut found);
                continue;
            }
            _ => None,
        };
        at = match base {
            Some(base) if separated(tokens, at + 1) => tree(tokens, at + 3, base, &mut found),
            _ => at + 1,
        };
    }
    found.retain(|import| !import.path.is_empty());
    found
}

fn separated(tokens: &[Token], at: usize) -> bool {
    tokens.get(at).is_some_and(|token| token.is(":")) && tokens.get(at + 1).is_some_and(|token| token.is(":"))
}

/// Reads one path or group of paths from `at`; returns where it ends.
fn tree(tokens: &[Token], mut at: usize, mut path: Vec<String>, found: &mut Vec<Import>) -> usize {
    loop {
        let Some(token) = tokens.get(at) else { return at };
        if token.is("{") {
            at += 1;
            while tokens.get(at).is_some_and(|token| !token.is("}")) {
                let end = tree(tokens, at, path.clone(), found);
                at = if end == at || tokens.get(end).is_some_and(|token| token.is(",")) {
                    end + 1
                } else {
                    end
                };
            }
            return at + 1;
        }
        if token.kind != Kind::Word {
            break;
        }
        match token.text.as_str() {
            "super" => drop(path.pop()),
            "self" => {}
            name => path.push(name.to_owned()),
        }
        at += 1;
        if !separated(tokens, at) {
            break;
        }
        at += 2;
    }
    let line = tokens[at.min(tokens.len()) - 1].line;
    let renamed = tokens.get(at).is_some_and(|token| token.is("as"));
    let alias = if renamed { tokens[at + 1].text.clone() } else { path.last().cloned().unwrap_or_default() };
    found.push(Import { line, path, alias });
    if renamed { at + 2 } else { at }
}
