//! Servers from the files of other programs.

use super::super::Transport;
use super::{Given, given};

fn other(given: &Given, name: &str, text: &str) {
    std::fs::write(given.folder().join(name), text).unwrap();
}

#[test]
fn imported_servers_are_served_and_what_our_file_says_is_stronger() {
    let given = given(
        "import = [\"mcp.json\"]\n[servers.docs]\ncall_timeout = \"9s\"\n[servers.own]\ncommand = \"o\"\n",
    )
    .env("KEY", "k3y");
    let json = r#"{ /* theirs */ "mcpServers": {
        "docs": { "url": "https://h/mcp", "headers": { "Authorization": "Bearer ${KEY}" }, "timeout": 5000 },
        "local": { "command": "npx", "args": ["$${x}"], "env": { "TOKEN": "sk-canary-0123456789" } },
    } }"#;
    other(&given, "mcp.json", json);
    let loaded = given.loaded();
    let servers = &loaded.config.servers;
    let names: Vec<&str> = servers.iter().map(|server| server.name.as_str()).collect();
    assert_eq!(names, ["docs", "own", "local"]);
    assert_eq!(servers[0].call_timeout.as_secs(), 9, "ours is stronger");
    let Transport::Http { headers, .. } = &servers[0].transport else { panic!() };
    assert_eq!(headers[0].1.expose(), "Bearer k3y");
    let Transport::Stdio { env, .. } = &servers[2].transport else { panic!() };
    assert_eq!(env[0].1.expose(), "sk-canary-0123456789", "a credential is taken as it stands");
    assert!(!format!("{loaded:?}").contains("canary"));
    assert!(loaded.paths.contains(&given.folder().join("mcp.json")), "a reload looks at it");
}

#[test]
fn what_cannot_be_imported_is_told_at_the_element_that_names_it() {
    let given = given("import = [\n  \"none.json\",\n  \"bad.json\",\n  \"one.json\",\n  \"two.json\",\n]\n");
    other(&given, "bad.json", "{");
    other(&given, "one.json", r#"{"mcpServers":{"a":{"command":"x"}}}"#);
    other(&given, "two.json", r#"{"mcpServers":{"A":{"command":"y"},"b":{}}}"#);
    let faults = given.faults();
    for (line, what) in [
        (2, "none.json, which cannot be read"),
        (3, "bad.json, which cannot be taken over"),
        (5, "which both have a server `a`"),
        (5, "whose server \"b\" cannot be taken over: it has neither a command nor a URL"),
    ] {
        let told = faults.split("\n\n").find(|fault| fault.contains(what));
        let found = told.is_some_and(|fault| fault.contains(&format!("gateway.toml:{line}:")));
        assert!(found, "{what} at line {line}: {faults}");
    }
}
