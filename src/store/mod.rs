//! The SQLite file `<data_dir>/trunkline.db`: what a restarted gateway wants to know from before.
//!
//! It holds era verdicts (so that a start need not probe), the servers' last known lists (so that the catalog
//! is complete before every child has started), the ids of deleted sessions (so that they stay deleted) and API
//! keys (their digests).
//!
//! Promises:
//! - Nothing here is on a request's way. Writes go into a bounded queue and never wait; when the queue is full
//!   they are dropped, counted and reported. One task owns the connection. Reads are meant for starts.
//! - The gateway serves on whatever happens to the file. A damaged file is moved aside and a new one started;
//!   a full, locked or read-only disk is reported once when it begins and once when it ends, and retried
//!   with backoff in between. Writes that were queued meanwhile are then made.
//! - A database of a newer version, or one that is not ours, is refused and left as it was.
//! - What a [`Store::flush`] has confirmed survives the death of the process by any signal, `SIGKILL` included.
//!   It survives a power cut from the next checkpoint on (WAL with `synchronous=NORMAL`: the file is never
//!   damaged by one, but the last transactions may be missing). An unflushed write is usually on file
//!   within milliseconds.
//!
//! It never interprets what it keeps, and never holds a credential: session ids and API keys come hashed.

mod examine;
mod handle;
mod keys;
mod owner;
mod rows;
mod schema;
#[cfg(test)]
mod tests;

pub use examine::examine;
pub use handle::{Options, State, Store};
pub use keys::{KEY_DIGEST, KeysVersion, StoredKey};
pub use rows::{EraVerdict, Revocation, StoredCatalog};
