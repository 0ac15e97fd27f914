//! SQLite files that a daemon leans on: opened, brought to today's layout, and survived.
//!
//! **For:** the rooms that keep something on file, each with a file, a [`Layout`] and a task of its own.
//!
//! **Promises:** a damaged file is moved aside, readable by its owner alone, and an empty one takes its place; a full,
//! locked or read-only disk is told once when it begins and once when it ends, and tried again with backoff; a database
//! of a newer version, or one that is not ours, is refused and left as it was.
//!
//! **Never:** knows what the tables hold, or decides what is lost meanwhile.

mod aside;
mod asking;
mod fault;
mod health;
mod layout;
#[cfg(test)]
mod small_disk;
mod tended;

pub use asking::{Reply, ask};
pub use fault::{Fault, Hindrance, OpenError, Unavailable};
pub use health::Health;
pub use layout::Layout;
#[cfg(test)]
pub use small_disk::SmallDisk;
pub use tended::{Tended, Verdict};
