//! The tools, most of which do what a server must not do.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::message::{Call, Reply, Sink};
use crate::protocol::{Server, key, locked};
use crate::questions;

const INVALID_PARAMS: i64 = -32602;
/// One write of the line without end.
const CHUNK_BYTES: usize = 64 * 1024;
/// Lines that are no messages. The last is not even text.
const GARBAGE: [&[u8]; 7] =
    [b"", b"not JSON at all", b"{\"jsonrpc\":\"2.0\",\"id\":", b"[]", b"\"text\"", b"{}", b"\xff\xfe\x00"];

type Listed = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const ANYWHERE: [Listed; 25] = [
    ("echo", "Sends the message back", &[("message", "string")]),
    ("sleep", "Answers later", &[("ms", "integer")]),
    ("hang", "Never answers", &[]),
    ("crash", "Exits with a status", &[("code", "integer")]),
    ("kill9", "Kills itself by SIGKILL", &[]),
    ("fail", "Answers with a tool error", &[]),
    ("refuse", "Answers with a JSON-RPC error", &[("code", "integer")]),
    ("big", "Answers with so many bytes", &[("bytes", "integer")]),
    ("flood", "Sends so many progress notes first", &[("notes", "integer")]),
    ("stream", "Sends so many progress notes first, with pauses", &[("notes", "integer"), ("ms", "integer")]),
    ("log", "Sends a log note first", &[("level", "string"), ("text", "string")]),
    ("garbage", "Sends what is no message first", &[]),
    ("endless", "Sends a line without end", &[]),
    ("dup", "Answers twice", &[]),
    ("unknown-id", "Answers a request that nobody made first", &[]),
    (
        "ask",
        "Sends a request with the call's own id, and answers with what came back",
        &[("method", "string")],
    ),
    (
        "inquire",
        "Asks so many questions at once, so many times over, and answers with the answers",
        &[
            ("method", "string"),
            ("text", "string"),
            ("count", "integer"),
            ("rounds", "integer"),
            ("key", "string"),
            ("fail", "string"),
        ],
    ),
    ("retract", "Asks, takes the question back when the client has reported progress, and answers", &[]),
    ("declared", "Tells what the client declared when it opened the connection", &[]),
    ("list-changed", "Adds the tool `extra` and announces it", &[]),
    ("whoami", "Tells pid, environment names and working directory", &[]),
    ("stats", "Tells what it has seen", &[]),
    ("meta", "Sends the call's parameters back", &[]),
    ("structured", "Answers with fields that nobody knows", &[]),
    ("no-content", "Answers with a result that is none", &[]),
];
const OVER_HTTP: [Listed; 4] = [
    ("headers", "Sends the request's headers back", &[]),
    ("status", "Is answered by an HTTP status", &[("code", "integer")]),
    ("cut", "Ends its stream without an answer", &[]),
    ("forget-session", "Answers, and knows its session no more", &[]),
];
/// The tool that says of itself that it changes nothing and may be called again.
const REPEATABLE: &str = "meta";
const EXTRA: Listed = ("extra", "Was added by `list-changed`", &[]);

const CONFIDE: Listed = ("confide", "Is there for who can be asked", &[]);

pub(crate) fn list(http: bool, extra: bool, confides: bool) -> Vec<Value> {
    let over_http = OVER_HTTP.iter().filter(|_| http);
    let more = [extra.then_some(&EXTRA), confides.then_some(&CONFIDE)];
    let listed = ANYWHERE.iter().chain(over_http).chain(more.into_iter().flatten());
    let entry = |(name, description, arguments): &Listed| {
        let properties: serde_json::Map<String, Value> =
            arguments.iter().map(|&(name, kind)| (name.to_owned(), json!({ "type": kind }))).collect();
        let schema = json!({ "type": "object", "properties": properties });
        let mut entry = json!({ "name": name, "description": description, "inputSchema": schema });
        if *name == REPEATABLE {
            entry["annotations"] = json!({ "readOnlyHint": true, "idempotentHint": true });
        }
        entry
    };
    listed.map(entry).collect()
}

