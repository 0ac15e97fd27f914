//! One link to one server: its pipes or its URL, its handshake, its calls in flight.
//!
//! This room promises that every number that crosses a link is minted here, that a reply reaches the call that asked
//! and no other, that nothing on a link waits for a slow caller, and that a call that is dropped frees its place and
//! is withdrawn at the server. It never restarts anything and never decides who may call: that is for the floors
//! above.

mod counts;
mod fault;
mod handshake;
pub mod http;
mod inquiry;
mod link;
mod lists;
mod mailbox;
mod outbox;
mod outgoing;
mod party;
mod peer;
mod pending;
mod signals;
mod stderr;
mod stdio;

pub use counts::Counts;
pub use fault::{Delivery, Fault, ended_fault};
pub use handshake::{Hint, handshake, own_info, own_meta, own_meta_with_tasks};
pub use inquiry::{Audience, Inquiry};
pub use link::{Call, Link, own_request, result_of};
pub use lists::{RawList, is_offered, read_list};
pub use mailbox::Event;
pub use outgoing::Outgoing;
pub use party::Party;
pub use peer::Peer;
pub use signals::{Happened, ListKind, Lost, Signals};
pub use stderr::StderrTail;
pub use stdio::StdioLink;
