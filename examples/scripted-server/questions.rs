//! Tools that ask the client: as servers of the legacy era do, by requests of their own in the middle of a call, and as those
//! of the modern era do, by a result that asks for input.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::message::{Call, Reply};
use crate::protocol::{Server, key, locked};
use crate::tools::text;

/// How long it waits for one answer.
const PATIENCE: Duration = Duration::from_secs(60);
const TOOL_FAILED: i64 = -32050;

/// Ids of our own requests. They are strings, which nobody may take for numbers.
static ASKED: AtomicU64 = AtomicU64::new(1);

/// Asks `count` questions at once, `rounds` times over. What is asked ends in the round and the number of the question;
/// the answers come back in that order. With `fail`, an answer that is an error makes the call fail.
pub(crate) async fn inquire(server: &Server, call: &Call, arguments: &Value) -> Reply {
    let number = |name: &str| arguments.get(name).and_then(Value::as_u64).unwrap_or(1);
    let string = |name: &str| arguments.get(name).and_then(Value::as_str);
    let method = string("method").unwrap_or("elicitation/create");
    let mut answers = Vec::new();
    for round in 1..=number("rounds") {
        let mut open = Vec::new();
        for nth in 1..=number("count") {
            let asked = format!("{}/{round}/{nth}", string("text").unwrap_or_default());
            let mut params = params(method, &asked);
            if let Some(key) = string("key") {
                params["_meta"] = json!({ "dev.trunkline/inputKey": format!("{key}-{round}-{nth}") });
            }
            open.push(ask(server, call, method, params).await.1);
        }
        for answer in open {
            let answer = tokio::select! {
                answer = timeout(PATIENCE, answer) => answer.ok().and_then(Result::ok).unwrap_or_default(),
                () = call.abandoned(server) => return Reply::Silence,
            };
            if let (Some(how), Some(error)) = (string("fail"), answer.get("error")) {
                let told = format!("unanswered: {}", error["message"].as_str().unwrap_or_default());
                return match how {
                    "error" => Reply::Error(TOOL_FAILED, told),
                    _ => Reply::Result(
                        json!({ "content": [{ "type": "text", "text": told }], "isError": true }),
                    ),
                };
            }
            answers.push(answer.get("result").or(answer.get("error")).cloned().unwrap_or_default());
        }
    }
    text(Value::Array(answers).to_string())
}

/// The same in the modern era, one question in one round. The state that it leaves with the client says which call it
/// belongs to; one that comes back with another call is refused.
pub(crate) fn inquire_by_result(params: &Value, arguments: &Value) -> Reply {
    let asked = format!("{}/1/1", arguments.get("text").and_then(Value::as_str).unwrap_or_default());
    let state = json!(format!("left by {asked}"));
    match (params.pointer("/inputResponses/question"), params.get("requestState")) {
        (Some(answer), Some(back)) if *back == state => text(json!([answer]).to_string()),
        (None, None) => {
            let method = arguments.get("method").and_then(Value::as_str).unwrap_or("elicitation/create");
            let question = json!({ "method": method, "params": self::params(method, &asked) });
            let requests = json!({ "question": question });
            Reply::Result(
                json!({ "resultType": "input_required", "inputRequests": requests, "requestState": state }),
            )
        }
        (_, back) => Reply::Error(TOOL_FAILED, format!("{asked} got the state {}", json!(back))),
    }
}

/// Asks with a progress token, waits until progress is reported under it, takes the question back, and tells the report.
pub(crate) async fn retract(server: &Server, call: &Call) -> Reply {
    let (told, report) = oneshot::channel();
    *locked(&server.report) = Some(told);
    let mut params = params("elicitation/create", "retracted");
    params["_meta"] = json!({ "progressToken": "the server's own" });
    let (id, _answer) = ask(server, call, "elicitation/create", params).await;
    let report = timeout(PATIENCE, report).await.ok().and_then(Result::ok).unwrap_or_default();
    let params = json!({ "requestId": id, "reason": "never mind" });
    let method = "notifications/cancelled";
    call.sink.note(&json!({ "jsonrpc": "2.0", "method": method, "params": params })).await;
    text(report.to_string())
}

fn params(method: &str, asked: &str) -> Value {
    match method {
        "elicitation/create" => {
            let schema = json!({ "type": "object", "properties": { "value": { "type": "string" } } });
            json!({ "message": asked, "requestedSchema": schema })
        }
        "sampling/createMessage" => {
            let content = json!({ "type": "text", "text": asked });
            json!({ "messages": [{ "role": "user", "content": content }], "maxTokens": 10 })
        }
        _ => json!({}),
    }
}

async fn ask(server: &Server, call: &Call, method: &str, params: Value) -> (Value, oneshot::Receiver<Value>) {
    let id = json!(format!("asked-{}", ASKED.fetch_add(1, Ordering::Relaxed)));
    let (sender, answered) = oneshot::channel();
    locked(&server.asked).insert(key(&call.session, &id), sender);
    call.sink.note(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })).await;
    (id, answered)
}
