//! Keeping the fleet alive.
//!
//! One owner task a server drives one pure machine ([`State`], [`Event`] and [`Action`] are its words); each start is
//! a numbered generation. The room promises that an exit is seen when it happens and fails its pending calls at
//! once, that a server which comes back is Ready as soon as its lists have been read, that no state is for ever, and
//! that no server's trouble is another's. It never decides what clients may see: it publishes raw lists.

mod fleet;
mod generation;
mod handle;
mod launch;
mod listen;
mod machine;
mod metrics;
mod owner;
mod reading;
mod snapshot;
mod subscriptions;

pub use fleet::{Fleet, FleetOptions};
pub use handle::{Admission, Live, ServerHandle, Status, Updated};
pub use launch::Surroundings;
pub use machine::{Action, Event, Machine, Policy, State};
pub use snapshot::{ListState, Offer};
pub use subscriptions::Subscription;
