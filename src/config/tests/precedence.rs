//! Which layer wins, and that every setting knows where it came from.

use super::{Given, given};

fn origin(given: &Given, key: &str) -> String {
    let settings = given.loaded().settings;
    let origin = settings.into_iter().find(|setting| setting.key == key).map(|setting| setting.origin);
    origin.unwrap_or_default().replace(&format!("{}/", given.folder().display()), "")
}

#[test]
fn flags_beat_the_environment_which_beats_the_file_which_beats_the_defaults() {
    let key = "gateway.max_sessions";
    let given = given("[gateway]\n");
    assert_eq!((given.config().gateway.max_sessions, origin(&given, key)), (10_000, "default".into()));
    std::fs::write(given.folder().join("gateway.toml"), "[gateway]\nmax_sessions = 1\n").unwrap();
    assert_eq!((given.config().gateway.max_sessions, origin(&given, key)), (1, "gateway.toml:2".into()));
    let given = given.env("TRUNKLINE_GATEWAY__MAX_SESSIONS", "2");
    let variable = "environment variable TRUNKLINE_GATEWAY__MAX_SESSIONS".to_owned();
    assert_eq!((given.config().gateway.max_sessions, origin(&given, key)), (2, variable));
    let given = given.flag("--max-sessions", key, "3");
    assert_eq!((given.config().gateway.max_sessions, origin(&given, key)), (3, "flag --max-sessions".into()));
    let given = given.flag("--set", key, "4");
    assert_eq!(given.config().gateway.max_sessions, 4, "of two flags the later holds");
}

#[test]
fn a_servers_own_word_beats_the_defaults_section_whatever_the_layer() {
    let given = given("[servers.a]\ncommand = \"x\"\nmax_in_flight = 7\n[servers.b]\ncommand = \"x\"\n")
        .env("TRUNKLINE_DEFAULTS__MAX_IN_FLIGHT", "9");
    let servers = given.config().servers;
    assert_eq!((servers[0].max_in_flight, servers[1].max_in_flight), (7, 9));
}

#[test]
fn layers_add_to_a_servers_tables_and_replace_its_lists() {
    let file =
        "[servers.my-docs]\ncommand = \"x\"\nargs = [\"a\", \"b\"]\nenv = { KEPT = \"1\", Mixed = \"2\" }\n";
    let given = given(file)
        .env("TRUNKLINE_SERVERS__MY_DOCS__ENV__Mixed", "changed")
        .env("TRUNKLINE_SERVERS__MY_DOCS__ENV__MORE__SO", "3")
        .env("TRUNKLINE_SERVERS__MY_DOCS__ARGS", "[\"c,d\"]");
    let config = given.config();
    let super::super::Transport::Stdio { args, env, .. } = &config.servers[0].transport else { panic!() };
    assert_eq!(args, &["c,d"]);
    let env: Vec<_> = env.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    assert_eq!(env, [("KEPT", "1"), ("MORE__SO", "3"), ("Mixed", "changed")]);
}

#[test]
fn servers_keep_the_order_of_the_file_and_the_environment_may_add_one() {
    let file =
        "[servers.zeta]\ncommand = \"z\"\n[servers.alpha]\ncommand = \"a\"\n[servers.mid]\ncommand = \"m\"\n";
    let given = given(file).env("TRUNKLINE_SERVERS__ADDED__URL", "http://localhost/mcp");
    let names: Vec<_> = given.config().servers.iter().map(|server| server.name.to_string()).collect();
    assert_eq!(names, ["zeta", "alpha", "mid", "added"]);
}

#[test]
fn the_short_log_variable_is_the_log_filter() {
    let given = given("").env("TRUNKLINE_LOG", "debug");
    assert_eq!(given.config().gateway.log.filter, "debug");
}

#[test]
fn variables_of_others_and_of_kubernetes_are_let_alone() {
    let given =
        given("").env("TRUNKLINE_PORT", "tcp://10.0.0.1:6270").env("TRUNKLINES", "x").env("LISTEN", "x");
    assert_eq!(given.config().gateway.listen.port(), 6270);
}
