//! What is kept of a login, and how it is sealed.

use std::fmt;

use http::Uri;
use serde::{Deserialize, Serialize};

use crate::base::seal::SealKey;
use crate::base::{Secret, random};
use crate::config::OAuth;

use super::client::{Client, unix_now};
use super::metadata::covers;
use super::token::Issued;

/// What a seal of a login is for: it opens for nothing else.
const PURPOSE: &[u8] = b"upstream login";

/// A login to one server. What it holds of secrets it never shows.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Which login it is: another number after each change.
    pub(super) serial: u64,
    /// The server's URL.
    pub(super) server: String,
    pub(super) resource: String,
    pub(super) issuer: String,
    pub(super) token_endpoint: String,
    pub(super) client_id: String,
    pub(super) client_secret: Option<Hidden>,
    /// How the client shows that it is itself.
    pub(super) method: String,
    pub(super) access_token: Hidden,
    /// When that expires, in seconds since 1970.
    pub(super) expires_at: Option<u64>,
    pub(super) refresh_token: Option<Hidden>,
    /// The scopes that were granted.
    pub(super) scopes: Vec<String>,
    /// Scopes that a request needed and the token did not have: the next login asks for them too.
    pub(super) wanted: Vec<String>,
}

/// A secret that can be written into a record.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Hidden(pub Secret);

impl Serialize for Hidden {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Hidden, D::Error> {
        Ok(Hidden(Secret::new(String::deserialize(deserializer)?)))
    }
}

/// For whom and for what a token was given out.
pub(super) struct Grounds<'a> {
    pub server: &'a Uri,
    pub resource: &'a str,
    pub issuer: &'a str,
    pub token_endpoint: &'a Uri,
    pub client: &'a Client,
    /// What was asked for; it is what was granted, where the answer does not say otherwise.
    pub scopes: &'a [String],
}

impl Record {
    /// The record of a first token.
    pub(super) fn new(grounds: &Grounds<'_>, issued: Issued) -> Record {
        Record {
            serial: random::next_u64(),
            server: grounds.server.to_string(),
            resource: grounds.resource.to_owned(),
            issuer: grounds.issuer.to_owned(),
            token_endpoint: grounds.token_endpoint.to_string(),
            client_id: grounds.client.id.clone(),
            client_secret: grounds.client.proof.secret().map(Hidden),
            method: grounds.client.proof.method().to_owned(),
            access_token: Hidden(issued.access_token),
            expires_at: expiry(issued.expires_in),
            refresh_token: issued.refresh_token.map(Hidden),
            scopes: issued.scopes.unwrap_or_else(|| grounds.scopes.to_vec()),
            wanted: Vec::new(),
        }
    }

    /// The record after a renewal. A refresh token that is not replaced goes on (RFC 6749, section 6).
    pub(super) fn renewed(&self, issued: Issued) -> Record {
        Record {
            serial: random::next_u64(),
            access_token: Hidden(issued.access_token),
            expires_at: expiry(issued.expires_in),
            refresh_token: issued.refresh_token.map(Hidden).or_else(|| self.refresh_token.clone()),
            scopes: issued.scopes.unwrap_or_else(|| self.scopes.clone()),
            ..self.clone()
        }
    }

    /// Whether the login is one to this server by this entry. Who changes the one or the other logs in anew.
    pub(super) fn fits(&self, server: &Uri, settings: &OAuth) -> bool {
        let is = |setting: &Option<String>, own: &str| setting.as_deref().is_none_or(|text| text == own);
        self.server == server.to_string()
            && covers(&self.resource, server)
            && is(&settings.issuer, &self.issuer)
            && is(&settings.client_id, &self.client_id)
    }

    /// Who gave the token out.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The scopes that were granted.
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// Whether it can be renewed without a person.
    pub fn renews(&self) -> bool {
        self.refresh_token.is_some()
    }

    /// For how many seconds the token is still good, if that is known.
    pub fn remaining(&self) -> Option<u64> {
        self.expires_at.map(|at| at.saturating_sub(unix_now()))
    }

