//! Browsers: a page that has no business here is kept out, and one that has can read what it needs.

use serde_json::json;

use crate::support::{Gateway, Legacy, Reply, scripted, wire};

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
const EXPOSED: &str = "mcp-session-id, www-authenticate, retry-after";

async fn post(gateway: &Gateway, headers: &[(&str, &str)]) -> Reply {
    wire::post(gateway.address, "/mcp", headers, PING).await.whole().await
}

async fn preflight(gateway: &Gateway, headers: &[(&str, &str)]) -> Reply {
    wire::request(gateway.address, "OPTIONS", "/mcp", headers, "").await.whole().await
}

#[tokio::test]
async fn a_page_that_has_rebound_its_name_reaches_nothing() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let session = ("mcp-session-id", client.session.as_str());
    let port = gateway.address.port();
    for host in [
        "evil.example.com".to_owned(),
        format!("evil.example.com:{port}"),
        "localhost.evil.example.com".into(),
    ] {
        let refused = post(&gateway, &[("host", &host), session]).await;
        assert_eq!(refused.status, 403, "{host}");
        assert!(refused.text().contains("allowed_hosts"), "the cure is named: {}", refused.text());
        for path in ["/readyz", "/metrics", "/mcp/s"] {
            assert_eq!(gateway.get(path, &[("host", &host)]).await.status, 403, "{host} {path}");
        }
    }
    for origin in ["https://evil.example.com", "null", "http://localhost.evil.example.com", "file://"] {
        let refused = post(&gateway, &[("origin", origin), session]).await;
        assert_eq!(refused.status, 403, "{origin}");
        assert!(!refused.headers.contains_key("access-control-allow-origin"));
        assert_eq!(preflight(&gateway, &[("origin", origin)]).await.status, 403, "{origin}");
    }
    for host in ["localhost", "127.0.0.1:1", "[::1]:80"] {
        assert_eq!(post(&gateway, &[("host", host), session]).await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn a_page_of_this_machine_or_one_that_is_allowed_may_call_and_read() {
    let config =
        "[gateway]\nallowed_origins = [\"https://app.example.com\"]\nallowed_hosts = [\"gw.example.com\"]\n";
    let gateway = Gateway::start(&(config.to_owned() + &scripted("s", &[]))).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    for origin in ["http://localhost:3000", "http://127.0.0.1:8080", "https://app.example.com"] {
        for (session, status) in [(client.session.as_str(), 200), ("forged", 404)] {
            let reply = post(&gateway, &[("origin", origin), ("mcp-session-id", session)]).await;
            assert_eq!(reply.status, status, "{origin}");
            assert_eq!(reply.header("access-control-allow-origin"), Some(origin));
            assert_eq!(
                reply.header("access-control-expose-headers"),
                Some(EXPOSED),
                "errors can be read as well"
            );
            assert!(reply.header("vary").is_some_and(|vary| vary.to_ascii_lowercase().contains("origin")));
        }
    }
    for (origin, status) in [("https://app.example.com:8443", 403), ("http://app.example.com", 403)] {
        assert_eq!(
            post(&gateway, &[("origin", origin), ("mcp-session-id", &client.session)]).await.status,
            status
        );
    }
    assert_eq!(
        post(&gateway, &[("host", "gw.example.com"), ("mcp-session-id", &client.session)]).await.status,
        200
    );
}

#[tokio::test]
async fn a_preflight_allows_what_an_mcp_client_sends() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let asked = "content-type, mcp-session-id, Mcp-Param-Region, x-other";
    let headers = [
        ("origin", "http://localhost:3000"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", asked),
    ];
    for path in ["/mcp", "/mcp/s"] {
        let reply = wire::request(gateway.address, "OPTIONS", path, &headers, "").await.whole().await;
        assert_eq!((reply.status, reply.text()), (204, ""));
        assert_eq!(reply.header("access-control-allow-origin"), Some("http://localhost:3000"));
        let list = |name: &str| -> Vec<String> {
            let value = reply.header(name).unwrap_or_else(|| panic!("{name}: {:?}", reply.headers));
            value.split(',').map(|part| part.trim().to_ascii_lowercase()).collect()
        };
        assert_eq!(list("access-control-allow-methods"), ["get", "post", "delete"]);
        let allowed = list("access-control-allow-headers");
        for name in [
            "content-type",
            "accept",
            "authorization",
            "mcp-protocol-version",
            "mcp-session-id",
            "mcp-method",
            "mcp-name",
            "last-event-id",
            "mcp-param-region",
        ] {
            assert!(allowed.iter().any(|other| other == name), "{name} is not in {allowed:?}");
        }
        assert!(!allowed.iter().any(|name| name == "x-other"), "{allowed:?}");
    }
}

#[tokio::test]
async fn without_an_origin_nothing_is_said_of_origins() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let reply =
        client.request("tools/call", json!({ "name": "s__echo", "arguments": { "message": "x" } })).await;
    assert!(
        !reply.headers.keys().any(|name| name.as_str().starts_with("access-control")),
        "{:?}",
        reply.headers
    );
    assert_eq!(preflight(&gateway, &[]).await.status, 405, "OPTIONS without an origin is no preflight");
}
