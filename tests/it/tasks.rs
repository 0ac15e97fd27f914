//! Tasks of both eras: sealed ids, which lead back to the server that minted them and to nobody else.

use serde_json::{Value, json};

use crate::support::stub::{Seen, Stub};
use crate::support::{Gateway, Legacy, Modern, code_of, conformance, eventually, over_http, shell};

/// What a client of the extension adds to every request.
fn declared(mut params: Value) -> Value {
    let extensions = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
    params["_meta"] = json!({ "io.modelcontextprotocol/clientCapabilities": extensions });
    params
}

async fn ask(client: &Modern, method: &str, params: Value) -> Value {
    let body = Modern::body(&json!(1), method, declared(params));
    let named = body["params"].get("name").or(body["params"].get("taskId")).and_then(Value::as_str);
    let headers = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", method),
        ("mcp-name", named.unwrap_or_default()),
    ];
    client.with_headers(&headers, body.to_string()).await.whole().await.json()
}

#[tokio::test]
async fn a_task_of_the_extension_is_found_again_under_its_sealed_id_and_by_no_other() {
    let gateway = Gateway::start(&(conformance("a", &[]) + &conformance("b", &[]))).await;
    let (merged, own) = (Modern::new(&gateway, "/mcp"), Modern::new(&gateway, "/mcp/a"));
    for (client, prefix, elsewhere) in [(&merged, "a__", "/mcp/b"), (&own, "", "/mcp/b")] {
        let call = json!({ "name": format!("{prefix}slow_compute"), "arguments": { "seconds": 0.05 } });
        let made = ask(client, "tools/call", call).await;
        assert_eq!(made["result"]["resultType"], "task", "{made}");
        let id = made["result"]["taskId"].as_str().expect("an id").to_owned();
        let done = eventually("the task is done", || async {
            let seen = ask(client, "tasks/get", json!({ "taskId": id })).await;
            assert_eq!(seen["result"]["taskId"], id.as_str(), "{seen}");
            (seen["result"]["status"] == "completed").then_some(seen)
        })
        .await;
        assert_eq!(done["result"]["result"]["content"][0]["text"], "computed for 0.05 seconds");
        // At the other kind of endpoint it is the same task; at another server's there is none of this id.
        assert_eq!(ask(&own, "tasks/get", json!({ "taskId": id })).await["result"]["status"], "completed");
        let forged: String = id.chars().rev().collect();
        for (client, id) in
            [(&Modern::new(&gateway, elsewhere), id.as_str()), (client, &forged), (client, "task-1")]
        {
            for method in ["tasks/get", "tasks/cancel", "tasks/update"] {
                let refused = ask(client, method, json!({ "taskId": id, "inputResponses": {} })).await;
                assert_eq!(code_of(&refused), -32602, "{method} {refused}");
            }
        }
    }
    let listen = json!({ "notifications": { "taskIds": ["x"] } });
    let refused = merged.request("subscriptions/listen", listen).await;
    let needed = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
    assert_eq!((refused.status, &refused.json()["error"]["data"]["requiredCapabilities"]), (400, &needed));
    let discovered = ask(&merged, "server/discover", json!({})).await;
    assert_eq!(
        discovered["result"]["capabilities"]["extensions"],
        json!({ "io.modelcontextprotocol/tasks": {} })
    );
    let welcome = Legacy::open(&gateway, "/mcp").await.welcome;
    assert_eq!(welcome["capabilities"].get("extensions"), None, "nobody of the older era can reach them");
}

/// A legacy server with tasks of the core. Its list has a second page, and on it somebody else's task.
async fn core(name: &'static str) -> Stub {
    Stub::start(move |request| {
        ("200 OK\r\ncontent-type: application/json".to_owned(), core_answer(name, request))
    })
    .await
}

fn core_answer(name: &str, request: &Seen) -> String {
    let Ok(message) = serde_json::from_str::<Value>(&request.body) else { return String::new() };
    let params = &message["params"];
    let task = |id: &str| json!({ "taskId": id, "status": "working", "createdAt": "2026-01-01T00:00:00Z", "ttl": null });
    let related = json!({ "io.modelcontextprotocol/related-task": { "taskId": format!("{name}-1") } });
    let result = match message["method"].as_str().unwrap_or_default() {
        "initialize" => json!({ "protocolVersion": "2025-11-25", "serverInfo": { "name": name, "version": "1" }, "capabilities": {
            "tools": {}, "tasks": { "list": {}, "cancel": {}, "requests": { "tools": { "call": {} } } } } }),
        "tools/list" => json!({ "tools": [{ "name": "work", "inputSchema": { "type": "object" }, "execution": { "taskSupport": "optional" } }] }),
        "tools/call" if params.get("task").is_some() => json!({ "task": task(&format!("{name}-1")) }),
        "tools/call" => json!({ "content": [], "task": task("not ours"), "taskId": "nor this" }),
        "tasks/get" | "tasks/cancel" if params["taskId"] == format!("{name}-1") => task(&format!("{name}-1")),
        "tasks/result" => json!({ "content": [{ "type": "text", "text": "worked" }], "_meta": related }),
        "tasks/list" if params.get("cursor").is_none() => json!({ "tasks": [task(&format!("{name}-1"))], "nextCursor": "page 2" }),
        "tasks/list" if params["cursor"] == "page 2" => json!({ "tasks": [task("somebody-elses")] }),
        _ => return json!({ "jsonrpc": "2.0", "id": message["id"], "error": { "code": -32601, "message": "no such" } }).to_string(),
    };
    json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }).to_string()
}

