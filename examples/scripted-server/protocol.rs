//! What the server does with a message, on either transport.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::flags::{Era, Flags};
use crate::message::{Call, Reply, Sink};
use crate::tools;

const MODERN: &str = "2026-07-28";
const LEGACY: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
const META: &str = "io.modelcontextprotocol/";
const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;
const UNSUPPORTED_VERSION: i64 = -32022;
/// The status of a server that breaks off in its handshake.
const HANDSHAKE_STATUS: i32 = 3;

pub(crate) struct Server {
    pub(crate) flags: Flags,
    pub(crate) grandchild: Option<u32>,
    pub(crate) stats: Mutex<Stats>,
    /// Whether the tool `extra` is there.
    pub(crate) extra: AtomicBool,
    /// Calls at work, by session and id.
    running: Mutex<HashMap<String, CancellationToken>>,
    /// Our own requests without an answer yet, by session and id.
    pub(crate) asked: Mutex<HashMap<String, oneshot::Sender<Value>>>,
    listeners: Mutex<Vec<Listener>>,
    /// What `initialize` declared, by session.
    pub(crate) declared: Mutex<HashMap<String, Value>>,
    /// Who waits for the next report of progress.
    pub(crate) report: Mutex<Option<oneshot::Sender<Value>>>,
}

/// What the server has seen so far.
#[derive(Default, serde::Serialize)]
pub(crate) struct Stats {
    pub(crate) calls: u64,
    pub(crate) cancellations: u64,
    pings: u64,
    discovers: u64,
    initializes: u64,
    lists: u64,
    subscriptions: u64,
    /// Every other request or notification, by its method.
    others: HashMap<String, u64>,
}

/// Somebody who is told that the list of tools has changed.
#[derive(Clone)]
pub(crate) struct Listener {
    /// The id of the `subscriptions/listen` request, in the modern era.
    pub(crate) subscription: Option<Value>,
    pub(crate) sink: Sink,
}

impl Server {
    pub(crate) fn new(flags: Flags, grandchild: Option<u32>) -> Self {
        Self {
            flags,
            grandchild,
            stats: Mutex::default(),
            extra: AtomicBool::new(false),
            running: Mutex::default(),
            asked: Mutex::default(),
            listeners: Mutex::default(),
            declared: Mutex::default(),
            report: Mutex::default(),
        }
    }

    /// Takes one message. Requests are answered in tasks of their own.
    pub(crate) fn take(self: &Arc<Self>, message: Value, session: &str, sink: Sink, headers: Value) {
        let id = message.get("id").cloned();
        match (message.get("method").and_then(Value::as_str), id) {
            (Some(method), Some(id)) => {
                let cancelled = CancellationToken::new();
                locked(&self.running).insert(key(session, &id), cancelled.clone());
                let modern = is_modern(&message);
                let call = Call { id, session: session.to_owned(), sink, cancelled, modern, headers };
                tokio::spawn(self.clone().serve(method.to_owned(), message, call));
            }
            (Some("notifications/cancelled"), None) => {
                let named = message.pointer("/params/requestId").unwrap_or(&Value::Null);
                locked(&self.stats).cancellations += 1;
                let running = locked(&self.running).remove(&key(session, named));
                running.inspect(CancellationToken::cancel);
                locked(&self.listeners).retain(|listener| listener.subscription.as_ref() != Some(named));
            }
            (Some("notifications/progress"), None) => {
                let waiting = locked(&self.report).take();
                waiting.map(|waiting| waiting.send(message["params"].clone()));
            }
            (Some(method), None) => {
                if method == "notifications/initialized" && matches!(sink, Sink::Stdio(_)) {
                    self.listen(Listener { subscription: None, sink });
                }
                *locked(&self.stats).others.entry(method.to_owned()).or_default() += 1;
            }
            (None, Some(id)) => {
                if let Some(asked) = locked(&self.asked).remove(&key(session, &id)) {
                    let _gone = asked.send(message);
                }
            }
            (None, None) => {}
        }
    }

    /// Nobody hears of changes any more.
    pub(crate) fn forget_listeners(&self) {
        locked(&self.listeners).clear();
    }

    pub(crate) fn listen(&self, listener: Listener) {
        locked(&self.listeners).push(listener);
    }

    pub(crate) async fn announce_tools(&self) {
        let listeners = {
            let mut listeners = locked(&self.listeners);
            listeners.retain(|listener| !listener.sink.is_closed());
            listeners.clone()
        };
        for Listener { subscription, sink } in listeners {
            let mut note = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
            if let Some(id) = subscription {
                note["params"] = subscribed(&id);
            }
            sink.note(&note).await;
        }
    }

    async fn serve(self: Arc<Self>, method: String, message: Value, call: Call) {
        let params = message.get("params").cloned().unwrap_or_default();
        let mut reply = self.answer(&method, &params, &call).await;
        if let (Reply::Result(result), true) = (&mut reply, call.modern) {
            if result.get("resultType").is_none() {
                result["resultType"] = json!("complete");
            }
            if ["server/discover", "tools/list"].contains(&method.as_str()) {
                result["ttlMs"] = json!(0);
                result["cacheScope"] = json!("public");
            }
        }
        locked(&self.running).remove(&key(&call.session, &call.id));
        call.sink.reply(&call.id, reply).await;
    }

