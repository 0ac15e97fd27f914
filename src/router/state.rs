//! A server's `requestState` inside our own seal.
//!
//! The server bound its state to *our* credential; to it every client looks the same. So a client gets it only under a
//! seal that says whose it is, what it belongs to and until when (2026-07-28, `basic/patterns/mrtr`: servers "MUST
//! treat `requestState` as attacker-controlled").

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::base::seal::SealKey;
use crate::base::{Error, ErrorKind, FINGERPRINT, ServerName, fingerprint};
use crate::protocol::skim;

use super::request::Request;

/// Sets request states apart from everything else that is sealed with the same key.
const PURPOSE: &[u8] = b"trunkline request state v1";
/// How long a client may take to answer the questions: a person reads a form, fetches a password, has lunch.
const LIFETIME: Duration = Duration::from_secs(3600);

/// Seals `state` (raw JSON, as the server sent it) for the client of `request`; a JSON string.
pub(super) fn seal(key: &SealKey, request: &Request, server: &ServerName, state: &str) -> String {
    let expires = seconds(SystemTime::now() + LIFETIME);
    let payload = [&expires.to_be_bytes()[..], &binding(request, server), state.as_bytes()].concat();
    skim::quote(&key.seal(PURPOSE, &payload))
}

/// The state that `sealed` (raw JSON, as the client sent it) holds for `request`.
pub(super) fn open(
    key: &SealKey,
    request: &Request,
    server: &ServerName,
    sealed: &str,
) -> Result<String, Error> {
    let refused = || {
        Error::new(
            ErrorKind::InvalidParams,
            "requestState is not one that was given for this request, or is too old",
        )
    };
    let payload = skim::string(sealed).and_then(|text| key.open(PURPOSE, &text)).ok_or_else(refused)?;
    let (expires, rest) = payload.split_first_chunk::<8>().ok_or_else(refused)?;
    let (bound, state) = rest.split_first_chunk::<FINGERPRINT>().ok_or_else(refused)?;
    if u64::from_be_bytes(*expires) < seconds(SystemTime::now()) || *bound != binding(request, server) {
        return Err(refused());
    }
    String::from_utf8(state.to_vec()).map_err(|_| refused())
}

/// What a state is bound to: the principal, the endpoint, the server, the method, what it names and what it is given.
fn binding(request: &Request, server: &ServerName) -> [u8; FINGERPRINT] {
    let text = request.message.as_str();
    let named = request.params.name.clone().or(request.params.uri.clone()).map_or("", |span| &text[span]);
    let arguments = request.params.arguments.clone().map_or("", |span| &text[span]);
    let (endpoint, method) = (request.endpoint.name(), request.message.method());
    let what = format!("{}\0{endpoint}\0{server}\0{method}\0{named}\0{arguments}", request.principal);
    fingerprint(what.as_bytes())
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
