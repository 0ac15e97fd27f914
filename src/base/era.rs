//! Protocol versions and the two eras they fall into.
//!
//! Source: specification 2026-07-28, `basic/versioning` ("Terminology"): *legacy* versions open a session with
//! `initialize`, *modern* ones carry version, identity and capabilities in each request.

use std::fmt;

/// Which of the two ways of speaking MCP a client or a server uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Era {
    /// 2024-11-05 … 2025-11-25: an `initialize` handshake, sessions, server-to-client requests.
    Legacy,
    /// 2026-07-28 and later: stateless, `_meta` on every request.
    Modern,
}

impl Era {
    /// The name used in logs, metrics and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Era::Legacy => "legacy",
            Era::Modern => "modern",
        }
    }

    /// The inverse of [`Era::as_str`].
    pub fn parse(name: &str) -> Option<Era> {
        match name {
            "legacy" => Some(Era::Legacy),
            "modern" => Some(Era::Modern),
            _ => None,
        }
    }
}

impl fmt::Display for Era {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A protocol version that the gateway implements. The order is the order of publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 2024-11-05: HTTP+SSE, no version header.
    V2024_11_05,
    /// 2025-03-26: Streamable HTTP, JSON-RPC batches, no version header.
    V2025_03_26,
    /// 2025-06-18: `MCP-Protocol-Version` header, elicitation, no batches.
    V2025_06_18,
    /// 2025-11-25: polled streams, URL elicitation, core tasks.
    V2025_11_25,
    /// 2026-07-28: the modern era.
    V2026_07_28,
}

impl Version {
    /// Every version, oldest first.
    pub const ALL: [Version; 5] = [
        Version::V2024_11_05,
        Version::V2025_03_26,
        Version::V2025_06_18,
        Version::V2025_11_25,
        Version::V2026_07_28,
    ];
    /// The version offered to a legacy peer whose own is unknown to us.
    pub const LATEST_LEGACY: Version = Version::V2025_11_25;
    /// The version offered to a modern peer.
    pub const LATEST_MODERN: Version = Version::V2026_07_28;
    /// What a request without `MCP-Protocol-Version` speaks (2025-06-18, `basic/transports`: "the server SHOULD
    /// assume protocol version 2025-03-26").
    pub const WITHOUT_HEADER: Version = Version::V2025_03_26;

    /// The wire form, a date.
    pub const fn as_str(self) -> &'static str {
        match self {
            Version::V2024_11_05 => "2024-11-05",
            Version::V2025_03_26 => "2025-03-26",
            Version::V2025_06_18 => "2025-06-18",
            Version::V2025_11_25 => "2025-11-25",
            Version::V2026_07_28 => "2026-07-28",
        }
    }

    /// The version that `text` names, if we implement it.
    pub fn parse(text: &str) -> Option<Version> {
        Version::ALL.into_iter().find(|v| v.as_str() == text)
    }

    /// The era that the version belongs to.
    pub const fn era(self) -> Era {
        match self {
            Version::V2026_07_28 => Era::Modern,
            _ => Era::Legacy,
        }
    }

    /// Whether `text` looks like a version of the modern era, implemented or not: any string that is not a known
    /// legacy version. A version that nobody knows is answered with the modern `-32022`, which lists ours.
    pub fn claims_modern(text: &str) -> bool {
        !matches!(Version::parse(text), Some(v) if v.era() == Era::Legacy)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_survive_the_round_trip_through_their_wire_form() {
        for version in Version::ALL {
            assert_eq!(Version::parse(version.as_str()), Some(version));
        }
        assert_eq!(Version::parse("1900-01-01"), None);
    }

    #[test]
    fn an_unknown_version_is_a_modern_claim_and_a_known_legacy_one_is_not() {
        assert!(Version::claims_modern("v999.0.0"));
        assert!(Version::claims_modern("2026-07-28"));
        assert!(!Version::claims_modern("2025-11-25"));
    }
}
