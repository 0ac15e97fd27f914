//! The pooled HTTP client of one server or service.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::Full;
use hyper::body::Body;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::GaiResolver;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower_service::Service;

use super::bounded::{Bounded, Places};
use super::resolve::Resolver;
use super::tls::tls_config;

/// An idle connection is kept this long: just under the 90 s and 60 s after which common servers and load balancers
/// close theirs, so that we rarely send into a closing one.
const POOL_IDLE: Duration = Duration::from_secs(55);

/// How to reach a server.
#[derive(Clone, Debug, Default)]
pub struct ClientOptions {
    /// Whether the server's URL is `https`.
    pub https: bool,
    /// How long a TCP connection may take to come up; and so may the wait for a place before it, and the handshakes
    /// with a proxy and of TLS after it.
    pub connect_timeout: Duration,
    /// PEM certificates of the authorities to trust instead of the platform's.
    pub ca_file: Option<PathBuf>,
    /// Whether any certificate is taken.
    pub trust_anybody: bool,
    /// A proxy (`http://host:port`) through which every connection is tunnelled by CONNECT.
    pub proxy: Option<Uri>,
    /// Whether HTTP/2 is spoken with a server that offers it in the TLS handshake.
    pub http2: bool,
    /// How many connections may be open.
    pub places: Places,
    /// How many of them are kept without a request; all, if there is no number.
    pub max_idle: Option<usize>,
    /// How long addresses are remembered.
    pub dns_ttl: Duration,
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

/// A client with its connection pool, for requests with bodies of the type `B`. Cloning shares the pool.
pub struct HttpClient<B = Full<Bytes>>(Route<B>);

enum Route<B> {
    Direct(Client<Timed<HttpsConnector<Bounded>>, B>),
    Proxied(Client<Timed<HttpsConnector<Tunnel<Bounded>>>, B>),
}

impl<B> HttpClient<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// A client without connections yet.
    pub fn new(options: &ClientOptions) -> Result<HttpClient<B>, ClientError> {
        let resolver = Resolver::new(GaiResolver::new(), options.dns_ttl);
        let mut tcp = HttpConnector::new_with_resolver(resolver.clone());
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(options.connect_timeout));
        tcp.enforce_http(false);
        let tcp = Bounded::new(tcp, resolver, options.places.clone(), options.connect_timeout);
        let mut pool = Client::builder(TokioExecutor::new());
        pool.pool_timer(TokioTimer::new()).pool_idle_timeout(POOL_IDLE);
        if let Some(most) = options.max_idle {
            pool.pool_max_idle_per_host(most);
        }
        Ok(HttpClient(match &options.proxy {
            None => Route::Direct(pool.build(with_tls(options, tcp)?)),
            Some(proxy) => Route::Proxied(pool.build(with_tls(options, Tunnel::new(proxy.clone(), tcp))?)),
        }))
    }

    /// Sends one request; the future yields the head of the response.
    pub fn request(&self, request: Request<B>) -> ResponseFuture {
        match &self.0 {
            Route::Direct(client) => client.request(request),
            Route::Proxied(client) => client.request(request),
        }
    }
}

fn with_tls<C>(options: &ClientOptions, connector: C) -> Result<Timed<HttpsConnector<C>>, ClientError> {
    let tls = HttpsConnectorBuilder::new().with_tls_config(tls_config(options)?).https_or_http();
    let inner = match options.http2 {
        true => tls.enable_all_versions().wrap_connector(connector),
        false => tls.enable_http1().wrap_connector(connector),
    };
    Ok(Timed { inner, limit: options.connect_timeout.saturating_mul(STEPS) })
}

/// Steps to a connection, each of which may take as long as `connect_timeout` says: a place, TCP, the handshakes.
const STEPS: u32 = 3;

/// Gives up connections that do not come up. The pool goes on with one in the background when a request has found another
/// meanwhile, and nobody else would ever end that.
#[derive(Clone, Debug)]
struct Timed<C> {
    inner: C,
    limit: Duration,
}

/// A handshake, with a proxy or of TLS, did not come to its end.
#[derive(Debug, thiserror::Error)]
#[error("the connection was not ready within {0:?} (three times connect_timeout)")]
struct Slow(Duration);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl<C> Service<Uri> for Timed<C>
where
    C: Service<Uri, Error = BoxError>,
    C::Response: Send,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let (connecting, limit) = (self.inner.call(to), self.limit);
        Box::pin(async move {
            match tokio::time::timeout(limit, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(Slow(limit).into()),
            }
        })
    }
}

impl<B> Clone for HttpClient<B> {
    fn clone(&self) -> Self {
        HttpClient(match &self.0 {
            Route::Direct(client) => Route::Direct(client.clone()),
            Route::Proxied(client) => Route::Proxied(client.clone()),
        })
    }
}

impl<B> std::fmt::Debug for HttpClient<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("HttpClient").field(&matches!(self.0, Route::Proxied(_)).then_some("by proxy")).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_handshake_that_is_never_finished_is_given_up() {
        // The system takes connections for it; nobody ever says a word.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap());
        let options = ClientOptions {
            https: true,
            trust_anybody: true,
            connect_timeout: Duration::from_millis(100),
            ..ClientOptions::default()
        };
        let client = HttpClient::<Full<Bytes>>::new(&options).unwrap();
        let asked = client.request(Request::get(url).body(Full::default()).unwrap());
        let waited = tokio::time::timeout(Duration::from_secs(20), asked).await.expect("it waits for ever");
        assert!(waited.unwrap_err().is_connect());
    }

    #[test]
    fn a_ca_file_without_certificates_is_refused_by_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let options = ClientOptions {
            https: true,
            connect_timeout: Duration::from_secs(1),
            ca_file: Some(file.path().to_owned()),
            ..ClientOptions::default()
        };
        let message = HttpClient::<Full<Bytes>>::new(&options).unwrap_err().to_string();
        assert!(message.contains("holds no certificate") && message.contains("ca_file"), "{message}");
    }
}
