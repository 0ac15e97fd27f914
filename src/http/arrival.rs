//! How an exchange has come to us: from whom, and at which address of ours.

use std::net::{IpAddr, SocketAddr};

use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, Uri};
use ipnet::IpNet;

use crate::guard::Peer;

/// Headers by which a proxy says for whom it asks.
const RELAY_HEADERS: [&str; 3] = ["forwarded", "x-forwarded-for", "x-real-ip"];

/// The connection by which an exchange has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// Who is at its other end.
    pub peer: SocketAddr,
    /// Whether it is under TLS.
    pub encrypted: bool,
}

/// How an exchange has come to us.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'r> {
    /// The client.
    pub peer: Peer,
    /// Whether the last step was a proxy that is believed.
    by_proxy: bool,
    /// Whether it came to us under TLS.
    encrypted: bool,
    headers: &'r HeaderMap,
    uri: &'r Uri,
}

impl<'r> Arrival<'r> {
    /// Reads the head of an exchange that came this way. What it says of clients behind proxies is
    /// believed from `proxies`, and from nobody else.
    pub fn read(way: Way, headers: &'r HeaderMap, uri: &'r Uri, proxies: &[IpNet]) -> Arrival<'r> {
        let peer = way.peer.ip().to_canonical();
        let trusted = |address: &IpAddr| proxies.iter().any(|network| network.contains(address));
        let by_proxy = trusted(&peer);
        let address = if by_proxy { client(peer, headers, trusted) } else { peer };
        // Whoever comes through a proxy is not certain to be on this machine, whatever the proxy says.
        let relayed = by_proxy || RELAY_HEADERS.iter().any(|name| headers.contains_key(*name));
        Arrival { peer: Peer { address, relayed }, by_proxy, encrypted: way.encrypted, headers, uri }
    }

    /// The beginning of every address of ours, as the client writes it; nothing if it has sent nonsense.
    pub fn origin(&self) -> Option<String> {
        // What the client speaks is what its proxy says; without one it is what we see.
        let told = self.told("x-forwarded-proto").map(|name| name.eq_ignore_ascii_case("https"));
        let https = told.unwrap_or(self.encrypted);
        let scheme = if https { "https" } else { "http" };
        let own = || match self.headers.get(HOST) {
            Some(host) => host.to_str().ok(),
            // HTTP/2 names the host in the URI.
            None => self.uri.authority().map(Authority::as_str),
        };
        let host = self.told("x-forwarded-host").or_else(own)?;
        Some(format!("{scheme}://{}", checked(host)?))
    }

    /// What a proxy that is believed says in this header: of several the nearest one's own word is the last.
    fn told(&self, name: &str) -> Option<&'r str> {
        let value = self.headers.get_all(name).iter().next_back().filter(|_| self.by_proxy)?.to_str().ok()?;
        value.rsplit(',').next().map(str::trim)
    }
}

/// The client behind proxies that are believed: the last address in `X-Forwarded-For` that is not one of them. What stands
/// before it may have been written by the client.
fn client(peer: IpAddr, headers: &HeaderMap, trusted: impl Fn(&IpAddr) -> bool) -> IpAddr {
    let mut nearest = peer;
    let values: Vec<&str> =
        headers.get_all("x-forwarded-for").iter().map(|value| value.to_str().unwrap_or_default()).collect();
    for text in values.iter().rev().flat_map(|value| value.rsplit(',')) {
        // What cannot be read ends what can be believed.
        let Some(address) = address(text.trim()) else { return nearest };
        nearest = address;
        if !trusted(&address) {
            break;
        }
    }
    nearest
}

/// An address, which some proxies write with a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))?;
    Some(address.to_canonical())
}

