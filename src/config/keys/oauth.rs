//! Keys of `[servers.<name>.oauth]`: how the gateway comes by a token for a server behind a URL.

use super::*;

pub(super) const ROWS: &[KeyDoc] = &[
    remote(
        "servers.*.oauth.grant",
        Choice(GRANTS),
        Value("authorization_code"),
        "How it comes by a token: a person logs in once (trunkline login), or it shows its own credentials.",
    ),
    remote(
        "servers.*.oauth.issuer",
        Kind::Url,
        Nothing,
        "The authorization server that may be used; needed where a secret or key is sent to it.",
    ),
    remote(
        "servers.*.oauth.client_id",
        Text,
        Nothing,
        "The client id that the authorization server gave out; without one the gateway registers itself.",
    ),
    remote(
        "servers.*.oauth.client_secret",
        Kind::Secret,
        Nothing,
        "The secret that belongs to the client id.",
    ),
    remote(
        "servers.*.oauth.private_key",
        Kind::Secret,
        Nothing,
        "Instead of a secret: the private key (PKCS #8, PEM) that signs assertions, such as \"${file:/path}\".",
    ),
    remote(
        "servers.*.oauth.client_metadata_url",
        Kind::Url,
        Nothing,
        "The https URL of a Client ID Metadata Document, for authorization servers that take one as client id.",
    ),
    remote(
        "servers.*.oauth.scopes",
        List,
        Value("[]"),
        "The scopes to ask for; empty means those that the server names.",
    ),
    remote(
        "servers.*.oauth.redirect_port",
        Count(0, MAX_PORT),
        Value("0"),
        "The port on 127.0.0.1 to which a login is redirected (/callback); 0 lets the system choose.",
    ),
];

const GRANTS: &[&str] = &["authorization_code", "client_credentials"];
const MAX_PORT: u64 = 65_535;
