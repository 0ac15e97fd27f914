//! Keys of `[gateway.tls]`: TLS at the front.

use super::*;

pub(super) const ROWS: &[KeyDoc] = &[
    live(key(
        "gateway.tls.certificate",
        Path,
        Nothing,
        "A PEM file: the gateway's certificate, then those of the authorities between. With it the gateway speaks TLS and nothing else.",
    )),
    live(key("gateway.tls.key", Path, Nothing, "A PEM file with the private key of the certificate.")),
    live(key(
        "gateway.tls.min_version",
        Choice(TLS_VERSIONS),
        Value("1.2"),
        "The oldest version of TLS that is spoken.",
    )),
    // A round trip or two over the slowest of links.
    live(key(
        "gateway.tls.handshake_timeout",
        ANY_WAIT,
        Value("10s"),
        "How long a client may take to agree on TLS.",
    )),
];
