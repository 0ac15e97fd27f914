//! Who is let in, and who is not.

use std::fs;

use serde_json::{Value, json};

use crate::support::keys::{key_command, new_key};
use crate::support::{Gateway, Reply, Stub, demo, eventually, over_http, wire};

/// Everybody is asked; a test that waits for a key may knock as often as it likes.
const ASKING: &str = "[limits]\nfailed_logins = \"none\"\n[auth]\nanonymous = \"never\"\n";

fn initialize() -> String {
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "it", "version": "1" } });
    json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params }).to_string()
}

async fn knock(gateway: &Gateway, headers: &[(&str, &str)]) -> Reply {
    wire::post(gateway.address, "/mcp", headers, initialize()).await.whole().await
}

async fn knock_with(gateway: &Gateway, key: &str) -> Reply {
    knock(gateway, &[("authorization", &format!("Bearer {key}"))]).await
}

/// Waits until a key is answered with a status.
async fn answered(gateway: &Gateway, key: &str, status: u16) -> Reply {
    eventually(&format!("the key is answered with {status}"), || async {
        Some(knock_with(gateway, key).await).filter(|reply| reply.status == status)
    })
    .await
}

#[tokio::test]
async fn without_a_credential_nobody_learns_anything_where_one_is_asked_for() {
    let gateway = Gateway::start(&(ASKING.to_owned() + &demo("demo"))).await;
    for path in ["/mcp", "/mcp/", "/mcp/demo", "/mcp/nobody", "/metrics", "/", "/mcp/../metrics", "//mcp"] {
        for method in ["POST", "GET", "DELETE", "PUT"] {
            let reply = wire::request(gateway.address, method, path, &wire::MCP_HEADERS, initialize()).await;
            let reply = reply.whole().await;
            assert_eq!(reply.status, 401, "{method} {path}: {}", reply.text());
            assert_eq!(
                reply.header("www-authenticate"),
                Some("Bearer realm=\"trunkline\""),
                "{method} {path}"
            );
            assert_eq!(reply.json()["error"]["code"], -31401, "{method} {path}");
        }
    }
    assert_eq!(gateway.get("/healthz", &[]).await.status, 200);
    let ready = gateway.get("/readyz", &[]).await.json();
    assert_eq!(ready, json!({ "status": "ready" }), "names of servers are nobody's business");
}

#[tokio::test]
async fn a_key_made_beside_a_running_gateway_is_soon_good_and_soon_void_once_revoked() {
    let gateway = Gateway::start(&(ASKING.to_owned() + &demo("demo"))).await;
    let key = new_key(&gateway, &["ci"]);
    assert!(key.starts_with("tl_"), "{key}");
    let welcome = answered(&gateway, &key, 200).await;
    assert!(welcome.header("mcp-session-id").is_some());
    let metrics = gateway.get("/metrics", &[("authorization", &format!("Bearer {key}"))]).await;
    assert_eq!(metrics.status, 200);

    // The name is taken; another key for it has to be asked for, and lives on its own.
    let taken = key_command(&gateway, &["new", "ci"]);
    assert!(!taken.status.success() && String::from_utf8_lossy(&taken.stderr).contains("--another"));
    let second = new_key(&gateway, &["ci", "--another"]);
    answered(&gateway, &second, 200).await;
    let revoked = key_command(&gateway, &["revoke", &key[..11]]);
    assert!(revoked.status.success(), "{}", String::from_utf8_lossy(&revoked.stderr));
    let refused = answered(&gateway, &key, 401).await;
    let challenge = refused.header("www-authenticate").expect("a challenge");
    assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    assert_eq!(knock_with(&gateway, &second).await.status, 200, "the other key is as good as before");

    assert!(key_command(&gateway, &["revoke", "ci"]).status.success());
    answered(&gateway, &second, 401).await;
    let again = key_command(&gateway, &["revoke", "ci"]);
    assert_eq!(again.status.code(), Some(1), "there is nothing left to revoke");
}

