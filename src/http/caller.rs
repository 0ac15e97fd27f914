//! Who sends an exchange, as far as the connection tells.

use std::net::SocketAddr;

use http::HeaderMap;

use crate::base::Principal;

/// Headers by which a proxy says for whom it asks.
const RELAY_HEADERS: [&str; 3] = ["forwarded", "x-forwarded-for", "x-real-ip"];

/// Somebody who sends an exchange.
#[derive(Clone, Debug)]
pub struct Caller {
    principal: Principal,
    local: bool,
}

impl Caller {
    /// Who sends an exchange with these headers over a connection from `peer`.
    pub fn of(peer: SocketAddr, headers: &HeaderMap) -> Caller {
        let relayed = RELAY_HEADERS.iter().any(|name| headers.contains_key(*name));
        let local = peer.ip().to_canonical().is_loopback() && !relayed;
        Caller { principal: Principal::anonymous(), local }
    }

    /// Who it is.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Whether the caller may administer the gateway: whoever is certain to be on the machine itself.
    pub fn may_administer(&self) -> bool {
        self.local
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_certain_to_be_on_this_machine_may_administer() {
        let may = |peer: &str, header: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.extend(header.map(|name| (http::HeaderName::from_static(name), "x".parse().unwrap())));
            Caller::of(peer.parse().unwrap(), &headers).may_administer()
        };
        assert!(may("127.0.0.1:5", None) && may("[::1]:5", None) && may("[::ffff:127.0.0.1]:5", None));
        assert!(!may("192.0.2.7:5", None) && !may("[2001:db8::1]:5", None));
        assert!(RELAY_HEADERS.iter().all(|name| !may("127.0.0.1:5", Some(name))));
    }
}
