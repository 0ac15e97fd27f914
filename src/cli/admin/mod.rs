//! Commands that ask a running gateway, and tell it what to do.
//!
//! They are clients of its administration interface: whatever they show or do, any other program can.

mod cache;
mod calls;
mod catalog;
mod client;
mod events;
mod order;
mod run;
mod servers;
mod services;
mod sessions;
mod settings;
mod status;
mod table;

pub use client::Remote;
pub use run::{Admin, run};
pub use settings::live;
