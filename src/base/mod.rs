//! What every room may lean on: eras and versions, the closed list of errors, names, secrets, and small pure tools.
//!
//! This room imports nothing of ours, does no I/O but for reading the key file of [`seal`], and holds no state.

pub mod backoff;
pub mod cache;
mod era;
pub mod error;
mod fingerprint;
pub mod form;
pub mod glob;
mod level;
mod name;
mod principal;
pub mod random;
pub mod seal;
mod seal_file;
mod secret;
pub mod utc;

pub use backoff::Backoff;
pub use era::{Era, Version};
pub use error::{Error, ErrorKind};
pub use fingerprint::{FINGERPRINT, fingerprint, short_hex};
pub use level::Level;
pub use name::{BadServerName, ServerName};
pub use principal::Principal;
pub use seal::SealKey;
pub use seal_file::{SEAL_KEY_FILE, SealKeyError};
pub use secret::Secret;
