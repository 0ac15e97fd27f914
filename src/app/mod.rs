//! The daemon: builds the floors in order, listens, and takes everything down again in order.
//!
//! Nothing below knows this room. It promises that listening does not wait for any server, that a stop lets calls in
//! flight finish within their grace, that no child outlives it, and that a reload changes what has changed and nothing else.

mod admin;
mod banner;
mod claim;
mod daemon;
mod documents;
mod failure;
pub mod keys;
mod live;
mod orders;
mod pipes;
mod reload;
mod scrape;
mod stop;
mod tasknews;
mod watchdog;

pub use banner::base_of;
pub use claim::seal_key;
pub use daemon::{Face, run};
pub use failure::Failure;
pub use pipes::{Connect, connect};
pub use reload::{Refused, Reloaded, Reloader, Summary};