    /// The sealed text. The server's name is inside: a file that is moved to another name is not that one's login.
    pub(super) fn seal(&self, name: &str, key: &SealKey) -> Result<String, serde_json::Error> {
        let text = serde_json::to_vec(&(name, self))?;
        Ok(key.seal(PURPOSE, &text))
    }

    /// Opens what [`Record::seal`] has made for this name under this key, unchanged.
    pub(super) fn open(name: &str, sealed: &str, key: &SealKey) -> Option<Record> {
        let text = key.open(PURPOSE, sealed.trim_end())?;
        let (whose, record): (String, Record) = serde_json::from_slice(&text).ok()?;
        (whose == name).then_some(record)
    }
}

fn expiry(expires_in: Option<u64>) -> Option<u64> {
    expires_in.map(|seconds| unix_now().saturating_add(seconds))
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("server", &self.server)
            .field("issuer", &self.issuer)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

/// Scopes that a server has asked for and that are kept for the next login or token: more than any has.
const MOST_WANTED: usize = 64;

/// Adds those of `asked` that are not in `wanted`, as many as are kept. Whether there were any: a server that goes on asking for
/// others is not followed for ever.
pub(super) fn take_up<'s>(wanted: &mut Vec<String>, asked: impl Iterator<Item = &'s String>) -> bool {
    let before = wanted.len();
    for scope in asked {
        if wanted.len() < MOST_WANTED && !wanted.contains(scope) {
            wanted.push(scope.clone());
        }
    }
    wanted.len() > before
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[test]
    fn a_server_that_asks_for_ever_other_scopes_is_not_followed_for_ever() {
        let (mut wanted, ask) =
            (Vec::new(), |number: usize| vec!["read".to_owned(), format!("scope-{number}")]);
        let followed = (0..1_000).filter(|number| take_up(&mut wanted, ask(*number).iter())).count();
        assert_eq!((followed, wanted.len()), (MOST_WANTED - 1, MOST_WANTED));
        assert!(!take_up(&mut wanted, ask(7).iter()), "what is wanted already is nothing new");
    }

    /// A login with a canary in every secret place.
    pub fn canary() -> Record {
        let hidden = |text: &str| Hidden(Secret::new(text));
        Record {
            serial: 1,
            server: "https://x.example/mcp".into(),
            resource: "https://x.example/mcp".into(),
            issuer: "https://a.example".into(),
            token_endpoint: "https://a.example/token".into(),
            client_id: "me".into(),
            client_secret: Some(hidden("canary-1")),
            method: "client_secret_basic".into(),
            access_token: hidden("canary-2"),
            expires_at: Some(1),
            refresh_token: Some(hidden("canary-3")),
            scopes: vec!["read".into()],
            wanted: Vec::new(),
        }
    }

    #[test]
    fn a_login_is_sealed_for_its_server_and_shows_no_secret() {
        let (key, record) = (SealKey::random(), canary());
        let sealed = record.seal("x", &key).unwrap();
        assert_eq!(Record::open("x", &format!("{sealed}\n"), &key), Some(record.clone()));
        assert_eq!(Record::open("y", &sealed, &key), None, "another server's name");
        assert_eq!(Record::open("x", &sealed, &SealKey::random()), None, "another key");
        assert_eq!(Record::open("x", &sealed[1..], &key), None, "a letter less");
        assert!(!format!("{record:?}{sealed}").contains("canary"));
    }

    #[test]
    fn a_login_is_good_for_its_url_its_issuer_and_its_client_only() {
        let (record, server) = (canary(), "https://x.example/mcp".parse().unwrap());
        assert!(record.fits(&server, &OAuth::default()));
        assert!(!record.fits(&"https://x.example/other".parse().unwrap(), &OAuth::default()));
        let other = OAuth { issuer: Some("https://b.example".into()), ..OAuth::default() };
        assert!(!record.fits(&server, &other));
        let other = OAuth { client_id: Some("you".into()), ..OAuth::default() };
        assert!(!record.fits(&server, &other));
    }
}
