//! Traces of requests: the spans that the gateway makes of them, and their way to a collector.
//!
//! **For:** deciding which request is traced, giving its spans ids that go on to the server, and sending what became of it
//! by OTLP over HTTP (`http/protobuf`). A request leaves a SERVER span, below that of its client, and, if a server was
//! asked, a CLIENT span below that, under which the server's own hang.
//!
//! **Promises:** nobody waits for a collector. What has ended goes into a bounded queue, in one piece, and is counted if
//! there is no room; one task sends it in batches, tries again as the protocol says, and says once that the collector does
//! not take them and once that it does again. A request that is not traced costs one look at a flag. Names and attributes
//! are those of OpenTelemetry's conventions for MCP.
//!
//! **Never:** holds what was asked or answered (no arguments, no results, no message of a server's), who asked, or an id of
//! a session; it follows no redirect and logs no header.

mod begin;
mod convention;
mod ended;
mod exporter;
mod handle;
mod otlp;
mod pack;
mod pipeline;
mod post;
mod sampler;
mod teller;
#[cfg(test)]
mod tests;

pub use begin::RequestSpan;
pub use ended::{Ending, Transport, Upstream};
pub use handle::Traces;
