//! The client: cheap enough to share two cores with what it measures, strict enough to trust the figures.
//!
//! Requests are prebuilt bytes in which only an id is patched; replies are compared byte for byte with the
//! last reply that was checked in full. It speaks HTTP/1.1 over plain TCP and reads JSON, chunked and SSE
//! replies. It never retries and never follows a redirect.

mod check;
mod connection;
mod drive;
mod head;
mod inbox;
mod request;

pub use check::{Fault, Faults, result_of};
pub use connection::{Connection, IdleStream};
pub use drive::{Lane, Round, drive};
pub use request::{Url, listing, opening};
