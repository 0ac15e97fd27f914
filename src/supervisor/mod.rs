//! Keeping the fleet alive.
//!
//! One owner task a server drives one pure machine ([`State`], [`Event`] and [`Action`] are its words); each start is
//! a numbered generation. The room promises that an exit is seen when it happens and fails its pending calls at
//! once, that a server which comes back is Ready as soon as its lists have been read, that no state is for ever, and
//! that no server's trouble is another's. It never decides what clients may see: it publishes raw lists.
//!
//! `machine` decides about starts, `breaker` about calls, `health` about a server that has fallen silent: all three
//! are pure. `services` watches over plain HTTP services. `fleet` holds who is in, `reload` changes that while calls go on.
//! `owner` drives the machine, `generation` is one life, `handle` and `admission` are the way in. `operator` is what a
//! person may ask for.

mod admission;
mod breaker;
mod event;
mod fleet;
mod generation;
mod handle;
mod health;
mod hint;
mod launch;
mod listen;
mod machine;
mod metrics;
mod operator;
mod own_links;
mod owner;
mod pool;
mod reading;
mod reload;
mod remote;
mod services;
mod snapshot;
mod subscriptions;
mod tasknote;
mod usage;
mod waiter;
mod wishes;
mod yard;

pub use admission::Admission;
pub use breaker::{Breaker, BreakerState, Counts as BreakerCounts, Ticket as BreakerTicket};
pub use event::{ServerChange, ServerEvent};
pub use fleet::{Fleet, FleetOptions, Members};
pub use handle::{Live, ServerHandle, Status, Updated};
pub use launch::Surroundings;
pub use machine::{Action, Event, Machine, Next, Policy, State};
pub use pool::{Caller, LinkKey, News, OwnNews, PooledLink, SessionKey};
pub use reload::Applied;
pub use services::{Answer, BoxError, Broken, ServiceBody, ServiceHandle, Services, ServicesOptions, whole};
pub use snapshot::{ListState, Offer};
pub use subscriptions::Subscription;
pub use tasknote::TaskNote;
