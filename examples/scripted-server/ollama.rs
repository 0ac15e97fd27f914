//! A plain HTTP service that answers like Ollama, and misbehaves when it is told to.
//!
//! `/api/version`, `/api/tags`, `/api/generate` and `/api/chat` answer as Ollama's do, streamed or whole. `POST /control` sets how it
//! behaves from then on and `GET /seen` tells what it has seen. `/echo` sends a body back as it comes, `/hang` never
//! answers, `/stall` begins and never ends, `/break` begins and breaks off, `/redirect?to=` redirects, and any other path tells
//! what was asked.

use std::convert::Infallible;
use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

/// The models that it lists.
const MODELS: [&str; 2] = ["llama3.2:3b", "small:latest"];
/// Pieces that may wait for a slow reader.
const WAITING: usize = 4;

/// What was seen, and what is to be done; a change wakes whoever waits for it.
struct Ollama {
    state: watch::Sender<State>,
    connections: AtomicUsize,
    most_connections: AtomicUsize,
}

#[derive(Default)]
struct State {
    generated: usize,
    looked_at: usize,
    running: usize,
    last: Value,
    warm: Vec<String>,
    /// Sent instead of an answer of a model.
    fail: Option<u16>,
    /// What each answer of a model takes, in milliseconds.
    slow: u64,
    /// What the first answer of each model takes on top.
    cold: u64,
    /// Answers wait, streams after their first piece, until this is off.
    hold: bool,
}

/// A body in pieces; an error breaks it off.
struct Pieces(mpsc::Receiver<Option<Bytes>>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.0.poll_recv(context).map(|piece| match piece? {
            Some(bytes) => Some(Ok(Frame::data(bytes))),
            None => Some(Err(std::io::Error::other("broken off"))),
        })
    }
}

/// One request that is worked on; it shows when it is given up.
struct Running(Arc<Ollama>);

impl Running {
    fn new(own: &Arc<Ollama>) -> Running {
        own.state.send_modify(|state| state.running += 1);
        Running(own.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.state.send_modify(|state| state.running -= 1);
    }
}

pub(crate) async fn serve(port: u16) -> std::io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    writeln!(std::io::stderr(), "listening on http://{}", listener.local_addr()?)?;
    let own = Arc::new(Ollama {
        state: watch::Sender::default(),
        connections: AtomicUsize::new(0),
        most_connections: AtomicUsize::new(0),
    });
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let own = own.clone();
        tokio::spawn(async move {
            let open = own.connections.fetch_add(1, Ordering::Relaxed) + 1;
            own.most_connections.fetch_max(open, Ordering::Relaxed);
            let serving = own.clone();
            let answer = service_fn(move |request| {
                let own = serving.clone();
                async move { Ok::<_, Infallible>(answer(&own, request).await) }
            });
            let _gone =
                Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await;
            own.connections.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

async fn answer(own: &Arc<Ollama>, request: Request<Incoming>) -> Response<Pieces> {
    let (head, mut body) = request.into_parts();
    let running = Running::new(own);
    let path = head.uri.path().to_owned();
    if path == "/echo" {
        let (sender, pieces) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            let _running = running;
            while let Some(Ok(frame)) = body.frame().await {
                let Ok(bytes) = frame.into_data() else { continue };
                if sender.send(Some(bytes)).await.is_err() {
                    return;
                }
            }
        });
        return Response::new(Pieces(pieces));
    }
    let Ok(body) = body.collect().await else { return status(400) };
    let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    let told: std::collections::BTreeMap<_, _> = head
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())))
        .collect();
    let asked = json!({ "method": head.method.as_str(), "path": path, "query": head.uri.query(), "headers": told, "body": body });
    match path.as_str() {
        "/control" => control(own, &body),
        "/seen" => seen(own),
        "/api/version" => {
            own.state.send_modify(|state| state.looked_at += 1);
            match own.state.borrow().fail {
                Some(code) => status(code),
                None => whole(&json!({ "version": "0.9.0" })),
            }
        }
        "/api/tags" => whole(&json!({ "models": MODELS.map(|name| json!({ "name": name })) })),
        "/api/generate" | "/api/chat" => {
            own.state.send_modify(|state| state.last = asked);
            generate(own, path == "/api/chat", &body, running).await
        }
        "/hang" => std::future::pending().await,
        "/stall" => begun(own, running, false),
        "/break" => begun(own, running, true),
        "/redirect" => {
            let mut response = status(307);
            let to = head.uri.query().and_then(|query| query.strip_prefix("to=")).unwrap_or("/");
            if let Ok(value) = HeaderValue::from_str(to) {
                response.headers_mut().insert(header::LOCATION, value);
            }
            response
        }
        _ => whole(&asked),
    }
}

