//! What MCP says on the wire.
//!
//! This room parses a message once, for its envelope and the few fields that are routed on, and rewrites only bytes
//! that are the gateway's own. It promises that everything else goes out as it came in. It never does I/O, never
//! waits and never builds a value tree of a message that passes through.

mod canonical;
mod capabilities;
mod client;
pub mod header;
pub mod id;
pub mod line;
pub mod message;
pub mod method;
pub mod mirror;
pub mod params;
pub mod skim;
pub mod splice;
pub mod sse;
pub mod trace;
pub mod traceparent;
pub mod translate;
pub mod write;

pub use canonical::canonical;
pub use capabilities::ClientCapabilities;
pub use client::ClientInfo;
pub use id::RawId;
pub use message::{Kind, Message, MessageError};
pub use params::{Meta, Params};
pub use skim::Span;
pub use splice::{Patch, Splice};