#[tokio::test]
async fn a_key_is_shown_once_and_is_in_no_file_no_list_and_no_log() {
    let gateway = Gateway::start(&(ASKING.to_owned() + &demo("demo"))).await;
    let key = new_key(&gateway, &["ci", "--scope", "read", "--scope", "admin", "--expires", "90d"]);
    answered(&gateway, &key, 200).await;
    let wrong = format!("{}x", &key[..key.len() - 1]);
    answered(&gateway, &wrong, 401).await;

    let listed = key_command(&gateway, &["list", "--json"]);
    let line: Value = serde_json::from_slice(&listed.stdout).expect("one object");
    assert_eq!((&line["principal"], &line["state"]), (&json!("key:ci"), &json!("in_force")));
    assert_eq!(line["scopes"], json!(["read", "admin"]));
    assert_eq!(line["expires_at"].as_u64().unwrap() - line["created_at"].as_u64().unwrap(), 90 * 86_400);
    let table = String::from_utf8(key_command(&gateway, &["list"]).stdout).expect("text");
    assert!(table.contains("read admin") && table.contains("in 90d"), "{table}");

    let secret = &key[11..];
    assert!(!table.contains(secret) && !line.to_string().contains(secret));
    assert!(!gateway.log().contains(secret), "neither the key nor the wrong one is in the log");
    for entry in fs::read_dir(gateway.folder().join("data")).expect("files") {
        let bytes = fs::read(entry.expect("an entry").path()).expect("read");
        assert!(memchr::memmem::find(&bytes, secret.as_bytes()).is_none());
    }
}

#[tokio::test]
async fn an_expired_key_is_refused_and_the_holder_hears_why() {
    let gateway = Gateway::start(&(ASKING.to_owned() + &demo("demo"))).await;
    let key = new_key(&gateway, &["ci", "--expires", "1s"]);
    let refused = eventually("the key has expired", || async {
        Some(knock_with(&gateway, &key).await).filter(|reply| reply.text().contains("expired"))
    })
    .await;
    assert_eq!(refused.status, 401);
}

#[tokio::test]
async fn a_session_of_another_principal_is_not_found() {
    let gateway = Gateway::start(&(ASKING.to_owned() + &demo("demo"))).await;
    let (alice, bob) = (new_key(&gateway, &["alice"]), new_key(&gateway, &["bob"]));
    let welcome = answered(&gateway, &alice, 200).await;
    answered(&gateway, &bob, 200).await;
    let session = welcome.header("mcp-session-id").expect("a session");
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let ask = async |key: Option<&str>, method: &str| {
        let bearer = key.map(|key| format!("Bearer {key}"));
        let mut headers = vec![("mcp-session-id", session)];
        headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
        headers.extend(wire::MCP_HEADERS);
        wire::request(gateway.address, method, "/mcp", &headers, ping).await.status
    };
    assert_eq!(ask(Some(&alice), "POST").await, 200);
    for method in ["POST", "GET", "DELETE"] {
        assert_eq!(ask(Some(&bob), method).await, 404, "{method}");
        assert_eq!(ask(None, method).await, 401, "the credential comes before the session: {method}");
    }
    assert_eq!(ask(Some(&alice), "POST").await, 200, "the stranger's DELETE has done nothing");
}

#[tokio::test]
async fn a_credential_is_one_bearer_token_in_one_header() {
    let gateway = Gateway::start(&(ASKING.to_owned() + &demo("demo"))).await;
    let key = new_key(&gateway, &["ci"]);
    answered(&gateway, &key, 200).await;
    let (good, wrong) = (format!("Bearer {key}"), "Bearer tl_wrong".to_owned());
    for pair in [[&good, &good], [&good, &wrong], [&wrong, &good]] {
        let twice = knock(&gateway, &pair.map(|value| ("authorization", value.as_str()))).await;
        assert_eq!(twice.status, 400, "{pair:?}");
        assert!(twice.header("www-authenticate").expect("a challenge").contains("invalid_request"));
    }
    for value in
        [format!("Basic {key}"), key.clone(), format!("Bearer {key}, {key}"), format!("Bearer {key} x")]
    {
        assert_eq!(knock(&gateway, &[("authorization", &value)]).await.status, 401, "{value}");
    }
    for header in ["x-api-key", "proxy-authorization", "cookie", "x-authorization"] {
        assert_eq!(knock(&gateway, &[(header, &good)]).await.status, 401, "{header}");
    }
    let path = format!("/mcp?access_token={key}");
    let in_the_address = wire::post(gateway.address, &path, &[], initialize()).await;
    assert_eq!(in_the_address.status, 401, "tokens in an address end up in logs");
}

