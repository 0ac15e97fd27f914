//! One client on standard input and output: in front of a fleet of our own, or of a gateway that runs elsewhere.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Uri};
use http_body_util::BodyExt;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::base::{Principal, ServerName};
use crate::config::TOKEN_VARIABLE;
use crate::http::{Front, inside};
use crate::stdio::{self, Body, Gateway};
use crate::supervisor::{Fleet, State};
use crate::telemetry::{self, Format, LogOptions};
use crate::upstream::http::{ClientOptions, HttpClient};

use super::failure::Failure;
use super::stop::Stop;

/// Who is at the other end of our own standard input: whoever has started us.
const STARTER: &str = "local:stdio";
/// Calls in flight at a running gateway may take this long when the input has ended: what a gateway's own
/// `shutdown_grace` is by default.
const GRACE: Duration = Duration::from_secs(10);
/// How long a connection to a running gateway may take to come up: as for servers behind a URL.
const CONNECT: Duration = Duration::from_secs(10);
/// The longest line taken for a running gateway, which has a limit of its own (`max_body`).
const MAX_LINE: usize = 64 * 1024 * 1024;

/// Serves the client of our own standard input until it ends or the gateway stops, and then stops the gateway.
pub(super) async fn serve(front: Arc<Front>, server: Option<ServerName>, grace: Duration, stop: Stop) {
    let path = match &server {
        Some(name) => format!("/mcp/{name}"),
        None => "/mcp".to_owned(),
    };
    let fleet = front.router.fleet().clone();
    tokio::select! {
        _ = tokio::time::timeout(FIRST_LISTS, first_lists(&fleet)) => {}
        () = stop.asked.cancelled() => {}
    }
    let max_line = front.max_body.load(Ordering::Relaxed);
    let principal = Principal::named(STARTER);
    let gateway = Gateway::new(path.parse().unwrap_or_default(), HeaderMap::new(), move |request| {
        let answering = inside(Arc::clone(&front), principal.clone(), request);
        Box::pin(async move { Ok(answering.await.map(|body| Body::new(body.map_err(Into::into)))) })
    });
    let options = stdio::Options { gateway, max_line, grace };
    stdio::run(options, tokio::io::stdin(), tokio::io::stdout(), stop.asked.clone()).await;
    info!("the client has gone");
    stop.asked.cancel();
}

/// How long the client of a fleet that has only just been started is kept waiting for its lists: many clients ask for them
/// once and never again. What comes later is announced.
const FIRST_LISTS: Duration = Duration::from_secs(5);

/// Waits until every server has come up, or has been found unable to.
async fn first_lists(fleet: &Fleet) {
    for server in fleet.servers().iter() {
        // A status that nobody writes any more will not change.
        let _ = server.status().wait_for(|status| status.state != State::Starting).await;
    }
}

/// A gateway that runs elsewhere.
#[derive(Debug)]
pub struct Connect {
    /// Where it listens.
    pub url: String,
    /// The server whose endpoint is wanted.
    pub server: Option<ServerName>,
    /// The variable that holds the credential.
    pub token_env: Option<String>,
    /// The file that holds it.
    pub token_file: Option<PathBuf>,
    /// The authorities to trust.
    pub ca_file: Option<PathBuf>,
}

