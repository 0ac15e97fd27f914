//! Connections that are counted: no more than may be at once, to one host and in all.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_service::Service;

use super::resolve::Resolver;

/// How many connections may be open at once. Whoever finds none free waits for the end of another request, as long as
/// opening a connection may take.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// To this host.
    pub own: Option<Arc<Semaphore>>,
    /// To all hosts that share it.
    pub all: Option<Arc<Semaphore>>,
}

/// All connections are in use, and none became free in time.
#[derive(Debug, thiserror::Error)]
#[error("all connections are in use and none became free within {0:?} (max_connections)")]
pub struct NoPlace(Duration);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Opens TCP connections, each in a place of its own.
#[derive(Clone, Debug)]
pub(super) struct Bounded {
    tcp: HttpConnector<Resolver>,
    resolver: Resolver,
    places: Places,
    patience: Duration,
}

impl Bounded {
    pub fn new(
        tcp: HttpConnector<Resolver>,
        resolver: Resolver,
        places: Places,
        patience: Duration,
    ) -> Bounded {
        Bounded { tcp, resolver, places, patience }
    }
}

impl Places {
    /// The place at the host first: who waits for that one keeps nobody else waiting.
    async fn take(&self) -> [Option<OwnedSemaphorePermit>; 2] {
        let mut taken = [None, None];
        for (place, kind) in taken.iter_mut().zip([&self.own, &self.all]) {
            if let Some(places) = kind {
                // It is never closed.
                *place = Arc::clone(places).acquire_owned().await.ok();
            }
        }
        taken
    }
}

impl Service<Uri> for Bounded {
    type Response = Held;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Held, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let Bounded { mut tcp, resolver, places, patience } = self.clone();
        Box::pin(async move {
            let taken = tokio::time::timeout(patience, places.take()).await.map_err(|_| NoPlace(patience))?;
            match tcp.call(to).await {
                Ok(stream) => Ok(Held { stream, _places: taken }),
                Err(error) => {
                    resolver.forget();
                    Err(error.into())
                }
            }
        })
    }
}

/// A connection that keeps its places until it is closed.
#[derive(Debug)]
pub(super) struct Held {
    stream: TokioIo<TcpStream>,
    _places: [Option<OwnedSemaphorePermit>; 2],
}

impl Connection for Held {
    fn connected(&self) -> Connected {
        self.stream.connected()
    }
}

impl Read for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl Write for Held {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }
}
