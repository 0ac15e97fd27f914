//! Trunkline, an MCP gateway daemon.
//!
//! `ARCHITECTURE.md` draws the house; each room's `mod.rs` says what the room is for.

pub mod base;
pub mod catalog;
pub mod config;
pub mod demo;
pub mod platform;
pub mod protocol;
pub mod store;
pub mod supervisor;
pub mod telemetry;
pub mod upstream;
