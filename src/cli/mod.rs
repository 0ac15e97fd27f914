//! The command line.
//!
//! The only room that prints. It reads arguments, hands them down, and turns what comes back into words and an exit
//! code (see [`exit`]).

mod activity;
mod admin;
mod arguments;
mod configuration;
pub mod exit;
mod health;
mod keys;
mod load;
mod login;
mod onboard;
mod packaging;
mod policy;
mod run;
mod verify;
mod words;

pub use run::main;
