//! The way to the documents of identity providers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};

use crate::config::Issuer;
use crate::guard::{Fetch, Fetching};
use crate::upstream::http::{ClientOptions, HttpClient};

/// How long a document may take, from the name to the last byte. Callers wait for it.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest document: key sets have a few kilobytes, and grow with certificates in them.
const MAX_DOCUMENT: usize = 1024 * 1024;

/// The way to the documents of an issuer. What is wrong with it is told by every attempt.
pub fn documents(issuer: &Issuer) -> Fetch {
    let client = HttpClient::new(&ClientOptions {
        https: true,
        connect_timeout: PATIENCE,
        ca_file: issuer.ca_file.clone(),
        ..ClientOptions::default()
    });
    match client {
        Ok(client) => Arc::new(move |uri| -> Fetching {
            let client = client.clone();
            Box::pin(async move {
                let fetched = tokio::time::timeout(PATIENCE, fetch(client, uri)).await;
                fetched.unwrap_or_else(|_| Err(format!("does not answer within {PATIENCE:?}")))
            })
        }),
        Err(error) => {
            let why = format!("cannot be asked: {error}");
            Arc::new(move |_| -> Fetching { Box::pin(std::future::ready(Err(why.clone()))) })
        }
    }
}

/// Redirects are not followed: an issuer that sends us elsewhere for its keys is misconfigured, or is not the issuer.
async fn fetch(client: HttpClient, uri: Uri) -> Result<Bytes, String> {
    let mut request = Request::new(Full::default());
    let host = uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("trunkline/", env!("CARGO_PKG_VERSION"))));
    if let Some(host) = host {
        headers.insert(HOST, host);
    }
    let response =
        client.request(request).await.map_err(|error| format!("cannot be reached: {}", chain(&error)))?;
    if response.status() != StatusCode::OK {
        return Err(format!("answers {}", response.status()));
    }
    match Limited::new(response.into_body(), MAX_DOCUMENT).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => Err(format!("breaks off: {error}")),
    }
}

/// An error with what it comes from: the outermost says only that something failed.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(&format!(": {inner}"));
        source = inner.source();
    }
    text
}
