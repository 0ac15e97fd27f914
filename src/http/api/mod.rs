//! The administration interface, `/api/v1`.
//!
//! Who operates the gateway sees here what it is doing and tells it what to do. The answers are made from what the
//! rooms below publish; whatever changes something travels as an [`Order`] to whoever serves them, so that nothing here
//! reaches upward. The interface promises that nobody uses it who may not administer the gateway, that no web page can
//! drive it, that no answer shows a credential, and that `openapi.json` says what it does.

mod access;
mod activity;
mod cache;
mod calls;
mod catalog;
mod config;
mod events;
mod failure;
mod feed;
mod gate;
mod openapi;
mod orders;
mod query;
mod routes;
mod servers;
mod services;
mod sessions;
pub mod shape;
mod state;
mod status;
mod telling;

pub(super) use activity::{moment, open as open_log};
pub use failure::Failure;
pub(super) use gate::{admit, is_meant};
pub use orders::{Act, Order, OrderBook, Orders, Placed};
pub(super) use query::Query;
pub use routes::PREFIX;
pub use state::{Api, ApiParts};
