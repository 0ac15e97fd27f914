//! From files of other programs to entries of ours.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::config::foreign::{self, Foreign, Unreadable};

use super::credentials::{self, Lifted, Taken};

/// What was made of some files.
#[derive(Debug, Default)]
pub struct Imported {
    /// TOML: an entry for each server, with comments.
    pub text: String,
    /// How many servers it holds.
    pub servers: usize,
    /// Lines for a file of variables, which only its owner may read: the credentials that were taken out.
    pub variables: String,
    /// The names of these variables.
    pub names: Vec<String>,
    /// What could not be taken: the place and why.
    pub refused: Vec<(String, String)>,
}

/// Reads each file, given with its text, and puts together what they say.
pub fn import(files: &[(PathBuf, String)]) -> Imported {
    let mut imported = Imported::default();
    let (mut names, mut taken) = (BTreeSet::new(), Taken::new());
    for (path, text) in files {
        match foreign::read(path, text) {
            Ok(read) => imported.take(path, read, &mut names, &mut taken),
            Err(error @ (Unreadable::Syntax(_) | Unreadable::NoServers(_))) => {
                imported.refused.push((path.display().to_string(), error.to_string()));
            }
        }
    }
    imported
}

impl Imported {
    fn take(&mut self, path: &Path, read: Foreign, names: &mut BTreeSet<String>, taken: &mut Taken) {
        let Foreign { flavor, entries, refused } = read;
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        foreign::comment(&mut self.text, &format!("From {} ({flavor}).", path.display()));
        for (name, why) in refused {
            foreign::comment(&mut self.text, &format!("{name:?} was left out: {why}"));
            self.refused.push((format!("{}: {name}", path.display()), why));
        }
        for mut entry in entries {
            self.text.push('\n');
            // The same name in two files: two tables of one name would be no TOML.
            if !names.insert(entry.name.clone()) {
                let why = "another file has a server of this name; rename one of the two".to_owned();
                foreign::comment(&mut self.text, &format!("{:?} was left out: {why}", entry.was));
                self.refused.push((format!("{}: {}", path.display(), entry.was), why));
                continue;
            }
            let lifted = credentials::lift(&mut entry, taken);
            let told = |one: &Lifted| {
                format!("the credential in {} is now the variable {}; set it", one.place, one.variable)
            };
            let told: Vec<String> = lifted.iter().map(told).collect();
            self.text.push_str(&foreign::toml_of(&entry, &told));
            self.servers += 1;
            lifted.iter().for_each(|one| self.keep(one));
        }
    }

    /// One line of the form that systemd's `EnvironmentFile`, Docker and shells read alike.
    fn keep(&mut self, one: &Lifted) {
        if !self.names.contains(&one.variable) {
            let value = one.value.replace('\\', "\\\\").replace('"', "\\\"");
            self.variables.push_str(&format!("{}=\"{value}\"\n", one.variable));
            self.names.push(one.variable.clone());
        }
    }
}
