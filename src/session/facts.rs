//! What a session id carries, and its form under the seal.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::base::{Principal, SealKey, Version};
use crate::protocol::ClientCapabilities;

/// Sets session ids apart from everything else that is sealed with the same key.
const PURPOSE: &[u8] = b"trunkline session v2";
/// Bytes kept of a client's name and of its version: enough to recognise it, and the id stays far below 1 KB.
const MAX_TEXT: usize = 64;

/// Everything that the gateway needs to carry on with a session, in any process that has the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The version agreed on.
    pub version: Version,
    /// The endpoint it was opened at: a server's name, or empty for the merged one.
    pub endpoint: String,
    /// Who opened it.
    pub principal: Principal,
    /// What the client can be asked.
    pub capabilities: ClientCapabilities,
    /// When it was opened, in whole seconds since 1970.
    pub issued: u64,
    /// The client's name, cut short.
    pub client_name: String,
    /// The client's version, cut short.
    pub client_version: String,
}

impl Facts {
    /// Whether a session that nobody has used since it was opened has run out by `now`.
    pub fn expired(&self, ttl: Duration, now: SystemTime) -> bool {
        seconds(now) >= self.issued.saturating_add(ttl.as_secs())
    }

    /// When the id is void by itself.
    pub fn expires_at(&self, ttl: Duration) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.issued) + ttl
    }

    /// The session id.
    pub fn seal(&self, key: &SealKey) -> String {
        let version = Version::ALL.iter().position(|known| *known == self.version).unwrap_or(0);
        let mut payload = vec![version as u8, self.capabilities.bits()];
        payload.extend_from_slice(&self.issued.to_be_bytes());
        // A principal is never cut: two that begin alike must not become one.
        let texts = [(&*self.endpoint, MAX_TEXT), (self.principal.as_str(), usize::from(u16::MAX))];
        let client = [(&*self.client_name, MAX_TEXT), (&*self.client_version, MAX_TEXT)];
        for (text, cap) in texts.into_iter().chain(client) {
            let kept = cut(text, cap);
            payload.extend_from_slice(&(kept.len() as u16).to_be_bytes());
            payload.extend_from_slice(kept.as_bytes());
        }
        key.seal(PURPOSE, &payload)
    }

    /// Reads a session id; `None` for anything that this key has not sealed as one.
    pub fn open(id: &str, key: &SealKey) -> Option<Facts> {
        let payload = key.open(PURPOSE, id)?;
        let ([version, capabilities], rest) = payload.split_first_chunk::<2>()?;
        let (issued, mut rest) = rest.split_at_checked(8)?;
        let mut text = || {
            let (length, tail) = rest.split_first_chunk::<2>()?;
            let (text, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            rest = tail;
            String::from_utf8(text.to_vec()).ok()
        };
        Some(Facts {
            version: *Version::ALL.get(usize::from(*version))?,
            capabilities: ClientCapabilities::from_bits(*capabilities),
            issued: u64::from_be_bytes(issued.try_into().ok()?),
            endpoint: text()?,
            principal: Principal::named(&text()?),
            client_name: text()?,
            client_version: text()?,
        })
    }
}

/// Whole seconds since 1970.
pub fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The beginning of `text`, cut at a character's boundary.
fn cut(text: &str, cap: usize) -> &str {
    let mut end = text.len().min(cap);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            version: Version::V2025_06_18,
            endpoint: "files".to_owned(),
            principal: Principal::anonymous(),
            capabilities: ClientCapabilities::read(r#"{"sampling":{},"roots":{}}"#),
            issued: 1_000_000,
            client_name: "client".to_owned(),
            client_version: "1.2".to_owned(),
        }
    }

    #[test]
    fn an_id_carries_everything_and_stays_short() {
        let key = SealKey::random();
        let long = Facts { client_name: "ü".repeat(500), client_version: "9".repeat(500), ..facts() };
        let id = long.seal(&key);
        assert!(id.len() <= 1024, "{}", id.len());
        assert_eq!(Facts::open(&id, &key).unwrap().client_name, "ü".repeat(32));
        assert_eq!(Facts::open(&facts().seal(&key), &key), Some(facts()));
        assert_ne!(facts().seal(&key), facts().seal(&key), "two sessions must not share an id");
    }

    #[test]
    fn principals_that_begin_alike_do_not_become_one() {
        let key = SealKey::random();
        let principal = Principal::named(&format!("oidc:https://issuer.example/{}#1", "x".repeat(300)));
        let sealed = Facts { principal: principal.clone(), ..facts() }.seal(&key);
        assert_eq!(Facts::open(&sealed, &key).unwrap().principal, principal);
    }

    #[test]
    fn another_key_or_a_changed_letter_opens_nothing() {
        let key = SealKey::random();
        let id = facts().seal(&key);
        assert_eq!(Facts::open(&id, &SealKey::random()), None);
        assert_eq!(Facts::open(&id[1..], &key), None);
        assert_eq!(Facts::open("", &key), None);
    }

    #[test]
    fn a_session_runs_out_after_its_time() {
        let ttl = Duration::from_secs(60);
        let opened = UNIX_EPOCH + Duration::from_secs(1_000_000);
        assert!(!facts().expired(ttl, opened + Duration::from_secs(59)));
        assert!(facts().expired(ttl, opened + Duration::from_secs(60)));
    }
}
