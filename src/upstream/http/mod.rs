//! A link to a Streamable HTTP server: one POST a message, connections pooled, replies as JSON or as a stream.
//!
//! `client` makes the pooled client, also that of services (`tls` for whom it trusts, `bounded` for how many connections,
//! `resolve` for addresses); `link` is the link itself with its session, `exchange` is one POST and what comes back, `events`
//! is the GET stream of a legacy server, `resume` says where and when to go on with a stream that broke, `oldest` is the
//! transport of 2024-11-05, in which everything comes on one stream. `authorize` is where a link has its token from,
//! `deliver` shows it.

mod asking;
mod authorize;
mod body;
mod bounded;
mod client;
mod deliver;
mod events;
mod exchange;
mod link;
mod oldest;
mod resolve;
mod resume;
mod tls;

pub use authorize::{Authorize, Awaited, Pass, Refusal};
pub use bounded::{NoPlace, Places};
pub use client::{ClientError, ClientOptions, HttpClient};
pub use events::follow_events;
pub use exchange::Exchange;
pub use link::{HttpLink, HttpOptions};
pub use oldest::OldestStream;