    async fn answer(&self, method: &str, params: &Value, call: &Call) -> Reply {
        if let Some(refused) = self.refused_by_era(method, params, call.modern) {
            return refused;
        }
        match method {
            "initialize" => {
                let declared = params.get("capabilities").cloned().unwrap_or_default();
                locked(&self.declared).insert(call.session.clone(), declared);
                self.initialize(params)
            }
            "server/discover" => self.discover(call).await,
            "subscriptions/listen" => self.subscribe(params, call).await,
            "ping" if !call.modern => {
                locked(&self.stats).pings += 1;
                Reply::Result(json!({}))
            }
            "tools/list" => {
                locked(&self.stats).lists += 1;
                self.page(params.get("cursor").and_then(Value::as_str), &call.session)
            }
            "tools/call" => {
                locked(&self.stats).calls += 1;
                tools::call(self, params, call).await
            }
            other => {
                *locked(&self.stats).others.entry(other.to_owned()).or_default() += 1;
                match other {
                    "logging/setLevel" if !call.modern => Reply::Result(json!({})),
                    _ => Reply::Error(METHOD_NOT_FOUND, format!("Method not found: {other}")),
                }
            }
        }
    }

    fn refused_by_era(&self, method: &str, params: &Value, modern: bool) -> Option<Reply> {
        let modern_method = ["server/discover", "subscriptions/listen"].contains(&method);
        let version = params.pointer("/_meta").and_then(|meta| meta.get(format!("{META}protocolVersion")));
        match self.flags.era {
            Era::Legacy if modern || modern_method => {
                Some(Reply::Error(METHOD_NOT_FOUND, format!("Method not found: {method}")))
            }
            Era::Modern if method == "initialize" => Some(Reply::Error(
                METHOD_NOT_FOUND,
                format!("Method not found: initialize; this server supports {MODERN}"),
            )),
            Era::Modern | Era::Both if modern && version != Some(&json!(MODERN)) => Some(Reply::Error(
                UNSUPPORTED_VERSION,
                format!("Unsupported protocol version; supported is {MODERN}"),
            )),
            Era::Modern if !modern => {
                Some(Reply::Error(INVALID_PARAMS, format!("_meta lacks {META}protocolVersion")))
            }
            Era::Both if modern_method && !modern => {
                Some(Reply::Error(INVALID_PARAMS, format!("_meta lacks {META}protocolVersion")))
            }
            _ => None,
        }
    }

    fn initialize(&self, params: &Value) -> Reply {
        locked(&self.stats).initializes += 1;
        if self.flags.exit_during_handshake {
            std::process::exit(HANDSHAKE_STATUS);
        }
        let newest = self.flags.protocol.as_str();
        let requested = params.get("protocolVersion").and_then(Value::as_str).unwrap_or_default();
        let version = if LEGACY.contains(&requested) && requested <= newest { requested } else { newest };
        Reply::Result(json!({
            "protocolVersion": version,
            "capabilities": { "tools": { "listChanged": true }, "logging": {} },
            "serverInfo": { "name": "scripted", "version": "1" },
        }))
    }

    async fn discover(&self, call: &Call) -> Reply {
        locked(&self.stats).discovers += 1;
        if self.flags.exit_during_handshake || self.flags.exit_on_discover {
            std::process::exit(HANDSHAKE_STATUS);
        }
        if self.flags.silent_discover {
            call.ended().await;
            return Reply::Silence;
        }
        Reply::Result(json!({
            "supportedVersions": [MODERN],
            "capabilities": { "tools": { "listChanged": true }, "logging": {} },
            "_meta": { format!("{META}serverInfo"): { "name": "scripted", "version": "1" } },
        }))
    }

    /// Acknowledges, then lets changes through until the client ends it.
    async fn subscribe(&self, params: &Value, call: &Call) -> Reply {
        locked(&self.stats).subscriptions += 1;
        let wanted = params.pointer("/notifications/toolsListChanged") == Some(&Value::Bool(true));
        let mut params = subscribed(&call.id);
        params["notifications"] = if wanted { json!({ "toolsListChanged": true }) } else { json!({}) };
        // Before the acknowledgement is out, whoever reads it may cause a change; messages go out in this order.
        if wanted {
            self.listen(Listener { subscription: Some(call.id.clone()), sink: call.sink.clone() });
        }
        let method = "notifications/subscriptions/acknowledged";
        call.sink.note(&json!({ "jsonrpc": "2.0", "method": method, "params": params })).await;
        call.ended().await;
        Reply::Silence
    }

    /// Whether the client of a session is shown the tool `confide`.
    pub(crate) fn confides(&self, session: &str) -> bool {
        let declared = locked(&self.declared).get(session).cloned().unwrap_or_default();
        self.flags.tools_by_capability && declared.get("elicitation").is_some()
    }

    /// One page of the tools. A cursor is the number of the page.
    fn page(&self, cursor: Option<&str>, session: &str) -> Reply {
        let http = matches!(self.flags.transport, crate::flags::Transport::Http);
        let all = tools::list(http, self.extra.load(Ordering::Relaxed), self.confides(session));
        let pages = self.flags.pages.max(1);
        let Some(page) = cursor.map_or(Some(0), |cursor| cursor.parse().ok()).filter(|page| *page < pages)
        else {
            return Reply::Error(INVALID_PARAMS, format!("there is no page {}", cursor.unwrap_or_default()));
        };
        let size = all.len().div_ceil(pages);
        let tools: Vec<Value> = all.into_iter().skip(page * size).take(size).collect();
        let mut result = json!({ "tools": tools });
        if page + 1 < pages {
            result["nextCursor"] = json!((page + 1).to_string());
        }
        Reply::Result(result)
    }
}

pub(crate) fn is_modern(message: &Value) -> bool {
    message.pointer("/params/_meta").is_some_and(|meta| meta.get(format!("{META}protocolVersion")).is_some())
}

/// Ids are told apart as JSON: `"1"` is not `1`.
pub(crate) fn key(session: &str, id: &Value) -> String {
    format!("{session} {id}")
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn subscribed(id: &Value) -> Value {
    json!({ "_meta": { format!("{META}subscriptionId"): id } })
}
