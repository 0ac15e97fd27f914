//! Trunkline, an MCP gateway daemon.
//!
//! `ARCHITECTURE.md` draws the house; each room's `mod.rs` says what the room is for.

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
pub mod upstream;
