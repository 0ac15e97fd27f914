//! A certificate with its private key, as their files hold them.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use webpki::{EndEntityCert, KeyUsage};
use zeroize::Zeroizing;

use crate::base::{FINGERPRINT, fingerprint};

/// The largest file that is read: far more than the longest chain of certificates.
const MAX_FILE: u64 = 1 << 20;

/// A certificate, the certificates between it and an authority, and its private key. Cloning shares them; two are equal
/// when their files hold the same.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    certified: Arc<CertifiedKey>,
    names: Vec<String>,
    good_from: SystemTime,
    good_until: SystemTime,
    exposed: bool,
    mark: [u8; FINGERPRINT],
}

/// Why two files are no identity.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// Whether it is the private key's file, or else the certificate's.
    pub of_key: bool,
    /// The end of a sentence that begins with key and value.
    pub problem: String,
    pub help: &'static str,
}

impl Identity {
    /// Reads and checks the two files. Whether the certificate is good today is not looked at: what to do about that
    /// depends on what is served now.
    pub(super) fn read(certificate: &Path, key: &Path) -> Result<Identity, Refused> {
        let (chain, _) = read(certificate).map_err(of_certificate)?;
        let (secret, mode) = read(key).map_err(of_key)?;
        let mark = mark(&chain, &secret);
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&chain)
            .collect::<Result<_, _>>()
            .map_err(|error| of_certificate((format!("is no PEM file: {error}"), PEM)))?;
        let Some(own) = chain.first() else {
            return Err(of_certificate(("holds no certificate".to_owned(), PEM)));
        };
        let parsed = EndEntityCert::try_from(own).map_err(|error| {
            of_certificate((format!("holds a certificate that cannot be used: {error}"), PEM))
        })?;
        let names =
            parsed.valid_dns_names().filter(|name| !name.starts_with("*.")).map(str::to_owned).collect();
        let (good_from, good_until) = term(&parsed).ok_or_else(|| {
            of_certificate(("holds a certificate whose dates cannot be read".to_owned(), PEM))
        })?;
        let certified = CertifiedKey::from_der(
            chain.clone(),
            private_key(&secret)?,
            &rustls::crypto::aws_lc_rs::default_provider(),
        );
        let certified = certified.map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => of_key((
                "is not the key of the first certificate in gateway.tls.certificate".to_owned(),
                "name the key that the certificate was made for; in the certificate's file the gateway's own comes first",
            )),
            error => of_key((format!("cannot be used: {error}"), KEY_KINDS)),
        })?;
        let exposed = mode & OTHERS != 0;
        let certified = Arc::new(certified);
        Ok(Identity(Arc::new(Inner { certified, names, good_from, good_until, exposed, mark })))
    }

    /// What a handshake is made with.
    pub fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.certified)
    }

    /// The host names to which the certificate is made out, without those with a `*`.
    pub fn names(&self) -> &[String] {
        &self.0.names
    }

    /// Whether the certificate is made out to this address.
    pub fn covers(&self, address: IpAddr) -> bool {
        let own = self.0.certified.cert.first().and_then(|own| EndEntityCert::try_from(own).ok());
        let name = ServerName::IpAddress(address.into());
        own.is_some_and(|own| own.verify_is_valid_for_subject_name(&name).is_ok())
    }

    /// The last moment at which the certificate is good.
    pub fn good_until(&self) -> SystemTime {
        self.0.good_until
    }

    /// What is wrong with its dates now, if anything: the end of a sentence.
    pub fn out_of_date(&self, now: SystemTime) -> Option<String> {
        let ago = |long: Duration| show_days(long);
        if let Ok(past) = now.duration_since(self.0.good_until)
            && !past.is_zero()
        {
            return Some(format!("has expired {} ago", ago(past)));
        }
        let early = self.0.good_from.duration_since(now).ok().filter(|early| !early.is_zero())?;
        Some(format!("is not good before {} from now", ago(early)))
    }

    /// Whether everybody on the machine may read or change the file of the private key.
    pub fn is_exposed(&self) -> bool {
        self.0.exposed
    }
}

