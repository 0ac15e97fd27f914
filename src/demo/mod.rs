//! The demo server: a small MCP server in our own binary, for a first run that needs nothing else.
//!
//! It is served by `trunkline demo-server` on standard input and output, as any other stdio child behind the
//! gateway, and shows one of each thing that a gateway has to carry: plain tools, progress, cancellation, a question
//! to the user, a resource, a resource template, a prompt and completion.
//!
//! It promises: both eras, nothing on standard output but MCP, nothing on standard error, an end when its input ends.
//!
//! It never reads files, never opens a socket, and knows nothing of the gateway in front of it.

mod ask;
mod content;
mod server;
#[cfg(test)]
mod tests;

pub use server::{DemoError, run};
