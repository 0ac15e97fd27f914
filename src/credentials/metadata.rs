//! The documents that lead from a server to its authorization server (RFC 9728, RFC 8414, OpenID Connect Discovery), where
//! they are, and what they may say.

use std::net::IpAddr;

use http::Uri;
use serde::Deserialize;

use super::web::origin;

/// What a server says of itself (RFC 9728).
#[derive(Debug, Deserialize)]
pub(super) struct ResourceMetadata {
    #[serde(default)]
    pub resource: Option<String>,
    #[serde(default)]
    pub authorization_servers: Vec<String>,
    #[serde(default)]
    pub scopes_supported: Option<Vec<String>>,
}

/// What an authorization server says of itself (RFC 8414).
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ServerMetadata {
    pub issuer: String,
    #[serde(default)]
    pub authorization_endpoint: Option<String>,
    pub token_endpoint: String,
    #[serde(default)]
    pub registration_endpoint: Option<String>,
    #[serde(default)]
    pub scopes_supported: Vec<String>,
    #[serde(default)]
    pub code_challenge_methods_supported: Vec<String>,
    #[serde(default)]
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
    #[serde(default)]
    pub client_id_metadata_document_supported: bool,
}

/// Where a server's metadata may be, when it does not say it itself, in the order of the specification.
pub(super) fn resource_candidates(server: &Uri) -> Vec<Uri> {
    let path = server.path().trim_end_matches('/');
    let mut paths = vec![format!("{PROTECTED_RESOURCE}{path}")];
    if !path.is_empty() {
        paths.push(PROTECTED_RESOURCE.to_owned());
    }
    at(server, &paths)
}

/// Where the metadata of an issuer may be, in the order of the specification.
pub(super) fn issuer_candidates(issuer: &Uri) -> Vec<Uri> {
    let path = issuer.path().trim_end_matches('/');
    let mut paths = vec![format!("{AUTHORIZATION_SERVER}{path}"), format!("{OPENID}{path}")];
    if !path.is_empty() {
        paths.push(format!("{path}{OPENID}"));
    }
    at(issuer, &paths)
}

const PROTECTED_RESOURCE: &str = "/.well-known/oauth-protected-resource";
const AUTHORIZATION_SERVER: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";

fn at(base: &Uri, paths: &[String]) -> Vec<Uri> {
    paths.iter().filter_map(|path| format!("{}{path}", origin(base)).parse().ok()).collect()
}

/// Whether a resource identifier means this server: its very URL, or a path above it on the same origin.
pub(super) fn covers(resource: &str, server: &Uri) -> bool {
    let Ok(resource) = resource.parse::<Uri>() else { return false };
    if resource.query().is_some() || port_of(&resource) != port_of(server) {
        return false;
    }
    let same = |of: fn(&Uri) -> Option<&str>| {
        of(&resource).zip(of(server)).is_some_and(|(one, other)| one.eq_ignore_ascii_case(other))
    };
    let above = resource.path().trim_end_matches('/');
    let below = server.path().strip_prefix(above);
    same(Uri::scheme_str)
        && same(Uri::host)
        && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn port_of(url: &Uri) -> u16 {
    url.port_u16().unwrap_or(if url.scheme_str() == Some("https") { 443 } else { 80 })
}

/// A URL that a document names, if it may be gone to for the sake of `server`: encrypted, unless the server itself is not
/// or it is on this machine, and no address that only this machine's neighbours have.
pub(super) fn endpoint(text: &str, server: &Uri) -> Result<Uri, String> {
    let url: Uri = text.parse().map_err(|_| "names a place that is no URL".to_owned())?;
    let host = url.host().unwrap_or_default();
    let refused = |why: &str| Err(format!("names {}, {why}", origin(&url)));
    if host.is_empty() || url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return refused("which is not a whole URL");
    }
    match url.scheme_str() {
        Some("https") => {}
        Some("http") if server.scheme_str() == Some("http") || is_loopback(host) => {}
        _ => return refused("which is not encrypted (https)"),
    }
    if is_link_local(host) {
        return refused("an address that logins never go to");
    }
    Ok(url)
}

fn address(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse().ok()
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || address(host).is_some_and(|address| address.is_loopback())
}

/// Where clouds keep the credentials of machines.
fn is_link_local(host: &str) -> bool {
    match address(host).map(|address| address.to_canonical()) {
        Some(IpAddr::V4(address)) => address.is_link_local() || address.is_unspecified(),
        Some(IpAddr::V6(address)) => address.is_unicast_link_local() || address.is_unspecified(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn documents_are_looked_for_where_the_specification_says_and_in_its_order() {
        let texts = |found: Vec<Uri>| found.iter().map(Uri::to_string).collect::<Vec<_>>();
        assert_eq!(
            texts(resource_candidates(&uri("https://x.example/public/mcp"))),
            [
                "https://x.example/.well-known/oauth-protected-resource/public/mcp",
                "https://x.example/.well-known/oauth-protected-resource"
            ]
        );
        assert_eq!(
            texts(resource_candidates(&uri("https://x.example/"))),
            ["https://x.example/.well-known/oauth-protected-resource"]
        );
        assert_eq!(
            texts(issuer_candidates(&uri("https://a.example/tenant1"))),
            [
                "https://a.example/.well-known/oauth-authorization-server/tenant1",
                "https://a.example/.well-known/openid-configuration/tenant1",
                "https://a.example/tenant1/.well-known/openid-configuration"
            ]
        );
        assert_eq!(
            texts(issuer_candidates(&uri("https://a.example"))),
            [
                "https://a.example/.well-known/oauth-authorization-server",
                "https://a.example/.well-known/openid-configuration"
            ]
        );
    }

    #[test]
    fn a_resource_is_the_servers_url_or_a_path_above_it() {
        let server = uri("https://x.example/a/mcp");
        for good in [
            "https://x.example/a/mcp",
            "https://X.example:443/a/mcp",
            "https://x.example/a/",
            "https://x.example",
        ] {
            assert!(covers(good, &server), "{good}");
        }
        for bad in [
            "https://x.example/a/mc",
            "https://x.example/a/mcp/b",
            "http://x.example/a/mcp",
            "https://x.example:8443/a/mcp",
            "https://evil.example/a/mcp",
            "https://x.example/a/mcp?b",
            "/a/mcp",
            "",
        ] {
            assert!(!covers(bad, &server), "{bad}");
        }
    }

    #[test]
    fn endpoints_are_encrypted_and_never_a_machines_own_neighbourhood() {
        let server = uri("https://x.example/mcp");
        for good in ["https://a.example/token", "http://127.0.0.1:9/token", "http://localhost/token"] {
            assert!(endpoint(good, &server).is_ok(), "{good}");
        }
        for bad in [
            "http://a.example/token",
            "https://169.254.169.254/",
            "https://[fe80::1]/",
            "ftp://a",
            "/token",
            "https://u@a/",
        ] {
            assert!(endpoint(bad, &server).is_err(), "{bad}");
        }
        assert!(endpoint("http://a.example/token", &uri("http://x.example/mcp")).is_ok());
    }
}
