//! A link to a Streamable HTTP server: one POST a message, connections pooled, replies as JSON or as a stream.
//!
//! `client` makes the pooled client (TLS, CA file, proxy), `link` is the link itself with its session, `exchange` is
//! one POST and what comes back, `events` is the GET stream of a legacy server.

mod client;
mod events;
mod exchange;
mod link;

pub use client::{ClientError, ClientOptions, HttpClient};
pub use events::follow_events;
pub use exchange::Exchange;
pub use link::{HttpLink, HttpOptions};
