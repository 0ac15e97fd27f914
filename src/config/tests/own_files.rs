//! Where the gateway's own files are, also where the rest of its configuration is faulty.

use super::*;
use crate::config::own_files::{OwnFiles, own_files_with};

impl Given {
    fn own_files(&self) -> Result<OwnFiles, crate::config::Faults> {
        own_files_with(&self.sources, &self.folder().join("etc/gateway.toml"))
    }

    /// The folder, and whether something else is wrong; without the folder of this test.
    fn found(&self) -> (String, bool) {
        let own = self.own_files().unwrap_or_else(|faults| panic!("{faults}"));
        let folder = own.data_dir.strip_prefix(self.folder()).unwrap_or(&own.data_dir);
        (folder.display().to_string(), own.faults.is_some())
    }
}

#[test]
fn the_folder_is_the_one_that_the_gateway_takes() {
    for given in [
        given(""),
        given("[gateway]\ndata_dir = \"here\""),
        given("[gateway]\ndata_dir = \"${env:HOME}/there\""),
        given("[gateway]\ndata_dir = \"here\"").env("TRUNKLINE_GATEWAY__DATA_DIR", "/of/a/variable"),
        given("[gateway]\ndata_dir = \"here\"").flag("--data-dir", "gateway.data_dir", "/of/a/flag"),
        given("").env("STATE_DIRECTORY", "/var/lib/trunkline:/else"),
    ] {
        let own = given.own_files().unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!((own.data_dir, own.faults), (given.config().gateway.data_dir, None));
    }
}

#[test]
fn no_fault_of_another_setting_hides_it() {
    let wrong = "[gateway]\nlisten = 5\nlisen = 6\ndata_dir = \"here\"\n[servers.\"?\"]\ncommand = 3\n";
    assert_eq!(given(wrong).found(), ("here".to_owned(), true));
    let warned = given(wrong).own_files().unwrap().faults.unwrap().as_warnings().to_string();
    assert!(warned.starts_with("warning: ") && !warned.contains("error: "), "{warned}");
    assert!(warned.ends_with(" faults in the configuration"), "{warned}");
}

#[test]
fn whoever_reads_the_files_needs_no_credentials_of_the_gateway() {
    let file = "[gateway]\ndata_dir = \"here\"\n[servers.s]\nurl = \"https://x/mcp\"\n\
                headers.authorization = \"Bearer ${env:NOT_HERE}\"\n";
    assert_eq!(given(file).found(), ("here".to_owned(), false));
}

#[test]
fn a_folder_that_cannot_be_known_is_not_guessed() {
    for hidden in [
        "[gateway]\ndata_dir = 5",
        "gateway = 5",
        "[gateway]\ndata_dir = \"${env:NOT_HERE}/x\"",
        "[gateway]\ndata_dir = \"\"",
        "[gateway]\ndata_dir = \"here\"\nno toml",
    ] {
        let faults = given(hidden).own_files().unwrap_err().to_string();
        assert!(faults.contains("error: "), "{hidden}: {faults}");
        // A flag is stronger than what the file says, whatever that is.
        let named = given(hidden).flag("--data-dir", "gateway.data_dir", "/of/a/flag");
        assert_eq!(named.found().0, "/of/a/flag", "{hidden}");
    }
    assert!(given("").without_env().own_files().is_err(), "nothing says where");
}
