//! What the gateway is to an authorization server: its client id, and how it shows that it is it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::json;

use crate::base::Secret;
use crate::base::form::escape;
use crate::config::OAuth;

use super::assertion::PrivateKey;
use super::metadata::{ServerMetadata, endpoint};
use super::trouble::{Trouble, quoted};
use super::web::{JSON, Web};

/// A client of an authorization server.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub id: String,
    pub proof: Proof,
}

/// How a client shows that it is itself (OpenID Connect Core, section 9).
#[derive(Clone, Debug)]
pub(super) enum Proof {
    /// It does not: anybody may know the id, and the code's verifier is all that counts.
    None,
    /// By a secret in the `Authorization` header.
    Basic(Secret),
    /// By a secret in the form.
    Post(Secret),
    /// By a signed assertion.
    Key(Arc<PrivateKey>),
}

const NONE: &str = "none";
const BASIC: &str = "client_secret_basic";
const POST: &str = "client_secret_post";

/// What the gateway is called where it registers itself.
const CLIENT_NAME: &str = "Trunkline";

impl Client {
    /// The client of the entry; nothing, if it names none.
    pub fn configured(settings: &OAuth, metadata: &ServerMetadata) -> Result<Option<Client>, Trouble> {
        let Some(id) = settings.client_id.clone() else { return Ok(None) };
        let proof = match (&settings.private_key, &settings.client_secret) {
            (Some(pem), _) => {
                let key = PrivateKey::parse(pem.expose())
                    .map_err(|why| Trouble::Needed(format!("has an oauth.private_key that {why}")))?;
                Proof::Key(Arc::new(key))
            }
            (None, Some(secret)) => Proof::by_secret(secret.clone(), None, metadata),
            (None, None) => Proof::None,
        };
        Ok(Some(Client { id, proof }))
    }

    /// The client that is to log somebody in, in the order of the specification: the one that was agreed on, the one whose
    /// id is a document, or a new one.
    pub async fn for_login(
        web: &Web,
        server: &http::Uri,
        settings: &OAuth,
        metadata: &ServerMetadata,
        redirect_uri: &str,
        scopes: &[String],
    ) -> Result<Client, Trouble> {
        if let Some(client) = Client::configured(settings, metadata)? {
            return Ok(client);
        }
        if let Some(url) = &settings.client_metadata_url
            && metadata.client_id_metadata_document_supported
        {
            return Ok(Client { id: url.clone(), proof: Proof::None });
        }
        let Some(registration) = &metadata.registration_endpoint else {
            return Err(Trouble::Needed(format!(
                "cannot be logged in to: the authorization server '{}' registers nobody by itself; register there with the \
                 redirect URI {redirect_uri}, and set oauth.client_id in the server's entry",
                quoted(&metadata.issuer)
            )));
        };
        let refused =
            |why: String| Trouble::Needed(format!("cannot be logged in to: its authorization server {why}"));
        let url = endpoint(registration, server).map_err(|why| refused(format!("{why} to register")))?;
        register(web, &url, metadata, redirect_uri, scopes).await
    }

    /// Adds to a token request what shows that it comes from this client.
    pub fn sign(
        &self,
        issuer: &str,
        form: &mut Vec<(&'static str, String)>,
        headers: &mut Vec<(HeaderName, HeaderValue)>,
    ) -> Result<(), Trouble> {
        match &self.proof {
            Proof::None => form.push(("client_id", self.id.clone())),
            Proof::Post(secret) => {
                form.push(("client_id", self.id.clone()));
                form.push(("client_secret", secret.expose().to_owned()));
            }
            Proof::Basic(secret) => {
                let pair = format!("{}:{}", escape(&self.id), escape(secret.expose()));
                let value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair)));
                let mut value = value
                    .map_err(|_| Trouble::Needed("has an oauth.client_id that cannot be sent".to_owned()))?;
                value.set_sensitive(true);
                headers.push((AUTHORIZATION, value));
            }
            Proof::Key(key) => {
                let assertion = key.assertion(&self.id, issuer, unix_now());
                form.push(("client_assertion_type", ASSERTION_TYPE.to_owned()));
                form.push(("client_assertion", assertion.map_err(|why| Trouble::Needed(why.to_owned()))?));
            }
        }
        Ok(())
    }
}

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

