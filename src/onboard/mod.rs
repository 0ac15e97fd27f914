//! A user's first hour: taking over servers from other programs, pointing clients here, and finding what is wrong.
//!
//! **Promises:** a file of another program is changed only when asked to, with what it was kept beside it, and in no
//! place but the entry that is ours; its comments stay. A credential is never printed: it stays where it was, or goes
//! into a file for the user's eyes only. Every finding of the doctor has its cure.
//!
//! **Never:** talks to a running gateway in order to change it, or sends anything anywhere but to the servers that are
//! configured.

mod clients;
mod connect;
mod credentials;
mod doctor;
mod doctor_front;
mod doctor_host;
mod doctor_servers;
mod doctor_services;
mod finding;
mod import;

pub use clients::{Client, Platform};
pub use connect::{Connected, Endpoint, Refused, backup_of, connect};
pub use doctor::{Doctor, examine};
pub use finding::{Finding, Gravity};
pub use import::{Imported, import};
