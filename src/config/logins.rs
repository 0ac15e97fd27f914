//! From settings to the login of a server behind a URL.

use crate::base::Secret;

use super::layers::Place;
use super::oauth::{Grant, OAuth};
use super::reader::{Reader, path};
use super::remote;
use super::url::Url;

/// The login of a server behind a URL. One whose entry brings an `Authorization` header of its own has none.
pub(super) fn oauth(reader: &mut Reader<'_>, name: &str, own_header: bool) -> Option<OAuth> {
    let key = |key: &'static str| ["servers", name, "oauth", key];
    let given = reader.stack.below(&path(&["servers", name, "oauth"]));
    let given = given.into_iter().find(|leaf| leaf.place != Place::Default);
    if own_header {
        if let Some(leaf) = given {
            let message = format!("`{}` stands beside a header `Authorization`", leaf.key);
            let help = "keep the header, or the keys of `oauth`: only one of them can say who the gateway is";
            reader.faults.fault(leaf.place.key(), message, help);
        }
        return None;
    }
    let grant = [Grant::AuthorizationCode, Grant::ClientCredentials][reader.choice(&key("grant"))];
    let issuer = url(reader, name, "issuer", false);
    let client_metadata_url = url(reader, name, "client_metadata_url", true);
    let client_id = reader.text(&key("client_id")).map(|(_, text)| text).filter(|text| !text.is_empty());
    let mut secret = |which: &'static str| {
        let leaf = reader.leaf(&key(which))?;
        remote::secret(reader, leaf).filter(|text| !text.is_empty()).map(Secret::new)
    };
    let (client_secret, private_key) = (secret("client_secret"), secret("private_key"));
    let scopes = reader.list(&key("scopes"), |item| match item {
        _ if item.is_empty() || !item.bytes().all(is_scope_byte) => {
            Err(("is no scope", "write one scope an element, without blanks"))
        }
        _ => Ok(item.to_owned()),
    });
    let redirect_port = u16::try_from(reader.count(&key("redirect_port"))).unwrap_or_default();
    let oauth = OAuth {
        grant,
        issuer,
        client_id,
        client_secret,
        private_key,
        client_metadata_url,
        scopes,
        redirect_port,
    };
    if let Some((problem, help)) = lacks(&oauth).filter(|_| reader.resolve)
        && let Some(leaf) = given
    {
        reader.faults.fault(leaf.place.key(), format!("`servers.{name}.oauth` {problem}"), help);
    }
    Some(oauth)
}

/// What does not fit together: the end of a sentence, and the cure.
fn lacks(oauth: &OAuth) -> Option<(&'static str, &'static str)> {
    let shows = oauth.client_secret.is_some() || oauth.private_key.is_some();
    match oauth {
        _ if oauth.client_secret.is_some() && oauth.private_key.is_some() => {
            Some(("has both `client_secret` and `private_key`", "keep the one that was agreed on"))
        }
        _ if shows && oauth.client_id.is_none() => {
            Some(("has a credential without `client_id`", "add the client_id that the credential belongs to"))
        }
        // The server itself says where to log in; it must not be able to have a secret sent to whom it likes.
        _ if shows && oauth.issuer.is_none() => Some((
            "has a credential without `issuer`",
            "add the issuer of the authorization server that gave it out; the credential goes nowhere else",
        )),
        _ if oauth.grant == Grant::ClientCredentials && !shows => Some((
            "has grant = \"client_credentials\" without credentials",
            "add client_id, issuer, and client_secret or private_key",
        )),
        _ => None,
    }
}

/// RFC 6749, section 3.3.
fn is_scope_byte(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)
}

/// A URL whose very letters count, since others compare them.
fn url(reader: &mut Reader<'_>, name: &str, which: &'static str, https: bool) -> Option<String> {
    let (leaf, text) = reader.text(&["servers", name, "oauth", which])?;
    if !reader.resolve {
        return Some(text);
    }
    let problem = match Url::parse(&text) {
        Ok(_) if https && !text.starts_with("https://") => "is not an https URL",
        Ok(_) => return Some(text),
        Err(problem) => problem,
    };
    reader.wrong(leaf, problem, "write it exactly as the authorization server knows it");
    None
}
