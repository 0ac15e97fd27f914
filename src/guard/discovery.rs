//! Where an issuer's keys are, by its metadata (RFC 8414 §3; OpenID Connect Discovery §4). Pure.

use http::Uri;
use serde::Deserialize;

use crate::config::is_safe;

/// Where the metadata of an issuer may be, in the order in which they are asked: RFC 8414 puts the well-known part before the
/// issuer's path, OpenID Connect behind it.
pub(super) fn places(issuer: &Uri) -> Vec<Uri> {
    let (scheme, authority) = (issuer.scheme_str().unwrap_or_default(), issuer.authority());
    let authority = authority.map_or("", |authority| authority.as_str());
    let path = issuer.path().trim_end_matches('/');
    let mut texts = vec![
        format!("{scheme}://{authority}/.well-known/oauth-authorization-server{path}"),
        format!("{scheme}://{authority}/.well-known/openid-configuration{path}"),
    ];
    if !path.is_empty() {
        texts.push(format!("{scheme}://{authority}{path}/.well-known/openid-configuration"));
    }
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

/// Where the metadata of `issuer` says that its keys are. The error is a sentence. `None` if it is no metadata: many answer
/// with a page for people whatever they are asked for.
pub(super) fn keys_of(issuer: &str, metadata: &[u8]) -> Option<Result<Uri, String>> {
    #[derive(Deserialize)]
    struct Metadata {
        issuer: String,
        jwks_uri: Option<String>,
    }
    let Metadata { issuer: named, jwks_uri } = serde_json::from_slice(metadata).ok()?;
    Some(checked(issuer, &named, jwks_uri))
}

fn checked(issuer: &str, named: &str, jwks_uri: Option<String>) -> Result<Uri, String> {
    // RFC 8414 §3.3: what is not identical must not be used.
    if named != issuer {
        return Err(format!(
            "its metadata is that of '{}'; write `url` as the issuer writes itself, to the letter",
            named.escape_debug()
        ));
    }
    let text = jwks_uri.ok_or("its metadata names no jwks_uri; set jwks_url")?;
    let uri: Uri = text.parse().map_err(|_| "its metadata has a jwks_uri that is no URL".to_owned())?;
    if uri.authority().is_none() || !is_safe(&uri) {
        return Err("its metadata has a jwks_uri that is not https".to_owned());
    }
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_looked_for_where_both_standards_put_it() {
        let of = |text: &str| places(&text.parse().unwrap()).iter().map(Uri::to_string).collect::<Vec<_>>();
        assert_eq!(
            of("https://id.example"),
            [
                "https://id.example/.well-known/oauth-authorization-server",
                "https://id.example/.well-known/openid-configuration"
            ]
        );
        for text in ["https://id.example/realms/a", "https://id.example/realms/a/"] {
            assert_eq!(
                of(text),
                [
                    "https://id.example/.well-known/oauth-authorization-server/realms/a",
                    "https://id.example/.well-known/openid-configuration/realms/a",
                    "https://id.example/realms/a/.well-known/openid-configuration"
                ]
            );
        }
    }

    #[test]
    fn metadata_of_somebody_else_and_keys_that_anybody_could_change_are_refused() {
        let metadata = |issuer: &str, keys: &str| format!(r#"{{"issuer":"{issuer}","jwks_uri":"{keys}"}}"#);
        let read = |text: &str| keys_of("https://id", text.as_bytes());
        let of = |text: String| read(&text).unwrap();
        assert_eq!(of(metadata("https://id", "https://other/k")).unwrap(), "https://other/k");
        for (issuer, keys) in [
            ("https://id/", "https://id/k"),
            ("https://id", "http://id/k"),
            ("https://id", "/k"),
            ("https://id", ""),
        ] {
            assert!(of(metadata(issuer, keys)).is_err(), "{issuer} {keys}");
        }
        assert!(of(r#"{"issuer":"https://id"}"#.to_owned()).unwrap_err().contains("jwks_url"));
        assert!(read("x").is_none() && read("{}").is_none());
    }
}
