//! What a client holds open: its session and its streams.
//!
//! A legacy session lives in its id (sealed, so that any process with the key carries on); memory holds only what is
//! in use: calls that can be withdrawn, the log level, open streams, and what was said lately for whoever lost one. The
//! hub tells everybody who listens what has changed. The room promises a bound for each of these, that nobody's stream
//! waits for anybody else's, and that what was said to one session reaches no other. It never talks to a server.

mod event_id;
mod facts;
mod hub;
mod keep;
mod notices;
mod overview;
mod queue;
mod resumable;
mod sessions;
mod watched;

pub use event_id::{OWN_STREAM, Position};
pub use facts::Facts;
pub use hub::{Attached, Hub, KEEP_ALIVE_EVERY, Listening, Place, Vantage};
pub use keep::Keep;
pub use notices::Wants;
pub use overview::{OpenStream, SessionFacts};
pub use queue::{Gone, Reader, Writer, queue};
pub use resumable::{Home, Retired, Stream};
pub use sessions::{Asked, Client, Heard, Session, SessionOptions, Sessions, StreamHold, Ticket};
pub use watched::Watched;
