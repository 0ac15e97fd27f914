//! What a client holds open: its session and its streams.
//!
//! A legacy session lives in its id (sealed, so that any process with the key carries on); memory holds only what is
//! in use: calls that can be withdrawn, the log level, open streams. The hub tells everybody who listens what has
//! changed. The room promises a bound for each of these and that nobody's stream waits for anybody else's. It never
//! talks to a server.

mod facts;
mod hub;
mod queue;
mod sessions;
mod watched;

pub use facts::Facts;
pub use hub::{Hub, KEEP_ALIVE_EVERY, Listening, Wants};
pub use queue::{Gone, Reader, Writer, queue};
pub use sessions::{Asked, Client, Session, SessionOptions, Sessions, StreamHold, Ticket};
pub use watched::Watched;
