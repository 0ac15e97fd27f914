//! Where the file is looked for.

use super::super::Origin;
use super::{given, nothing_given};

/// Writes a file that can be told by its `max_sessions`.
fn put(given: &super::Given, path: &str, max_sessions: usize) -> String {
    let path = given.folder().join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, format!("gateway.max_sessions = {max_sessions}\n")).unwrap();
    path.display().to_string()
}

#[test]
fn the_first_place_that_has_a_file_wins() {
    let given = nothing_given().without_env();
    let folder = given.folder().display().to_string();
    let given = given.env("XDG_STATE_HOME", "/state");
    assert_eq!(given.config().origin, Origin::Embedded);

    let path = put(&given, "etc/gateway.toml", 1);
    assert_eq!((given.config().gateway.max_sessions, given.config().origin), (1, Origin::File(path.into())));
    put(&given, "home/.config/trunkline/gateway.toml", 2);
    let given = given.env("HOME", &format!("{folder}/home"));
    assert_eq!(given.config().gateway.max_sessions, 2);
    put(&given, "xdg/trunkline/gateway.toml", 3);
    let given = given.env("XDG_CONFIG_HOME", &format!("{folder}/xdg"));
    assert_eq!(given.config().gateway.max_sessions, 3);
    let given = given.env("TRUNKLINE_CONFIG", "");
    assert_eq!(given.config().gateway.max_sessions, 3, "an empty variable is none");
    let path = put(&given, "by-variable.toml", 4);
    let mut given = given.env("TRUNKLINE_CONFIG", &path);
    assert_eq!(given.config().gateway.max_sessions, 4);
    given.sources.file = Some(put(&given, "by-flag.toml", 5).into());
    assert_eq!(given.config().gateway.max_sessions, 5);
}

#[test]
fn a_relative_xdg_folder_is_ignored() {
    let given = nothing_given().env("XDG_CONFIG_HOME", ".");
    assert_eq!(given.config().origin, Origin::Embedded);
}

#[test]
fn a_file_that_cannot_be_read_is_a_fault_and_no_reason_to_look_further() {
    let given = nothing_given();
    let folder = given.folder().display().to_string();
    put(&given, "etc/gateway.toml", 1);
    std::fs::create_dir_all(given.folder().join("xdg/trunkline/gateway.toml")).unwrap();
    let given = given.env("XDG_CONFIG_HOME", &format!("{folder}/xdg"));
    assert_eq!(
        given.fault(),
        "\
error: the configuration file xdg/trunkline/gateway.toml cannot be read: Is a directory (os error 21)
 --> xdg/trunkline/gateway.toml
help: make it a TOML file that the gateway may read, or name another with --config
"
    );
}

#[test]
fn a_named_file_that_is_missing_is_told_with_who_named_it() {
    let mut given = nothing_given().env("TRUNKLINE_CONFIG", "/nowhere/gateway.toml");
    assert_eq!(
        given.fault(),
        "\
error: the configuration file /nowhere/gateway.toml cannot be read: No such file or directory (os error 2)
 --> environment variable TRUNKLINE_CONFIG
help: name a TOML file that the gateway may read
"
    );
    given.sources.file = Some("/elsewhere.toml".into());
    assert!(given.fault().contains("\n --> flag --config\n"));
}

#[test]
fn our_own_files_go_where_the_platform_keeps_state() {
    let folder = |given: super::Given| given.config().gateway.data_dir;
    if cfg!(target_os = "macos") {
        assert_eq!(folder(given("")), *"/home/op/Library/Application Support/trunkline");
    } else {
        assert_eq!(folder(given("")), *"/home/op/.local/state/trunkline");
        assert_eq!(folder(given("").env("XDG_STATE_HOME", "/state")), *"/state/trunkline");
    }
    let systemd =
        given("").env("XDG_STATE_HOME", "/state").env("STATE_DIRECTORY", "/var/lib/one:/var/lib/two");
    assert_eq!(folder(systemd), *"/var/lib/one");
    assert_eq!(
        given("").without_env().fault(),
        "\
error: `gateway.data_dir` is not set, and without HOME the gateway finds no folder for its files
 --> gateway.toml
help: set gateway.data_dir, or HOME where the gateway is started
"
    );
}
