//! Who the gateway is to a server: a token that changes while the link lives.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use http::{HeaderMap, HeaderValue, StatusCode};

use super::super::fault::Fault;

/// An answer that may have to be fetched first.
pub type Awaited<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where a link has its token from.
///
/// A link shows it to its server's own origin and to nobody else; what a client has shown us is no part of it.
pub trait Authorize: fmt::Debug + Send + Sync {
    /// What the next request shows; nothing, if the server has not asked for anything yet.
    fn pass(&self) -> Awaited<'_, Result<Option<Pass>, Fault>>;

    /// The server has refused a request with what it shows. True if there is another pass now, with which to try again.
    fn refused(&self, refusal: Refusal) -> Awaited<'_, Result<bool, Fault>>;
}

/// What a request shows.
#[derive(Clone, Debug)]
pub struct Pass {
    /// The value of the `Authorization` header, marked as sensitive.
    pub value: HeaderValue,
    /// Which of the tokens it is.
    pub version: u64,
}

/// A request that the server has refused by 401 or 403.
#[derive(Debug)]
pub struct Refusal {
    /// The pass that it showed.
    pub version: Option<u64>,
    /// The status.
    pub status: StatusCode,
    /// What the server said, `WWW-Authenticate` among it.
    pub headers: HeaderMap,
}
