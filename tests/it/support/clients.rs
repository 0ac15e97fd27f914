//! Clients of both eras that say exactly what a test wants them to say.

use std::net::SocketAddr;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::DEADLINE;
use super::gateway::Gateway;
use super::wire::{self, Open, Reply};

/// The newest version of the legacy era.
pub const LEGACY: &str = "2025-11-25";
/// The version of the modern era.
pub const MODERN: &str = "2026-07-28";

/// A client with a session.
#[derive(Clone)]
pub struct Legacy {
    address: SocketAddr,
    path: String,
    version: String,
    /// Its `Mcp-Session-Id`.
    pub session: String,
    /// The result of its `initialize`.
    pub welcome: Value,
}

impl Legacy {
    /// Opens a session at `path`.
    pub async fn open(gateway: &Gateway, path: &str) -> Legacy {
        Legacy::open_as(gateway, path, LEGACY).await
    }

    /// Opens a session of an older version.
    pub async fn open_as(gateway: &Gateway, path: &str, version: &str) -> Legacy {
        Legacy::introduce(gateway, path, version, json!({})).await
    }

    /// Opens a session at `path` and declares `capabilities`.
    pub async fn able(gateway: &Gateway, path: &str, capabilities: Value) -> Legacy {
        Legacy::introduce(gateway, path, LEGACY, capabilities).await
    }

    async fn introduce(gateway: &Gateway, path: &str, version: &str, capabilities: Value) -> Legacy {
        let params = json!({ "protocolVersion": version, "capabilities": capabilities, "clientInfo": { "name": "it", "version": "1" } });
        let body = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params }).to_string();
        let reply = wire::post(gateway.address, path, &[], body).await.whole().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let session = reply.header("mcp-session-id").expect("a session").to_owned();
        let welcome = reply.json()["result"].clone();
        let (path, version) = (path.to_owned(), version.to_owned());
        let client = Legacy { address: gateway.address, path, version, session, welcome };
        client.notify("notifications/initialized", json!({})).await;
        client
    }

    /// The same session at another gateway process.
    pub fn at(&self, gateway: &Gateway) -> Legacy {
        Legacy { address: gateway.address, ..self.clone() }
    }

    /// Sends a body as it is, and returns when the head of the response is here.
    pub async fn post(&self, body: impl Into<Bytes>) -> Open {
        let headers =
            [("mcp-session-id", self.session.as_str()), ("mcp-protocol-version", self.version.as_str())];
        wire::post(self.address, &self.path, &headers, body).await
    }

    /// Sends a body as it is.
    pub async fn raw(&self, body: impl Into<Bytes>) -> Reply {
        self.post(body).await.whole().await
    }

    /// Sends a request under an id of its own.
    pub async fn request(&self, method: &str, params: Value) -> Reply {
        self.raw(json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string()).await
    }

    /// Calls a tool and returns the whole answer.
    pub async fn call(&self, tool: &str, arguments: Value) -> Value {
        self.request("tools/call", json!({ "name": tool, "arguments": arguments })).await.json()
    }

    /// The text that a tool answers.
    pub async fn text(&self, tool: &str, arguments: Value) -> String {
        text_of(&self.call(tool, arguments).await)
    }

    /// Sends a notification.
    pub async fn notify(&self, method: &str, params: Value) {
        let reply =
            self.raw(json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string()).await;
        assert_eq!((reply.status, reply.text()), (202, ""));
    }

    /// Opens the session's stream.
    pub async fn stream(&self) -> Open {
        let headers = [("mcp-session-id", self.session.as_str()), ("accept", "text/event-stream")];
        wire::request(self.address, "GET", &self.path, &headers, "").await
    }

    /// Goes on with a stream after the event of this id.
    pub async fn resume(&self, id: &str) -> Open {
        let headers = [
            ("mcp-session-id", self.session.as_str()),
            ("accept", "text/event-stream"),
            ("last-event-id", id),
        ];
        wire::request(self.address, "GET", &self.path, &headers, "").await
    }

    /// Ends the session.
    pub async fn delete(&self) -> Reply {
        let headers = [("mcp-session-id", self.session.as_str())];
        wire::request(self.address, "DELETE", &self.path, &headers, "").await.whole().await
    }
}