fn control(own: &Ollama, body: &str) -> Response<Pieces> {
    let Ok(wish) = serde_json::from_str::<Value>(body) else { return status(400) };
    own.state.send_modify(|state| {
        if let Some(fail) = wish.get("fail") {
            state.fail = fail.as_u64().and_then(|code| u16::try_from(code).ok());
        }
        state.slow = wish["slow"].as_u64().unwrap_or(state.slow);
        state.cold = wish["cold"].as_u64().unwrap_or(state.cold);
        state.hold = wish["hold"].as_bool().unwrap_or(state.hold);
    });
    whole(&json!({}))
}

fn seen(own: &Ollama) -> Response<Pieces> {
    let state = own.state.borrow();
    whole(&json!({
        "generated": state.generated,
        "looked_at": state.looked_at,
        // This question is one as well.
        "running": state.running - 1,
        "last": state.last,
        "most_connections": own.most_connections.load(Ordering::Relaxed),
    }))
}

async fn generate(own: &Arc<Ollama>, chat: bool, body: &str, running: Running) -> Response<Pieces> {
    let Ok(asked) = serde_json::from_str::<Value>(body) else { return status(400) };
    let model = asked["model"].as_str().unwrap_or_default().to_owned();
    let mut wait = 0;
    own.state.send_modify(|state| {
        state.generated += 1;
        wait = state.slow;
        if !state.warm.contains(&model) {
            state.warm.push(model.clone());
            wait += state.cold;
        }
    });
    sleep(Duration::from_millis(wait)).await;
    if let Some(code) = own.state.borrow().fail {
        return status(code);
    }
    if model.starts_with("missing") {
        let mut response = whole(&json!({ "error": format!("model '{model}' not found") }));
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    }
    let prompt = match chat {
        true => asked["messages"].as_array().and_then(|all| all.last()).map(|last| last["content"].clone()),
        false => Some(asked["prompt"].clone()),
    };
    let prompt = prompt.as_ref().and_then(Value::as_str).unwrap_or_default();
    let words: Vec<String> = format!("better: {prompt}").split_inclusive(' ').map(str::to_owned).collect();
    if asked["stream"] == false {
        released(own).await;
        return whole(&piece(&model, chat, &words.concat(), true));
    }
    let (sender, pieces) = mpsc::channel(WAITING);
    let own = own.clone();
    tokio::spawn(async move {
        let _running = running;
        let last = words.len().saturating_sub(1);
        for (index, word) in words.iter().enumerate() {
            if index > 0 {
                released(&own).await;
            }
            let line = format!("{}\n", piece(&model, chat, word, index == last));
            tokio::select! {
                sent = sender.send(Some(line.into())) => if sent.is_err() { return },
                () = sender.closed() => return,
            }
        }
    });
    let mut response = Response::new(Pieces(pieces));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    response
}

async fn released(own: &Ollama) {
    let mut state = own.state.subscribe();
    let _gone = state.wait_for(|state| !state.hold).await;
}

fn piece(model: &str, chat: bool, text: &str, done: bool) -> Value {
    match chat {
        true => json!({ "model": model, "message": { "role": "assistant", "content": text }, "done": done }),
        false => json!({ "model": model, "response": text, "done": done }),
    }
}

/// An answer of which the beginning comes, and then nothing more, or a breach when it is no longer held.
fn begun(own: &Arc<Ollama>, running: Running, breaks: bool) -> Response<Pieces> {
    let (sender, pieces) = mpsc::channel(WAITING);
    let own = own.clone();
    tokio::spawn(async move {
        let _running = running;
        let _gone = sender.send(Some(Bytes::from_static(b"data: begun\n\n"))).await;
        if breaks {
            released(&own).await;
            let _gone = sender.send(None).await;
        }
        sender.closed().await;
    });
    let mut response = Response::new(Pieces(pieces));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

fn whole(value: &Value) -> Response<Pieces> {
    let (sender, pieces) = mpsc::channel(1);
    let _room = sender.try_send(Some(Bytes::from(value.to_string())));
    let mut response = Response::new(Pieces(pieces));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn status(code: u16) -> Response<Pieces> {
    let (_, pieces) = mpsc::channel(1);
    let mut response = Response::new(Pieces(pieces));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}
