//! The folder of drop-ins beside the file.

use super::super::Origin;
use super::{Given, given, nothing_given};

/// Writes a drop-in of the file `gateway.toml`.
fn drop_in(given: &Given, name: &str, text: &str) {
    let folder = given.folder().join("gateway.d");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(name), text).unwrap();
}

fn origin(given: &Given, key: &str) -> String {
    let setting = given.loaded().settings.into_iter().find(|setting| setting.key == key).unwrap();
    setting.origin.replace(&format!("{}/", given.folder().display()), "")
}

#[test]
fn drop_ins_stand_between_the_file_and_the_environment_in_the_order_of_their_names() {
    let key = "gateway.max_sessions";
    let given = given("[gateway]\nmax_sessions = 1\nmax_streams = 1\n[servers.a]\ncommand = \"a\"\n");
    drop_in(&given, "20-late.toml", "[gateway]\nmax_sessions = 3\n");
    drop_in(&given, "10-early.toml", "\n[gateway]\nmax_sessions = 2\nmax_streams = 2\n");
    assert_eq!((given.config().gateway.max_sessions, given.config().gateway.max_streams), (3, 2));
    assert_eq!(origin(&given, key), "gateway.d/20-late.toml:2");
    assert_eq!(origin(&given, "gateway.max_streams"), "gateway.d/10-early.toml:4");
    assert_eq!(origin(&given, "servers.a.command"), "gateway.toml:5");
    let given = given.env("TRUNKLINE_GATEWAY__MAX_SESSIONS", "4");
    assert_eq!(given.config().gateway.max_sessions, 4);
}

#[test]
fn a_drop_in_adds_servers_and_changes_single_keys_of_those_that_are_there() {
    let given = given("[servers.a]\ncommand = \"a\"\nargs = [\"x\", \"y\"]\n");
    drop_in(
        &given,
        "b.toml",
        "[servers.b]\nurl = \"http://b/\"\n[servers.a]\nargs = [\"z\"]\nenv = { K = \"v\" }\n",
    );
    drop_in(&given, "c.toml", "[servers.a]\nenabled = false\n");
    let servers = given.config().servers;
    let names: Vec<_> = servers.iter().map(|server| (server.name.as_str(), server.enabled)).collect();
    assert_eq!(names, [("a", false), ("b", true)]);
    let super::super::Transport::Stdio { command, args, env, .. } = &servers[0].transport else { panic!() };
    assert_eq!((command.as_str(), args.as_slice(), env.len()), ("a", &["z".to_owned()][..], 1));
}

#[test]
fn only_visible_toml_files_of_the_folder_are_read() {
    let given = given("");
    for name in [".hidden.toml", "old.toml.bak", "notes.txt", "x.toml~"] {
        drop_in(&given, name, "this is no TOML");
    }
    drop_in(&given, "real.toml", "gateway.max_sessions = 7\n");
    assert_eq!(given.config().gateway.max_sessions, 7);
    let names: Vec<_> =
        given.loaded().paths.iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["gateway.toml", "real.toml", "gateway.d"]);
}

#[test]
fn a_path_in_a_drop_in_starts_where_one_of_the_file_does() {
    let given = given("");
    drop_in(&given, "a.toml", "[servers.a]\ncommand = \"./bin/a\"\nenv = { K = \"${file:key}\" }\n");
    std::fs::write(given.folder().join("key"), "k3y").unwrap();
    let super::super::Transport::Stdio { command, env, .. } = &given.config().servers[0].transport.clone()
    else {
        panic!()
    };
    assert_eq!(*command, given.folder().join("bin/a").display().to_string());
    assert_eq!(env[0].1.expose(), "k3y");
}

#[test]
fn faults_of_all_files_are_told_at_once_each_with_its_file_and_line() {
    let given = given("[gateway]\nmax_sessions = \"many\"\n");
    drop_in(&given, "10-a.toml", "[servers.a]\ncommand = \"x\"\ncal_timeout = \"5s\"\n");
    drop_in(
        &given,
        "20-b.toml",
        "# one\n# two\n[servers.b]\nurl = \"http://b/\"\nheaders = { X = \"s3cret\", Y = 5 }\n",
    );
    let faults = given.faults();
    assert_eq!(
        faults,
        "\
error: `gateway.max_sessions` is the string \"many\", not a whole number
 --> gateway.toml:2:16
  |
2 | max_sessions = \"many\"
  |                ^^^^^^
help: write a whole number without quotes, such as 8

error: unknown key `servers.a.cal_timeout`
 --> gateway.d/10-a.toml:3:1
  |
3 | cal_timeout = \"***\"
  | ^^^^^^^^^^^
help: did you mean `call_timeout`?

error: `servers.b.headers.Y` is a number, not a string
 --> gateway.d/20-b.toml:5:31
  |
5 | headers = { X = \"***\", Y = *** }
  |                            ^^^
help: put the value in quotes

3 faults in the configuration"
    );
}

#[test]
fn one_file_that_is_no_toml_does_not_hide_the_faults_of_the_others() {
    let given = given("gateway.max_sessions = 1\n");
    drop_in(&given, "10-a.toml", "[gateway\n");
    drop_in(&given, "20-b.toml", "[gatway]\n");
    std::fs::create_dir(given.folder().join("gateway.d/30-c.toml")).unwrap();
    let faults = given.faults();
    assert!(faults.contains("--> gateway.d/10-a.toml:1:9\n"), "{faults}");
    assert!(faults.contains("unknown key `gatway`\n --> gateway.d/20-b.toml:1:2\n"), "{faults}");
    assert!(faults.contains(
        "error: the configuration file gateway.d/30-c.toml cannot be read: Is a directory (os error 21)\n \
         --> gateway.d/30-c.toml\nhelp: make it a TOML file"
    ));
    assert!(faults.ends_with("3 faults in the configuration"), "{faults}");
}

#[test]
fn drop_ins_without_the_file_beside_them_are_not_passed_over() {
    let given = nothing_given();
    let folder = given.folder().join("etc/gateway.d");
    std::fs::create_dir_all(&folder).unwrap();
    assert_eq!(given.config().origin, Origin::Embedded, "an empty folder says nothing");
    std::fs::write(folder.join("a.toml"), "[servers.a]\ncommand = \"a\"\n").unwrap();
    let config = given.config();
    assert_eq!(config.origin, Origin::File(given.folder().join("etc/gateway.toml")));
    let names: Vec<_> = config.servers.iter().map(|server| server.name.as_str()).collect();
    assert_eq!(names, ["a"], "the built-in demo is for those who have no configuration");
    // Who names a file means that file.
    let given = given.env("TRUNKLINE_CONFIG", "/nowhere/gateway.toml");
    assert!(given.fault().contains("/nowhere/gateway.toml cannot be read"));
}