pub(crate) async fn call(server: &Server, params: &Value, call: &Call) -> Reply {
    let name = params.get("name").and_then(Value::as_str).unwrap_or_default();
    let arguments = params.get("arguments").cloned().unwrap_or_default();
    let number = |key: &str, default: u64| arguments.get(key).and_then(Value::as_u64).unwrap_or(default);
    let string =
        |key: &str, default: &str| arguments.get(key).and_then(Value::as_str).unwrap_or(default).to_owned();
    let token = params.pointer("/_meta/progressToken").cloned();
    let over_http = matches!(call.sink, Sink::Http(_));
    match name {
        "echo" => text(string("message", "")),
        "sleep" => {
            tokio::select! {
                () = sleep(Duration::from_millis(number("ms", 0))) => text("slept"),
                () = call.abandoned(server) => Reply::Silence,
            }
        }
        "hang" => {
            call.abandoned(server).await;
            Reply::Silence
        }
        "crash" => std::process::exit(arguments.get("code").and_then(Value::as_i64).unwrap_or(1) as i32),
        "kill9" => kill_self().await,
        "fail" => {
            Reply::Result(json!({ "content": [{ "type": "text", "text": "failed" }], "isError": true }))
        }
        "refuse" => {
            let code = arguments.get("code").and_then(Value::as_i64).unwrap_or(INVALID_PARAMS);
            Reply::Error(code, "refused".into())
        }
        "big" => text("x".repeat(number("bytes", 1) as usize)),
        "flood" => progress(call, token, number("notes", 1), Duration::ZERO).await,
        "stream" => progress(call, token, number("notes", 1), Duration::from_millis(number("ms", 0))).await,
        "log" => {
            let params =
                json!({ "level": string("level", "info"), "logger": "scripted", "data": string("text", "") });
            call.sink
                .note(&json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": params }))
                .await;
            text("logged")
        }
        "garbage" => {
            for line in GARBAGE {
                call.sink.raw(line.to_vec()).await;
            }
            text("after the garbage")
        }
        "endless" => match &call.sink {
            Sink::Stdio(output) => output.endless(&[b'x'; CHUNK_BYTES]).await,
            Sink::Http(_) => Reply::Error(INVALID_PARAMS, "only standard output has lines".into()),
        },
        "dup" => {
            call.sink.reply(&call.id, text("first")).await;
            text("second")
        }
        "unknown-id" => {
            call.sink.note(&json!({ "jsonrpc": "2.0", "id": "nobody-asked", "result": {} })).await;
            text("after the answer that nobody asked for")
        }
        "ask" => ask(server, call, string("method", "elicitation/create")).await,
        "inquire" if call.modern => questions::inquire_by_result(params, &arguments),
        "inquire" => questions::inquire(server, call, &arguments).await,
        "retract" => questions::retract(server, call).await,
        "declared" => {
            text(locked(&server.declared).get(&call.session).cloned().unwrap_or_default().to_string())
        }
        "list-changed" => {
            server.extra.store(true, Ordering::Relaxed);
            server.announce_tools().await;
            text("added `extra`")
        }
        "whoami" => whoami(server),
        "stats" => text(json!(*locked(&server.stats)).to_string()),
        "meta" => text(params.to_string()),
        "structured" => Reply::Result(json!({
            "content": [{ "type": "unheard-of", "x": 1.0 }],
            "structuredContent": { "big": 12_345_678_901_234_567_890_u64 },
            "unheardOf": { "kept": true },
        })),
        "no-content" => Reply::Result(json!("not an object")),
        "headers" if over_http => text(call.headers.to_string()),
        "cut" if over_http => {
            progress(call, token, 1, Duration::ZERO).await;
            Reply::Silence
        }
        // The HTTP front acts on these two.
        "status" | "forget-session" if over_http => text("done"),
        "confide" if server.confides(&call.session) => text("confided"),
        "extra" if server.extra.load(Ordering::Relaxed) => text("extra"),
        unknown => Reply::Error(INVALID_PARAMS, format!("Unknown tool: {unknown}")),
    }
}

pub(crate) fn text(text: impl Into<String>) -> Reply {
    Reply::Result(json!({ "content": [{ "type": "text", "text": text.into() }] }))
}

async fn kill_self() -> Reply {
    let _sent = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::future::pending().await
}

/// Sends notes under the caller's token, or under one that nobody gave out.
async fn progress(call: &Call, token: Option<Value>, notes: u64, pause: Duration) -> Reply {
    let token = token.unwrap_or_else(|| json!("nobodys-token"));
    for step in 1..=notes {
        let params = json!({ "progressToken": token, "progress": step, "total": notes });
        call.sink
            .note(&json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params }))
            .await;
        if !pause.is_zero() {
            sleep(pause).await;
        }
    }
    text(format!("{notes} notes"))
}

/// Asks the client under an id that the client itself has in use.
async fn ask(server: &Server, call: &Call, method: String) -> Reply {
    let (sender, answered) = oneshot::channel();
    locked(&server.asked).insert(key(&call.session, &call.id), sender);
    let schema = json!({ "type": "object", "properties": { "value": { "type": "string" } } });
    let params = json!({ "message": "Which value?", "requestedSchema": schema });
    let mut request = json!({ "jsonrpc": "2.0", "id": call.id, "method": method });
    if method == "elicitation/create" {
        request["params"] = params;
    }
    call.sink.note(&request).await;
    tokio::select! {
        answer = answered => text(answer.unwrap_or_default().to_string()),
        () = call.abandoned(server) => Reply::Silence,
    }
}

fn whoami(server: &Server) -> Reply {
    let environment: Vec<String> =
        std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
    let directory = std::env::current_dir().unwrap_or_default();
    let told = json!({
        "pid": std::process::id(),
        "grandchild": server.grandchild,
        "env": environment,
        "cwd": directory,
    });
    text(told.to_string())
}
