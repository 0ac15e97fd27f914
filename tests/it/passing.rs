//! What the gateway has never heard of, at an endpoint where only one server can be meant, in every combination of eras.

use serde_json::{Value, json};

use crate::support::{
    Backend, Gateway, Legacy, Modern, Reply, code_of, conformance, eventually, over_http, scripted, stats,
};

/// Sends a message without further ado, in the way of an era.
async fn say(gateway: &Gateway, path: &str, modern: bool, session: &Legacy, mut message: Value) -> Reply {
    if !modern {
        return session.raw(message.to_string()).await;
    }
    let client = Modern::new(gateway, path);
    let method = message["method"].as_str().unwrap_or_default().to_owned();
    message["params"]["_meta"] = Modern::meta();
    let headers = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", method.as_str())];
    client.with_headers(&headers, message.to_string()).await.whole().await
}

#[tokio::test]
async fn methods_and_notifications_that_nobody_knows_reach_the_one_server_of_an_endpoint() {
    let (old, new) = (
        Backend::start("scripted-server", &["--era", "legacy"]).await,
        Backend::start("scripted-server", &["--era", "modern"]).await,
    );
    let config = scripted("pipe-old", &["--era", "legacy"])
        + &scripted("pipe-new", &["--era", "modern"])
        + &over_http("url-old", &old.url)
        + &over_http("url-new", &new.url);
    let gateway = Gateway::start(&config).await;
    for server in ["pipe-old", "pipe-new", "url-old", "url-new"] {
        let path = format!("/mcp/{server}");
        let session = Legacy::open(&gateway, &path).await;
        for modern in [false, true] {
            let era = if modern { "modern" } else { "legacy" };
            let request = json!({ "jsonrpc": "2.0", "id": "u", "method": format!("x-{era}/ask"), "params": { "a": 1 } });
            let refused = say(&gateway, &path, modern, &session, request.clone()).await.json();
            assert_eq!(
                (code_of(&refused), &refused["id"]),
                (-32601, &json!("u")),
                "{server}: the server's own answer"
            );
            let notification =
                json!({ "jsonrpc": "2.0", "method": format!("notifications/x-{era}"), "params": { "b": 2 } });
            assert_eq!(say(&gateway, &path, modern, &session, notification.clone()).await.status, 202);
            eventually("the server has seen both", || async {
                let others = stats(&session, "stats").await["others"].clone();
                let seen = |method: String| others[method].as_u64() == Some(1);
                (seen(format!("x-{era}/ask")) && seen(format!("notifications/x-{era}"))).then_some(())
            })
            .await;
            // Where several servers could be meant, nobody is.
            let merged = Legacy::open(&gateway, "/mcp").await;
            let refused = say(&gateway, "/mcp", modern, &merged, request).await;
            assert_eq!((refused.status, code_of(&refused.json())), (if modern { 404 } else { 200 }, -32601));
            assert_eq!(say(&gateway, "/mcp", modern, &merged, notification).await.status, 202);
        }
        let others = stats(&session, "stats").await["others"].clone();
        for era in ["legacy", "modern"] {
            assert_eq!(others[format!("x-{era}/ask")], 1, "{server}: not from the merged endpoint");
            assert_eq!(others[format!("notifications/x-{era}")], 1, "{server}");
        }
    }
}

#[tokio::test]
async fn completion_finds_its_server_by_reference_in_every_combination_of_eras() {
    let config = conformance("old", &["--era", "legacy"]) + &conformance("new", &["--era", "modern"]);
    let gateway = Gateway::start(&config).await;
    for server in ["old", "new"] {
        for (path, prefix) in
            [("/mcp".to_owned(), format!("{server}__")), (format!("/mcp/{server}"), String::new())]
        {
            let session = Legacy::open(&gateway, &path).await;
            let argument = json!({ "name": "arg1", "value": "par" });
            let reference =
                json!({ "type": "ref/prompt", "name": format!("{prefix}test_prompt_with_arguments") });
            for modern in [false, true] {
                let params = json!({ "ref": reference, "argument": argument });
                let request =
                    json!({ "jsonrpc": "2.0", "id": 1, "method": "completion/complete", "params": params });
                let answer = say(&gateway, &path, modern, &session, request).await.json();
                let values = answer["result"]["completion"]["values"].as_array();
                assert!(
                    values.is_some_and(|values| !values.is_empty()),
                    "{server} {path} {modern}: {answer}"
                );
                if path != "/mcp" {
                    continue;
                }
                let unknown =
                    json!({ "ref": { "type": "ref/prompt", "name": "nobody__knows" }, "argument": argument });
                let request =
                    json!({ "jsonrpc": "2.0", "id": 1, "method": "completion/complete", "params": unknown });
                let refused = say(&gateway, &path, modern, &session, request).await.json();
                assert_eq!(code_of(&refused), -32602, "{refused}");
            }
        }
    }
}
