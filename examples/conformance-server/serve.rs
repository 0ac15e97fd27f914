//! The two transports, with the era's gate in front of rmcp.

use std::convert::Infallible;
use std::error::Error;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use rmcp::ServiceExt;
use rmcp::service::{RoleServer, RunningService, ServerInitializeError};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::gate::{Came, ignored, refusal};
use crate::server::{Fixture, Shared};
use crate::{Era, gate};

const PATH: &str = "/mcp";
/// The tool whose stream is closed while it is at work, in the legacy era.
const BREAKS_OFF: &str = "test_reconnection";
/// How long a client is told to wait before it takes a closed stream up again.
const RETRY: Duration = Duration::from_millis(300);
/// Between the gate and rmcp, in bytes; more than one message of the suite.
const PIPE_BYTES: usize = 64 * 1024;
/// Refusals that may wait for the writer.
const WAITING_REFUSALS: usize = 16;

type Served = Result<(), Box<dyn Error>>;
type Service = StreamableHttpService<Fixture, LocalSessionManager>;
type Answer = Response<BoxBody<Bytes, Infallible>>;

/// Serves one client on standard input and output until the input ends.
pub(crate) async fn stdio(era: Era) -> Served {
    let fixture = Fixture::new(Arc::new(Shared::default()), era);
    if era == Era::Both {
        return served(fixture.serve(rmcp::transport::stdio()).await).await;
    }
    let (input, gated) = tokio::io::duplex(PIPE_BYTES);
    let (replies, output) = tokio::io::duplex(PIPE_BYTES);
    let (refuse, refusals) = mpsc::channel(WAITING_REFUSALS);
    tokio::spawn(guard_input(era, input, refuse));
    let writer = tokio::spawn(write_output(output, refusals));
    let outcome = served(fixture.serve((gated, replies)).await).await;
    writer.await??;
    outcome
}

/// A client that hangs up before it has opened anything is no fault.
async fn served(opened: Result<RunningService<RoleServer, Fixture>, ServerInitializeError>) -> Served {
    match opened {
        Ok(running) => Ok(running.waiting().await.map(drop)?),
        Err(ServerInitializeError::ConnectionClosed(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Passes lines on to rmcp, and answers those that the era refuses.
async fn guard_input(
    era: Era,
    mut input: DuplexStream,
    refuse: mpsc::Sender<Vec<u8>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let message = serde_json::from_str::<Value>(&line).unwrap_or_default();
        match refusal(era, &message, Came::Stdio) {
            Some(refusal) => {
                if refuse.send(refusal.body.into_bytes()).await.is_err() {
                    break;
                }
            }
            None if ignored(era, &message) => {}
            None => input.write_all(format!("{line}\n").as_bytes()).await?,
        }
    }
    Ok(())
}

/// Writes rmcp's lines and the refusals, each whole.
async fn write_output(output: DuplexStream, mut refusals: mpsc::Receiver<Vec<u8>>) -> std::io::Result<()> {
    let mut stdout = tokio::io::stdout();
    let mut lines = BufReader::new(output).lines();
    loop {
        let mut line = tokio::select! {
            line = lines.next_line() => match line? {
                Some(line) => line.into_bytes(),
                None => return Ok(()),
            },
            Some(error) = refusals.recv() => error,
        };
        line.push(b'\n');
        stdout.write_all(&line).await?;
        stdout.flush().await?;
    }
}

/// Serves Streamable HTTP on a loopback port and names the address on standard error.
pub(crate) async fn http(era: Era, port: u16) -> Served {
    let shared = Arc::new(Shared::default());
    let mut sessions = LocalSessionManager::default();
    sessions.session_config.sse_retry = Some(RETRY);
    let service = Service::new(
        move || Ok(Fixture::new(shared.clone(), era)),
        Arc::new(sessions),
        StreamableHttpServerConfig::default()
            .with_allowed_origins(["http://localhost:*", "http://127.0.0.1:*"])
            .with_sse_retry(Some(RETRY))
            .with_legacy_session_mode(era != Era::Modern),
    );
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    writeln!(std::io::stderr(), "listening on http://{}{PATH}", listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = service.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let service = service.clone();
                async move { Ok::<_, Infallible>(answer(era, &service, request).await) }
            });
            let _gone =
                Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

async fn answer(era: Era, service: &Service, request: Request<Incoming>) -> Answer {
    if request.uri().path() != PATH {
        return plain(StatusCode::NOT_FOUND, String::new());
    }
    if request.method() != Method::POST {
        return service.handle(request).await;
    }
    let (parts, body) = request.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return plain(StatusCode::BAD_REQUEST, error.to_string()),
    };
    let message = serde_json::from_slice::<Value>(&body).unwrap_or_default();
    let version = parts.headers.get("mcp-protocol-version").and_then(|value| value.to_str().ok());
    if let Some(refusal) = refusal(era, &message, Came::Http(version)) {
        return plain(refusal.status, refusal.body);
    }
    let breaks_off =
        message.pointer("/params/name") == Some(&json!(BREAKS_OFF)) && !gate::is_modern(&message);
    let answer = service.handle(Request::from_parts(parts, Full::new(body))).await;
    if breaks_off { broken_off(answer).await } else { answer }
}

/// Ends the stream after the event that gives the client an id to resume it from. rmcp keeps the call, and the reply
/// for the stream that takes this one up; it has no way to close a stream from inside a tool.
async fn broken_off(answer: Answer) -> Answer {
    let (parts, mut body) = answer.into_parts();
    let first =
        body.frame().await.and_then(Result::ok).and_then(|frame| frame.into_data().ok()).unwrap_or_default();
    Response::from_parts(parts, Full::new(first).boxed())
}

fn plain(status: StatusCode, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)).boxed());
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    answer
}
