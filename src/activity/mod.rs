//! What happened: one row for each call, in `<data_dir>/activity.db`.
//!
//! **For:** every question of the form "who called what, when, and how did it go".
//!
//! **Promises:**
//! - No call waits for its row. [`ActivityLog::record`] packs it into one allocation and a bounded queue; one task owns the
//!   file and writes in batches. What finds no room is counted, and a row of its own says that there is a gap.
//! - A clean end loses nothing. A kill loses what was recorded within the last `activity.window`.
//! - The gateway serves on whatever happens to the file (see [`crate::sqlite`]); rows wait in the queue meanwhile.
//! - No type of the database shows in this room's face, so that another one can follow.
//!
//! **Never:** holds a session's id (only a hash), and never a payload of a call unless its server is set to be captured.
//!
//! How to ask: [`Reader::open`] on [`ActivityLog::path`] gives a connection that cannot write; it works beside the gateway
//! and without it. [`Reader::page`] takes a [`Filter`] and a [`Cursor`] and gives a [`Page`] of [`Record`]s, the newest
//! first; [`Reader::after`] gives what came after a cursor, the oldest first, for whoever follows along;
//! [`Reader::stats`] counts by server, tool or client. A [`Record`] is serialised as one JSON object. [`erase()`] takes one
//! principal's rows out, [`erase_all`] all; [`Reader::exchanges`] shows the log as exchanges of HTTP.

mod chain;
mod context;
mod digest;
mod entry;
mod erase;
mod exchanges;
mod filter;
mod gap;
mod insert;
mod log;
mod options;
mod payload;
mod reader;
mod record;
mod redact;
mod retention;
mod rows;
mod schema;
mod sealed;
mod stats;
mod tally;
mod terms;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

pub use entry::{ClientText, Entry};
pub use erase::{erase, erase_all};
pub use exchanges::{Exchange, ExchangeFigures, ExchangeFilter};
pub use filter::{Cursor, Filter};
pub use log::{ActivityLog, State};
pub use options::{Options, Terms};
pub use payload::Payload;
pub use reader::{Page, ReadError, Reader};
pub use record::Record;
pub use retention::Keep;
pub use stats::{By, Stat};
pub use verify::{Break, Head, Retired, Unsealed, Verdict, verify};
