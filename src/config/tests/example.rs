//! The built-in file, which is also the example for people to copy.

use super::super::{EXAMPLE, Origin, Protocol, TlsVersion, Transport, keys};
use super::{given, nothing_given};

/// The example with every `# key = value` and `# [table]` in force.
fn uncommented() -> String {
    let setting = |line: &str| {
        let body = line.strip_prefix("# ")?;
        let key = body.split(" = ").next().unwrap_or_default();
        let is_key = key.len() < body.len() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        (is_key || body.starts_with('[')).then(|| body.to_owned())
    };
    let all: String =
        EXAMPLE.lines().map(|line| setting(line).unwrap_or_else(|| line.to_owned()) + "\n").collect();
    // The files of a certificate are read, and those of the example are nobody's.
    let certificate = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/tls/front/first");
    all.replace("/etc/trunkline/tls/fullchain.pem", &format!("{certificate}.pem"))
        .replace("/etc/trunkline/tls/privkey.pem", &format!("{certificate}.key"))
}

#[test]
fn without_a_file_the_demo_server_is_this_program() {
    let config = nothing_given().config();
    assert_eq!(config.origin, Origin::Embedded);
    assert_eq!(config.servers.len(), 1);
    let demo = &config.servers[0];
    assert_eq!((demo.name.as_str(), demo.enabled), ("demo", true));
    let Transport::Stdio { command, args, env, cwd } = &demo.transport else { panic!("{demo:?}") };
    assert_eq!((command.as_str(), args.as_slice()), ("/opt/bin/trunkline", &["demo-server".to_owned()][..]));
    assert!(env.is_empty() && cwd.is_none());
}

#[test]
fn the_commented_examples_load_when_they_are_uncommented() {
    let given =
        given(&uncommented()).env("API_KEY", "k3y").env("DOCS_TOKEN", "t0ken").env("COLLECTOR_TOKEN", "c");
    let servers = given.config().servers;
    let names: Vec<_> = servers.iter().map(|server| server.name.as_str()).collect();
    assert_eq!(names, ["demo", "everything", "docs", "wiki"]);
    let Transport::Stdio { command, args, env, cwd } = &servers[1].transport else { panic!() };
    assert_eq!((command.as_str(), args.len(), cwd.as_deref()), ("npx", 2, Some("/tmp".as_ref())));
    assert_eq!((env[0].0.as_str(), env[0].1.expose()), ("API_KEY", "k3y"));
    assert_eq!(servers[1].protocol, Protocol::Legacy);
    assert!(servers[1].tools.permits("echo") && !servers[1].tools.permits("get-env"));
    let Transport::Http { url, headers, .. } = &servers[2].transport else { panic!() };
    assert_eq!(url.as_str(), "https://docs.example.com/mcp");
    assert_eq!((headers[0].0.as_str(), headers[0].1.expose()), ("authorization", "Bearer t0ken"));
}

#[test]
fn the_example_shows_every_key_of_the_daemon_with_its_default() {
    let shown =
        given(&uncommented()).env("API_KEY", "").env("DOCS_TOKEN", "").env("COLLECTOR_TOKEN", "").loaded();
    for key in keys().filter(|key| !key.path.contains('*')) {
        let setting = shown.settings.iter().find(|setting| setting.key == key.path);
        let origin = setting.map_or("missing", |setting| setting.origin.as_str());
        assert!(origin.contains("gateway.toml:"), "{} is not in the example: {origin}", key.path);
    }
    let mut shown = shown.config;
    let built_in = nothing_given().config();
    shown.gateway.workers = built_in.gateway.workers;
    let tls = shown.gateway.tls.take().unwrap();
    assert_eq!((tls.min_version, tls.handshake_timeout.as_secs()), (TlsVersion::V1_2, 10));
    assert_eq!(shown.gateway, built_in.gateway);
    shown.servers[0].name = built_in.servers[0].name.clone();
    assert_eq!(shown.activity, built_in.activity);
    assert_eq!(shown.servers[0], built_in.servers[0]);
}
