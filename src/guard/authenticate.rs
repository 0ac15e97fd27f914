//! From the credential of an exchange to its caller, or to the reason why it is refused.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use http::HeaderMap;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::base::Principal;
use crate::config::{Anonymous, Auth};
use crate::store::Store;

use super::bearer::{Bearer, bearer};
use super::caller::Caller;
use super::key::KEY_PREFIX;
use super::keys::{KEY_PRINCIPAL, Keys, Verdict};

/// What the guard goes by.
#[derive(Debug)]
pub struct GuardOptions {
    /// `[auth]`.
    pub auth: Auth,
}

/// Lets callers in, or not. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Guard(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    auth: ArcSwap<Auth>,
    keys: Arc<Keys>,
    local: Caller,
    stranger: Caller,
}

/// Where an exchange comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The client's address.
    pub address: IpAddr,
    /// Whether something shows that a proxy which nobody has named stands between.
    pub relayed: bool,
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No credential, where one is needed.
    Missing,
    /// A credential that is not good, with the reason. It tells the holder nothing that they could not know.
    Invalid(&'static str),
    /// More than one credential, so that one cannot tell whose exchange it is.
    Several,
    /// A good credential without the scopes that are needed.
    Scope,
    /// The credential cannot be checked now.
    Unavailable,
    /// A credential that is not good, after too many others from the same place.
    Limited(Duration),
}

impl Refusal {
    /// The word for metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Refusal::Missing => "missing",
            Refusal::Invalid(_) => "invalid",
            Refusal::Several => "several",
            Refusal::Scope => "scope",
            Refusal::Unavailable => "unavailable",
            Refusal::Limited(_) => "limited",
        }
    }

    /// The error code of RFC 6750 §3.1; none where no credential was shown, or none could be looked at.
    pub const fn code(self) -> Option<&'static str> {
        match self {
            Refusal::Missing | Refusal::Unavailable | Refusal::Limited(_) => None,
            Refusal::Invalid(_) => Some("invalid_token"),
            Refusal::Several => Some("invalid_request"),
            Refusal::Scope => Some("insufficient_scope"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Missing => {
                "this gateway wants to know who is calling: send Authorization: Bearer and a key"
            }
            Refusal::Invalid(why) => why,
            Refusal::Several => "there is more than one Authorization header",
            Refusal::Scope => "the credential lacks a scope that is needed here",
            Refusal::Limited(_) => "too many wrong credentials from this address; try again later",
            Refusal::Unavailable => "credentials cannot be checked at the moment",
        })
    }
}

/// How long the start waits for the keys: the store answers in a few milliseconds, or is in trouble, and then those who
/// show a key are told to come again.
const FIRST_READ: Duration = Duration::from_millis(250);

impl Guard {
    /// A guard that follows the keys in `store` until `stop`.
    pub async fn start(options: GuardOptions, store: Store, stop: CancellationToken) -> Guard {
        let keys = Arc::new(Keys::default());
        // What was not read in time, or went wrong, is tried again at once by the task.
        let read = tokio::time::timeout(FIRST_READ, keys.renew(&store, None)).await;
        tokio::spawn(Arc::clone(&keys).follow(store, read.ok().and_then(Result::ok), stop));
        let (local, stranger) = (Caller::anonymous(true), Caller::anonymous(false));
        Guard(Arc::new(Inner { auth: ArcSwap::from_pointee(options.auth), keys, local, stranger }))
    }

    /// Who sends an exchange with these headers.
    pub fn authenticate(&self, headers: &HeaderMap, peer: Peer) -> Result<Caller, Refusal> {
        match bearer(headers) {
            Bearer::Several => Err(Refusal::Several),
            Bearer::Token(token) if token.starts_with(KEY_PREFIX) => self.key(token),
            // Who would be let in without it gains nothing by it: clients of services send made-up keys because their
            // libraries insist, and something in front of us may pass on what it was shown.
            foreign => self.anonymous(peer).map_err(|why| match foreign {
                Bearer::Token(_) => Refusal::Invalid("this token is not one that the gateway knows"),
                Bearer::Foreign => Refusal::Invalid("Authorization is not Bearer and one token"),
                Bearer::None | Bearer::Several => why,
            }),
        }
    }

    /// Takes another `[auth]`, from the next exchange on.
    pub fn replace(&self, auth: Auth) {
        self.0.auth.store(Arc::new(auth));
    }

    /// Scopes that a credential must have.
    pub fn required_scopes(&self) -> Vec<String> {
        self.0.auth.load().required_scopes.clone()
    }

    /// Whether somebody who was let in by a credential would be let in still.
    pub fn is_in_force(&self, principal: &Principal) -> bool {
        !principal.as_str().starts_with(KEY_PRINCIPAL)
            || self.0.keys.is_in_force(principal, SystemTime::now())
    }

    /// Changes whenever a credential has ceased to be good.
    pub fn ended(&self) -> watch::Receiver<u64> {
        self.0.keys.ended()
    }

    fn key(&self, token: &str) -> Result<Caller, Refusal> {
        match self.0.keys.check(token, SystemTime::now()) {
            Verdict::Known(caller) => self.in_scope(caller),
            Verdict::Expired => Err(Refusal::Invalid("the API key has expired")),
            Verdict::Unknown => Err(Refusal::Invalid("the API key is not, or no longer, valid here")),
            Verdict::Unread => Err(Refusal::Unavailable),
        }
    }

    fn in_scope(&self, caller: Caller) -> Result<Caller, Refusal> {
        let all = self.0.auth.load().required_scopes.iter().all(|scope| caller.has_scope(scope));
        if all { Ok(caller) } else { Err(Refusal::Scope) }
    }

    fn anonymous(&self, peer: Peer) -> Result<Caller, Refusal> {
        let local = peer.address.to_canonical().is_loopback() && !peer.relayed;
        match self.0.auth.load().anonymous {
            Anonymous::Loopback | Anonymous::Always if local => Ok(self.0.local.clone()),
            Anonymous::Always => Ok(self.0.stranger.clone()),
            Anonymous::Never | Anonymous::Loopback => Err(Refusal::Missing),
        }
    }
}
