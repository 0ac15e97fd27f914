//! Finding out which era a server speaks, and opening the link in it.
//!
//! Specification 2026-07-28, "Backward Compatibility" of `basic/transports/stdio` and
//! `basic/transports/streamable-http`: probe with `server/discover`; a result or a recognised modern error means
//! modern, anything else that is an answer means legacy. Failures that say nothing of the era (the network, 5xx,
//! credentials) are no verdict.

use std::time::Duration;

use crate::base::{Era, ErrorKind, Version, error::code};
use crate::protocol::params::key;
use crate::protocol::{Kind, Message, method, skim, write};

use super::fault::Fault;
use super::link::{Link, own_request, result_of};
use super::mailbox::Event;
use super::peer::Peer;

/// A silent server is taken for a legacy one after this long. Servers of either era answer an unknown method at
/// once when they are up, but `npx` and `uvx` may first fetch them; a late answer is still heard, see
/// [`discover_then_initialize`].
const SILENCE: Duration = Duration::from_secs(3);

/// What is known of the server's era beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Nothing: probe.
    Unknown,
    /// The last verdict, from memory or from the store. It is checked by use, and dropped when it proves wrong.
    Remembered(Era),
    /// The configuration says so (`protocol = …`).
    Configured(Era),
}

/// Opens the link. `deadline` bounds the whole handshake.
pub async fn handshake(link: &Link, hint: Hint, deadline: Duration) -> Result<Peer, Fault> {
    let opened = async {
        match hint {
            Hint::Configured(Era::Modern) => discover(link).await.and_then(|found| found.modern(link)),
            Hint::Configured(Era::Legacy) | Hint::Remembered(Era::Legacy) => initialize(link).await,
            Hint::Remembered(Era::Modern) | Hint::Unknown => discover_then_initialize(link).await,
        }
    };
    tokio::time::timeout(deadline, opened).await.unwrap_or_else(|_| {
        Err(Fault::not_delivered(
            ErrorKind::Timeout,
            format!(
                "server '{}' did not finish its handshake within {deadline:?} (start_timeout)",
                link.name()
            ),
        ))
    })
}

/// What a probe found.
enum Found {
    Modern(Peer),
    /// A modern server that does not speak our version; the versions it named.
    OtherVersions(String),
    Legacy,
}

impl Found {
    fn modern(self, link: &Link) -> Result<Peer, Fault> {
        match self {
            Found::Modern(peer) => Ok(peer),
            Found::OtherVersions(versions) => Err(Fault::not_delivered(
                ErrorKind::UnsupportedVersion,
                format!(
                    "server '{}' speaks {versions} only, this gateway {}",
                    link.name(),
                    Version::LATEST_MODERN
                ),
            )),
            Found::Legacy => Err(Fault::not_delivered(
                ErrorKind::UnsupportedVersion,
                format!(
                    "server '{}' is configured as protocol = \"modern\" but speaks an older version",
                    link.name()
                ),
            )),
        }
    }
}

/// Probes, and falls back. A server that stays silent gets `initialize` while the probe goes on waiting. One that was only
/// slow to start then has both: if it takes `initialize`, its process speaks the old era from there on, whatever it says to
/// the probe (2026-07-28, `basic/transports/stdio`, "Backward Compatibility"); if it refuses it, it is modern.
async fn discover_then_initialize(link: &Link) -> Result<Peer, Fault> {
    let probe = discover(link);
    tokio::pin!(probe);
    let found = match tokio::time::timeout(SILENCE, &mut probe).await {
        Ok(found) => found?,
        Err(_) if matches!(link, Link::Http(_)) => probe.await?,
        Err(_) => {
            let opening = initialize(link);
            tokio::pin!(opening);
            tokio::select! {
                biased;
                // It has `initialize` already; a second one would break the protocol.
                found = &mut probe => return match (found?, tokio::time::timeout(SILENCE, &mut opening).await) {
                    (_, Ok(Ok(peer))) => Ok(peer),
                    (Found::Legacy, Ok(Err(fault))) => Err(fault),
                    (Found::Legacy, Err(_)) => opening.await,
                    (modern, _) => modern.modern(link),
                },
                peer = &mut opening => return peer,
            }
        }
    };
    match found {
        Found::Legacy => initialize(link).await,
        modern => modern.modern(link),
    }
}

/// Probes. A server that refuses our version and names that very version among those that it speaks gets a second chance
/// (2026-07-28, `basic/versioning`: the client "SHOULD select a mutually supported version and retry").
async fn discover(link: &Link) -> Result<Found, Fault> {
    if let Link::Http(http) = link {
        http.set_session(None);
        http.set_version(Some(Version::LATEST_MODERN));
    }
    match probe(link).await? {
        Found::OtherVersions(versions) if names_ours(&versions) => probe(link).await,
        found => Ok(found),
    }
}

fn names_ours(versions: &str) -> bool {
    versions.contains(&format!("\"{}\"", Version::LATEST_MODERN))
}

