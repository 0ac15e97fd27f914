//! What the operator wants.
//!
//! **For:** reading the configuration from its layers (defaults, file, drop-ins, environment, flags), resolving its
//! references and checking all of it, before anything is started.
//!
//! **Promises:** a [`Config`] that exists is right: every key is known, every value is of its kind and within its
//! bounds, every reference is resolved. A configuration that is not right comes back as [`Faults`]: all of them at
//! once, each with key, value, place and cure. No credential is part of a fault or of a debug print.
//!
//! **Never:** looks at the process environment or the current folder by itself, writes anything, starts anything,
//! or decides what a setting does; that is for the room which owns the thing.
//!
//! How a configuration comes to be: `files` finds the file and its drop-ins; `document`, `given` and the list in `keys` turn file,
//! environment, flags and defaults into layers of the same shape; `layers` merges them; `reader`, `build` and
//! `servers` and `services` (with what they share in `remote`) take them apart key by key. `faults` collects what is wrong
//! on the way, and `source` knows the place of it. `schema` and `reference` tell editors and people what `keys` says.

mod activity;
mod admin;
mod auth;
mod build;
mod compat;
mod decimal;
mod document;
mod enhance;
mod enhancing;
mod exporting;
mod faults;
mod files;
pub mod foreign;
mod given;
mod identity;
mod imports;
mod inputs;
mod issuers;
mod keys;
mod layers;
mod limits;
mod links;
mod listening;
mod load;
mod logins;
mod metrics;
mod model;
mod oauth;
mod operating;
mod own_files;
mod policy;
mod policy_pattern;
mod rate;
mod reader;
mod reference;
mod references;
mod remote;
mod replay;
mod schema;
mod servers;
mod service;
mod services;
mod show;
mod source;
#[cfg(test)]
mod tests;
mod tls;
mod tool_prompts;
mod tool_results;
mod traces;
mod units;
mod url;
mod veil;

pub use activity::{Activity, Capture};
pub use admin::Admin;
pub use auth::{Anonymous, Auth, is_scope};
pub use compat::Compat;
pub use decimal::Decimal;
pub use enhance::{Enhance, EnhanceRule, Privacy};
pub use faults::{Fault, Faults};
pub use given::{TOKEN_VARIABLE, URL_VARIABLE};
pub use identity::Identity;
pub use inputs::{EXAMPLE, Flag, Sources};
pub use issuers::{Issuer, SignatureAlgorithm, is_safe};
pub use keys::{KeyDefault, KeyDoc, Kind, Reach, doc_of, keys};
pub use limits::RateLimits;
pub use links::{Isolation, Links};
pub use listening::{Listening, where_it_listens};
pub use load::{Loaded, Setting, load};
pub use metrics::Metrics;
pub use model::{
    Breaker, Config, Gateway, Health, HttpTransport, Limits, Log, LogFormat, Origin, Protocol, Replace,
    Restart, Server, Start, ToolFilter, Transport,
};
pub use oauth::{Grant, OAuth};
pub use own_files::{OwnFiles, own_files};
pub use policy::{PolicyRule, PolicyRules};
pub use policy_pattern::{Hint, Hints, ItemKind, Pattern};
pub use rate::Rate;
pub use reference::reference;
pub use replay::Replay;
pub use schema::schema;
pub use service::Service;
pub use tls::{Tls, TlsVersion};
pub use tool_prompts::{PromptArgument, ToolPrompts};
pub use tool_results::ToolResults;
pub use traces::Traces;
pub use units::parse_duration;
pub use url::Url;
