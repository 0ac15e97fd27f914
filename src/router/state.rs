//! A server's `requestState` inside our own seal.
//!
//! The server bound its state to *our* credential; to it every client looks the same. So a client gets it only under a
//! seal that says whose it is, what it belongs to and until when (2026-07-28, `basic/patterns/mrtr`: servers "MUST
//! treat `requestState` as attacker-controlled").

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::base::seal::SealKey;
use crate::base::{Error, ErrorKind, FINGERPRINT, ServerName, fingerprint};
use crate::protocol::skim;

use super::parked::Ticket;
use super::request::Request;

/// Sets request states apart from everything else that is sealed with the same key.
const PURPOSE: &[u8] = b"trunkline request state v1";
/// How long a client may take to answer the questions: a person reads a form, fetches a password, has lunch.
const LIFETIME: Duration = Duration::from_secs(3600);

/// Sets the names of parked calls apart from servers' states.
const PARKED: &[u8] = b"trunkline parked call v1";

/// Seals `state` (raw JSON, as the server sent it) for the client of `request`; a JSON string.
pub(super) fn seal(key: &SealKey, request: &Request, server: &ServerName, state: &str) -> String {
    seal_as(PURPOSE, LIFETIME, key, request, server, state.as_bytes())
}

/// Seals the name of a parked call for the client of `request`; a JSON string.
pub(super) fn seal_ticket(
    key: &SealKey,
    request: &Request,
    server: &ServerName,
    ticket: &Ticket,
    lifetime: Duration,
) -> String {
    seal_as(PARKED, lifetime, key, request, server, ticket)
}

fn seal_as(
    purpose: &'static [u8],
    lifetime: Duration,
    key: &SealKey,
    request: &Request,
    server: &ServerName,
    what: &[u8],
) -> String {
    let expires = seconds(SystemTime::now() + lifetime);
    let payload = [&expires.to_be_bytes()[..], &binding(request, server), what].concat();
    skim::quote(&key.seal(purpose, &payload))
}

/// The name of the parked call that `sealed` (raw JSON, as the client sent it) holds for `request`. `None` if it holds
/// none at all, and may be a server's state.
pub(super) fn open_ticket(
    key: &SealKey,
    request: &Request,
    server: &ServerName,
    sealed: &str,
) -> Option<Result<Ticket, Error>> {
    let payload = skim::string(sealed).and_then(|text| key.open(PARKED, &text))?;
    Some(checked(&payload, request, server).and_then(|ticket| ticket.try_into().map_err(|_| refused())))
}

/// The state that `sealed` (raw JSON, as the client sent it) holds for `request`.
pub(super) fn open(
    key: &SealKey,
    request: &Request,
    server: &ServerName,
    sealed: &str,
) -> Result<String, Error> {
    let payload = skim::string(sealed).and_then(|text| key.open(PURPOSE, &text)).ok_or_else(refused)?;
    String::from_utf8(checked(&payload, request, server)?.to_vec()).map_err(|_| refused())
}

/// What was sealed, if it was for this request and has not run out.
fn checked<'p>(payload: &'p [u8], request: &Request, server: &ServerName) -> Result<&'p [u8], Error> {
    let (expires, rest) = payload.split_first_chunk::<8>().ok_or_else(refused)?;
    let (bound, what) = rest.split_first_chunk::<FINGERPRINT>().ok_or_else(refused)?;
    if u64::from_be_bytes(*expires) < seconds(SystemTime::now()) || *bound != binding(request, server) {
        return Err(refused());
    }
    Ok(what)
}

/// The refusal of a state, whatever is wrong with it.
pub(super) fn refused() -> Error {
    Error::new(
        ErrorKind::InvalidParams,
        "requestState is not one that was given for this request, has been used, or is too old; call anew without it",
    )
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
