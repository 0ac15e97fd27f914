//! Short exchanges with authorization servers, and for the documents that lead there.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;

use crate::config::{Server, Transport};
use crate::upstream::http::{ClientOptions, HttpClient};

/// The largest document that is read: real ones have a few kilobytes.
const MAX_BODY: usize = 256 << 10;
/// How long one exchange may take: as long as a person waits, and most libraries do.
const PATIENCE: Duration = Duration::from_secs(30);
/// Redirects followed when a document is read, on its own origin only.
const MAX_REDIRECTS: usize = 3;

/// How authorization servers are reached: the same authorities are trusted, and the same proxy is used, as for the server.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Way {
    ca_file: Option<PathBuf>,
    proxy: Option<Uri>,
    connect_timeout: Duration,
}

impl Way {
    /// The way for logins to this server.
    pub fn of(server: &Server) -> Way {
        let (ca_file, proxy) = match &server.transport {
            Transport::Http { ca_file, proxy, .. } => (ca_file.clone(), proxy.clone()),
            Transport::Stdio { .. } => (None, None),
        };
        let proxy = proxy.and_then(|text| text.parse().ok());
        Way { ca_file, proxy, connect_timeout: server.connect_timeout }
    }
}

/// Exchanges with authorization servers on one way.
pub(super) struct Web {
    way: Arc<Way>,
    plain: OnceLock<HttpClient>,
    secure: OnceLock<HttpClient>,
}

/// An answer that has come whole.
pub(super) struct Page {
    pub status: StatusCode,
    pub body: Bytes,
}

impl Web {
    /// Exchanges on this way.
    pub fn by(way: Arc<Way>) -> Web {
        Web { way, plain: OnceLock::new(), secure: OnceLock::new() }
    }

    /// Reads a document.
    pub async fn get(&self, url: &Uri) -> Result<Page, String> {
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = Request::new(Full::default());
            *request.uri_mut() = url.clone();
            request.headers_mut().insert(ACCEPT, JSON);
            let response = self.send(request).await?;
            match response.status().is_redirection().then(|| next(&url, response.headers())).flatten() {
                Some(target) => url = target,
                None => return whole(&url, response).await,
            }
        }
        Err(format!("{} redirects in a circle", origin(&url)))
    }

    /// Sends a body and reads the answer. Redirects are not followed: what is sent is for nobody else.
    pub async fn post(
        &self,
        url: &Uri,
        kind: HeaderValue,
        headers: &[(HeaderName, HeaderValue)],
        body: String,
    ) -> Result<Page, String> {
        let response = self.post_for_head(url, kind, headers, body).await?;
        whole(url, response).await
    }

    /// Sends a body and does not wait for what follows the answer's head.
    pub async fn post_for_head(
        &self,
        url: &Uri,
        kind: HeaderValue,
        headers: &[(HeaderName, HeaderValue)],
        body: String,
    ) -> Result<Response<Incoming>, String> {
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.clone();
        request.headers_mut().insert(ACCEPT, JSON);
        request.headers_mut().insert(CONTENT_TYPE, kind);
        for (name, value) in headers {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        self.send(request).await
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, String> {
        let to = origin(request.uri());
        let client = self.client(request.uri().scheme_str() == Some("https"))?;
        match tokio::time::timeout(PATIENCE, client.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(format!("{to} cannot be reached: {}", root_cause(&error))),
            Err(_) => Err(format!("{to} did not answer within {PATIENCE:?}")),
        }
    }

    fn client(&self, https: bool) -> Result<&HttpClient, String> {
        let kept = if https { &self.secure } else { &self.plain };
        if let Some(client) = kept.get() {
            return Ok(client);
        }
        let options = ClientOptions {
            https,
            connect_timeout: self.way.connect_timeout,
            ca_file: self.way.ca_file.clone(),
            proxy: self.way.proxy.clone(),
            ..ClientOptions::default()
        };
        let client = HttpClient::new(&options).map_err(|error| error.to_string())?;
        Ok(kept.get_or_init(|| client))
    }
}

impl std::fmt::Debug for Web {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Web").field("ca_file", &self.way.ca_file).finish_non_exhaustive()
    }
}

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(super) const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");

async fn whole(url: &Uri, response: Response<Incoming>) -> Result<Page, String> {
    let status = response.status();
    let collected = Limited::new(response.into_body(), MAX_BODY).collect();
    match tokio::time::timeout(PATIENCE, collected).await {
        Ok(Ok(body)) => Ok(Page { status, body: body.to_bytes() }),
        Ok(Err(error)) => {
            Err(format!("{} sent an answer that cannot be read: {}", origin(url), root_cause(&*error)))
        }
        Err(_) => Err(format!("{} did not finish its answer within {PATIENCE:?}", origin(url))),
    }
}

/// Where a redirect leads, if that is on the same origin.
fn next(url: &Uri, headers: &HeaderMap) -> Option<Uri> {
    let target: Uri = headers.get(LOCATION)?.to_str().ok()?.parse().ok()?;
    if target.authority().is_none() {
        let mut parts = url.clone().into_parts();
        parts.path_and_query = target.path_and_query().cloned();
        return Uri::from_parts(parts).ok();
    }
    (origin(&target) == origin(url)).then_some(target)
}

/// Scheme and authority: all of a URL that may be told.
pub(super) fn origin(url: &Uri) -> String {
    let (scheme, authority) = (url.scheme_str().unwrap_or("http"), url.authority());
    format!("{scheme}://{}", authority.map_or("", |authority| authority.as_str())).to_ascii_lowercase()
}

/// The innermost reason, which is the one that helps.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
