//! Who may do what, how often.
//!
//! **For:** telling from an exchange's credential who is calling ([`Guard::authenticate`]), once for each exchange and
//! before anything of it is read; counting requests against the limits of the configuration ([`Limits`]); and
//! deciding what a caller may see and use ([`Policy`]).
//!
//! **Promises:** an API key that is shown is right or refused, never passed over; what cannot be decided is refused.
//! A known API key costs a hash and a look-up: no lock, no file, no wait. A token costs a check of its
//! signature; the network is asked only for keys that nobody knows yet, and never at a caller's own pace. Keys are held as digests; no credential reaches
//! a log, an error or an upstream.
//!
//! **Never:** reads a message, answers a request, or lets anybody in because something is broken.

mod authenticate;
mod bearer;
mod bucket;
mod caller;
mod discovery;
mod explain;
mod issuer;
mod jwt;
mod key;
mod keys;
mod limits;
mod policy;

pub use authenticate::{Guard, GuardOptions, MakeFetch, Peer, Refusal};
pub use bearer::{Bearer, bearer};
pub use caller::{ADMIN_SCOPE, Caller};
pub use explain::{Explained, Item, explain};
pub use issuer::{Fetch, Fetching};
pub use key::{KEY_PREFIX, MintedKey, holds_key, is_key_name, mint, spoken_of};
pub use keys::RELOAD_EVERY;
pub use limits::{Limits, Wait};
pub use policy::{Access, Class, Decision, Policy};
