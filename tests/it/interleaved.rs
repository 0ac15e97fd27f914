//! Ten thousand calls side by side through one child, all under the same id and the same progress token, some of which
//! ask: every answer and every question is known by its content.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Gateway, Legacy, Modern, scripted, text_of};

const CALLS: usize = 10_000;
/// Of each era two, which work side by side.
const CLIENTS: usize = 4;
/// Calls of one client in flight at once.
const WORKERS: usize = 8;
/// One call of so many asks.
const ASKS: usize = 5;

/// What became of a call's questions. On a shared pipe a session's calls carry each other's.
#[derive(Default)]
struct Tally {
    answered: usize,
    refused: usize,
}

#[derive(Clone)]
enum Client {
    Legacy(Legacy),
    Modern(Modern),
}

impl Client {
    async fn new(gateway: &Gateway, number: usize) -> Client {
        match number % 2 {
            0 => Client::Legacy(Legacy::able(gateway, "/mcp", json!({ "elicitation": {} })).await),
            _ => Client::Modern(Modern::new(gateway, "/mcp")),
        }
    }

    /// One call; the answers to its questions repeat them.
    async fn call(&self, tool: &str, arguments: &Value) -> (Value, Vec<String>) {
        let capabilities = json!({ "elicitation": {} });
        let meta =
            json!({ "progressToken": "same", "io.modelcontextprotocol/clientCapabilities": capabilities });
        let params = json!({ "name": tool, "arguments": arguments, "_meta": meta });
        match self {
            Client::Legacy(client) => {
                let meta = json!({ "progressToken": "same" });
                let params = json!({ "name": tool, "arguments": arguments, "_meta": meta });
                let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
                let mut open = client.post(body.to_string()).await;
                if open.header("content-type") == Some("application/json") {
                    return (open.whole().await.json(), Vec::new());
                }
                let mut asked = Vec::new();
                loop {
                    let message = open.message().await.expect("an answer");
                    if message["method"].is_null() {
                        return (message, asked);
                    }
                    asked.push(message["params"]["message"].as_str().expect("a text").to_owned());
                    let result = repeat(&message["params"]);
                    let answer = json!({ "jsonrpc": "2.0", "id": message["id"], "result": result });
                    assert_eq!(client.raw(answer.to_string()).await.status, 202);
                }
            }
            Client::Modern(client) => {
                let (mut params, mut asked) = (params, Vec::new());
                loop {
                    let answer = client.request("tools/call", params.clone()).await.json();
                    if answer["result"]["resultType"] != "input_required" {
                        return (answer, asked);
                    }
                    let requests = answer["result"]["inputRequests"].as_object().expect("questions");
                    asked.extend(
                        requests.values().map(|asks| asks["params"]["message"].as_str().unwrap().to_owned()),
                    );
                    assert_eq!(requests.len(), 1, "{answer}");
                    let responses = requests.iter().map(|(key, asks)| (key.clone(), repeat(&asks["params"])));
                    params["inputResponses"] = Value::Object(responses.collect());
                    params["requestState"] = answer["result"]["requestState"].clone();
                }
            }
        }
    }
}

fn repeat(asked: &Value) -> Value {
    json!({ "action": "accept", "content": { "value": asked["message"] } })
}

async fn interleave(gateway: &Gateway) -> Tally {
    let mut workers = JoinSet::new();
    for number in 0..CLIENTS {
        let client = Client::new(gateway, number).await;
        for worker in 0..WORKERS {
            let client = client.clone();
            workers.spawn(async move {
                let mut tally = Tally::default();
                for nth in 0..CALLS.div_ceil(CLIENTS * WORKERS) {
                    let text = format!("{number}-{worker}-{nth}");
                    let asks = nth % ASKS == 0;
                    let tool = if asks { "s__inquire" } else { "s__echo" };
                    let (answer, asked) = client.call(tool, &json!({ "text": text, "message": text })).await;
                    let told = text_of(&answer);
                    let own = format!("{text}/1/1");
                    // Another question than its own can only be one of the same session's.
                    let of_session = |asked: &String| {
                        matches!(client, Client::Legacy(_)) && asked.starts_with(&format!("{number}-"))
                    };
                    assert!(
                        asked.iter().all(|asked| *asked == own || of_session(asked)),
                        "{text} was asked {asked:?}"
                    );
                    if !asks {
                        assert_eq!((&answer["id"], told), (&json!(1), text));
                    } else if told.contains(&format!("\"{own}\"")) {
                        tally.answered += 1;
                    } else {
                        let refused = told.contains("isolation = ") && !told.contains("/1/1");
                        assert!(refused, "{text} was asked {asked:?} and told {told}");
                        tally.refused += 1;
                    }
                }
                tally
            });
        }
    }
    let mut all = Tally::default();
    while let Some(tally) = workers.join_next().await {
        let tally = tally.expect("a worker");
        all.answered += tally.answered;
        all.refused += tally.refused;
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_ten_thousand_calls_on_one_modern_child_every_answer_and_every_question_is_its_own() {
    let gateway = Gateway::start(&scripted("s", &["--era", "modern"])).await;
    let tally = interleave(&gateway).await;
    assert_eq!(tally.refused, 0, "a modern server's question comes with the answer to its own call");
    assert!(tally.answered >= CALLS / ASKS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_ten_thousand_calls_on_one_legacy_pipe_every_answer_is_its_own_and_no_question_crosses() {
    let entry = scripted("s", &["--era", "legacy"]) + "questions = true\nmax_in_flight = 64\n";
    let gateway = Gateway::start(&entry).await;
    let tally = interleave(&gateway).await;
    assert!(tally.refused > 0, "with many calls at a time, most questions cannot be attributed");
    assert!(tally.answered + tally.refused >= CALLS / ASKS);
    let client = Client::new(&gateway, 0).await;
    let (_, asked) = client.call("s__inquire", &json!({ "text": "alone" })).await;
    assert_eq!(asked, ["alone/1/1"], "a call that is alone is asked again");
}
