//! Tokens of identity providers.

use serde_json::{Value, json};

use crate::support::issuer::{Idp, Signer};
use crate::support::{Gateway, Modern, Reply, demo, eventually, wire};

const ASKING: &str = "[limits]\nfailed_logins = \"none\"\n[auth]\nanonymous = \"never\"\n";

async fn gateway(idp: &Idp, more: &str) -> Gateway {
    Gateway::start(&format!("{ASKING}{more}{}{}", idp.entry(), demo("demo"))).await
}

async fn knock(gateway: &Gateway, path: &str, token: Option<&str>) -> Reply {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let body = Modern::body(&json!(1), "tools/list", json!({}));
    let mut headers = vec![("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/list")];
    headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    wire::post(gateway.address, path, &headers, body.to_string()).await.whole().await
}

fn challenge(reply: &Reply) -> &str {
    reply.header("www-authenticate").expect("a challenge")
}

#[tokio::test]
async fn a_good_token_is_let_in_under_its_name_and_every_other_is_refused() {
    let (rsa, ec, stranger) = (Signer::rsa("r"), Signer::ec("e"), Signer::ec("e"));
    let idp = Idp::start(&[&rsa, &ec]).await;
    let rules = "[policy.rules.alice]\nprincipals = [\"team:alice\"]\nallow = [\"demo/echo\"]\n";
    let config = format!("{ASKING}{}{rules}{}", idp.entry(), demo("demo"));
    let gateway = Gateway::start(&config).await;
    for signer in [&rsa, &ec] {
        let reply = knock(&gateway, "/mcp", Some(&signer.sign(&idp.claims("alice", 60)))).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let tools = reply.json()["result"]["tools"].as_array().expect("tools").len();
        assert_eq!(tools, 1, "policy goes by the token's name");
    }
    let with = |name: &str, value: Value| {
        let mut claims = idp.claims("alice", 60);
        claims[name] = value;
        claims
    };
    for (claims, said) in [
        (idp.claims("alice", -61), "expired"),
        (with("aud", json!("https://other.example")), "audience"),
        (with("iss", json!("https://other.example")), "issuer"),
        (with("iss", json!(idp.issuer() + "/")), "issuer"),
        (with("exp", json!(null)), "expires"),
        (with("sub", json!("")), "whose"),
    ] {
        let reply = knock(&gateway, "/mcp", Some(&ec.sign(&claims))).await;
        assert_eq!(reply.status, 401, "{claims}");
        assert!(challenge(&reply).contains("error=\"invalid_token\""), "{}", challenge(&reply));
        assert!(reply.text().contains(said), "{said}: {}", reply.text());
    }
    let forged = knock(&gateway, "/mcp", Some(&stranger.sign(&idp.claims("alice", 60)))).await;
    assert!(forged.status == 401 && forged.text().contains("signature"), "{}", forged.text());
    assert_eq!(knock(&gateway, "/mcp", Some("made-up")).await.status, 401);
    let secret = ec.sign(&idp.claims("alice", 60));
    let secret = secret.rsplit_once('.').expect("a signature").1;
    assert!(!gateway.log().contains(secret), "no token is in the log");
}

