//! The listener: connections in, each served until it is done or the gateway stops.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::arrival::Way;
use super::front::{Front, exchange};
use super::reply::FrontResponse;
use super::tls::{self, Terms};

/// How long a client may take to send the head of a request: the classic defence against connections that only
/// trickle. Nginx's default of 60 s, halved.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause after an accept that failed for want of descriptors, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Serves `listener` until `stop`, then lets open exchanges finish. `connections` is the most that are open at once.
pub async fn serve(front: Arc<Front>, listener: TcpListener, connections: usize, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(connections));
    let open = TaskTracker::new();
    let protocols = Arc::new(Protocols::new());
    while let Some(accepted) = stop.run_until_cancelled(accept(&listener, &places)).await {
        match accepted {
            Ok((stream, peer, place)) => {
                let (front, protocols, stop) = (Arc::clone(&front), Arc::clone(&protocols), stop.clone());
                let terms = front.encryption.terms();
                open.spawn(async move {
                    let _place = place;
                    match terms {
                        None => connection(front, &protocols, stream, peer, &stop).await,
                        // Boxed, so that a plain connection does not carry the room for it.
                        Some(terms) => {
                            Box::pin(encrypted(front, &protocols, &terms, stream, peer, &stop)).await
                        }
                    }
                });
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    open.close();
    open.wait().await;
}

/// Bytes of headers that a request may have: twice what common servers allow, since tools may mirror parameters.
const MAX_HEADERS: u32 = 32 * 1024;

/// How often a silent HTTP/2 client is asked whether it is still there, and how long it may take to answer.
const HTTP2_PING: Duration = Duration::from_secs(20);
/// Exchanges at once on one HTTP/2 connection: what RFC 9113 §6.5.2 recommends at least.
const HTTP2_STREAMS: u32 = 100;

/// HTTP/1.1 and h2c on one port. The first bytes tell them apart; hyper-util's own detection reads them into a second
/// buffer, which costs an idle connection 8 KB.
struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl Protocols {
    fn new() -> Protocols {
        let mut http1 = http1::Builder::new();
        http1.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_HEADERS as usize);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2.timer(TokioTimer::new()).max_header_list_size(MAX_HEADERS);
        http2
            .keep_alive_interval(HTTP2_PING)
            .keep_alive_timeout(HTTP2_PING)
            .max_concurrent_streams(HTTP2_STREAMS);
        Protocols { http1, http2 }
    }
}

/// What every HTTP/2 connection begins with (RFC 9113 §3.4: "PRI * HTTP/2.0"). No method of HTTP/1.1 does.
const HTTP2_PREFACE: &[u8] = b"PRI";

/// A first segment of one or two bytes is so rare that looking again this much later costs nobody anything.
const PEEK_AGAIN: Duration = Duration::from_millis(10);

/// Whether the client speaks HTTP/2 from the first byte on. `None` if it says nothing in time.
async fn is_http2(stream: &TcpStream) -> Option<bool> {
    let mut first = [0; HTTP2_PREFACE.len()];
    let peek = async {
        loop {
            match stream.peek(&mut first).await {
                Ok(0) | Err(_) => return None,
                Ok(seen) if !HTTP2_PREFACE.starts_with(&first[..seen]) => return Some(false),
                Ok(seen) if seen == HTTP2_PREFACE.len() => return Some(true),
                // One or two bytes that may become either. The kernel does not wake us for what it has shown already.
                Ok(_) => tokio::time::sleep(PEEK_AGAIN).await,
            }
        }
    };
    tokio::time::timeout(HEAD_TIMEOUT, peek).await.ok().flatten()
}

/// How long a connection that the gateway has accepted and then been told to stop may take to say its first word: one
/// whose request is on its way would be reset under it.
const FIRST_WORDS: Duration = Duration::from_millis(250);

/// What a connection is made of.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Wire for T {}

type Place = tokio::sync::OwnedSemaphorePermit;

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, Place)> {
    // A connection beyond the cap waits in the kernel's queue, which refuses when it is full.
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    // Without this, a small answer waits for the acknowledgement of the one before.
    stream.set_nodelay(true)?;
    Ok((stream, peer, place))
}

async fn connection(
    front: Arc<Front>,
    protocols: &Protocols,
    stream: TcpStream,
    peer: SocketAddr,
    stop: &CancellationToken,
) {
    let last_call = async {
        stop.cancelled().await;
        tokio::time::sleep(FIRST_WORDS).await;
    };
    let http2 = tokio::select! {
        seen = is_http2(&stream) => seen,
        () = last_call => None,
    };
    let Some(http2) = http2 else { return };
    exchanges(front, protocols, stream, http2, Way { peer, encrypted: false }, stop).await;
}

/// A connection under TLS: the handshake and the first word have their time, as the first word of a plain one has.
async fn encrypted(
    front: Arc<Front>,
    protocols: &Protocols,
    terms: &Terms,
    stream: TcpStream,
    peer: SocketAddr,
    stop: &CancellationToken,
) {
    let greeting = async {
        let mut stream = terms.greet(stream).await?;
        let spoken = tokio::time::timeout(HEAD_TIMEOUT, stream.fill_buf()).await;
        matches!(spoken, Ok(Ok(word)) if !word.is_empty()).then_some(stream)
    };
    let last_call = async {
        stop.cancelled().await;
        tokio::time::sleep(IDLE_AT_END).await;
    };
    let stream = tokio::select! {
        greeted = greeting => greeted,
        () = last_call => None,
    };
    let Some(stream) = stream else { return };
    let http2 = tls::is_http2(&stream);
    Box::pin(exchanges(front, protocols, stream, http2, Way { peer, encrypted: true }, stop)).await;
}

