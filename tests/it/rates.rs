//! How often: what a limit lets through, and what those hear who have to wait.

use serde_json::json;

use crate::support::keys::new_key;
use crate::support::{Backend, Gateway, Legacy, Modern, demo, eventually, scripted, service, text_of, wire};

/// A rate that gives nothing back while a test runs.
const SLOW: &str = "1/d burst";

#[tokio::test]
async fn beyond_a_limit_both_eras_hear_429_and_when_to_come_again() {
    let config = format!("[limits]\nprincipal = \"{SLOW} 4\"\n") + &demo("demo");
    let gateway = Gateway::start(&config).await;
    // `initialize` is the first of four.
    let client = Legacy::open(&gateway, "/mcp").await;
    for _ in 0..3 {
        assert_eq!(client.request("ping", json!({})).await.status, 200);
    }
    let modern = Modern::new(&gateway, "/mcp");
    for refused in [client.request("ping", json!({})).await, modern.request("tools/list", json!({})).await] {
        assert_eq!(refused.status, 429, "{}", refused.text());
        let seconds: f64 = refused.header("retry-after").expect("a header").parse().expect("seconds");
        let body = refused.json();
        assert_eq!((&body["id"], &body["error"]["code"]), (&json!(1), &json!(-31429)));
        let exact = body["error"]["data"]["retry_after"].as_f64().expect("seconds");
        assert!(exact > 86_000.0 && exact <= seconds && seconds <= 86_400.0, "{exact} {seconds}");
        assert!(body["error"]["message"].as_str().unwrap().contains("limits.principal is 1/d burst 4"));
    }
    client.notify("notifications/initialized", json!({})).await;
    let limited = gateway.get("/metrics", &[]).await;
    assert!(limited.text().contains("trunkline_rate_limited_total{limit=\"principal\"} 2"));
}

#[tokio::test]
async fn one_principals_limit_is_not_anothers() {
    let config =
        format!("[auth]\nanonymous = \"never\"\n[limits]\nprincipal = \"{SLOW} 1\"\n") + &demo("demo");
    let gateway = Gateway::start(&config).await;
    let (alice, bob) = (new_key(&gateway, &["alice"]), new_key(&gateway, &["bob"]));
    let body = Modern::body(&json!(1), "tools/list", json!({})).to_string();
    let ask = async |key: &str| {
        let bearer = format!("Bearer {key}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", "tools/list"),
        ];
        wire::post(gateway.address, "/mcp", &headers, body.clone()).await.status
    };
    for key in [&alice, &bob] {
        // What comes before the gateway knows the key is refused, and costs nothing.
        eventually("the key is known", || async { (ask(key).await == 200).then_some(()) }).await;
        assert_eq!(ask(key).await, 429);
    }
}

#[tokio::test]
async fn a_server_and_a_tool_have_limits_of_their_own() {
    let limits = format!("rate = \"{SLOW} 5\"\ntools = {{ rates = {{ \"ec*\" = \"{SLOW} 2\" }} }}\n");
    let gateway = Gateway::start(&(demo("a") + &limits + &demo("b"))).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let call = async |tool: &str| {
        let params = json!({ "name": tool, "arguments": { "message": "x", "text": "x" } });
        client.request("tools/call", params).await
    };
    assert_eq!([call("a__echo").await.status, call("a__echo").await.status], [200, 200]);
    let refused = call("a__echo").await;
    assert_eq!(refused.status, 429);
    assert!(refused.text().contains("servers.a.tools.rates"), "{}", refused.text());
    // Two of the server's five are gone; a tool that does not exist at the server counts as well.
    assert_eq!(call("a__add").await.status, 200);
    let rest = client.request("tools/call", json!({ "name": "a__time", "arguments": {} }));
    assert_eq!(rest.await.status, 200);
    assert_eq!([call("a__add").await.status, call("a__add").await.status], [200, 429]);
    assert_eq!(call("b__echo").await.status, 200, "another server's calls are not counted");
    assert_eq!(client.request("tools/list", json!({})).await.status, 200, "lists do not go to the server");
}

