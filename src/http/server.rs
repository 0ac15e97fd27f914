//! The listener: connections in, each served until it is done or the gateway stops.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::front::{Front, exchange};

/// How long a client may take to send the head of a request: the classic defence against connections that only
/// trickle. Nginx's default of 60 s, halved.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause after an accept that failed for want of descriptors, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Bytes of a connection's read buffer at the start; most requests fit. It grows with larger ones.
const READ_BUFFER: usize = 8 * 1024;

/// Serves `listener` until `stop`, then lets open exchanges finish. `connections` is the most that are open at once.
pub async fn serve(front: Arc<Front>, listener: TcpListener, connections: usize, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(connections));
    let open = TaskTracker::new();
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(max_buffer(&front));
    builder.http2().timer(TokioTimer::new()).max_header_list_size(MAX_HEADERS);
    let builder = Arc::new(builder);
    while let Some(accepted) = stop.run_until_cancelled(accept(&listener, &places)).await {
        match accepted {
            Ok((stream, place)) => {
                let (front, builder, stop) = (Arc::clone(&front), Arc::clone(&builder), stop.clone());
                open.spawn(async move {
                    let _place = place;
                    connection(front, &builder, stream, &stop).await;
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

/// A read buffer must hold the whole head; hyper reads bodies through it piece by piece.
fn max_buffer(front: &Front) -> usize {
    (MAX_HEADERS as usize).max(front.max_body.min(MAX_READ)).max(READ_BUFFER)
}

/// The largest piece in which a body is read.
const MAX_READ: usize = 64 * 1024;

type Place = tokio::sync::OwnedSemaphorePermit;

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<(TcpStream, Place)> {
    // A connection beyond the cap waits in the kernel's queue, which refuses when it is full.
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    // Without this, a small answer waits for the acknowledgement of the one before.
    stream.set_nodelay(true)?;
    Ok((stream, place))
}

async fn connection(front: Arc<Front>, builder: &Builder<TokioExecutor>, stream: TcpStream, stop: &CancellationToken) {
    let service = service_fn(move |request| {
        let front = Arc::clone(&front);
        async move { Ok::<_, std::convert::Infallible>(exchange(front, request).await) }
    });
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection ended early");
    }
}
