//! What the gateway tells about itself: metrics for Prometheus and a log on stderr.
//!
//! Promises:
//! - Every metric's name, labels and help stand in `names.rs` and nowhere else. Each label has a closed set of
//!   values or is a configured server's name; nothing that a client sends becomes a label.
//! - Recording takes no lock and, after the first time, allocates nothing. Memory is bounded by the number of
//!   series: histograms are fixed buckets, counted where the value arises.
//! - Logging never makes a request wait. Lines go through a bounded buffer to a thread of their own; what does
//!   not fit is dropped, counted, and the count logged.
//! - Standard output is never written: on the stdio front it is the wire.
//!
//! It opens no socket. Who wants the metrics asks [`MetricsHandle::render`].

mod buckets;
mod logging;
pub mod names;
mod recorder;
mod requests;
mod runtime;
mod tools;
mod writer;

pub use logging::{Format, LogFilter, LogOptions, LoggingError, init};
pub use metrics::Counter;
pub use recorder::{InstallError, MetricsHandle, Recorder};
pub use requests::{EndpointKind, MethodLabel, Outcome, RequestMetrics};
pub use runtime::{tell_runtime, watch_runtime};
pub use tools::{ToolMetrics, ToolSeries};
pub use writer::LogGuard;
