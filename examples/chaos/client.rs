//! A client of either era that checks whose answer it gets.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::tally::End;

/// Longer than any deadline of the gateway: a call that takes this long was lost.
const LOST: Duration = Duration::from_secs(20);

/// One connection, one call at a time.
pub struct Client {
    address: SocketAddr,
    connection: Option<SendRequest<Full<Bytes>>>,
    /// The session of a legacy client.
    session: Option<String>,
    modern: bool,
    next: u64,
}

/// A call of a tool.
pub struct Call {
    /// The tool's name at the merged endpoint.
    pub tool: String,
    /// Its arguments.
    pub arguments: Value,
    /// What its text must be; anything if there is none.
    pub expected: Option<String>,
    /// Whether its time is one to compare.
    pub timed: bool,
    /// Whether it asks for reports of progress.
    pub progress: bool,
}

impl Client {
    pub fn new(address: SocketAddr, modern: bool) -> Client {
        Client { address, connection: None, session: None, modern, next: 1 }
    }

    /// Where the gateway is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes a call.
    pub async fn call(&mut self, call: &Call) -> End {
        let id = self.next;
        self.next += 1;
        let mut params = json!({ "name": call.tool, "arguments": call.arguments });
        if call.progress {
            params["_meta"] = json!({ "progressToken": id });
        }
        let started = Instant::now();
        match timeout(LOST, self.request("tools/call", params, &json!(id), Some(&call.tool))).await {
            Err(_) => self.broken("lost: no answer at all"),
            Ok(Err(error)) => self.broken(&error.to_string()),
            Ok(Ok(answer)) => judge(&answer, &json!(id), call, started.elapsed()),
        }
    }

    fn broken(&mut self, why: &str) -> End {
        self.connection = None;
        End::Error(format!("transport: {why}"))
    }

    async fn request(
        &mut self,
        method: &str,
        mut params: Value,
        id: &Value,
        name: Option<&str>,
    ) -> crate::Result<Value> {
        let mut headers = Vec::new();
        if self.modern {
            params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
            params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
            params["_meta"]["io.modelcontextprotocol/clientInfo"] =
                json!({ "name": "chaos", "version": "1" });
            headers.extend([
                ("mcp-protocol-version", "2026-07-28".to_owned()),
                ("mcp-method", method.to_owned()),
            ]);
            headers.extend(name.map(|name| ("mcp-name", name.to_owned())));
        } else {
            if self.session.is_none() {
                self.session = Some(self.initialize().await?);
            }
            headers.push(("mcp-protocol-version", "2025-11-25".to_owned()));
            headers.extend(self.session.clone().map(|session| ("mcp-session-id", session)));
        }
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string();
        let (_, _, answer) = self.post(&headers, body).await?;
        Ok(answer)
    }

    async fn initialize(&mut self) -> crate::Result<String> {
        let params = json!({
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "chaos", "version": "1" },
        });
        let body = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params }).to_string();
        let (_, session, answer) = self.post(&[], body).await?;
        session.ok_or_else(|| format!("no session: {answer}").into())
    }

    async fn post(
        &mut self,
        headers: &[(&str, String)],
        body: String,
    ) -> crate::Result<(StatusCode, Option<String>, Value)> {
        if self.connection.as_ref().is_none_or(SendRequest::is_closed) {
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            self.connection = Some(sender);
        }
        let Some(sender) = &mut self.connection else { return Err("no connection".into()) };
        let mut request = Request::post("/mcp")
            .header("host", self.address.to_string())
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        sender.ready().await?;
        let response = sender.send_request(request.body(Full::new(Bytes::from(body)))?).await?;
        let (head, body) = response.into_parts();
        let session =
            head.headers.get("mcp-session-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = body.collect().await?.to_bytes();
        let text = std::str::from_utf8(&body)?;
        let stream = head.headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
        let last = match stream {
            true => {
                text.lines().filter_map(|line| line.strip_prefix("data: ")).next_back().unwrap_or_default()
            }
            false => text,
        };
        let answer = serde_json::from_str(last).map_err(|_| format!("{}: no JSON", head.status))?;
        Ok((head.status, session, answer))
    }
}

fn judge(answer: &Value, id: &Value, call: &Call, took: Duration) -> End {
    if answer["id"] != *id {
        return End::Wrong(format!("{}: the id is not {id}: {answer}", call.tool));
    }
    if let Some(error) = answer.get("error") {
        return End::Error(name_of(error["code"].as_i64().unwrap_or_default()));
    }
    let text = answer["result"]["content"][0]["text"].as_str();
    match &call.expected {
        Some(expected) if text != Some(expected) => {
            End::Wrong(format!("{}: not {expected:?}: {answer}", call.tool))
        }
        _ => End::Good { took, timed: call.timed },
    }
}

/// The gateway's own codes, in words.
fn name_of(code: i64) -> String {
    match code {
        -31429 => "overloaded".to_owned(),
        -31499 => "cancelled".to_owned(),
        -31502 => "server failed".to_owned(),
        -31503 => "unavailable".to_owned(),
        -31504 => "timeout".to_owned(),
        other => format!("code {other}"),
    }
}