#[tokio::test]
async fn a_client_learns_who_gives_out_tokens_at_the_address_that_it_uses() {
    let ec = Signer::ec("e");
    let idp = Idp::start(&[&ec]).await;
    let gateway = gateway(&idp, "required_scopes = [\"mcp:use\", \"team\"]\n").await;
    let origin = format!("http://{}", gateway.address);
    for path in ["/mcp", "/mcp/demo", "/mcp/nobody", "/sse"] {
        let reply = knock(&gateway, path, None).await;
        assert_eq!(reply.status, 401);
        let address = format!("{origin}/.well-known/oauth-protected-resource{path}");
        let named = format!("resource_metadata=\"{address}\"");
        assert!(challenge(&reply).contains(&named), "{}", challenge(&reply));
        assert!(
            challenge(&reply).contains("scope=\"mcp:use team\"") && !challenge(&reply).contains("error=")
        );
        let metadata = gateway.get(&format!("/.well-known/oauth-protected-resource{path}"), &[]).await;
        let metadata = (metadata.status, metadata.header("content-type").map(str::to_owned), metadata.json());
        assert_eq!((metadata.0, metadata.1.as_deref()), (200, Some("application/json")));
        assert_eq!(metadata.2["resource"], format!("{origin}{path}"));
        assert_eq!(metadata.2["authorization_servers"], json!([idp.issuer()]));
        assert_eq!(metadata.2["scopes_supported"], json!(["mcp:use", "team"]));
        assert_eq!(metadata.2["bearer_methods_supported"], json!(["header"]));
    }
    // Whatever stands in a path stays within its quotes.
    let reply = knock(&gateway, r#"/mcp/a",scope="x"#, None).await;
    let named = r#"oauth-protected-resource/mcp/a\",scope=\"x""#;
    assert!(challenge(&reply).ends_with(named), "{}", challenge(&reply));
    let root = gateway.get("/.well-known/oauth-protected-resource", &[]).await.json();
    assert_eq!(root["resource"], origin);
    let port = gateway.address.port();
    let by_name = gateway
        .get("/.well-known/oauth-protected-resource/mcp", &[("host", &format!("localhost:{port}"))])
        .await
        .json();
    assert_eq!(by_name["resource"], format!("http://localhost:{port}/mcp"), "the URL that the client used");

    // A token without a scope: 403, and all scopes that are needed.
    let lacking = knock(&gateway, "/mcp", Some(&ec.sign(&idp.claims("alice", 60)))).await;
    assert_eq!(lacking.status, 403);
    for part in ["error=\"insufficient_scope\"", "scope=\"mcp:use team\"", "resource_metadata=\"http://"] {
        assert!(challenge(&lacking).contains(part), "{}", challenge(&lacking));
    }
    let mut claims = idp.claims("alice", 60);
    claims["scope"] = json!("team other mcp:use");
    assert_eq!(knock(&gateway, "/mcp", Some(&ec.sign(&claims))).await.status, 200);
}

#[tokio::test]
async fn without_issuers_there_is_no_metadata() {
    let gateway = Gateway::start(&(ASKING.to_owned() + &demo("demo"))).await;
    assert_eq!(gateway.get("/.well-known/oauth-protected-resource", &[]).await.status, 401);
    assert!(!challenge(&knock(&gateway, "/mcp", None).await).contains("resource_metadata"));
}

#[tokio::test]
async fn keys_rotate_under_load_with_one_question_and_strangers_cannot_make_us_ask() {
    let (old, new) = (Signer::ec("old"), Signer::ec("new"));
    let idp = Idp::start(&[&old]).await;
    let gateway = std::sync::Arc::new(gateway(&idp, "").await);
    assert_eq!(knock(&gateway, "/mcp", Some(&old.sign(&idp.claims("alice", 60)))).await.status, 200);
    let before = idp.fetches();
    idp.publish(&[&old, &new]);
    let many = |token: String| {
        let gateway = std::sync::Arc::clone(&gateway);
        async move {
            let mut knocking = tokio::task::JoinSet::new();
            for _ in 0..50 {
                let (gateway, token) = (std::sync::Arc::clone(&gateway), token.clone());
                knocking.spawn(async move { knock(&gateway, "/mcp", Some(&token)).await.status });
            }
            knocking.join_all().await
        }
    };
    let statuses = many(new.sign(&idp.claims("alice", 60))).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert_eq!(idp.fetches(), before + 1, "those who miss the key wait for one answer");

    let stranger = Signer::ec("strange");
    for _ in 0..3 {
        let statuses = many(stranger.sign(&idp.claims("alice", 60))).await;
        assert!(statuses.iter().all(|status| *status == 401), "{statuses:?}");
    }
    assert!(idp.fetches() <= before + 4, "asked {} times", idp.fetches());

    // A key that is withdrawn is good for nothing from the next reading on; the stranger has caused one.
    idp.publish(&[&new]);
    eventually("the keys have been read again", || async {
        let _ = knock(&gateway, "/mcp", Some(&stranger.sign(&idp.claims("alice", 60)))).await;
        let status = knock(&gateway, "/mcp", Some(&old.sign(&idp.claims("alice", 60)))).await.status;
        (status == 401).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_issuer_that_cannot_be_reached_opens_no_door_and_shuts_none_that_was_open() {
    let ec = Signer::ec("e");
    let idp = Idp::start(&[&ec]).await;
    idp.set_down(true);
    let gateway = gateway(&idp, "").await;
    let token = ec.sign(&idp.claims("alice", 60));
    let refused = knock(&gateway, "/mcp", Some(&token)).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.header("retry-after").is_some() && refused.header("www-authenticate").is_none());
    assert_eq!(refused.json()["error"]["code"], -31503);
    assert!(gateway.log().contains("its keys cannot be fetched"));
    idp.set_down(false);
    eventually("the keys are there", || async {
        (knock(&gateway, "/mcp", Some(&token)).await.status == 200).then_some(())
    })
    .await;
    idp.set_down(true);
    let unknown = Signer::ec("other").sign(&idp.claims("alice", 60));
    assert_eq!(knock(&gateway, "/mcp", Some(&unknown)).await.status, 401);
    assert_eq!(knock(&gateway, "/mcp", Some(&token)).await.status, 200, "known keys stay good");
}

#[tokio::test]
async fn what_a_token_has_opened_ends_with_it() {
    let ec = Signer::ec("e");
    let idp = Idp::start(&[&ec]).await;
    let gateway = gateway(&idp, "").await;
    // The skew is added to the life.
    let bearer = format!("Bearer {}", ec.sign(&idp.claims("alice", -57)));
    let listen = Modern::body(&json!(1), "subscriptions/listen", json!({ "notifications": {} }));
    let headers = [
        ("authorization", bearer.as_str()),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "subscriptions/listen"),
    ];
    let mut stream = wire::post(gateway.address, "/mcp", &headers, listen.to_string()).await;
    assert_eq!(stream.status, 200);
    while stream.event().await.is_some() {}
    assert_eq!(wire::post(gateway.address, "/mcp", &headers, listen.to_string()).await.status, 401);
}

#[tokio::test]
async fn tokens_of_one_name_of_two_issuers_are_two_principals_and_a_session_is_not_shared() {
    let (one, two) = (Signer::ec("a"), Signer::ec("b"));
    let (first, second) = (Idp::start(&[&one]).await, Idp::start(&[&two]).await);
    let other = second.entry().replace("issuers.team", "issuers.other");
    let gateway = gateway(&first, "").await;
    let file = gateway.folder().join("gateway.toml");
    let text = std::fs::read_to_string(&file).expect("the file");
    std::fs::write(&file, format!("{text}{other}")).expect("written");
    gateway.signal(rustix::process::Signal::HUP);
    let mine = one.sign(&first.claims("alice", 60));
    let theirs = two.sign(&second.claims("alice", 60));
    eventually("the second issuer is known", || async {
        (knock(&gateway, "/mcp", Some(&theirs)).await.status == 200).then_some(())
    })
    .await;
    // Each vouches for its own name only.
    let crossed = two.sign(&first.claims("alice", 60));
    assert_eq!(knock(&gateway, "/mcp", Some(&crossed)).await.status, 401);
    let bearers = [format!("Bearer {mine}"), format!("Bearer {theirs}")];
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "it", "version": "1" } });
    let initialize =
        json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params }).to_string();
    let opened = wire::post(gateway.address, "/mcp", &[("authorization", &bearers[0])], initialize).await;
    let session = opened.header("mcp-session-id").expect("a session").to_owned();
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let ask = async |bearer: &str| {
        let headers = [("authorization", bearer), ("mcp-session-id", session.as_str())];
        wire::post(gateway.address, "/mcp", &headers, ping).await.status
    };
    assert_eq!([ask(&bearers[0]).await, ask(&bearers[1]).await], [200, 404]);
    // An issuer that the configuration does not name any more vouches for nobody.
    std::fs::write(&file, text).expect("written");
    gateway.signal(rustix::process::Signal::HUP);
    eventually("the second issuer is forgotten", || async { (ask(&bearers[1]).await == 401).then_some(()) })
        .await;
    assert_eq!(ask(&bearers[0]).await, 200, "the other goes on");
}
