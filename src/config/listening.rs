//! Where the gateway of a configuration is to be found by somebody on the same machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::faults::Faults;
use super::inputs::Sources;
use super::load::{SYSTEM_FILE, load_as};
use super::model::Gateway;

/// How somebody on the same machine reaches a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// Where.
    pub address: SocketAddr,
    /// Whether it speaks TLS there.
    pub tls: bool,
}

impl Listening {
    /// Where a gateway listens for its clients.
    pub fn of(gateway: &Gateway) -> Listening {
        Listening::at(gateway.listen, gateway.tls.is_some())
    }

    /// What listens here; an address that means all of them is no destination, and loopback is one of them.
    fn at(mut address: SocketAddr, tls: bool) -> Listening {
        match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        Listening { address, tls }
    }

    /// The beginning of its URLs.
    pub fn base(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.address)
    }

    /// Whether the way there does not leave this machine: then nobody between can be asked for a certificate, and the
    /// gateway's own is made out to another name.
    pub fn is_here(&self) -> bool {
        self.address.ip().to_canonical().is_loopback()
    }
}

/// Where the administration interface of the gateway that this configuration is for is to be found. References are left as
/// written: who asks a gateway need not have its credentials.
pub fn where_it_listens(sources: Sources) -> Result<Listening, Faults> {
    let config = load_as(&sources, Path::new(SYSTEM_FILE), false)?.config;
    Ok(match config.admin.listen {
        Some(address) => Listening::at(address, false),
        None => Listening::of(&config.gateway),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_pointed_at_an_address_that_can_be_called() {
        for (listen, tls, base) in [
            ("0.0.0.0:6270", false, "http://127.0.0.1:6270"),
            ("[::]:6270", true, "https://[::1]:6270"),
            ("192.0.2.7:80", false, "http://192.0.2.7:80"),
        ] {
            assert_eq!(Listening::at(listen.parse().unwrap(), tls).base(), base);
        }
    }
}
