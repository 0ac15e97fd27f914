//! Keys and rules as the interface shows them.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::store::StoredKey;

/// All API keys, the oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Keys {
    /// One each.
    pub keys: Vec<Key>,
}

/// An API key; the key itself is known to its holder alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// Whose it is.
    pub name: String,
    /// Its holder in log, limits and policy.
    pub principal: String,
    /// The beginning of the key, by which people recognise it.
    pub key: String,
    /// What it is good for.
    pub scopes: Vec<String>,
    /// `in_force`, `expired` or `revoked`.
    pub state: String,
    /// When it was made, in seconds since 1970, as all times here.
    pub created_at: u64,
    /// From when on it is void.
    pub expires_at: Option<u64>,
    /// When it was revoked.
    pub revoked_at: Option<u64>,
}

impl Key {
    /// What may be shown of a key.
    pub fn of(key: &StoredKey, now: SystemTime) -> Key {
        let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let state = match (key.revoked_at, key.expires_at) {
            (Some(_), _) => "revoked",
            (None, Some(end)) if end <= now => "expired",
            _ => "in_force",
        };
        Key {
            name: key.name.clone(),
            principal: format!("key:{}", key.name),
            key: key.hint.clone(),
            scopes: key.scopes.clone(),
            state: state.to_owned(),
            created_at: seconds(key.created_at),
            expires_at: key.expires_at.map(seconds),
            revoked_at: key.revoked_at.map(seconds),
        }
    }
}

/// What the rules say of a caller and a thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// Whether the caller may use it.
    pub allowed: bool,
    /// Who.
    pub principal: String,
    /// `tool`, `prompt`, `resource` or `service`.
    pub kind: String,
    /// Whose it is.
    pub server: String,
    /// Its own name there, or its URI; empty for a service.
    pub name: String,
    /// The key that decides.
    pub key: String,
    /// Its pattern that covers the thing, if it is a rule's.
    pub pattern: Option<String>,
    /// Where the key was set, if anybody set it.
    pub place: Option<String>,
    /// All of it in one sentence without an end.
    pub reason: String,
    /// Whether the answer is another for a thing that says other things of itself.
    pub by_hints: bool,
}
