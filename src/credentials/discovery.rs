//! From a server to its authorization server: its own metadata, then the issuer's.

use http::Uri;

use crate::config::OAuth;

use super::challenge::Challenge;
use super::metadata::{
    ResourceMetadata, ServerMetadata, covers, endpoint, issuer_candidates, resource_candidates,
};
use super::trouble::{Trouble, quoted};
use super::web::{Page, Web, origin};

/// Where a server's tokens come from, and what they are for.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// The resource indicator (RFC 8707).
    pub resource: String,
    /// The scopes that the server names for ordinary use; nothing, if it does not say.
    pub scopes: Option<Vec<String>>,
    /// The authorization server.
    pub metadata: ServerMetadata,
    /// Where tokens are given out.
    pub token_endpoint: Uri,
}

/// Finds the authorization server of `server`.
///
/// What the server says of itself leads the way; `issuer` of the entry has the last word. A server of 2025-03-26 says
/// nothing of itself, and is its own authorization server.
pub(super) async fn discover(
    web: &Web,
    server: &Uri,
    challenge: &Challenge,
    settings: &OAuth,
) -> Result<Found, Trouble> {
    let own = resource_metadata(web, server, challenge).await?;
    let (resource, scopes) = match &own {
        Some(own) => (checked_resource(own, server)?, own.scopes_supported.clone()),
        None => (canonical(server), None),
    };
    let issuer = issuer(own.as_ref(), server, settings)?;
    let metadata = server_metadata(web, server, &issuer, own.is_none()).await?;
    let token_endpoint = endpoint(&metadata.token_endpoint, server).map_err(|why| {
        Trouble::Needed(format!("cannot be logged in to: its authorization server {why} for tokens"))
    })?;
    Ok(Found { resource, scopes, metadata, token_endpoint })
}

/// What the server says of itself, if it says anything.
async fn resource_metadata(
    web: &Web,
    server: &Uri,
    challenge: &Challenge,
) -> Result<Option<ResourceMetadata>, Trouble> {
    if let Some(named) = &challenge.resource_metadata {
        let refused =
            |why| Trouble::Needed(format!("cannot be logged in to: its answer {why} for its metadata"));
        let url = endpoint(named, server).map_err(refused)?;
        let page = web.get(&url).await.map_err(Trouble::Passing)?;
        return match read::<ResourceMetadata>(&page) {
            Some(metadata) => Ok(Some(metadata)),
            None => Err(Trouble::Passing(format!(
                "names metadata at {} that cannot be read ({})",
                origin(&url),
                page.status
            ))),
        };
    }
    for url in resource_candidates(server) {
        let page = web.get(&url).await.map_err(Trouble::Passing)?;
        if page.status.is_server_error() {
            return Err(Trouble::Passing(format!("cannot say who gives out its tokens ({})", page.status)));
        }
        // A page for people, or an empty object, is no metadata.
        let metadata = read::<ResourceMetadata>(&page);
        if let Some(metadata) =
            metadata.filter(|own| own.resource.is_some() || !own.authorization_servers.is_empty())
        {
            return Ok(Some(metadata));
        }
    }
    Ok(None)
}

fn checked_resource(own: &ResourceMetadata, server: &Uri) -> Result<String, Trouble> {
    match &own.resource {
        Some(resource) if covers(resource, server) => Ok(resource.clone()),
        Some(resource) => Err(Trouble::Needed(format!(
            "cannot be logged in to: it says that it is '{}', which is not its url; correct the url, or the server",
            quoted(resource)
        ))),
        None => Ok(canonical(server)),
    }
}

/// The server's URL as a resource indicator: small letters, no query, no bare slash.
fn canonical(server: &Uri) -> String {
    let path = server.path();
    format!("{}{}", origin(server), if path == "/" { "" } else { path })
}

fn issuer(own: Option<&ResourceMetadata>, server: &Uri, settings: &OAuth) -> Result<String, Trouble> {
    let named = own.map(|own| &own.authorization_servers[..]).unwrap_or_default();
    match (&settings.issuer, named.first()) {
        (Some(issuer), Some(first)) if !named.contains(issuer) => Err(Trouble::Needed(format!(
            "names the authorization server '{}', and its entry allows '{issuer}' only; \
             change oauth.issuer if this is right, with the credentials that belong to it",
            quoted(first)
        ))),
        (Some(issuer), _) => Ok(issuer.clone()),
        (None, Some(first)) => Ok(first.clone()),
        (None, None) => Ok(origin(server)),
    }
}

/// The issuer's own metadata, which must say that it is that issuer's (RFC 8414, section 3.3).
async fn server_metadata(
    web: &Web,
    server: &Uri,
    issuer: &str,
    guessed: bool,
) -> Result<ServerMetadata, Trouble> {
    let url = endpoint(issuer, server).map_err(|why| {
        Trouble::Needed(format!("cannot be logged in to: it {why} as its authorization server"))
    })?;
    for candidate in issuer_candidates(&url) {
        let page = web
            .get(&candidate)
            .await
            .map_err(|why| Trouble::Passing(format!("cannot be logged in to: {why}")))?;
        if page.status.is_server_error() {
            let text = format!("cannot be logged in to: {} answers {}", origin(&url), page.status);
            return Err(Trouble::Passing(text));
        }
        let Some(metadata) = read::<ServerMetadata>(&page) else { continue };
        // Who was guessed may write itself with a slash at the end.
        if metadata.issuer == issuer || (guessed && metadata.issuer.trim_end_matches('/') == issuer) {
            return Ok(metadata);
        }
        return Err(Trouble::Needed(format!(
            "cannot be logged in to: the metadata of the authorization server '{}' is that of '{}'",
            quoted(issuer),
            quoted(&metadata.issuer)
        )));
    }
    Err(Trouble::Needed(if guessed {
        "refuses the gateway and does not say who gives out its tokens; set `headers` or `oauth.issuer` in its entry"
            .to_owned()
    } else {
        format!("cannot be logged in to: the authorization server '{}' has no metadata", quoted(issuer))
    }))
}

fn read<T: serde::de::DeserializeOwned>(page: &Page) -> Option<T> {
    page.status.is_success().then(|| serde_json::from_slice(&page.body).ok()).flatten()
}

/// The scopes to ask for, in the order of the specification: the entry's, the challenge's, the server's own.
pub(super) fn wanted(configured: &[String], challenge: &Challenge, found: &Found) -> Vec<String> {
    if !configured.is_empty() {
        return configured.to_vec();
    }
    if !challenge.scopes.is_empty() {
        return challenge.scopes.clone();
    }
    found.scopes.clone().unwrap_or_default()
}
