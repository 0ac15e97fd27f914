//! The HTTP front: sockets in, bytes out.
//!
//! One listener serves MCP by hyper directly (`post`, `streams`), plain services likewise (`services`), and everything else through axum (`pages`). The room
//! promises that a POST is answered as JSON unless something precedes the reply, that a client's id and era are
//! respected to the letter, and that every body, buffer and stream has a bound. It decides nothing about servers.

mod accepts;
mod batch;
mod body;
mod era;
mod front;
mod gathering;
mod origin;
mod outlet;
mod pages;
mod post;
mod reply;
mod server;
mod services;
mod stream;
mod streams;

pub use body::FrontBody;
pub use front::{Front, RequestBody, inside};
pub use origin::OriginRules;
pub use pages::{Render, pages};
pub use server::serve;