#[tokio::test]
async fn tasks_of_the_core_are_routed_by_their_ids_and_listed_to_their_owner_alone() {
    let (a, b) = (core("a").await, core("b").await);
    let config = over_http("a", &a.url("/mcp")) + &over_http("b", &b.url("/mcp"));
    let gateway = Gateway::start(&config).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    assert_eq!(client.welcome["capabilities"]["tasks"]["list"], json!({}));

    let made =
        client.request("tools/call", json!({ "name": "b__work", "task": { "ttl": 1000 } })).await.json();
    let id = made["result"]["task"]["taskId"].as_str().expect("an id").to_owned();
    assert!(id.len() > 40, "{id}");
    let seen = client.request("tasks/get", json!({ "taskId": id })).await.json();
    assert_eq!((&seen["result"]["taskId"], &seen["result"]["status"]), (&json!(id), &json!("working")));
    let done = client.request("tasks/result", json!({ "taskId": id })).await.json();
    assert_eq!(done["result"]["_meta"]["io.modelcontextprotocol/related-task"]["taskId"], json!(id));
    assert_eq!(
        client.request("tasks/cancel", json!({ "taskId": id })).await.json()["result"]["taskId"],
        json!(id)
    );
    for wrong in ["b-1", &id[1..]] {
        assert_eq!(code_of(&client.request("tasks/get", json!({ "taskId": wrong })).await.json()), -32602);
    }

    // What only looks like a task is left alone.
    let plain = client.request("tools/call", json!({ "name": "a__work" })).await.json();
    assert_eq!(
        (&plain["result"]["task"]["taskId"], &plain["result"]["taskId"]),
        (&json!("not ours"), &json!("nor this"))
    );

    let mut listed = Vec::new();
    let mut params = json!({});
    for page in 0.. {
        assert!(page < 4, "two servers with two pages each");
        let answer = client.request("tasks/list", params.clone()).await.json();
        let tasks = answer["result"]["tasks"].as_array().unwrap_or_else(|| panic!("{answer}"));
        listed.extend(tasks.iter().map(|task| task["taskId"].clone()));
        match answer["result"].get("nextCursor") {
            Some(next) => params = json!({ "cursor": next, "_meta": { "progressToken": 7 } }),
            None => break,
        }
    }
    assert_eq!(listed, [json!(id)], "its own, of whichever server, and nobody else's");
    assert_eq!(code_of(&client.request("tasks/list", json!({ "cursor": "page 2" })).await.json()), -32602);

    let own = Legacy::open(&gateway, "/mcp/b").await;
    let answer = own.request("tasks/list", json!({})).await.json();
    assert_eq!(
        (&answer["result"]["tasks"][0]["taskId"], &answer["result"]["nextCursor"]),
        (&json!(id), &json!("page 2"))
    );
    let modern = Modern::new(&gateway, "/mcp/b").request("tasks/list", json!({})).await;
    assert_eq!((modern.status, code_of(&modern.json())), (404, -32601));
}