async fn exchanges(
    front: Arc<Front>,
    protocols: &Protocols,
    stream: impl Wire,
    http2: bool,
    way: Way,
    stop: &CancellationToken,
) {
    let ended = match http2 {
        true => serve_http2(front, &protocols.http2, stream, way, stop).await,
        false => serve_http1(front, &protocols.http1, stream, way, stop).await,
    };
    if let Err(error) = ended {
        debug!(%error, "a connection ended early");
    }
}

/// What hyper asks for each exchange. Boxed, because hyper keeps the room of the last exchange with each idle
/// connection: 6.8 KB of it.
///
/// `busy` is told of every exchange, and shared with every exchange that is under way, so that its count tells how many there are.
fn answering(
    front: Arc<Front>,
    way: Way,
    busy: &Arc<Busy>,
) -> impl Service<Request<Incoming>, Response = FrontResponse, Error = Infallible, Future = Exchange> + use<>
{
    let busy = Arc::clone(busy);
    service_fn(move |request| -> Exchange {
        let (front, busy) = (Arc::clone(&front), Arc::clone(&busy));
        busy.begun.notify_one();
        Box::pin(async move {
            let _busy = busy;
            Ok(exchange(front, way, request).await)
        })
    })
}

type Exchange = Pin<Box<dyn Future<Output = Result<FrontResponse, Infallible>> + Send>>;

async fn serve_http1(
    front: Arc<Front>,
    builder: &http1::Builder,
    stream: impl Wire,
    way: Way,
    stop: &CancellationToken,
) -> hyper::Result<()> {
    let busy = Arc::new(Busy::default());
    let service = answering(Arc::clone(&front), way, &busy);
    let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        ended = serving.as_mut() => return ended,
        () = asked_to_stop(stop, &busy) => serving.as_mut().graceful_shutdown(),
    }
    // hyper waits for the rest of a head that has begun; the end of the gateway does not.
    loop {
        tokio::select! {
            ended = serving.as_mut() => return ended,
            () = tokio::time::sleep(IDLE_AT_END) => {
                if Arc::strong_count(&busy) == IDLE_COUNT && front.calls.is_empty() {
                    return Ok(());
                }
            }
        }
    }
}

/// Returns if no exchange begins in time. HTTP/2 has no head that could be waited for: a greeting that never ends, or one
/// that nothing follows, would keep its place for ever.
async fn silent(busy: &Busy) {
    if tokio::time::timeout(HEAD_TIMEOUT, busy.begun.notified()).await.is_ok() {
        std::future::pending::<()>().await;
    }
}

/// A connection's exchanges.
#[derive(Default)]
struct Busy {
    /// Holds a permit from the first on.
    begun: Notify,
}

/// Waits until a connection may be told that the gateway stops: not before its first request, of which bytes have been
/// seen, has been taken; hyper would close under it.
async fn asked_to_stop(stop: &CancellationToken, busy: &Busy) {
    stop.cancelled().await;
    let _ = tokio::time::timeout(IDLE_AT_END, busy.begun.notified()).await;
}

/// How many hold a connection's `busy` while no exchange is under way: its task and its service.
const IDLE_COUNT: usize = 2;
/// A connection on which no exchange is under way is closed this long after the gateway was told to stop; until then
/// the last answer may still be on its way out.
const IDLE_AT_END: Duration = Duration::from_secs(1);

/// Boxed: few connections speak HTTP/2, and its state is large. The others must not carry the room for it.
fn serve_http2<'s>(
    front: Arc<Front>,
    builder: &'s http2::Builder<TokioExecutor>,
    stream: impl Wire,
    way: Way,
    stop: &'s CancellationToken,
) -> Pin<Box<dyn Future<Output = hyper::Result<()>> + Send + 's>> {
    Box::pin(async move {
        let busy = Arc::new(Busy::default());
        let service = answering(front, way, &busy);
        let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let mut silent = pin!(silent(&busy));
        tokio::select! {
            ended = serving.as_mut() => return ended,
            () = silent.as_mut() => return Ok(()),
            () = stop.cancelled() => serving.as_mut().graceful_shutdown(),
        }
        tokio::select! {
            ended = serving => ended,
            () = silent => Ok(()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant, timeout};

    #[tokio::test(start_paused = true)]
    async fn a_connection_on_which_nothing_begins_is_given_up_and_any_other_is_not() {
        let (busy, began) = (Busy::default(), Instant::now());
        timeout(2 * HEAD_TIMEOUT, silent(&busy)).await.expect("it is given up");
        assert_eq!(began.elapsed(), HEAD_TIMEOUT);
        busy.begun.notify_one();
        assert!(timeout(100 * HEAD_TIMEOUT, silent(&busy)).await.is_err());
    }
}
