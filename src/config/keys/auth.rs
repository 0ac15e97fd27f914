//! Keys of `[auth]`: who may call, and how callers show who they are.

use super::*;

pub(super) const ANONYMOUS: &[&str] = &["never", "loopback", "always"];

pub(super) const ROWS: &[KeyDoc] = &[
    live(key(
        "auth.anonymous",
        Choice(ANONYMOUS),
        Computed("loopback; with gateway.allow_unauthenticated, always"),
        "From where callers are let in without a credential.",
    )),
    live(key(
        "auth.required_scopes",
        List,
        Value("[]"),
        "Scopes that every credential must have to use MCP; a caller without a credential needs none.",
    )),
    live(key(
        "auth.issuers.*.url",
        Kind::Url,
        Nothing,
        "An identity provider whose tokens are taken, as its tokens name it (`iss`), to the letter.",
    )),
    live(key(
        "auth.issuers.*.audiences",
        List,
        Nothing,
        "For whom its tokens must be (`aud`): one of these. Usually the address of the gateway.",
    )),
    live(key(
        "auth.issuers.*.algorithms",
        List,
        Computed("RS256, PS256, ES256 and EdDSA"),
        "How its tokens may be signed; RS384, RS512, PS384, PS512 and ES384 are known too.",
    )),
    live(key(
        "auth.issuers.*.jwks_url",
        Kind::Url,
        Computed("what its metadata says"),
        "Where its keys are.",
    )),
    live(key("auth.issuers.*.clock_skew", SKEW, Computed("60s"), "How far its clock may be from ours.")),
    live(key(
        "auth.issuers.*.principal_claim",
        Text,
        Computed("sub"),
        "The claim that names the caller; the principal is `<name of the issuer>:<claim>`.",
    )),
    live(key(
        "auth.issuers.*.ca_file",
        Path,
        Nothing,
        "A PEM file of certificate authorities to trust for it instead of the system's.",
    )),
];

/// More than this is no clock that has drifted, but a wrong one.
const SKEW: Kind = Kind::Duration(Duration::ZERO, Duration::from_secs(300));