/// A legacy server on a pipe that makes one task and, with every other call, says that it is done.
fn piped(name: &str) -> String {
    let tasks = r#""tools":{},"tasks":{"list":{},"requests":{"tools":{"call":{}}}}"#;
    let status = |status: &str| json!({ "jsonrpc": "2.0", "method": "notifications/tasks/status", "params": { "taskId": "t1", "status": status } });
    let made = r#"{"jsonrpc":"2.0","id":'"$id"',"result":{"task":{"taskId":"t1","status":"working"}}}"#;
    let done = r#"{"jsonrpc":"2.0","id":'"$id"',"result":{"content":[{"type":"text","text":"done"}]}}"#;
    let cases = [
        format!(r#"*'"task":{{'*) printf '%s\n' '{}' '{made}' ;;"#, status("working")),
        format!(r#"*'"tools/call"'*) printf '%s\n' '{}' '{done}' ;;"#, status("completed")),
    ];
    shell(name, tasks, &cases.join("\n"))
}

#[tokio::test]
async fn what_a_server_says_of_a_task_reaches_the_session_that_made_it_and_nobody_else() {
    let mut gateway = Gateway::start(&piped("s")).await;
    let (one, two) = (Legacy::open(&gateway, "/mcp").await, Legacy::open(&gateway, "/mcp/s").await);
    let (mut heard, mut silent) = (one.stream().await, two.stream().await);
    let made = one.request("tools/call", json!({ "name": "s__odd", "task": { "ttl": 1000 } })).await.json();
    let id = made["result"]["task"]["taskId"].as_str().expect("an id").to_owned();
    // The other's call alone is in flight when the task is done.
    let plain = two.request("tools/call", json!({ "name": "odd" })).await;
    assert_eq!(
        plain.json()["result"]["content"][0]["text"],
        "done",
        "nothing goes before it: {}",
        plain.text()
    );
    for status in ["working", "completed"] {
        let note = heard.message().await.expect("a note");
        assert_eq!(note["method"], "notifications/tasks/status", "{note}");
        assert_eq!(note["params"], json!({ "taskId": id, "status": status }));
    }
    gateway.signal(rustix::process::Signal::TERM);
    assert_eq!(silent.message().await, None, "the other session hears nothing of it");
    assert!(gateway.ended().await.success());
}

/// A modern server that tells of its one task as soon as it is listened to.
async fn telling() -> Stub {
    Stub::start(|request| {
        let Ok(message) = serde_json::from_str::<Value>(&request.body) else {
            return ("405 Method Not Allowed".to_owned(), String::new());
        };
        let (id, params) = (&message["id"], &message["params"]);
        let extensions = json!({ "io.modelcontextprotocol/tasks": {} });
        let result = match message["method"].as_str().unwrap_or_default() {
            "server/discover" => json!({ "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {}, "extensions": extensions } }),
            "tools/list" => json!({ "ttlMs": 0, "cacheScope": "private", "tools": [{ "name": "work", "inputSchema": { "type": "object" } }] }),
            "tools/call" => json!({ "resultType": "task", "taskId": "t1", "status": "working" }),
            "subscriptions/listen" => {
                let declared = &params["_meta"]["io.modelcontextprotocol/clientCapabilities"]["extensions"];
                assert!(params["notifications"].get("taskIds").is_none() || *declared == extensions, "{params}");
                let meta = json!({ "io.modelcontextprotocol/subscriptionId": id });
                let mut said = vec![json!({ "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
                    "params": { "_meta": meta, "notifications": params["notifications"] } })];
                if params["notifications"]["taskIds"] == json!(["t1"]) {
                    said.push(json!({ "jsonrpc": "2.0", "method": "notifications/tasks",
                        "params": { "_meta": meta, "taskId": "t1", "status": "completed", "result": { "content": [] } } }));
                }
                let body = said.iter().map(|message| format!("data: {message}\n\n")).collect();
                return ("200 OK\r\ncontent-type: text/event-stream".to_owned(), body);
            }
            _ => json!({}),
        };
        let answer = json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string();
        ("200 OK\r\ncontent-type: application/json".to_owned(), answer)
    })
    .await
}

#[tokio::test]
async fn a_modern_client_hears_of_the_tasks_that_it_follows_under_the_ids_that_it_holds() {
    let server = telling().await;
    let gateway = Gateway::start(&over_http("s", &server.url("/mcp"))).await;
    let client = Modern::new(&gateway, "/mcp");
    let made = ask(&client, "tools/call", json!({ "name": "s__work" })).await;
    let id = made["result"]["taskId"].as_str().expect("an id").to_owned();
    let forged: String = id.chars().rev().collect();
    let listen = |id: &str, tasks: Value| {
        Modern::body(
            &json!(id),
            "subscriptions/listen",
            declared(json!({ "notifications": { "taskIds": tasks } })),
        )
    };
    let mut other = client.post(&listen("other", json!([forged, "t1"]))).await;
    let acknowledged = other.message().await.expect("an acknowledgement");
    assert_eq!(acknowledged["params"]["notifications"], json!({}), "neither is a task of its own");
    let mut heard = client.post(&listen("mine", json!([id, forged]))).await;
    let acknowledged = heard.message().await.expect("an acknowledgement");
    assert_eq!(acknowledged["params"]["notifications"], json!({ "taskIds": [id] }));
    let note = heard.message().await.expect("a note");
    assert_eq!(note["method"], "notifications/tasks", "{note}");
    let meta = json!({ "io.modelcontextprotocol/subscriptionId": "mine" });
    let told = json!({ "_meta": meta, "taskId": id, "status": "completed", "result": { "content": [] } });
    assert_eq!(note["params"], told);
    let mut gateway = gateway;
    gateway.signal(rustix::process::Signal::TERM);
    let last = other.message().await.expect("the end of the subscription");
    assert_eq!(last["result"]["resultType"], "complete", "and nothing before it: {last}");
    assert!(gateway.ended().await.success());
}

#[tokio::test]
async fn without_tasks_there_is_an_empty_list() {
    let gateway = Gateway::start(&crate::support::demo("demo")).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    assert_eq!(client.request("tasks/list", json!({})).await.json()["result"], json!({ "tasks": [] }));
    assert_eq!(client.welcome["capabilities"].get("tasks"), None);
    let own = Legacy::open(&gateway, "/mcp/demo").await;
    assert_eq!(code_of(&own.request("tasks/list", json!({})).await.json()), -32601);
}
