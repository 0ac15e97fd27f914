//! The daemon: builds the floors in order, listens, and takes everything down again in order.
//!
//! Nothing below knows this room. It promises that listening does not wait for any server, that a stop lets calls in
//! flight finish within their grace, and that no child outlives it.

mod banner;
mod daemon;
mod failure;
mod pipes;
mod stop;

pub use daemon::{Face, run};
pub use failure::Failure;
pub use pipes::{Connect, connect};
