//! Who the gateway is to the servers behind it: logins by OAuth, kept and renewed.
//!
//! **Promises:** a token goes to the server that it is for and to no other, and a secret to the authorization server that
//! it belongs to; neither is ever part of a log, an error or a debug print. What is kept on disk is sealed. However many
//! calls find a token expired, it is renewed once, by a task that no caller's end can interrupt. What a server refuses is
//! the server's error and never a demand on the client.
//!
//! **Never:** shows a server what a client has shown the gateway, or opens a browser by itself.
//!
//! `registry` gives each server its `handle`, behind which `owner` renews; `vault` keeps a `record` a server. `login` is a
//! person's login with its `loopback`; `discovery` finds the authorization server from the server's `challenge` and its
//! `metadata`; `client` is what the gateway is there, `token` what is asked of it, by way of `web`.

mod assertion;
mod challenge;
mod client;
mod discovery;
mod handle;
mod login;
mod loopback;
mod metadata;
mod owner;
mod record;
mod registry;
mod token;
mod trouble;
mod vault;
mod web;

pub use handle::{Credential, LoginState};
pub use login::{Callback, Login, LoginOptions};
pub use loopback::{Loopback, Visit};
pub use record::Record;
pub use registry::{Credentials, CredentialsOptions};
pub use trouble::Trouble;
pub use vault::{Vault, VaultError};
