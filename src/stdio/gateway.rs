//! The gateway as this room sees it: something that takes requests and may be out of reach for a while.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use tokio::time::Instant;

use crate::base::backoff::Backoff;
use crate::base::{Error, ErrorKind, random};
use crate::protocol::header;
use crate::upstream::http::HttpClient;

/// The body of an answer.
pub type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;
/// An answer under way.
pub type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Unreached>> + Send>>;
type Sender = dyn Fn(Request<Full<Bytes>>) -> Answering + Send + Sync;

/// Why there is no answer.
#[derive(Clone, Debug)]
pub struct Unreached {
    /// Whether the gateway may have seen the request.
    pub delivered: bool,
    /// What happened.
    pub reason: String,
}

/// Where requests go. Cloning is cheap.
#[derive(Clone)]
pub struct Gateway {
    send: Arc<Sender>,
    url: Uri,
    headers: HeaderMap,
}

/// How long a gateway may be out of reach before its client is told: a restart takes a second or two.
const RECONNECT: Duration = Duration::from_secs(5);
/// Pauses between attempts to reach it.
const PAUSES: Backoff = Backoff { base: Duration::from_millis(50), cap: Duration::from_millis(500) };

const BOTH: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

impl Gateway {
    /// A gateway at `url` that `send` brings requests to, each with `headers`.
    pub fn new(
        url: Uri,
        headers: HeaderMap,
        send: impl Fn(Request<Full<Bytes>>) -> Answering + Send + Sync + 'static,
    ) -> Gateway {
        Gateway { send: Arc::new(send), url, headers }
    }

    /// POSTs a message.
    pub async fn post(
        &self,
        message: &Bytes,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<Response<Body>, Error> {
        self.reach(|| {
            let mut request = self.request(Method::POST, Full::new(message.clone()), headers);
            request.headers_mut().insert(ACCEPT, BOTH);
            request.headers_mut().insert(CONTENT_TYPE, JSON);
            request
        })
        .await
    }

    /// Opens an event stream, from where it was left.
    pub async fn events(
        &self,
        last: Option<&str>,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<Response<Body>, Error> {
        let last = last.and_then(|last| HeaderValue::from_str(last).ok());
        self.reach(|| {
            let mut request = self.request(Method::GET, Full::default(), headers);
            request.headers_mut().insert(ACCEPT, EVENTS);
            if let Some(last) = &last {
                request.headers_mut().insert(header::LAST_EVENT_ID, last.clone());
            }
            request
        })
        .await
    }

    /// Ends a session. One attempt: a gateway that is not there forgets it by itself.
    pub async fn delete(&self, headers: &[(HeaderName, HeaderValue)]) {
        let _ = (self.send)(self.request(Method::DELETE, Full::default(), headers)).await;
    }

    /// Sends a request until it is delivered, within the patience with a gateway that restarts. What may have been
    /// delivered is not sent again.
    async fn reach(&self, make: impl Fn() -> Request<Full<Bytes>>) -> Result<Response<Body>, Error> {
        let deadline = Instant::now() + RECONNECT;
        for attempt in 0.. {
            match (self.send)(make()).await {
                Ok(response) => return Ok(response),
                Err(why) if why.delivered => return Err(self.broken(&why.reason)),
                Err(why) if Instant::now() >= deadline => return Err(self.out_of_reach(&why.reason)),
                Err(_) => tokio::time::sleep(PAUSES.delay(attempt, random::next_u64())).await,
            }
        }
        Err(self.out_of_reach("no attempt was made"))
    }

    fn request(
        &self,
        method: Method,
        body: Full<Bytes>,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Request<Full<Bytes>> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = self.url.clone();
        *request.headers_mut() = self.headers.clone();
        for (name, value) in headers {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        request
    }

    fn out_of_reach(&self, reason: &str) -> Error {
        let text = format!(
            "the gateway at {} cannot be reached: {reason}; is `trunkline serve` running there? The request was not sent",
            self.url
        );
        Error::new(ErrorKind::Unavailable, text)
    }

    /// The error of a request whose answer was lost.
    pub fn broken(&self, reason: &str) -> Error {
        let text = format!(
            "the connection to the gateway at {} broke: {reason}; the request may have been carried out and is not repeated",
            self.url
        );
        Error::new(ErrorKind::ServerFailed, text)
    }

    /// The error of a request that the gateway refused without a word of MCP.
    pub fn refused(&self, status: StatusCode) -> Error {
        let text = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => format!(
                "the gateway at {} refuses the credential ({status}); give a valid one by --token-file or in the variable that --token-env names",
                self.url
            ),
            StatusCode::NOT_FOUND => {
                format!("there is no MCP endpoint at {} ({status}); check --connect and --server", self.url)
            }
            _ => format!("the gateway at {} answered {status}", self.url),
        };
        Error::new(ErrorKind::Unavailable, text)
    }
}

/// A daemon behind a URL.
pub fn remote(client: HttpClient, url: Uri, headers: HeaderMap) -> Gateway {
    Gateway::new(url, headers, move |request| {
        let sent = client.request(request);
        Box::pin(async move {
            match sent.await {
                Ok(response) => Ok(response.map(|body| Body::new(body.map_err(Into::into)))),
                Err(error) => Err(Unreached { delivered: !error.is_connect(), reason: innermost(&error) }),
            }
        })
    })
}

/// The innermost reason, which is the one that helps.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The headers hold a credential.
        write!(f, "Gateway({})", self.url)
    }
}