async fn probe(link: &Link) -> Result<Found, Fault> {
    let params = format!(r#"{{"_meta":{{{}}}}}"#, own_meta());
    let mut call = link.call(&own_request(method::DISCOVER, &params))?;
    let reply = loop {
        match call.next().await {
            Event::Note(_) | Event::Question(_) => {}
            Event::Reply(reply) => break reply,
            Event::Failed(fault) if is_legacy_answer(&fault) => return Ok(Found::Legacy),
            Event::Failed(fault) => return Err(fault),
        }
    };
    Ok(judge(&reply))
}

/// HTTP statuses without a JSON-RPC error by which a legacy server refuses a probe: the 4xx range less what speaks of
/// the caller's credentials, patience or luck.
fn is_legacy_answer(fault: &Fault) -> bool {
    use http::StatusCode as S;
    fault.status.is_some_and(|status| {
        status.is_client_error()
            && !matches!(status, S::UNAUTHORIZED | S::FORBIDDEN | S::REQUEST_TIMEOUT | S::TOO_MANY_REQUESTS)
    })
}

/// Reads the answer to a probe.
fn judge(reply: &Message) -> Found {
    let payload = reply.payload();
    if reply.kind() == Kind::Result {
        let supported = skim::field_text(payload, "supportedVersions").unwrap_or_default();
        if supported.is_empty() {
            return Found::Legacy;
        }
        if !names_ours(supported) {
            return Found::OtherVersions(supported.to_owned());
        }
        let meta = skim::field_text(payload, "_meta").unwrap_or("{}");
        return Found::Modern(Peer {
            version: Version::LATEST_MODERN,
            capabilities: skim::field_text(payload, "capabilities").unwrap_or("{}").into(),
            server_info: skim::field_text(meta, key::SERVER_INFO).unwrap_or(UNNAMED).into(),
            instructions: skim::string_field(payload, "instructions").map(|text| text.into()),
        });
    }
    let error_code = skim::field_text(payload, "code").and_then(|text| text.parse::<i64>().ok());
    match error_code {
        Some(code::UNSUPPORTED_VERSION) => {
            let data = skim::field_text(payload, "data").unwrap_or("{}");
            Found::OtherVersions(skim::field_text(data, "supported").unwrap_or("other versions").to_owned())
        }
        Some(code::HEADER_MISMATCH | code::MISSING_CAPABILITY) => {
            Found::OtherVersions("the modern era but refuses the probe".to_owned())
        }
        _ => Found::Legacy,
    }
}

/// The identity of a server that gave none.
const UNNAMED: &str = r#"{"name":"unknown","version":"unknown"}"#;

async fn initialize(link: &Link) -> Result<Peer, Fault> {
    if let Link::Http(http) = link {
        http.set_session(None);
        http.set_version(None);
    }
    let latest = Version::LATEST_LEGACY;
    let declared = link.audience().declared.to_json();
    let params =
        format!(r#"{{"protocolVersion":"{latest}","capabilities":{declared},"clientInfo":{}}}"#, own_info());
    let mut call = link.call(&own_request(method::INITIALIZE, &params))?;
    let reply = loop {
        match call.next().await {
            Event::Note(_) | Event::Question(_) => {}
            Event::Reply(reply) => break reply,
            Event::Failed(fault) => return Err(fault),
        }
    };
    let result = result_of(link.name(), &reply)?;
    let spoken = skim::string_field(result, "protocolVersion").unwrap_or_default();
    let version = Version::parse(&spoken).filter(|version| version.era() == Era::Legacy).ok_or_else(|| {
        Fault::not_delivered(
            ErrorKind::UnsupportedVersion,
            format!("server '{}' answered `initialize` with version '{spoken}', which this gateway does not know", link.name()),
        )
    })?;
    let peer = Peer {
        version,
        capabilities: skim::field_text(result, "capabilities").unwrap_or("{}").into(),
        server_info: skim::field_text(result, "serverInfo").unwrap_or(UNNAMED).into(),
        instructions: skim::string_field(result, "instructions").map(|text| text.into()),
    };
    if let Link::Http(http) = link {
        http.set_session(call.take_session());
        http.set_version(Some(version));
    }
    link.notify(write::notification(method::INITIALIZED, None)).await?;
    Ok(peer)
}

/// Who we are, as `clientInfo`.
pub fn own_info() -> String {
    format!(r#"{{"name":"trunkline","version":"{}"}}"#, env!("CARGO_PKG_VERSION"))
}

/// The fields of `_meta` that a modern request of our own carries.
pub fn own_meta() -> String {
    meta_that_declares("{}")
}

/// The same for requests about tasks, which only a client may make that says it knows them.
pub fn own_meta_with_tasks() -> String {
    meta_that_declares(r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#)
}

fn meta_that_declares(capabilities: &str) -> String {
    format!(
        r#""{}":"{}","{}":{capabilities},"{}":{}"#,
        key::PROTOCOL_VERSION,
        Version::LATEST_MODERN,
        key::CLIENT_CAPABILITIES,
        key::CLIENT_INFO,
        own_info()
    )
}