/// A host that can stand in an address.
fn checked(text: &str) -> Option<String> {
    let authority: Authority = text.parse().ok()?;
    let plain = !authority.as_str().contains('@') && !authority.host().is_empty();
    plain.then(|| authority.as_str().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was read of a head that is gone.
    struct Seen {
        peer: Peer,
        origin: Option<String>,
    }

    fn read(peer: &str, fields: &[(&'static str, &str)]) -> Seen {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        let proxies = ["10.0.0.0/8", "127.0.0.1/32", "2001:db8::/32"].map(|text| text.parse().unwrap());
        let way = Way { peer: SocketAddr::new(peer.parse().unwrap(), 5), encrypted: false };
        let uri = Uri::from_static("/mcp");
        let arrival = Arrival::read(way, &headers, &uri, &proxies);
        Seen { peer: arrival.peer, origin: arrival.origin() }
    }

    fn from(peer: &str, forwarded: &[&str]) -> String {
        let fields: Vec<_> = forwarded.iter().map(|value| ("x-forwarded-for", *value)).collect();
        read(peer, &fields).peer.address.to_string()
    }

    #[test]
    fn the_client_is_the_last_address_that_no_proxy_of_ours_has() {
        assert_eq!(from("10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(
            from("10.0.0.1", &["127.0.0.1, 203.0.113.9"]),
            "203.0.113.9",
            "the client wrote the first"
        );
        assert_eq!(from("10.0.0.1", &["198.51.100.1, 203.0.113.9, 10.2.2.2"]), "203.0.113.9");
        assert_eq!(
            from("10.0.0.1", &["198.51.100.1", "203.0.113.9,10.2.2.2"]),
            "203.0.113.9",
            "lines are one list"
        );
        assert_eq!(from("10.0.0.1", &["203.0.113.9:4711"]), "203.0.113.9");
        assert_eq!(from("2001:db8::1", &["[2001:db9::7]:80"]), "2001:db9::7");
        assert_eq!(from("::ffff:10.0.0.1", &["::ffff:203.0.113.9"]), "203.0.113.9");
        assert_eq!(from("10.0.0.1", &["10.9.9.9"]), "10.9.9.9", "the farthest that is known");
        assert_eq!(from("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(from("10.0.0.1", &["203.0.113.9, nonsense"]), "10.0.0.1");
        assert_eq!(from("10.0.0.1", &["nonsense, 10.1.1.1"]), "10.1.1.1");
    }

    #[test]
    fn strangers_are_believed_nothing() {
        let fields = [
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil.example"),
            ("host", "gateway.example"),
        ];
        let arrival = read("203.0.113.9", &fields);
        assert_eq!((arrival.peer.address.to_string().as_str(), arrival.peer.relayed), ("203.0.113.9", true));
        assert_eq!(arrival.origin.unwrap(), "http://gateway.example");
        let by_proxy = read("10.0.0.1", &fields);
        assert_eq!(by_proxy.origin.unwrap(), "https://evil.example", "a proxy of ours is believed");
    }

    #[test]
    fn nobody_behind_a_proxy_is_taken_for_somebody_on_this_machine() {
        assert!(!read("127.0.0.2", &[]).peer.relayed);
        assert!(
            read("127.0.0.1", &[]).peer.relayed
                && read("127.0.0.1", &[("x-forwarded-for", "127.0.0.1")]).peer.relayed
        );
    }

    #[test]
    fn a_client_under_tls_is_told_https_whoever_it_says_it_is_behind() {
        let origin = |peer: &str, forwarded: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert("host", "gateway.example".parse().unwrap());
            forwarded.map(|scheme| headers.insert("x-forwarded-proto", scheme.parse().unwrap()));
            let way = Way { peer: SocketAddr::new(peer.parse().unwrap(), 5), encrypted: true };
            let proxies = ["10.0.0.0/8".parse().unwrap()];
            Arrival::read(way, &headers, &Uri::from_static("/mcp"), &proxies).origin().unwrap()
        };
        assert_eq!(origin("203.0.113.9", None), "https://gateway.example");
        assert_eq!(
            origin("203.0.113.9", Some("http")),
            "https://gateway.example",
            "a stranger is not believed"
        );
        assert_eq!(origin("10.0.0.1", Some("http")), "http://gateway.example", "what its client speaks");
        assert_eq!(origin("10.0.0.1", None), "https://gateway.example");
    }

    #[test]
    fn what_is_no_host_is_no_address_of_ours() {
        for host in ["a b", "user@host", "", "a/b", "\"x"] {
            assert_eq!(read("203.0.113.9", &[("host", host)]).origin, None, "{host}");
        }
        assert_eq!(
            read("203.0.113.9", &[("host", "Gateway.Example:8443")]).origin.unwrap(),
            "http://gateway.example:8443"
        );
    }
}
