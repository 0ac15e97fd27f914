//! Trunkline, an MCP gateway daemon.
//!
//! `ARCHITECTURE.md` draws the house; each room's `mod.rs` says what the room is for.

// A future is moved as a whole each time it is handed on; clippy.toml says how large is too large.
#![cfg_attr(not(test), warn(clippy::large_futures))]

pub mod activity;
pub mod app;
pub mod base;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod credentials;
pub mod demo;
pub mod enhance;
pub mod guard;
pub mod http;
pub mod onboard;
pub mod platform;
pub mod protocol;
pub mod router;
pub mod session;
pub mod sqlite;
pub mod stdio;
pub mod store;
pub mod supervisor;
pub mod telemetry;
pub mod traces;
pub mod upstream;
