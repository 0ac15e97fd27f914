//! The activity log of a real gateway that is ended in the middle of its work: what was answered is on file.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::activity::activity;
use crate::support::clients::{LEGACY, MODERN};
use crate::support::{Gateway, Legacy, Modern, eventually, scripted, wire};

/// Clients that call without pause; every other one has a session.
const CLIENTS: u64 = 16;
/// The ids of client 3 begin with 3,000,000: no two requests have the same.
const IDS_OF_A_CLIENT: u64 = 1_000_000;
/// Answers that make a load. Few enough for a machine that is busy with other things.
const ANSWERS: u64 = 200;
/// `activity.window` as it is shipped: what a kill may lose.
const WINDOW: Duration = Duration::from_millis(100);
/// The batch that is being written may be lost besides. It takes milliseconds, on a machine that is busy with other
/// things more.
const ONE_BATCH: Duration = Duration::from_secs(2);

/// What a client got: each answer's id and when it was whole.
type Answers = Vec<(u64, Instant)>;

/// The load and what has come of it so far.
struct Load {
    clients: JoinSet<(u64, Answers)>,
    answered: Arc<AtomicU64>,
}

impl Load {
    async fn begin(gateway: &Gateway) -> Load {
        let (mut clients, answered) = (JoinSet::new(), Arc::new(AtomicU64::new(0)));
        for number in 1..=CLIENTS {
            let session = match number % 2 {
                0 => None,
                _ => Some(Legacy::open(gateway, "/mcp").await.session),
            };
            let (address, answered) = (gateway.address, answered.clone());
            clients.spawn(async move {
                let stream = TcpStream::connect(address).await.expect("connected");
                (number, call_until_the_end(stream, number, session, &answered).await)
            });
        }
        Load { clients, answered }
    }

    async fn reaches(&self, answers: u64) {
        eventually("there is a load", || async {
            (self.answered.load(Ordering::Relaxed) >= answers).then_some(())
        })
        .await;
    }

    /// What each client got, once the gateway has gone.
    async fn ends(self) -> BTreeMap<u64, Answers> {
        self.clients.join_all().await.into_iter().collect()
    }
}

/// Calls on one connection, one call after the other, for as long as it is open.
async fn call_until_the_end(
    stream: TcpStream,
    number: u64,
    session: Option<String>,
    answered: &AtomicU64,
) -> Answers {
    let host = stream.peer_addr().expect("an address").to_string();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("connection");
    let connection = tokio::spawn(connection);
    let mut answers = Answers::new();
    for id in number * IDS_OF_A_CLIENT.. {
        let params = json!({ "name": "s__echo", "arguments": { "message": "x" } });
        let mut request = Request::post("/mcp").header("host", &host);
        for (name, value) in wire::MCP_HEADERS {
            request = request.header(name, value);
        }
        let body = match &session {
            Some(session) => {
                request = request.header("mcp-session-id", session).header("mcp-protocol-version", LEGACY);
                json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params })
            }
            None => {
                request = request.header("mcp-protocol-version", MODERN).header("mcp-method", "tools/call");
                request = request.header("mcp-name", "s__echo");
                Modern::body(&json!(id), "tools/call", params)
            }
        };
        let request = request.body(Full::new(Bytes::from(body.to_string()))).expect("a request");
        if sender.ready().await.is_err() {
            break;
        }
        let Ok(response) = sender.send_request(request).await else { break };
        let Ok(body) = response.into_body().collect().await else { break };
        let answer: Value = serde_json::from_slice(&body.to_bytes()).expect("JSON");
        assert_eq!(answer["id"], id, "{answer}");
        answers.push((id, Instant::now()));
        answered.fetch_add(1, Ordering::Relaxed);
    }
    let _ended = connection.await;
    answers
}

