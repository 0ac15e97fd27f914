//! The pooled HTTP client of one server.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::Full;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// An idle connection is kept this long: just under the 90 s and 60 s after which common servers and load balancers
/// close theirs, so that we rarely send into a closing one.
const POOL_IDLE: Duration = Duration::from_secs(55);

/// How to reach a server.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Whether the server's URL is `https`.
    pub https: bool,
    /// How long a TCP connection and its TLS handshake may take to come up.
    pub connect_timeout: Duration,
    /// PEM certificates of the authorities to trust instead of the platform's.
    pub ca_file: Option<PathBuf>,
    /// A proxy (`http://host:port`) through which every connection is tunnelled by CONNECT.
    pub proxy: Option<Uri>,
}

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The CA file cannot be used.
    #[error(
        "cannot read the CA certificates of '{path}': {reason}; give a PEM file with at least one certificate (ca_file)"
    )]
    CaFile {
        /// The configured file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The platform's certificates cannot be read.
    #[error("cannot read the platform's CA certificates: {0}")]
    PlatformRoots(std::io::Error),
    /// TLS cannot be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// A client with its connection pool. Cloning shares the pool.
#[derive(Clone, Debug)]
pub struct HttpClient(Route);

#[derive(Clone, Debug)]
enum Route {
    Direct(Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
    Proxied(Client<HttpsConnector<Tunnel<HttpConnector>>, Full<Bytes>>),
}

impl HttpClient {
    /// A client without connections yet.
    pub fn new(options: &ClientOptions) -> Result<HttpClient, ClientError> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(options.connect_timeout));
        tcp.enforce_http(false);
        let tls = HttpsConnectorBuilder::new().with_tls_config(tls_config(options)?).https_or_http();
        let tls = tls.enable_http1();
        let mut pool = Client::builder(TokioExecutor::new());
        pool.pool_timer(TokioTimer::new()).pool_idle_timeout(POOL_IDLE);
        Ok(HttpClient(match &options.proxy {
            None => Route::Direct(pool.build(tls.wrap_connector(tcp))),
            Some(proxy) => Route::Proxied(pool.build(tls.wrap_connector(Tunnel::new(proxy.clone(), tcp)))),
        }))
    }

    /// Sends one request; the future yields the head of the response.
    pub fn request(&self, request: Request<Full<Bytes>>) -> ResponseFuture {
        match &self.0 {
            Route::Direct(client) => client.request(request),
            Route::Proxied(client) => client.request(request),
        }
    }
}

/// Trusts the authorities of the CA file and no others; without one the platform's. A plain `http` server needs none,
/// so that a machine without certificates serves it all the same.
fn tls_config(options: &ClientOptions) -> Result<rustls::ClientConfig, ClientError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let roots = match &options.ca_file {
        Some(path) => read_ca_file(path)?,
        None if options.https => {
            return Ok(builder
                .with_native_roots()
                .map_err(ClientError::PlatformRoots)?
                .with_no_client_auth());
        }
        None => rustls::RootCertStore::empty(),
    };
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn read_ca_file(path: &Path) -> Result<rustls::RootCertStore, ClientError> {
    let refused = |reason: String| ClientError::CaFile { path: path.to_owned(), reason };
    let mut roots = rustls::RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| refused(error.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| refused(error.to_string()))?;
        roots.add(certificate).map_err(|error| refused(error.to_string()))?;
    }
    if roots.is_empty() { Err(refused("it holds no certificate".to_owned())) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_file_without_certificates_is_refused_by_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let options = ClientOptions {
            https: true,
            connect_timeout: Duration::from_secs(1),
            ca_file: Some(file.path().to_owned()),
            proxy: None,
        };
        let message = HttpClient::new(&options).unwrap_err().to_string();
        assert!(message.contains("holds no certificate") && message.contains("ca_file"), "{message}");
    }
}