#[tokio::test]
async fn a_good_credential_without_the_scope_hears_403_and_which_scope() {
    let config = ASKING.to_owned() + "required_scopes = [\"mcp:use\", \"team\"]\n" + &demo("demo");
    let gateway = Gateway::start(&config).await;
    let good = new_key(&gateway, &["good", "--scope", "mcp:use", "--scope", "team"]);
    let half = new_key(&gateway, &["half", "--scope", "mcp:use"]);
    answered(&gateway, &good, 200).await;
    let refused = answered(&gateway, &half, 403).await;
    let challenge = refused.header("www-authenticate").expect("a challenge");
    assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
    assert!(challenge.contains("scope=\"mcp:use team\""), "{challenge}");
    assert_eq!(refused.json()["error"]["code"], -31403);
    let nobody = knock(&gateway, &[]).await;
    assert_eq!(nobody.status, 401);
    assert!(nobody.header("www-authenticate").expect("a challenge").ends_with("scope=\"mcp:use team\""));
}

#[tokio::test]
async fn on_loopback_nobody_is_asked_unless_a_proxy_shows_itself_or_a_wrong_key_is_shown() {
    let gateway = Gateway::start(&demo("demo")).await;
    assert_eq!(knock(&gateway, &[]).await.status, 200);
    for header in ["x-forwarded-for", "forwarded", "x-real-ip"] {
        let relayed = knock(&gateway, &[(header, "203.0.113.9")]).await;
        assert_eq!(relayed.status, 401, "{header}: whoever is behind the proxy is not on this machine");
    }
    assert_eq!(knock_with(&gateway, "tl_wrong").await.status, 401);
    // What was made up for a library that insists opens nothing, and shuts nothing.
    for value in ["Bearer something", "Basic abc"] {
        assert_eq!(knock(&gateway, &[("authorization", value)]).await.status, 200, "{value}");
        let relayed = knock(&gateway, &[("authorization", value), ("x-forwarded-for", "203.0.113.9")]).await;
        assert_eq!(relayed.status, 401, "{value}");
    }
}

#[tokio::test]
async fn where_nobody_is_asked_a_foreign_credential_is_passed_over_and_a_wrong_key_is_not() {
    let gateway = Gateway::start(&("[auth]\nanonymous = \"always\"\n".to_owned() + &demo("demo"))).await;
    for value in ["Bearer something", "Basic abc"] {
        assert_eq!(
            knock(&gateway, &[("authorization", value), ("x-forwarded-for", "203.0.113.9")]).await.status,
            200
        );
    }
    assert_eq!(knock_with(&gateway, "tl_wrong").await.status, 401);
}

#[tokio::test]
async fn no_credential_of_a_client_reaches_a_server() {
    let stub = Stub::start(|seen| {
        let message: Value = serde_json::from_str(&seen.body).unwrap_or_default();
        let result = match message["method"].as_str() {
            Some("initialize") => json!({
                "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
                "serverInfo": { "name": "stub", "version": "1" },
            }),
            Some("tools/list") => {
                json!({ "tools": [{ "name": "odd", "inputSchema": { "type": "object" } }] })
            }
            Some("tools/call") => json!({ "content": [{ "type": "text", "text": "called" }] }),
            _ => return ("202 Accepted".to_owned(), String::new()),
        };
        let answer = json!({ "jsonrpc": "2.0", "id": message["id"], "result": result });
        ("200 OK\r\ncontent-type: application/json".to_owned(), answer.to_string())
    })
    .await;
    let entry = over_http("s", &stub.url("/mcp")) + "protocol = \"legacy\"\n";
    let gateway = Gateway::start(&(ASKING.to_owned() + &entry)).await;
    let key = new_key(&gateway, &["ci"]);
    let welcome = answered(&gateway, &key, 200).await;
    let bearer = format!("Bearer {key}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("mcp-session-id", welcome.header("mcp-session-id").expect("a session")),
        ("cookie", "canary=1"),
    ];
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"s__odd","arguments":{}}}"#;
    let reply = wire::post(gateway.address, "/mcp", &headers, call).await.whole().await;
    assert_eq!(reply.json()["result"]["content"][0]["text"], "called");
    let seen = stub.seen();
    assert!(seen.iter().any(|one| one.body.contains("tools/call")));
    for one in seen {
        assert!(one.header("authorization").is_none() && one.header("cookie").is_none(), "{one:?}");
        assert!(!format!("{one:?}").contains(&key[3..]), "{one:?}");
    }
}
