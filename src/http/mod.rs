//! The HTTP front: sockets in, bytes out.
//!
//! One listener serves MCP by hyper directly (`post`, `streams`), plain services likewise (`services`), single
//! requests of callers that speak no MCP (`rest`), and everything else through axum (`pages`). The room
//! promises that a POST is answered as JSON unless something precedes the reply, that a client's id and era are
//! respected to the letter, and that every body, buffer and stream has a bound. It decides nothing about servers.

mod accepts;
mod access;
mod account;
pub mod api;
mod arrival;
mod ask;
mod batch;
mod body;
mod compat;
mod enhance;
mod era;
mod front;
mod gathering;
mod intake;
mod metadata;
mod oldest;
mod origin;
mod outlet;
mod pages;
mod post;
mod reply;
mod rest;
mod server;
mod services;
mod stream;
mod streams;
mod tls;
mod told;
mod untold;
mod who;
mod wishes;

pub use body::{FrontBody, RequestBody};
pub use compat::{Switch, agenthub_pages};
pub use enhance::enhance_pages;
pub use front::{Front, inside};
pub use oldest::Oldest;
pub use origin::OriginRules;
pub use pages::{Render, pages};
pub use server::serve;
pub use tls::Encryption;
