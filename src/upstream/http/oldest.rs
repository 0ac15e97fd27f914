//! The oldest transport over HTTP (2024-11-05, "HTTP with SSE"): one stream on which the server says everything, and an
//! endpoint of its choice that takes what we say. The link is the same; replies come on the stream instead of the POST's
//! own answer.

use std::sync::Arc;

use http::Uri;
use http::uri::PathAndQuery;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tracing::debug;

use crate::base::ErrorKind;
use crate::protocol::{Kind, Message, id, method, sse, write};

use super::super::fault::{Delivery, Fault};
use super::body::is_stream;
use super::events::receive;
use super::link::HttpLink;

/// The first event names the endpoint.
const ENDPOINT: &str = "endpoint";

/// The server's stream, from which the link lives.
#[derive(Debug)]
pub struct OldestStream {
    link: Arc<HttpLink>,
    body: Incoming,
    decoder: sse::Decoder,
}

impl HttpLink {
    /// Opens the stream and waits for the endpoint that the server names, which must be on the server's own origin: our
    /// credentials go there. From then on everything is sent to it.
    pub async fn open_oldest(self: &Arc<Self>) -> Result<OldestStream, Fault> {
        let response = self.open_events(None).await?;
        let status = response.status();
        if !status.is_success() || !is_stream(response.headers()) {
            let what = format!("offers no event stream at its url ({status})");
            return Err(Fault { status: Some(status), ..self.fault(ErrorKind::Unavailable, &what) });
        }
        let decoder = sse::Decoder::new(self.max_message());
        let mut stream = OldestStream { link: Arc::clone(self), body: response.into_body(), decoder };
        let first = tokio::time::timeout(self.housekeeping_timeout(), stream.next()).await;
        let named = match first {
            Ok(Ok(event)) if event.name == ENDPOINT => event.data,
            Ok(Ok(_)) => {
                return Err(self.fault(ErrorKind::ServerFailed, "does not begin its stream with an endpoint"));
            }
            Ok(Err(reason)) => return Err(self.fault(ErrorKind::ServerFailed, &reason)),
            Err(_) => {
                return Err(self.fault(ErrorKind::Timeout, "named no endpoint on its event stream in time"));
            }
        };
        let named = String::from_utf8_lossy(&named);
        let endpoint = resolve(self.url(), named.trim()).ok_or_else(|| {
            let what =
                "names an endpoint that is no URL on its own origin, where alone its credentials may go";
            self.fault(ErrorKind::Unavailable, what)
        })?;
        self.set_endpoint(endpoint);
        Ok(stream)
    }
}

impl OldestStream {
    /// Gives everything that comes to whom it belongs, until the stream ends; returns why it did. Its calls then fail:
    /// the session of this transport is its stream.
    pub async fn follow(mut self) -> String {
        let reason = loop {
            match self.next().await {
                Ok(event) => {
                    // A stream that never pauses must not keep the thread to itself.
                    tokio::task::consume_budget().await;
                    match Message::parse(event.data) {
                        Ok(message) => self.take(message),
                        Err(error) => {
                            tracing::warn!(server = %self.link.name(), %error, "skipped an event that is no MCP message");
                        }
                    }
                }
                Err(reason) => break reason,
            }
        };
        let fault = self.link.fault(ErrorKind::ServerFailed, &reason);
        self.link.close(&Fault { delivery: Delivery::Unknown, ..fault });
        reason
    }

    /// The next event with data; the error is a clause that follows the server's name.
    async fn next(&mut self) -> Result<sse::Event, String> {
        let limit = self.link.stream_idle_timeout();
        loop {
            match self.decoder.next_event() {
                Ok(Some(event)) if event.data.is_empty() => continue,
                Ok(Some(event)) => return Ok(event),
                Ok(None) => {}
                Err(error) => return Err(format!("sent too much: {error} (max_message)")),
            }
            let frame = match limit {
                None => self.body.frame().await,
                Some(limit) => tokio::time::timeout(limit, self.body.frame())
                    .await
                    .map_err(|_| format!("sent nothing on its stream for {limit:?} (stream_idle_timeout)"))?,
            };
            match frame {
                None => return Err("closed its stream".to_owned()),
                Some(Err(error)) => return Err(format!("broke its stream: {error}")),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.decoder.push(data);
                    }
                }
            }
        }
    }

    /// What a message is comes before whose it is.
    fn take(&self, message: Message) {
        match message.kind() {
            Kind::Result | Kind::Error => {
                let number = message.id_bytes().and_then(id::minted);
                match number.and_then(|number| self.link.take(number)) {
                    Some(call) => call.finish(Ok(message)),
                    None => debug!(server = %self.link.name(), "a reply to nobody"),
                }
            }
            Kind::Notification => receive(&self.link, message),
            Kind::Request if message.method() == method::PING => {
                if let Some(id) = message.id() {
                    self.link.answer(write::result(&id, b"{}"));
                }
            }
            Kind::Request => self.link.inquire_in_common(message),
        }
    }
}

/// Where `named` leads from `base` (RFC 3986 §5.2, without dot segments), if that is on the same origin.
fn resolve(base: &Uri, named: &str) -> Option<Uri> {
    let (scheme, authority) = (base.scheme()?, base.authority()?);
    let on_origin = |path: &str| {
        let path: PathAndQuery = path.parse().ok()?;
        Uri::builder().scheme(scheme.clone()).authority(authority.clone()).path_and_query(path).build().ok()
    };
    if named.starts_with("//") {
        return None;
    }
    if named.starts_with('/') {
        return on_origin(named);
    }
    if named.starts_with('?') {
        return on_origin(&format!("{}{named}", base.path()));
    }
    if let Some((scheme_named, _)) = named.split_once("://")
        && !scheme_named.contains(['/', '?'])
    {
        let target: Uri = named.parse().ok()?;
        let same =
            target.scheme() == Some(scheme) && port(&target) == port(base) && target.host() == base.host();
        let plain = target.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        return (same && plain).then_some(target);
    }
    let (folder, _) = base.path().rsplit_once('/')?;
    (!named.is_empty()).then(|| on_origin(&format!("{folder}/{named}"))).flatten()
}

fn port(uri: &Uri) -> Option<u16> {
    uri.port_u16().or(match uri.scheme_str() {
        Some("http") => Some(80),
        Some("https") => Some(443),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_leads_to_the_servers_own_origin_or_nowhere() {
        let base: Uri = "http://host:8000/a/sse?key=1".parse().unwrap();
        for (named, leads) in [
            ("/messages/?session_id=7", Some("http://host:8000/messages/?session_id=7")),
            ("messages?s=1", Some("http://host:8000/a/messages?s=1")),
            ("?s=1", Some("http://host:8000/a/sse?s=1")),
            ("http://host:8000/m?next=http://x/", Some("http://host:8000/m?next=http://x/")),
            ("m?next=http://x/", Some("http://host:8000/a/m?next=http://x/")),
            ("http://host:8001/m", None),
            ("https://host:8000/m", None),
            ("http://other:8000/m", None),
            ("http://host:8000@other/m", None),
            ("//other/m", None),
            ("javascript:alert(1)", Some("http://host:8000/a/javascript:alert(1)")),
            ("", None),
        ] {
            assert_eq!(resolve(&base, named).map(|uri| uri.to_string()).as_deref(), leads, "{named}");
        }
        let base: Uri = "https://host/sse".parse().unwrap();
        assert!(resolve(&base, "https://host:443/m").is_some(), "the default port is the same port");
    }
}