/// What is said of a length of time in days, or in hours where it is less.
fn show_days(long: Duration) -> String {
    const HOUR: u64 = 60 * 60;
    const DAY: u64 = 24 * HOUR;
    match long.as_secs() {
        short if short < DAY => format!("{} h", short / HOUR),
        long => format!("{} days", long / DAY),
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.0.mark == other.0.mark && self.0.exposed == other.0.exposed
    }
}

impl Eq for Identity {}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("names", &self.0.names).finish_non_exhaustive()
    }
}

/// Permission bits of everybody. A group may read: that is how services share a key.
const OTHERS: u32 = 0o007;

const PEM: &str = "name a PEM file, in which the gateway's own certificate comes first and those of the authorities between \
                   it and the root follow";
const KEY_KINDS: &str = "name a PEM file with an RSA, ECDSA (P-256, P-384, P-521) or Ed25519 key";
const READABLE: &str = "name a PEM file that the gateway may read";

/// What is wrong with a file, and the cure.
type Problem = (String, &'static str);

fn of_certificate((problem, help): Problem) -> Refused {
    Refused { of_key: false, problem, help }
}

fn of_key((problem, help): Problem) -> Refused {
    Refused { of_key: true, problem, help }
}

/// The bytes of a file and its permissions.
fn read(path: &Path) -> Result<(Zeroizing<Vec<u8>>, u32), Problem> {
    let fail = |error: std::io::Error| (format!("cannot be read: {error}"), READABLE);
    let file = File::open(path).map_err(fail)?;
    let metadata = file.metadata().map_err(fail)?;
    if metadata.len() > MAX_FILE {
        return Err(("is larger than 1 MiB".to_owned(), READABLE));
    }
    // All at once: growing would leave copies of a key behind.
    let room = usize::try_from(metadata.len()).unwrap_or(0) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(MAX_FILE).read_to_end(&mut bytes).map_err(fail)?;
    Ok((bytes, metadata.mode()))
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, Refused> {
    const ENCRYPTED: &[u8] = b"ENCRYPTED";
    match PrivateKeyDer::from_pem_slice(pem) {
        Ok(key) => Ok(key),
        Err(_) if memchr::memmem::find(pem, ENCRYPTED).is_some() => Err(of_key((
            "is encrypted with a password, which nobody could type at each start".to_owned(),
            "decrypt it (`openssl pkey -in FILE -out NEW`), and let nobody but the gateway's user read it",
        ))),
        Err(pem::Error::NoItemsFound) => Err(of_key(("holds no private key".to_owned(), KEY_KINDS))),
        Err(error) => Err(of_key((format!("is no PEM file: {error}"), KEY_KINDS))),
    }
}

/// From when until when a certificate is good. The library judges dates and does not tell them, unless they are wrong: so
/// it is asked at the beginning and at the end of time.
fn term(certificate: &EndEntityCert<'_>) -> Option<(SystemTime, SystemTime)> {
    let wrong_at = |seconds: u64| {
        let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        certificate.verify_for_usage(&[], &[], &[], time, KeyUsage::server_auth(), None, None).err()
    };
    let system = |time: UnixTime| UNIX_EPOCH.checked_add(Duration::from_secs(time.as_secs()));
    let from = match wrong_at(0) {
        Some(webpki::Error::CertNotValidYet { not_before, .. }) => system(not_before)?,
        // It has been good ever since.
        _ => UNIX_EPOCH,
    };
    match wrong_at(END_OF_TIME) {
        Some(webpki::Error::CertExpired { not_after, .. }) => Some((from, system(not_after)?)),
        _ => None,
    }
}

/// The first second of the year 10000, after every date that a certificate can have (RFC 5280 §4.1.2.5).
const END_OF_TIME: u64 = 253_402_300_800;

/// Tells one pair of files from another.
fn mark(chain: &[u8], secret: &[u8]) -> [u8; FINGERPRINT] {
    let mut both = Zeroizing::new(Vec::with_capacity(chain.len() + secret.len() + 1));
    both.extend_from_slice(chain);
    both.push(0);
    both.extend_from_slice(secret);
    fingerprint(&both)
}