/// The rows of the load by their requests' ids: each is there once, and the rows of a session are of one client.
fn rows_of_the_load(rows: &[Value]) -> BTreeMap<u64, &Value> {
    let (mut found, mut sessions) = (BTreeMap::new(), BTreeMap::new());
    for row in rows.iter().filter(|row| row["method"] == "tools/call") {
        let id: u64 = row["request"].as_str().expect("an id").parse().expect("a number");
        assert!(found.insert(id, row).is_none(), "twice: {row}");
        let client = id / IDS_OF_A_CLIENT;
        assert_eq!(row["session"].is_string(), client % 2 == 1, "{row}");
        if let Some(session) = row["session"].as_str() {
            assert_eq!(*sessions.entry(session).or_insert(client), client, "{row}");
        }
    }
    found
}

fn gaps(rows: &[Value]) -> Vec<&Value> {
    rows.iter().filter(|row| row["kind"] == "gap").collect()
}

#[tokio::test]
async fn a_gateway_that_is_ended_under_load_has_a_row_for_every_answer() {
    let mut gateway = Gateway::start(&scripted("s", &[])).await;
    let load = Load::begin(&gateway).await;
    load.reaches(ANSWERS).await;
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await.code(), Some(0));
    let clients = load.ends().await;

    let all = activity(&gateway, &["--all"]);
    assert_eq!(gaps(&all), [&Value::Null; 0]);
    let rows = rows_of_the_load(&all);
    let answers = || clients.values().flatten();
    let missing: Vec<u64> = answers().map(|(id, _)| *id).filter(|id| !rows.contains_key(id)).collect();
    assert!(missing.is_empty(), "{missing:?} of {} answers", answers().count());
    assert!(rows.len() >= answers().count());
    assert_eq!(clients.len() as u64, CLIENTS);
    assert!(clients.values().all(|answers| !answers.is_empty()), "every client was served");
}

#[tokio::test]
async fn a_gateway_that_is_killed_under_load_loses_the_window_says_so_and_goes_on() {
    let mut gateway = Gateway::start(&scripted("s", &[])).await;
    let load = Load::begin(&gateway).await;
    load.reaches(ANSWERS).await;
    // The answers so far must be older than all that may be lost.
    tokio::time::sleep(WINDOW + ONE_BATCH).await;
    load.reaches(load.answered.load(Ordering::Relaxed) + ANSWERS).await;
    let killed = Instant::now();
    gateway.signal(Signal::KILL);
    gateway.ended().await;
    let clients = load.ends().await;

    let all = activity(&gateway, &["--all"]);
    let rows = rows_of_the_load(&all);
    let mut old = 0;
    for (client, answers) in &clients {
        // What is lost is the end of it: among what a client was answered before there is no hole.
        let lost = answers.iter().position(|(id, _)| !rows.contains_key(id));
        let (kept, lost) = answers.split_at(lost.unwrap_or(answers.len()));
        assert!(lost.iter().all(|(id, _)| !rows.contains_key(id)), "a hole in the rows of client {client}");
        for (id, at) in lost {
            let age = killed.saturating_duration_since(*at);
            assert!(age <= WINDOW + ONE_BATCH, "{id} was answered {age:?} before the kill, and is lost");
        }
        old += kept.iter().filter(|(_, at)| killed - *at > WINDOW + ONE_BATCH).count();
    }
    assert!(old > 0, "there were answers that may not be lost");

    let mut again = Gateway::launch_again(&gateway, &scripted("s", &[]), 0).await;
    let client = Legacy::open(&again, "/mcp").await;
    assert_eq!(client.text("s__echo", json!({ "message": "x" })).await, "x");
    again.signal(Signal::TERM);
    assert_eq!(again.ended().await.code(), Some(0));
    let now = activity(&again, &["--all"]);
    assert_eq!(now[..all.len()], all, "what was on file stays there");
    let told: Vec<Value> =
        now[all.len()..].iter().map(|row| json!([row["kind"], row["name"], row["lost"]])).collect();
    let gap = json!(["gap", "the gateway before did not end in good order", null]);
    assert_eq!(told, [gap, json!(["call", null, null]), json!(["call", "echo", null])]);
}
