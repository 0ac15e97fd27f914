//! `[gateway.tls]`: the certificate under which the gateway speaks TLS.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::identity::Identity;
use super::reader::Reader;

/// `[gateway.tls]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The file of the certificate and those between.
    pub certificate: PathBuf,
    /// The file of its private key.
    pub key: PathBuf,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// How long a client may take to agree.
    pub handshake_timeout: Duration,
    /// What the files hold. Nothing where references are left as written: who asks a gateway need not have its key.
    pub identity: Option<Identity>,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246.
    V1_2,
    /// RFC 8446.
    V1_3,
}

impl Tls {
    /// How clients call a gateway that listens here: by the address, if the certificate is made out to it, else by the
    /// first name that it is made out to.
    pub fn name(&self, address: IpAddr) -> String {
        let own = match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        let Some(identity) = &self.identity else { return own };
        if identity.covers(address) { own } else { identity.names().first().cloned().unwrap_or(own) }
    }
}

const CERTIFICATE: [&str; 3] = ["gateway", "tls", "certificate"];
const KEY: [&str; 3] = ["gateway", "tls", "key"];

/// Reads the section, and the files that it names.
pub(super) fn tls(reader: &mut Reader<'_>) -> Option<Tls> {
    let min_version = [TlsVersion::V1_2, TlsVersion::V1_3][reader.choice(&["gateway", "tls", "min_version"])];
    let handshake_timeout = reader.duration(&["gateway", "tls", "handshake_timeout"]);
    let (certificate, key) = match (reader.leaf(&CERTIFICATE), reader.leaf(&KEY)) {
        (None, None) => return None,
        (Some(_), Some(_)) => (reader.path(&CERTIFICATE), reader.path(&KEY)),
        (Some(leaf), None) => {
            let help = "add gateway.tls.key, the PEM file with its private key";
            reader.wrong_unshown(leaf, leaf.place.key(), "stands without `gateway.tls.key`", help);
            return None;
        }
        (None, Some(leaf)) => {
            let help = "add gateway.tls.certificate, the PEM file with the certificate";
            reader.wrong_unshown(leaf, leaf.place.key(), "stands without `gateway.tls.certificate`", help);
            return None;
        }
    };
    let (certificate, key) = (certificate?, key?);
    let identity = match reader.resolve {
        true => Some(identity(reader, &certificate, &key)?),
        false => None,
    };
    Some(Tls { certificate, key, min_version, handshake_timeout, identity })
}

fn identity(reader: &mut Reader<'_>, certificate: &Path, key: &Path) -> Option<Identity> {
    let refused = match Identity::read(certificate, key) {
        Ok(identity) => return Some(identity),
        Err(refused) => refused,
    };
    let leaf = reader.leaf(if refused.of_key { &KEY } else { &CERTIFICATE })?;
    reader.wrong(leaf, refused.problem, refused.help);
    None
}