/// Bridges our own standard input and output to a gateway that runs elsewhere.
pub fn connect(connect: Connect) -> Result<(), Failure> {
    // Whoever reads our log asked for a bridge and has a gateway with a log of its own.
    let (log, _) = telemetry::init(&LogOptions { filter: "warn".to_owned(), format: Format::Text })?;
    let url = endpoint(&connect)?;
    let client = HttpClient::new(&ClientOptions {
        https: url.scheme_str() == Some("https"),
        connect_timeout: CONNECT,
        ca_file: connect.ca_file.clone(),
        ..ClientOptions::default()
    })?;
    let mut headers = HeaderMap::new();
    if let Some(token) = token(&connect)? {
        headers.insert(AUTHORIZATION, token);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let bridged = runtime.block_on(async move {
        let stop = Stop::on_signals()?;
        let options =
            stdio::Options { gateway: stdio::remote(client, url, headers), max_line: MAX_LINE, grace: GRACE };
        let asked: CancellationToken = stop.asked.clone();
        stdio::run(options, tokio::io::stdin(), tokio::io::stdout(), asked).await;
        Ok(())
    });
    // A read of standard input that nobody ends must not keep the process.
    runtime.shutdown_background();
    log.flush();
    bridged
}

/// The MCP endpoint behind the URL, which may name the gateway, `/mcp`, or a server's endpoint.
fn endpoint(connect: &Connect) -> Result<Uri, Failure> {
    let refused = || Failure::Url(connect.url.clone());
    let given: Uri = connect.url.parse().map_err(|_| refused())?;
    if !matches!(given.scheme_str(), Some("http" | "https")) || given.authority().is_none() {
        return Err(refused());
    }
    let path = given.path().trim_end_matches('/');
    let base = if path.is_empty() { "/mcp" } else { path };
    let path = match &connect.server {
        Some(server) => format!("{base}/{server}"),
        None => base.to_owned(),
    };
    let mut parts = given.clone().into_parts();
    parts.path_and_query = Some(path.parse().map_err(|_| refused())?);
    Uri::from_parts(parts).map_err(|_| refused())
}

/// The credential, as the header that carries it. It never comes by the command line, where everybody could read it.
fn token(connect: &Connect) -> Result<Option<HeaderValue>, Failure> {
    let (place, text) = match (&connect.token_file, &connect.token_env) {
        (Some(path), _) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::Credential { path: path.clone(), reason: error.to_string() })?;
            (path.clone(), text)
        }
        (None, Some(name)) => {
            let text = std::env::var(name).map_err(|_| Failure::NoCredential(name.clone()))?;
            (PathBuf::from(name), text)
        }
        (None, None) => match std::env::var(TOKEN_VARIABLE) {
            Ok(text) => (PathBuf::from(TOKEN_VARIABLE), text),
            Err(_) => return Ok(None),
        },
    };
    let mut value = HeaderValue::from_str(&format!("Bearer {}", text.trim())).map_err(|_| {
        Failure::Credential { path: place, reason: "it holds characters that no header may carry".to_owned() }
    })?;
    value.set_sensitive(true);
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(url: &str, server: Option<&str>) -> Connect {
        let server = server.map(|name| ServerName::new(name).unwrap());
        Connect { url: url.to_owned(), server, token_env: None, token_file: None, ca_file: None }
    }

    #[test]
    fn a_gateway_is_found_by_its_address_or_its_endpoint() {
        for (url, server, expected) in [
            ("http://127.0.0.1:6270", None, "http://127.0.0.1:6270/mcp"),
            ("https://gateway.example/", Some("files"), "https://gateway.example/mcp/files"),
            ("http://h:1/mcp", Some("files"), "http://h:1/mcp/files"),
            ("http://h:1/mcp/files/", None, "http://h:1/mcp/files"),
        ] {
            assert_eq!(endpoint(&to(url, server)).unwrap().to_string(), expected);
        }
        for url in ["127.0.0.1:6270", "ftp://h/", "nonsense", ""] {
            assert!(endpoint(&to(url, None)).is_err(), "{url}");
        }
    }

    #[test]
    fn a_credential_comes_from_a_file_and_is_not_printed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "secret-word\n").unwrap();
        let connect = Connect { token_file: Some(path), ..to("http://h", None) };
        let value = token(&connect).unwrap().unwrap();
        assert_eq!(value.as_bytes(), b"Bearer secret-word");
        assert!(!format!("{value:?}").contains("secret"));
        let missing = Connect { token_file: Some(folder.path().join("none")), ..to("http://h", None) };
        assert!(token(&missing).is_err());
        let missing = Connect { token_env: Some("TRUNKLINE_NO_SUCH".to_owned()), ..to("http://h", None) };
        assert!(token(&missing).is_err());
    }
}
