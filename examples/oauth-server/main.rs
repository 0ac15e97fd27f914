//! An authorization server and an MCP server that takes its tokens, for the tests of how the gateway logs in.
//!
//! Both live at one port: the MCP server at `/mcp`, the authorization server at `/as`. Everybody who comes to the login
//! page is let in at once. What is asked of either is checked as the standards say: verifiers of PKCE, redirect URIs,
//! resources, client authentication, refresh tokens that are good once. `GET /seen` tells what has happened, `POST
//! /control` changes how they behave.

mod authority;
mod form;
mod resource;

use std::convert::Infallible;
use std::error::Error;
use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use authority::Authority;

/// A request that has come whole.
pub(crate) struct Asked {
    method: Method,
    path: String,
    query: String,
    authorization: Option<String>,
    body: String,
}

pub(crate) type Answer = Response<Full<Bytes>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let base = format!("http://{}", listener.local_addr()?);
    writeln!(std::io::stderr(), "listening on {base}/mcp")?;
    let authority = Arc::new(Authority::new(base));
    loop {
        let (stream, _) = listener.accept().await?;
        let authority = authority.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let authority = authority.clone();
                async move { Ok::<_, Infallible>(answer(&authority, request).await) }
            });
            let _gone =
                Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

async fn answer(authority: &Authority, request: Request<Incoming>) -> Answer {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return status(StatusCode::BAD_REQUEST) };
    let authorization = parts.headers.get(header::AUTHORIZATION);
    let asked = Asked {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        authorization: authorization.and_then(|value| value.to_str().ok()).map(str::to_owned),
        body: String::from_utf8_lossy(&body.to_bytes()).into_owned(),
    };
    match (asked.method.as_str(), asked.path.as_str()) {
        ("GET", "/seen") => whole(StatusCode::OK, &authority.seen()),
        ("POST", "/control") => {
            authority.control(&serde_json::from_str(&asked.body).unwrap_or(Value::Null));
            whole(StatusCode::OK, &json!({}))
        }
        (_, "/mcp") => resource::answer(authority, &asked).await,
        _ => authority.answer(&asked).await,
    }
}

pub(crate) fn whole(code: StatusCode, body: &Value) -> Answer {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

pub(crate) fn status(code: StatusCode) -> Answer {
    let mut response = Response::new(Full::default());
    *response.status_mut() = code;
    response
}
