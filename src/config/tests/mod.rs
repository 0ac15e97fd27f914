//! The room as a whole: from files, variables and flags to a configuration or to faults.

mod any_text;
mod discovery;
mod drop_ins;
mod example;
mod faults_of_keys;
mod faults_of_servers;
mod faults_of_values;
mod faults_together;
mod imports;
mod keys;
mod oauth;
mod own_files;
mod pages;
mod precedence;
mod tls;
mod traces;
mod values;

use std::path::Path;

use tempfile::TempDir;

use super::load::load_with;
use super::{Config, Flag, Loaded, Sources};

/// Sources that are built up step by step, with a folder of their own.
struct Given {
    folder: TempDir,
    sources: Sources,
}

/// A file of this text, an environment that has only a home, and no flags.
fn given(file: &str) -> Given {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.toml");
    std::fs::write(&path, file).unwrap();
    let mut given = nothing_given_in(folder);
    given.sources.file = Some(path);
    given
}

fn nothing_given() -> Given {
    nothing_given_in(tempfile::tempdir().unwrap())
}

fn nothing_given_in(folder: TempDir) -> Given {
    let sources =
        Sources { file: None, env: Vec::new(), flags: Vec::new(), exe: "/opt/bin/trunkline".into() };
    Given { folder, sources }.env("HOME", "/home/op")
}

impl Given {
    fn env(mut self, name: &str, value: &str) -> Self {
        self.sources.env.push((name.to_owned(), value.to_owned()));
        self
    }

    fn without_env(mut self) -> Self {
        self.sources.env.clear();
        self
    }

    fn flag(mut self, name: &str, key: &str, value: &str) -> Self {
        self.sources.flags.push(Flag::new(name, key, value));
        self
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn loaded(&self) -> Loaded {
        let system_file = self.folder().join("etc/gateway.toml");
        load_with(&self.sources, &system_file).unwrap_or_else(|faults| panic!("{faults}"))
    }

    fn config(&self) -> Config {
        self.loaded().config
    }

    /// The faults as they are shown, the folder left out of paths.
    fn faults(&self) -> String {
        let system_file = self.folder().join("etc/gateway.toml");
        let faults = load_with(&self.sources, &system_file).expect_err("the configuration was taken");
        faults.to_string().replace(&format!("{}/", self.folder().display()), "")
    }

    /// The only fault, without the count.
    fn fault(&self) -> String {
        let faults = self.faults();
        faults.strip_suffix("\n1 fault in the configuration").expect(&faults).to_owned()
    }
}
