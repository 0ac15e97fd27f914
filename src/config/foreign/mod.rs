//! Configuration of other programs: what Claude, Cursor, VS Code and others say of their MCP servers, in our words.
//!
//! **Promises:** nothing of an entry is lost in silence: what has another form here is translated, and what has none is
//! named in the entry's notes. One entry that cannot be taken does not cost the others.
//!
//! **Never:** resolves a reference, reads any file but the one that it is given the text of, or starts anything.

mod entry;
mod fields;
mod file;
mod flavor;
mod keys;
mod toml;
mod variables;

pub use entry::{Entry, Reached};
pub use file::{Foreign, Unreadable, read};
pub use flavor::Flavor;
pub use toml::{comment, toml_of};
