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
use crate::config::{self, Anonymous, Auth};
use crate::store::Store;

use super::bearer::{Bearer, bearer};
use super::caller::Caller;
use super::issuer::{self, Fetch, Issuer};
use super::jwt::{Fault, claimed_issuer};
use super::key::KEY_PREFIX;
use super::keys::{KEY_PRINCIPAL, Keys, Verdict};

/// What the guard goes by.
pub struct GuardOptions {
    /// `[auth]`.
    pub auth: Auth,
    /// Makes the way to an issuer's documents.
    pub fetch: MakeFetch,
}

/// Makes the way to the documents of an issuer.
pub type MakeFetch = fn(&config::Issuer) -> Fetch;

/// Lets callers in, or not. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Guard(Arc<Inner>);

struct Inner {
    auth: ArcSwap<Auth>,
    keys: Arc<Keys>,
    issuers: ArcSwap<Vec<Arc<Issuer>>>,
    fetch: MakeFetch,
    /// Counts the times when a credential has ceased to be good.
    ended: watch::Sender<u64>,
    stop: CancellationToken,
    anonymous: ArcSwap<Unknown>,
}

/// Those who show no credential.
struct Unknown {
    /// Somebody who is certain to be on this machine.
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
    /// A credential that was good once.
    Expired(&'static str),
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
            Refusal::Expired(_) => "expired",
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
            Refusal::Invalid(_) | Refusal::Expired(_) => Some("invalid_token"),
            Refusal::Several => Some("invalid_request"),
            Refusal::Scope => Some("insufficient_scope"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Missing => {
                "this gateway wants to know who is calling: send Authorization: Bearer and a key or a token"
            }
            Refusal::Invalid(why) | Refusal::Expired(why) => why,
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

/// What the principals of those begin with who are inside the process.
const LOCAL: &str = "local";

/// The issuers of a configuration: those that were there before and are the same go on.
fn renew_issuers(
    auth: &Auth,
    before: &[Arc<Issuer>],
    fetch: MakeFetch,
    stop: &CancellationToken,
) -> Vec<Arc<Issuer>> {
    let renew = |config: &config::Issuer| match before.iter().find(|known| known.config() == config) {
        Some(known) => Arc::clone(known),
        None => Issuer::start(config.clone(), fetch(config), stop),
    };
    auth.issuers.iter().map(renew).collect()
}

impl Guard {
    /// A guard that follows the keys in `store` until `stop`.
    pub async fn start(options: GuardOptions, store: Store, stop: CancellationToken) -> Guard {
        let ended = watch::Sender::default();
        let keys = Arc::new(Keys::new(ended.clone()));
        // What was not read in time, or went wrong, is tried again at once by the task.
        let read = tokio::time::timeout(FIRST_READ, keys.renew(&store, None)).await;
        tokio::spawn(Arc::clone(&keys).follow(store, read.ok().and_then(Result::ok), stop.clone()));
        let unknown = Unknown { local: Caller::anonymous(true), stranger: Caller::anonymous(false) };
        let fetch = options.fetch;
        let issuers = renew_issuers(&options.auth, &[], fetch, &stop);
        Guard(Arc::new(Inner {
            auth: ArcSwap::from_pointee(options.auth),
            keys,
            issuers: ArcSwap::from_pointee(issuers),
            fetch,
            ended,
            stop,
            anonymous: ArcSwap::from_pointee(unknown),
        }))
    }

    /// Who sends an exchange with these headers.
    pub async fn authenticate(&self, headers: &HeaderMap, peer: Peer) -> Result<Caller, Refusal> {
        match bearer(headers) {
            Bearer::Several => Err(Refusal::Several),
            Bearer::Token(token) if token.starts_with(KEY_PREFIX) => self.key(token),
            Bearer::Token(token) if !self.0.issuers.load().is_empty() => self.token(token).await,
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
        let before = self.0.issuers.load_full();
        let issuers = renew_issuers(&auth, &before, self.0.fetch, &self.0.stop);
        let gone: Vec<_> =
            before.iter().filter(|old| !issuers.iter().any(|new| Arc::ptr_eq(old, new))).cloned().collect();
        let anonymous = auth.anonymous;
        let known_before = self.0.auth.swap(Arc::new(auth)).anonymous;
        self.0.issuers.store(Arc::new(issuers));
        for issuer in &gone {
            issuer.retire();
        }
        if self.shut_out(known_before, anonymous) || !gone.is_empty() {
            self.0.ended.send_modify(|count| *count += 1);
        }
    }

    /// Ends what those have opened who showed no credential and are not let in without one any more. Answers whether
    /// there are such.
    fn shut_out(&self, before: Anonymous, now: Anonymous) -> bool {
        let local = now == Anonymous::Never && before != Anonymous::Never;
        let strangers = now != Anonymous::Always && before == Anonymous::Always;
        if local || strangers {
            let known = self.0.anonymous.load_full();
            // Whoever comes once they are let in again is not of those who were sent away.
            let next = |ends: bool, known: &Caller, local: bool| match ends {
                true => Caller::anonymous(local),
                false => known.clone(),
            };
            self.0.anonymous.store(Arc::new(Unknown {
                local: next(local, &known.local, true),
                stranger: next(strangers, &known.stranger, false),
            }));
            let _ = (local && known.local.end(), strangers && known.stranger.end());
        }
        local || strangers
    }

    /// Where tokens come from that are taken here.
    pub fn issuers(&self) -> Vec<String> {
        self.0.issuers.load().iter().map(|issuer| issuer.config().url.as_str().to_owned()).collect()
    }

    /// Scopes that a credential must have.
    pub fn required_scopes(&self) -> Vec<String> {
        self.0.auth.load().required_scopes.clone()
    }

    /// Whether somebody who was let in would be let in still.
    pub fn is_in_force(&self, principal: &Principal) -> bool {
        let name = principal.as_str();
        match name.split_once(':') {
            Some(_) if name.starts_with(KEY_PRINCIPAL) => {
                self.0.keys.is_in_force(principal, SystemTime::now())
            }
            Some((LOCAL, _)) => true,
            None => self.0.auth.load().anonymous != Anonymous::Never,
            // Tokens end by themselves, and their principal comes back with the next one.
            Some((issuer, _)) => self.0.issuers.load().iter().any(|known| known.config().name == issuer),
        }
    }

    /// Changes whenever a credential has ceased to be good.
    pub fn ended(&self) -> watch::Receiver<u64> {
        self.0.ended.subscribe()
    }

    async fn token(&self, token: &str) -> Result<Caller, Refusal> {
        let issuers = self.0.issuers.load_full();
        let claimed = claimed_issuer(token).ok_or(Refusal::Invalid(Fault::Malformed.as_str()))?;
        let issuer = issuers.iter().find(|issuer| issuer.config().url.as_str() == claimed);
        let issuer = issuer.ok_or(Refusal::Invalid(Fault::Issuer.as_str()))?;
        match issuer.check(token, SystemTime::now()).await {
            issuer::Verdict::Known(caller) => self.in_scope(caller),
            issuer::Verdict::Unavailable => Err(Refusal::Unavailable),
            // Its signature was right: nobody has been guessing.
            issuer::Verdict::Bad(Fault::Expired) => Err(Refusal::Expired(Fault::Expired.as_str())),
            issuer::Verdict::Bad(fault) => Err(Refusal::Invalid(fault.as_str())),
        }
    }

    fn key(&self, token: &str) -> Result<Caller, Refusal> {
        match self.0.keys.check(token, SystemTime::now()) {
            Verdict::Known(caller) => self.in_scope(caller),
            Verdict::Expired => Err(Refusal::Expired("the API key has expired")),
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
            Anonymous::Loopback | Anonymous::Always if local => Ok(self.0.anonymous.load().local.clone()),
            Anonymous::Always => Ok(self.0.anonymous.load().stranger.clone()),
            Anonymous::Never | Anonymous::Loopback => Err(Refusal::Missing),
        }
    }
}

impl fmt::Debug for GuardOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardOptions").field("auth", &self.auth).finish_non_exhaustive()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("auth", &self.auth).finish_non_exhaustive()
    }
}
