//! The stdio front: one client on a pair of pipes, in front of a gateway that speaks Streamable HTTP.
//!
//! The gateway is either a running daemon behind a URL or the front of this very process, called without a socket. In
//! both cases a line is a POST and an answer is lines, so that eras, sessions, questions and subscriptions have one
//! implementation. The room promises that nothing but MCP reaches the output, that no call is made twice, that every
//! line and queue has a bound, and that the end of the input ends everything. It never looks into what it carries
//! beyond the envelope and the few fields that become headers.

mod bridge;
mod call;
mod follow;
mod gateway;
mod lines;
mod mirror;
mod session;
mod stream;

pub use bridge::{Options, run};
pub use gateway::{Answering, Body, Gateway, Unreached, remote};
