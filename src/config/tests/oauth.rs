//! Logins to servers: what must stand together, and what must not.

use super::super::Grant;
use super::given;

const SERVER: &str = "[servers.x]\nurl = \"https://x.example/mcp\"\n";

#[test]
fn a_url_may_be_logged_in_to_without_any_key_and_one_with_a_header_or_a_command_may_not() {
    let config = given(&format!(
        "{SERVER}[servers.h]\nurl = \"https://h/\"\nheaders = {{ Authorization = \"Bearer t\" }}\n[servers.c]\ncommand = \"c\"\n"
    ))
    .config();
    let login =
        |name: &str| config.servers.iter().find(|server| server.name.as_str() == name).unwrap().oauth.clone();
    assert_eq!(login("x").map(|oauth| oauth.grant), Some(Grant::AuthorizationCode));
    assert_eq!((login("h"), login("c")), (None, None));
}

#[test]
fn what_does_not_fit_together_is_told_with_its_cure() {
    let rows = [
        ("grant = \"client_credentials\"\nclient_id = \"i\"", "without credentials"),
        ("client_secret = \"hunter2\"", "without `client_id`"),
        ("client_id = \"i\"\nclient_secret = \"hunter2\"", "without `issuer`"),
        (
            "client_id = \"i\"\nissuer = \"https://i\"\nclient_secret = \"hunter2\"\nprivate_key = \"k\"",
            "has both `client_secret` and `private_key`",
        ),
        ("scopes = [\"read write\"]", "is no scope"),
        ("client_metadata_url = \"http://m/c.json\"", "is not an https URL"),
        ("issuer = \"issuer\"", "is not"),
    ];
    for (keys, problem) in rows {
        let text = given(&format!("{SERVER}[servers.x.oauth]\n{keys}\n")).faults();
        assert!(text.contains(problem) && !text.contains("hunter2"), "{keys}: {text}");
    }
    let both =
        "[servers.x]\nurl = \"https://x/\"\nheaders = { Authorization = \"t\" }\noauth.client_id = \"i\"\n";
    assert!(given(both).faults().contains("beside a header `Authorization`"));
}
