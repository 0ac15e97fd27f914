//! `import`: servers that stand in the files of other programs, read anew at each start and reload.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use super::document::{self, FileLayer};
use super::faults::{At, Collector};
use super::foreign;
use super::inputs::Sources;
use super::layers::{Layer, Leaf, Value};
use super::references::Scope;

const KEY: &str = "import";

/// The layers that the imported files make, weaker than every file of ours, and the files. What cannot be read is noted;
/// then there is no layer of it.
pub(super) fn read(
    sources: &Sources,
    scope: &Scope,
    ours: &[&Layer],
    faults: &mut Collector,
) -> (Vec<FileLayer>, Vec<PathBuf>) {
    let (mut layers, mut paths) = (Vec::new(), Vec::new());
    let mut names: HashMap<String, String> = HashMap::new();
    for (written, at) in wanted(ours) {
        let path = match scope.resolve(&written) {
            Ok(path) => place(sources, scope, &path),
            Err(unresolved) => {
                for one in unresolved {
                    faults.fault(at.clone(), format!("`{KEY}` {}", one.problem), one.help);
                }
                continue;
            }
        };
        layers.extend(layer(&path, &at, &mut names, faults));
        paths.push(path);
    }
    (layers, paths)
}

/// The elements of the strongest setting, each with its place.
fn wanted(layers: &[&Layer]) -> Vec<(String, At)> {
    let is_it = |leaf: &&Leaf| leaf.path.len() == 1 && leaf.path[0] == KEY;
    let Some(leaf) = layers.iter().rev().find_map(|layer| layer.0.iter().rev().find(is_it)) else {
        return Vec::new();
    };
    let Value::List(items) = &leaf.value else { return Vec::new() };
    items.iter().enumerate().map(|(number, item)| (item.clone(), leaf.place.item(number))).collect()
}

/// Where a path leads: from the home folder, or from the folder of our file.
fn place(sources: &Sources, scope: &Scope, path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), sources.folder("HOME")) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => scope.folder.join(path),
    }
}

fn layer(
    path: &PathBuf,
    at: &At,
    names: &mut HashMap<String, String>,
    faults: &mut Collector,
) -> Option<FileLayer> {
    let shown = path.display().to_string();
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let message = format!("`{KEY}` names {shown}, which cannot be read: {error}");
            faults.fault(at.clone(), message, "name a file that the gateway may read, or remove the element");
            return None;
        }
    };
    let read = match foreign::read(path, &text) {
        Ok(read) => read,
        Err(error) => {
            let message = format!("`{KEY}` names {shown}, which cannot be taken over: {error}");
            faults.fault(at.clone(), message, "name a file in which an MCP client keeps its servers");
            return None;
        }
    };
    for (name, why) in read.refused {
        let message = format!("`{KEY}` names {shown}, whose server {name:?} cannot be taken over: {why}");
        faults.fault(at.clone(), message, "put it right there, or copy the others with `trunkline import`");
    }
    let mut toml = String::new();
    for entry in read.entries {
        if let Some(other) = names.get(&entry.name) {
            let message =
                format!("`{KEY}` names {shown} and {other}, which both have a server `{}`", entry.name);
            faults.fault(
                at.clone(),
                message,
                "rename one of the two, or copy one file with `trunkline import`",
            );
            continue;
        }
        names.insert(entry.name.clone(), shown.clone());
        toml.push_str(&foreign::toml_of(&entry, &[]));
    }
    // As text, so that faults in it are told like those of a file of ours.
    document::read(&format!("{shown} (imported)"), &toml, faults)
}
