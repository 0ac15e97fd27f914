//! The activity log over HTTP.

use serde_json::{Value, json};

use crate::support::wire::{self, Reply};
use crate::support::{Gateway, Legacy, Modern, eventually, schema, scripted};

async fn ask(gateway: &Gateway, method: &str, path: &str) -> Reply {
    let path = format!("/api/v1/activity{path}");
    wire::request(gateway.address, method, &path, &[("x-trunkline", "1")], "").await.whole().await
}

async fn records(gateway: &Gateway, query: &str) -> Vec<Value> {
    let reply = ask(gateway, "GET", query).await;
    assert_eq!(reply.status, 200, "{query}: {}", reply.text());
    reply.json()["records"].as_array().expect("records").clone()
}

#[tokio::test]
async fn the_log_is_had_in_pages_in_figures_and_as_a_whole() {
    let gateway = Gateway::start(&(scripted("s", &[]) + "call_timeout = \"300ms\"\n")).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    for _ in 0..5 {
        client.call("s__echo", json!({ "message": "x" })).await;
    }
    client.call("s__sleep", json!({ "ms": 60_000 })).await;
    eventually("all calls are on file", || async {
        (records(&gateway, "?server=s").await.len() == 6).then_some(())
    })
    .await;
    // Page after page, backwards and forwards, every call once.
    for (direction, start) in [("before", ""), ("after", "&after=0")] {
        let (mut seen, mut go_on) = (Vec::new(), start.to_owned());
        loop {
            let page = ask(&gateway, "GET", &format!("?server=s&limit=4{go_on}")).await.json();
            seen.extend(page["records"].as_array().unwrap().iter().map(|one| one["id"].as_i64().unwrap()));
            let Some(next) = page["next"].as_str() else { break };
            go_on = format!("&{direction}={next}");
        }
        assert_eq!(seen.len(), 6, "{seen:?}");
        let sorted = if direction == "after" { seen.is_sorted() } else { seen.iter().rev().is_sorted() };
        assert!(sorted, "{direction}: {seen:?}");
    }
    assert_eq!(records(&gateway, "?errors=true").await.len(), 1);
    assert_eq!(records(&gateway, "?slow=300ms&client=it").await.len(), 1);
    assert_eq!(records(&gateway, "?tool=echo&since=1h&limit=2").await.len(), 2);
    assert_eq!(records(&gateway, "?until=1h").await.len(), 0, "nothing is as old as that");
    let figures = ask(&gateway, "GET", "/stats?by=tool&method=tools/call").await.json();
    let echo = figures["stats"].as_array().unwrap().iter().find(|one| one["key"] == "s echo").expect("echo");
    assert_eq!((&figures["by"], &echo["calls"], &echo["errors"]), (&json!("tool"), &json!(5), &json!(0)));
    let whole = ask(&gateway, "GET", "/export?server=s").await;
    assert_eq!(whole.header("content-type"), Some("application/x-ndjson"));
    let lines: Vec<Value> =
        whole.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(lines.len() == 6 && lines.is_sorted_by_key(|line| line["id"].as_i64()), "{lines:?}");
    let document = gateway.get("/api/v1/openapi.json", &[]).await.json();
    let schema = &document["components"]["schemas"]["Record"];
    for line in &lines {
        assert!(schema::faults(&document, schema, line, "record").is_empty(), "{line}");
    }
}

#[tokio::test]
async fn one_principals_rows_are_erased_on_an_operators_word_and_nobody_elses() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Modern::new(&gateway, "/mcp");
    for _ in 0..3 {
        client.call("s__echo", json!({ "message": "x" })).await;
    }
    let done = ask(&gateway, "DELETE", "?principal=somebody").await;
    assert!(done.status == 200 && done.text().contains("0 rows"), "{}", done.text());
    eventually("the rows are on file", || async {
        (records(&gateway, "?principal=anonymous&tool=echo").await.len() == 3).then_some(())
    })
    .await;
    let done = ask(&gateway, "DELETE", "?principal=anonymous").await;
    assert!(done.status == 200 && done.text().contains("3 rows"), "{}", done.text());
    let left = records(&gateway, "").await;
    assert_eq!((left.len(), &left[0]["kind"], &left[0]["lost"]), (1, &json!("gap"), &json!(3)));
    let no_call = [&left[0]["principal"], &left[0]["era"], &left[0]["method"]];
    assert_eq!(no_call, [&Value::Null; 3], "a row that is no call has no caller and no method: {}", left[0]);
    assert!(gateway.log().contains("3 rows of 'anonymous' are erased"), "the audit log has it");
    // No web page can do it.
    let path = "/api/v1/activity?principal=anonymous";
    let refused = wire::request(gateway.address, "DELETE", path, &[], "").await.whole().await;
    assert_eq!(refused.status, 403, "{}", refused.text());
}

#[tokio::test]
async fn a_row_says_that_an_administrator_took_the_call_back() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Modern::new(&gateway, "/mcp");
    let waiting = tokio::spawn(async move { client.call("s__hang", json!({})).await });
    let number = eventually("the call is in flight at its server", || async {
        let calls = gateway.get("/api/v1/calls", &[]).await.json();
        calls["calls"].as_array()?.iter().find(|call| call["server"] == "s")?["id"].as_u64()
    })
    .await;
    let path = format!("/api/v1/calls/{number}");
    wire::request(gateway.address, "DELETE", &path, &[("x-trunkline", "1")], "").await.whole().await;
    waiting.await.unwrap();
    let row =
        eventually("the row is on file", || async { records(&gateway, "?tool=hang").await.pop() }).await;
    assert_eq!(
        (&row["outcome"], &row["cancelled_by"]),
        (&json!("cancelled"), &json!("administrator")),
        "{row}"
    );
}

#[tokio::test]
async fn a_gateway_that_keeps_no_log_says_so() {
    let gateway = Gateway::start(&("[activity]\nenabled = false\n".to_owned() + &scripted("s", &[]))).await;
    let reply = ask(&gateway, "GET", "").await;
    assert_eq!((reply.status, reply.json()["error"]["code"].as_str()), (404, Some("not_found")));
}
