//! Addresses of a host, remembered for a while.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tokio::time::Instant;
use tower_service::Service;

/// Asks the system for addresses, and keeps the last answer for `ttl`. One client talks to one host, so one answer is
/// all that is kept. Cloning shares it.
#[derive(Clone, Debug)]
pub(super) struct Resolver<R = GaiResolver> {
    inner: R,
    ttl: Duration,
    known: Arc<Mutex<Option<Known>>>,
}

#[derive(Debug)]
struct Known {
    name: Name,
    addresses: Vec<SocketAddr>,
    until: Instant,
}

impl<R> Resolver<R> {
    /// A resolver that knows nothing yet.
    pub fn new(inner: R, ttl: Duration) -> Resolver<R> {
        Resolver { inner, ttl, known: Arc::default() }
    }

    /// Forgets what it knows: a connection to it could not be made, so the host may have moved.
    pub fn forget(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recall(&self, name: &Name) -> Option<Vec<SocketAddr>> {
        let known = self.lock();
        let fresh = known.as_ref().filter(|known| known.name == *name && Instant::now() < known.until)?;
        Some(fresh.addresses.clone())
    }
}

type Resolving = Pin<Box<dyn Future<Output = io::Result<std::vec::IntoIter<SocketAddr>>> + Send>>;

impl<R> Service<Name> for Resolver<R>
where
    R: Service<Name, Error = io::Error> + Clone + Send + 'static,
    R::Response: Iterator<Item = SocketAddr>,
    R::Future: Send,
{
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Resolving;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, name: Name) -> Resolving {
        if let Some(addresses) = self.recall(&name) {
            return Box::pin(std::future::ready(Ok(addresses.into_iter())));
        }
        let asked = self.inner.call(name.clone());
        let own = (Arc::clone(&self.known), self.ttl);
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = asked.await?.collect();
            let (known, ttl) = own;
            if !addresses.is_empty() && !ttl.is_zero() {
                let answer = Known { name, addresses: addresses.clone(), until: Instant::now() + ttl };
                *known.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
            }
            Ok(addresses.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Clone, Default)]
    struct Counting(Arc<AtomicUsize>);

    impl Service<Name> for Counting {
        type Response = std::vec::IntoIter<SocketAddr>;
        type Error = io::Error;
        type Future = std::future::Ready<io::Result<Self::Response>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Name) -> Self::Future {
            self.0.fetch_add(1, Ordering::Relaxed);
            std::future::ready(Ok(vec![SocketAddr::from(([127, 0, 0, 1], 0))].into_iter()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_are_remembered_for_their_time_and_forgotten_when_nobody_is_there() {
        let asked = Counting::default();
        let mut resolver = Resolver::new(asked.clone(), Duration::from_secs(300));
        let mut look = async |host: &str| {
            let found = resolver.call(host.parse().unwrap()).await.unwrap().count();
            assert_eq!(found, 1);
            asked.0.load(Ordering::Relaxed)
        };
        assert_eq!((look("a").await, look("a").await), (1, 1));
        tokio::time::advance(Duration::from_secs(299)).await;
        assert_eq!(look("a").await, 1);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(look("a").await, 2, "after its time it is asked for again");
        assert_eq!(look("b").await, 3, "another host is another question");
        resolver.forget();
        resolver.call("b".parse().unwrap()).await.unwrap();
        assert_eq!(asked.0.load(Ordering::Relaxed), 4, "what led nowhere is asked for again");
    }
}