/// A client without a session.
#[derive(Clone)]
pub struct Modern {
    address: SocketAddr,
    path: String,
}

impl Modern {
    /// A client of `path`.
    pub fn new(gateway: &Gateway, path: &str) -> Modern {
        Modern { address: gateway.address, path: path.to_owned() }
    }

    /// The `_meta` of every request.
    pub fn meta() -> Value {
        json!({
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": { "name": "it", "version": "1" },
        })
    }

    /// A request with what the specification asks for; `_meta` of `params` is added to.
    pub fn body(id: &Value, method: &str, mut params: Value) -> Value {
        let mut meta = Modern::meta();
        if let Some(own) = params["_meta"].as_object() {
            own.iter().for_each(|(key, value)| meta[key] = value.clone());
        }
        params["_meta"] = meta;
        json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
    }

    /// Sends `body` with headers that mirror it, and returns when the head of the response is here.
    pub async fn post(&self, body: &Value) -> Open {
        let method = body["method"].as_str().unwrap_or_default();
        let named = body["params"].get("name").or(body["params"].get("uri")).and_then(Value::as_str);
        let mut headers = vec![("mcp-protocol-version", MODERN), ("mcp-method", method)];
        headers.extend(named.map(|name| ("mcp-name", name)));
        self.with_headers(&headers, body.to_string()).await
    }

    /// Sends a body as it is, with these headers.
    pub async fn with_headers(&self, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Open {
        wire::post(self.address, &self.path, headers, body).await
    }

    /// Sends a request.
    pub async fn request(&self, method: &str, params: Value) -> Reply {
        self.post(&Modern::body(&json!(1), method, params)).await.whole().await
    }

    /// Calls a tool and returns the whole answer.
    pub async fn call(&self, tool: &str, arguments: Value) -> Value {
        self.request("tools/call", json!({ "name": tool, "arguments": arguments })).await.json()
    }
}

/// The text of a tool's answer.
pub fn text_of(answer: &Value) -> String {
    let text = answer["result"]["content"][0]["text"].as_str();
    text.unwrap_or_else(|| panic!("no text in {answer}")).to_owned()
}

/// The code of an error.
pub fn code_of(answer: &Value) -> i64 {
    answer["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error in {answer}"))
}

/// The message of an error.
pub fn message_of(answer: &Value) -> &str {
    answer["error"]["message"].as_str().unwrap_or_else(|| panic!("no error in {answer}"))
}

/// Counts the calls that reach a scripted server, without those by which it is asked.
pub struct Counter {
    client: Legacy,
    tool: String,
    before: u64,
}

impl Counter {
    /// Counts from now on; `tool` is the server's `stats`.
    pub async fn start(client: &Legacy, tool: &str) -> Counter {
        let before = stats(client, tool).await["calls"].as_u64().expect("a count");
        Counter { client: client.clone(), tool: tool.to_owned(), before }
    }

    /// Waits until so many calls have arrived.
    pub async fn reach(&mut self, wanted: u64) {
        let end = Instant::now() + DEADLINE;
        loop {
            let seen = stats(&self.client, &self.tool).await["calls"].as_u64().expect("a count");
            // The question was a call as well.
            self.before += 1;
            if seen >= self.before + wanted {
                return;
            }
            assert!(Instant::now() < end, "only {} of {wanted} calls arrived", seen - self.before);
        }
    }
}

/// What a scripted server has seen so far; `tool` is its `stats`.
pub async fn stats(client: &Legacy, tool: &str) -> Value {
    serde_json::from_str(&client.text(tool, json!({})).await).expect("JSON")
}