#[tokio::test]
async fn ten_thousand_wrong_keys_are_limited_and_do_not_flood_the_log() {
    let config = "[auth]\nanonymous = \"never\"\n[limits]\nfailed_logins = \"1/h burst 20\"\n".to_owned();
    let gateway = Gateway::start(&(config + &demo("demo"))).await;
    let key = new_key(&gateway, &["ci"]);
    let bearer = format!("Bearer {key}");
    let good = [("authorization", bearer.as_str())];
    // Not by knocking: that would count.
    eventually("the key is known", || async { gateway.log().contains("API keys read").then_some(()) }).await;
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..8 {
        let address = gateway.address;
        workers.spawn(async move {
            let stream = tokio::net::TcpStream::connect(address).await.expect("connected");
            stream.set_nodelay(true).expect("no delay");
            let io = hyper_util::rt::TokioIo::new(stream);
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(io).await.expect("connection");
            let connection = tokio::spawn(connection);
            let mut statuses = [0u32; 2];
            for attempt in 0..1_250 {
                let request = http::Request::get("/metrics")
                    .header("host", address.to_string())
                    .header("authorization", format!("Bearer tl_wrong{worker}x{attempt}"))
                    .body(String::new())
                    .expect("a request");
                sender.ready().await.expect("ready");
                let response = sender.send_request(request).await.expect("a response");
                let status = response.status().as_u16();
                assert!(status == 401 || status == 429, "{status}");
                assert_eq!(response.headers().contains_key("retry-after"), status == 429);
                statuses[usize::from(status == 429)] += 1;
                http_body_util::BodyExt::collect(response.into_body()).await.expect("a body");
            }
            connection.abort();
            statuses
        });
    }
    let mut sum = [0; 2];
    for statuses in workers.join_all().await {
        sum = [sum[0] + statuses[0], sum[1] + statuses[1]];
    }
    assert_eq!(sum[0] + sum[1], 10_000);
    assert_eq!(sum[0], 20, "a burst, and one more in six minutes");
    assert_eq!(gateway.get("/metrics", &good).await.status, 200, "a good key is let in all the while");
    let logged =
        gateway.log().lines().filter(|line| line.contains("INFO") && line.contains("refused")).count();
    assert_eq!(logged, 20, "what is within the limit is in the log, and nothing more");
}

#[tokio::test]
async fn a_service_has_a_limit_of_its_own() {
    let ollama = Backend::ollama(0).await;
    let config =
        service("o", &ollama.url) + &format!("rate = \"{SLOW} 2\"\n") + &service("free", &ollama.url);
    let gateway = Gateway::start(&config).await;
    for _ in 0..2 {
        assert_eq!(gateway.get("/services/o/api/version", &[]).await.status, 200);
    }
    let refused = gateway.get("/services/o/api/version", &[]).await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    let seconds: f64 = refused.header("retry-after").expect("a header").parse().expect("seconds");
    assert!(
        seconds > 80_000.0 && refused.text().contains("services.o.rate is 1/d burst 2"),
        "{}",
        refused.text()
    );
    assert_eq!(gateway.get("/services/free/api/version", &[]).await.status, 200);
}

#[tokio::test]
async fn each_question_to_a_model_counts_for_the_rate_of_its_service() {
    let ollama = Backend::ollama(0).await;
    let config = service("o", &ollama.url)
        + &format!("rate = \"{SLOW} 3\"\n[enhance]\nservice = \"o\"\n")
        + &scripted("s", &[])
        + "[servers.s.tools.enhance]\necho = \"auto\"\n";
    let gateway = Gateway::start(&config).await;
    let enhance = async |path: &str, prompt: &str| {
        let body = json!({ "prompt": prompt }).to_string();
        wire::request(gateway.address, "POST", path, &[], body).await.whole().await
    };
    let client = Legacy::open(&gateway, "/mcp").await;
    assert_eq!(client.text("s__echo", json!({ "message": "one" })).await, "better: one");
    for _ in 0..3 {
        let known = enhance("/enhance", "two").await;
        assert_eq!((known.status, &known.json()["prompt"]), (200, &json!("better: two")), "{}", known.text());
    }
    // What is known costs the service nothing, so that one of three is left.
    assert_eq!(gateway.get("/services/o/api/version", &[]).await.status, 200);
    for path in ["/enhance", "/ollama/enhance"] {
        let refused = enhance(path, "three").await;
        assert_eq!(refused.status, 429, "{}", refused.text());
        let seconds: f64 = refused.header("retry-after").expect("a header").parse().expect("seconds");
        assert!(seconds > 80_000.0 && refused.text().contains("services.o.rate"), "{}", refused.text());
    }
    assert_eq!(enhance("/enhance", "two").await.status, 200, "what is known is told all the same");
    // A call does not fail for it.
    let answer = client.call("s__echo", json!({ "message": "three" })).await;
    let mark = &answer["result"]["_meta"]["dev.trunkline/enhanced"];
    assert_eq!((text_of(&answer).as_str(), &mark["enhanced"]), ("three", &json!(false)), "{answer}");
    assert!(mark["reason"].as_str().unwrap().contains("services.o.rate is 1/d burst 3"), "{mark}");
    let stats = gateway.get("/enhance/stats", &[]).await.json();
    let counted = json!([stats["enhanced"], stats["limited"], stats["failed"], stats["breaker"]]);
    assert_eq!(counted, json!([2, 3, 0, "closed"]), "a full rate says nothing about the service: {stats}");
    let row = eventually("the row is on file", || async {
        let rows = gateway.get("/api/v1/activity?limit=10", &[]).await.json();
        rows["records"]
            .as_array()?
            .iter()
            .find(|row| row["code"] == 429 && row["name"] == "/enhance")
            .cloned()
    })
    .await;
    assert_eq!((&row["outcome"], &row["enhanced"]), (&json!("rate_limited"), &json!("no")), "{row}");
}
