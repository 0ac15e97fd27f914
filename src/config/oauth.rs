//! `[servers.<name>.oauth]`: how the gateway comes by a token for a server behind a URL.

use crate::base::Secret;

/// How the gateway comes by a token for a server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OAuth {
    /// By which grant.
    pub grant: Grant,
    /// The only authorization server that may be used, as it writes itself.
    pub issuer: Option<String>,
    /// The client id that the authorization server gave out.
    pub client_id: Option<String>,
    /// The secret that belongs to it.
    pub client_secret: Option<Secret>,
    /// The private key that signs assertions instead, in PEM.
    pub private_key: Option<Secret>,
    /// The URL that is the client id where metadata documents are taken.
    pub client_metadata_url: Option<String>,
    /// The scopes to ask for; empty means those that the server names.
    pub scopes: Vec<String>,
    /// The port to which a login is redirected; 0 lets the system choose.
    pub redirect_port: u16,
}

/// By which grant of OAuth a token is had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Grant {
    /// A person logs in once.
    #[default]
    AuthorizationCode,
    /// The gateway shows credentials of its own.
    ClientCredentials,
}
