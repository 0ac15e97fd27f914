//! Finding the running gateway and speaking with it.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use crate::cli::exit;
use crate::config::{self, Sources, TOKEN_VARIABLE, URL_VARIABLE};
use crate::http::api::PREFIX;
use crate::http::api::shape::Refused;
use crate::upstream::http::{ClientOptions, HttpClient};

/// How long a gateway on this machine, or in the next room, may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest answer that is read: a catalog of ten thousand tools is a tenth of it.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// Which gateway is meant, and how its answers are shown.
#[derive(Clone, Debug, Default, Args)]
pub struct Remote {
    /// Where the gateway's administration interface is; otherwise TRUNKLINE_URL, or the address in the configuration.
    #[arg(long, global = true, value_name = "URL")]
    pub url: Option<String>,
    /// The configuration file in which to look for the address; found as `serve` finds it.
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "url")]
    pub config: Option<PathBuf>,
    /// A file that holds the key; otherwise TRUNKLINE_TOKEN.
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// PEM certificates of the authorities to trust for the gateway instead of the platform's.
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Print what the gateway answers, as JSON.
    #[arg(long, global = true)]
    pub json: bool,
}

/// A running gateway.
pub struct Client {
    http: HttpClient,
    base: String,
    token: Option<HeaderValue>,
}

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub struct Trouble {
    /// The exit code.
    pub code: u8,
    /// For the person at the terminal.
    pub message: String,
}

impl Trouble {
    /// It was refused, or it failed.
    pub fn failure(message: impl Into<String>) -> Trouble {
        Trouble { code: exit::FAILURE, message: message.into() }
    }
}

impl Client {
    /// The gateway that `remote` means. `before` is the configuration file that was named before the command.
    pub fn find(remote: &Remote, before: Option<PathBuf>) -> Result<Client, Trouble> {
        let (base, here) = base(remote, before)?;
        let options = ClientOptions {
            https: base.starts_with("https:"),
            // On the way to this machine itself nobody is between. Its certificate is made out to the name that its
            // clients use; whoever holds the port in its place would be taken for it under plain HTTP, too.
            trust_anybody: here && remote.ca_file.is_none(),
            connect_timeout: PATIENCE,
            ca_file: remote.ca_file.clone(),
            ..ClientOptions::default()
        };
        let http = HttpClient::new(&options).map_err(|error| Trouble::failure(error.to_string()))?;
        Ok(Client { http, base, token: token(remote)? })
    }

    /// Where it is.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Asks, and returns the answer as it came.
    pub async fn text(&self, method: Method, path: &str) -> Result<String, Trouble> {
        let answer = async {
            let response = self.send(method, path).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
            let body = body.map_err(|error| Trouble::failure(format!("the answer broke off: {error}")))?;
            let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
            if status.is_success() { Ok(text) } else { Err(self.refused(status, &text)) }
        };
        let late = || {
            let text = format!("the gateway at {} does not answer within {PATIENCE:?}", self.base);
            Trouble { code: exit::NOT_RUNNING, message: text }
        };
        tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| Err(late()))
    }

    /// Asks for something of this shape.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Trouble> {
        self.order(Method::GET, path).await
    }

    /// Tells it to do something.
    pub async fn order<T: DeserializeOwned>(&self, method: Method, path: &str) -> Result<T, Trouble> {
        let text = self.text(method, path).await?;
        serde_json::from_str(&text).map_err(|error| {
            let text = format!("what answers at {} is no gateway of this version: {error}", self.base);
            Trouble::failure(text)
        })
    }

    /// Opens an event stream.
    pub async fn stream(&self, path: &str) -> Result<Incoming, Trouble> {
        let response = self.send(Method::GET, path).await?;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let text =
            body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default();
        Err(self.refused(status, &text))
    }

    async fn send(&self, method: Method, path: &str) -> Result<Response<Incoming>, Trouble> {
        let url = format!("{}{PREFIX}{path}", self.base);
        let mut request = Request::builder()
            .method(method)
            .uri(&url)
            .header(ACCEPT, "application/json, text/event-stream")
            .header("x-trunkline", "1");
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token);
        }
        let request = request
            .body(Full::<Bytes>::default())
            .map_err(|_| Trouble { code: exit::USAGE, message: format!("{url} is no URL") })?;
        self.http.request(request).await.map_err(|error| Trouble {
            code: exit::NOT_RUNNING,
            message: format!(
                "no gateway answers at {}: {}; is it running? --url or TRUNKLINE_URL names another",
                self.base,
                innermost(&error)
            ),
        })
    }

    fn refused(&self, status: http::StatusCode, text: &str) -> Trouble {
        let said = serde_json::from_str::<Refused>(text).map(|refused| refused.error.message);
        Trouble::failure(match said {
            Ok(said) => said,
            Err(_) if status == http::StatusCode::UNAUTHORIZED => format!(
                "the gateway at {} wants a key with the scope 'admin': put it into {TOKEN_VARIABLE}, or name its file \
                 with --token-file",
                self.base
            ),
            Err(_) => {
                format!("what answers at {} says {status} and is no administration interface", self.base)
            }
        })
    }
}

/// The scheme, host and port of the gateway, and whether it is the configuration that says that it is on this machine.
fn base(remote: &Remote, before: Option<PathBuf>) -> Result<(String, bool), Trouble> {
    let usage = |message: String| Trouble { code: exit::USAGE, message };
    let named = remote.url.clone().or_else(|| {
        let unset = remote.config.is_none() && before.is_none();
        std::env::var(URL_VARIABLE).ok().filter(|url| unset && !url.is_empty())
    });
    if let Some(url) = named {
        let uri: Uri = url.parse().map_err(|_| usage(format!("'{url}' is no URL")))?;
        return match (uri.scheme_str(), uri.authority()) {
            (Some(scheme @ ("http" | "https")), Some(host)) => Ok((format!("{scheme}://{host}"), false)),
            _ => Err(usage(format!("'{url}' is no URL of a gateway, such as http://127.0.0.1:6270"))),
        };
    }
    let sources = Sources::of_process(remote.config.clone().or(before), Vec::new())
        .map_err(|error| Trouble::failure(format!("cannot find out where this program is: {error}")))?;
    let listens = config::where_it_listens(sources)
        .map_err(|faults| Trouble { code: exit::CONFIGURATION, message: faults.to_string() })?;
    Ok((listens.base(), listens.is_here()))
}

/// The key. It never comes by the command line, where everybody could read it.
fn token(remote: &Remote) -> Result<Option<HeaderValue>, Trouble> {
    let text = match &remote.token_file {
        Some(path) => std::fs::read_to_string(path).map_err(|error| {
            Trouble::failure(format!("cannot read the key from {}: {error}", path.display()))
        })?,
        None => match std::env::var(TOKEN_VARIABLE) {
            Ok(text) if !text.is_empty() => text,
            _ => return Ok(None),
        },
    };
    let mut value = HeaderValue::from_str(&format!("Bearer {}", text.trim()))
        .map_err(|_| Trouble::failure("the key holds characters that no header may carry"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// The innermost reason, which is the one that helps.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
