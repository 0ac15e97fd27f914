//! How values are understood.

use super::super::Transport;
use super::given;

#[test]
fn paths_of_a_file_start_at_its_folder_and_a_tilde_is_home() {
    let given = given(
        "[gateway]\ndata_dir = \"~/data\"\n[servers.a]\ncommand = \"bin/a\"\ncwd = \"sub\"\n\
         [servers.b]\ncommand = \"~/bin/b\"\n[servers.c]\nurl = \"http://c/\"\nca_file = \"ca.pem\"\n",
    );
    let config = given.config();
    assert_eq!(config.gateway.data_dir, *"/home/op/data");
    let Transport::Stdio { command, cwd, .. } = &config.servers[0].transport else { panic!() };
    assert_eq!(*command, given.folder().join("bin/a").display().to_string());
    assert_eq!(*cwd, Some(given.folder().join("sub")));
    let Transport::Stdio { command, .. } = &config.servers[1].transport else { panic!() };
    assert_eq!(command, "/home/op/bin/b");
    let Transport::Http { ca_file, .. } = &config.servers[2].transport else { panic!() };
    assert_eq!(*ca_file, Some(given.folder().join("ca.pem")));
}

#[test]
fn references_are_resolved_in_every_place_that_takes_them() {
    let given = given(
        "[servers.a]\ncommand = \"${env:X}\"\nargs = [\"-${env:X}\", \"$${env:X}\"]\nenv = { V = \"${env:X}\" }\n\
         cwd = \"/${env:X}\"\n[servers.b]\nurl = \"http://${env:X}/\"\nheaders = { V = \"${env:X}\" }\n\
         ca_file = \"/${env:X}\"\nproxy = \"http://${env:X}:1\"\n",
    )
    .env("X", "value");
    let config = given.config();
    let Transport::Stdio { command, args, env, cwd } = &config.servers[0].transport else { panic!() };
    assert_eq!((command.as_str(), cwd.as_deref()), ("value", Some("/value".as_ref())));
    assert_eq!(
        (args.as_slice(), env[0].1.expose()),
        (&["-value".to_owned(), "${env:X}".to_owned()][..], "value")
    );
    let Transport::Http { url, headers, ca_file, proxy } = &config.servers[1].transport else { panic!() };
    assert_eq!((url.uri().host(), headers[0].1.expose()), (Some("value"), "value"));
    assert_eq!((ca_file.as_deref(), proxy.as_deref()), (Some("/value".as_ref()), Some("http://value:1")));
}

#[test]
fn a_server_that_does_not_run_needs_no_credentials() {
    let file = "[servers.a]\nenabled = false\nurl = \"https://${env:NOPE}/mcp\"\nheaders = { K = \"${env:NOPE}\" }\n";
    let config = given(file).config();
    assert!(!config.servers[0].enabled);
}

#[test]
fn an_open_address_is_taken_when_the_operator_says_so() {
    let file = "[gateway]\nlisten = \"0.0.0.0:1\"\nallow_unauthenticated = true\n";
    assert_eq!(given(file).config().gateway.listen.to_string(), "0.0.0.0:1");
    assert_eq!(given("gateway.listen = \"[::ffff:127.0.0.1]:1\"").config().gateway.listen.port(), 1);
}

#[test]
fn a_tool_is_offered_when_it_is_allowed_and_not_denied() {
    let file = "[servers.a]\ncommand = \"a\"\ntools = { allow = [\"get_*\"], deny = [\"*_secret\"] }\n[servers.b]\ncommand = \"b\"\n";
    let servers = given(file).config().servers;
    let permitted = ["get_x", "get_secret", "set_x"].map(|tool| servers[0].tools.permits(tool));
    assert_eq!(permitted, [true, false, false]);
    assert!(servers[1].tools.permits("anything"));
}

#[test]
fn a_debug_print_of_everything_shows_no_credential() {
    let file = "[servers.a]\ncommand = \"a\"\nargs = [\"--key=s3cret\"]\nenv = { K = \"s3cret\" }\n\
                [servers.b]\nurl = \"https://b/mcp?key=s3cret\"\nheaders = { K = \"s3cret\" }\nproxy = \"http://u:s3cret@p:1\"\n";
    let given = given(file).env("TOKEN", "s3cret").flag("--set", "servers.a.env.L", "s3cret");
    let shown = format!("{:#?}\n{:#?}", given.loaded(), given.sources);
    assert!(!shown.contains("s3cret"), "{shown}");
    assert!(shown.contains("https://b/mcp?***"));
}
