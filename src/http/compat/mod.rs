//! AgentHub's paths of administration: `/servers`, `/health`, `/circuit-breakers` and `/audit/activity`.
//!
//! For scripts that were written for AgentHub. Everything is done by what serves `/api/v1`, and behind the same gate; here is
//! only the form that AgentHub gave it. The room promises AgentHub's fields and statuses, and that its pages are not there
//! unless `compat.agenthub` is true. It never shows what `/api/v1` would not, and never gives rights by what a client says
//! of itself.
//!
//! `pages` has paths and gate, `servers`, `health` and `audit` have the answers, `refusal` the others; `package` guesses what
//! a server is.

mod audit;
mod health;
mod package;
mod pages;
mod refusal;
mod servers;
mod state;

pub use pages::agenthub_pages;
pub use state::Switch;
