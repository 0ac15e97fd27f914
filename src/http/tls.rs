//! TLS before HTTP: the gateway's certificate, and the handshake.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::debug;

use crate::config::{Tls, TlsVersion};
use crate::telemetry::names;

/// Whether a listener speaks TLS, and under which certificate. Cloning is cheap; all clones follow `replace`.
#[derive(Clone, Default)]
pub struct Encryption(Arc<ArcSwapOption<Terms>>);

/// On what terms a connection is taken.
pub(super) struct Terms {
    given: Tls,
    acceptor: TlsAcceptor,
}

impl Encryption {
    /// A listener that speaks plain HTTP.
    pub fn off() -> Encryption {
        Encryption::default()
    }

    /// Takes other terms for the connections that come from now on; those that are open keep theirs. The same terms again
    /// change nothing, so that clients can go on with the sessions that they have.
    pub fn replace(&self, given: Option<&Tls>) -> Result<(), rustls::Error> {
        let same = self.0.load().as_deref().map(|terms| &terms.given) == given;
        if !same {
            self.0.store(given.map(Terms::new).transpose()?.flatten().map(Arc::new));
        }
        Ok(())
    }

    /// Until when the certificate is good, if there is one.
    pub fn good_until(&self) -> Option<SystemTime> {
        Some(self.0.load().as_ref()?.given.identity.as_ref()?.good_until())
    }

    /// Sets the gauge of the certificate.
    pub fn tell_metrics(&self) {
        let until = self.good_until().and_then(|until| until.duration_since(UNIX_EPOCH).ok());
        names::TLS_CERTIFICATE_EXPIRY.gauge(&[]).set(until.unwrap_or_default().as_secs_f64());
    }

    /// The terms for a connection that comes now.
    pub(super) fn terms(&self) -> Option<Arc<Terms>> {
        self.0.load_full()
    }
}

/// What may be spoken inside, the best first (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [HTTP2, b"http/1.1"];
const HTTP2: &[u8] = b"h2";

impl Terms {
    /// Nothing where the files have not been read: then nobody listens.
    fn new(given: &Tls) -> Result<Option<Terms>, rustls::Error> {
        let Some(identity) = &given.identity else { return Ok(None) };
        const ALL: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
        const NEW: &[&SupportedProtocolVersion] = &[&TLS13];
        let versions = match given.min_version {
            TlsVersion::V1_2 => ALL,
            TlsVersion::V1_3 => NEW,
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified())));
        config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
        Ok(Some(Terms { given: given.clone(), acceptor: TlsAcceptor::from(Arc::new(config)) }))
    }

    /// Agrees with a client, in time. Whoever does not is counted; why is for the log of those who look for it, because
    /// anybody who reaches the port can make it happen.
    pub async fn greet(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        let greeted = timeout(self.given.handshake_timeout, self.shake_hands(stream)).await;
        let refused = match greeted {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(refused)) => refused,
            Err(_) => Refused { reason: "timeout", error: None },
        };
        names::TLS_HANDSHAKE_FAILURES.counter(&[refused.reason]).increment(1);
        debug!(reason = refused.reason, error = ?refused.error, "a client and the gateway did not agree on TLS");
        None
    }

    async fn shake_hands(&self, mut stream: TcpStream) -> Result<TlsStream<TcpStream>, Refused> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        // Every method of HTTP is written in capital letters; no record of TLS begins with one.
        if first[0].is_ascii_uppercase() {
            explain(&mut stream).await?;
            return Err(Refused { reason: "plain", error: None });
        }
        Ok(self.acceptor.accept(stream).await?)
    }
}

/// Whether a client has chosen HTTP/2. One that says nothing of it speaks HTTP/1.1.
pub(super) fn is_http2(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(HTTP2)
}

/// Why there is no agreement.
struct Refused {
    /// The label of the metric.
    reason: &'static str,
    error: Option<io::Error>,
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Refused {
        let reason = match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            // The client has looked at the certificate, or at what else we are, and does not want us.
            Some(rustls::Error::AlertReceived(_)) => "refused",
            Some(rustls::Error::PeerIncompatible(_) | rustls::Error::NoApplicationProtocol) => "incompatible",
            Some(_) => "malformed",
            None => "closed",
        };
        Refused { reason, error: Some(error) }
    }
}

/// What somebody hears who speaks plain HTTP here. No redirect: what was sent in the clear, a credential perhaps, should
/// not be sent so again the next time.
const PLAIN: &str = "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: 73\r\n\r\n\
                     This is plain HTTP, and this port speaks TLS: write https:// in the URL.\n";
/// How much is read of what such a client sends, and for how long: closing before it is read would lose it the answer.
const REST: u64 = 64 * 1024;
const REST_TIME: Duration = Duration::from_secs(1);

async fn explain(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(PLAIN.as_bytes()).await?;
    stream.shutdown().await?;
    let (mut rest, mut nowhere) = (stream.take(REST), tokio::io::sink());
    // However it ends, the answer is out.
    let _ = timeout(REST_TIME, tokio::io::copy(&mut rest, &mut nowhere)).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_plain_http_is_as_long_as_it_says() {
        let (head, body) = PLAIN.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{}", body.len());
    }
}