impl Proof {
    /// The method by which a secret is shown: the one that was agreed on, else one that is taken.
    fn by_secret(secret: Secret, agreed: Option<&str>, metadata: &ServerMetadata) -> Proof {
        let taken = metadata.token_endpoint_auth_methods_supported.as_deref();
        let takes = |method: &str| taken.is_none_or(|taken| taken.iter().any(|one| one == method));
        match agreed {
            Some(POST) => Proof::Post(secret),
            Some(BASIC) => Proof::Basic(secret),
            // RFC 8414: who says nothing takes the header.
            _ if takes(BASIC) => Proof::Basic(secret),
            _ if takes(POST) => Proof::Post(secret),
            _ => Proof::Basic(secret),
        }
    }

    /// The method's name.
    pub fn method(&self) -> &'static str {
        match self {
            Proof::None => NONE,
            Proof::Basic(_) => BASIC,
            Proof::Post(_) => POST,
            Proof::Key(_) => "private_key_jwt",
        }
    }

    /// The proof that a record keeps.
    pub fn of_record(method: &str, secret: Option<&Secret>, settings: &OAuth) -> Result<Proof, Trouble> {
        match (method, secret, &settings.private_key) {
            (BASIC, Some(secret), _) => Ok(Proof::Basic(secret.clone())),
            (POST, Some(secret), _) => Ok(Proof::Post(secret.clone())),
            (NONE, _, _) => Ok(Proof::None),
            (_, _, Some(pem)) => match PrivateKey::parse(pem.expose()) {
                Ok(key) => Ok(Proof::Key(Arc::new(key))),
                Err(why) => Err(Trouble::Needed(format!("has an oauth.private_key that {why}"))),
            },
            _ => Err(Trouble::Needed("was logged in to with a key that its entry no longer has".to_owned())),
        }
    }

    /// What a record has to keep of it.
    pub fn secret(&self) -> Option<Secret> {
        match self {
            Proof::Basic(secret) | Proof::Post(secret) => Some(secret.clone()),
            Proof::None | Proof::Key(_) => None,
        }
    }
}

/// What came of a registration (RFC 7591).
#[derive(Deserialize)]
struct Registered {
    client_id: String,
    #[serde(default)]
    client_secret: Option<String>,
    #[serde(default)]
    token_endpoint_auth_method: Option<String>,
}

async fn register(
    web: &Web,
    url: &http::Uri,
    metadata: &ServerMetadata,
    redirect_uri: &str,
    scopes: &[String],
) -> Result<Client, Trouble> {
    let taken = metadata.token_endpoint_auth_methods_supported.as_deref().unwrap_or_default();
    let takes = |method: &str| taken.iter().any(|one| one == method);
    // Nothing that is installed on somebody's machine keeps a secret well; who insists on one gets what it takes.
    let method = [NONE, BASIC, POST].into_iter().find(|method| takes(method)).unwrap_or(NONE);
    let mut wish = json!({
        "client_name": CLIENT_NAME,
        "application_type": "native",
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": method,
    });
    if !scopes.is_empty() {
        wish["scope"] = scopes.join(" ").into();
    }
    let page = web.post(url, JSON, &[], wish.to_string()).await.map_err(Trouble::Passing)?;
    let registered =
        page.status.is_success().then(|| serde_json::from_slice::<Registered>(&page.body).ok()).flatten();
    let Some(registered) = registered else {
        return Err(Trouble::Needed(format!(
            "cannot be logged in to: the authorization server '{}' refuses to register the gateway ({}); register there \
             with the redirect URI {redirect_uri}, and set oauth.client_id in the server's entry",
            quoted(&metadata.issuer),
            page.status
        )));
    };
    let secret = registered.client_secret.filter(|secret| !secret.is_empty()).map(Secret::new);
    let agreed = registered.token_endpoint_auth_method.as_deref();
    let proof = match secret {
        Some(secret) if agreed != Some(NONE) && (agreed.is_some() || !only_public(taken)) => {
            Proof::by_secret(secret, agreed, metadata)
        }
        _ => Proof::None,
    };
    Ok(Client { id: registered.client_id, proof })
}

fn only_public(taken: &[String]) -> bool {
    !taken.is_empty() && taken.iter().all(|method| method == NONE)
}

/// Seconds since 1970.
pub(super) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
