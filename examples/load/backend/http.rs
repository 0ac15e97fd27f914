//! The echo backend over HTTP/1.1: hyper without a framework, one thread.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::{Kind, Teller, answer};
use crate::options::{BackendOptions, Era};

/// The legacy session header, and what its values begin with here; the rest counts up.
const SESSION: &str = "mcp-session-id";
const SESSION_PREFIX: &str = "load-";

struct Shared {
    era: Era,
    sessions: AtomicU64,
    teller: Teller,
}

/// Listens on loopback, prints the URL, and serves until it is ended.
pub fn run(options: &BackendOptions) -> crate::Result<()> {
    if options.owner.is_some() {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
    }
    let shared =
        Rc::new(Shared { era: options.era, sessions: AtomicU64::new(0), teller: Teller::new(options.tell)? });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, serve(options.port, shared))
}

async fn serve(port: u16, shared: Rc<Shared>) -> crate::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("http://{}/mcp", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let shared = shared.clone();
        tokio::task::spawn_local(async move {
            let service = service_fn(move |request| respond(shared.clone(), request));
            // A client that goes away in the middle of a request is its own business.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn respond(
    shared: Rc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() != Method::POST {
        let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return Ok(response);
    }
    let session = request.headers().get(SESSION).cloned();
    let Ok(body) = request.into_body().collect().await else {
        return Ok(empty(StatusCode::BAD_REQUEST));
    };
    let mut out = Vec::with_capacity(512);
    let kind = answer(shared.era, &body.to_bytes(), &mut out);
    if let Some(refusal) = refusal(&shared, kind, session.as_ref()) {
        return Ok(empty(refusal));
    }
    let status = match kind {
        Kind::Malformed => StatusCode::BAD_REQUEST,
        Kind::Unknown if shared.era == Era::Modern => StatusCode::NOT_FOUND,
        Kind::Silent => return Ok(empty(StatusCode::ACCEPTED)),
        Kind::Initialized => {
            shared.teller.handshake_done();
            return Ok(empty(StatusCode::ACCEPTED));
        }
        Kind::Discover => {
            shared.teller.handshake_done();
            StatusCode::OK
        }
        Kind::Held(time) => {
            tokio::time::sleep(time).await;
            StatusCode::OK
        }
        Kind::Reply | Kind::Initialize | Kind::Unknown => StatusCode::OK,
    };
    let mut response = Response::new(Full::new(Bytes::from(out)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if kind == Kind::Initialize {
        let number = shared.sessions.fetch_add(1, Ordering::Relaxed);
        if let Ok(value) = HeaderValue::from_str(&format!("{SESSION_PREFIX}{number}")) {
            response.headers_mut().insert(SESSION, value);
        }
    }
    Ok(response)
}

/// What a legacy server says to a request without its session (400) or with a foreign one (404).
fn refusal(shared: &Shared, kind: Kind, session: Option<&HeaderValue>) -> Option<StatusCode> {
    if shared.era == Era::Modern || matches!(kind, Kind::Initialize | Kind::Malformed) {
        return None;
    }
    let Some(session) = session else {
        return Some(StatusCode::BAD_REQUEST);
    };
    let number =
        session.to_str().ok()?.strip_prefix(SESSION_PREFIX).and_then(|text| text.parse::<u64>().ok());
    match number {
        Some(number) if number < shared.sessions.load(Ordering::Relaxed) => None,
        _ => Some(StatusCode::NOT_FOUND),
    }
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
