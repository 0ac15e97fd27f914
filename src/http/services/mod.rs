//! Plain HTTP services below `/services/<name>/`: a reverse proxy that passes bodies on frame by frame, in both
//! directions.
//!
//! `forward` is the way, `headers` (pure) says what of a head goes on.

mod forward;
mod headers;

pub use forward::{forward, refusal};
