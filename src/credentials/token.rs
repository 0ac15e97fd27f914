//! Token requests and what comes back.

use http::Uri;
use serde::Deserialize;
use serde_json::Value;

use crate::base::{Secret, form};

use super::client::Client;
use super::trouble::{Trouble, quoted};
use super::web::{FORM, Web};

/// A token and what came with it.
#[derive(Debug)]
pub(super) struct Issued {
    pub access_token: Secret,
    pub refresh_token: Option<Secret>,
    /// Seconds until it expires, if that is said.
    pub expires_in: Option<u64>,
    /// The scopes that were granted, where they are not those asked for.
    pub scopes: Option<Vec<String>>,
}

/// Why none was given out.
#[derive(Debug)]
pub(super) enum Refused {
    /// The grant, the client or the scope is not good (any more): asking again is pointless.
    Rejected(String),
    /// It may be better in a moment.
    Passing(String),
}

impl From<Refused> for Trouble {
    fn from(refused: Refused) -> Trouble {
        match refused {
            Refused::Rejected(why) => Trouble::Needed(why),
            Refused::Passing(why) => Trouble::Passing(why),
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    access_token: Option<String>,
    token_type: Option<String>,
    refresh_token: Option<String>,
    expires_in: Option<Value>,
    scope: Option<String>,
}

#[derive(Deserialize)]
struct Complaint {
    error: String,
    #[serde(default)]
    error_description: String,
}

/// Asks for a token by the grant in `form`.
pub(super) async fn request(
    web: &Web,
    endpoint: &Uri,
    issuer: &str,
    client: &Client,
    mut form: Vec<(&'static str, String)>,
) -> Result<Issued, Refused> {
    let mut headers = Vec::new();
    client.sign(issuer, &mut form, &mut headers).map_err(|why| Refused::Rejected(why.to_string()))?;
    let page = web.post(endpoint, FORM, &headers, form::encode(&form)).await.map_err(Refused::Passing)?;
    if !page.status.is_success() {
        return Err(match serde_json::from_slice::<Complaint>(&page.body) {
            Ok(complaint) if page.status.is_client_error() && !complaint.passes() => {
                Refused::Rejected(complaint.text(issuer))
            }
            _ => Refused::Passing(format!("got no token from '{}' ({})", quoted(issuer), page.status)),
        });
    }
    let unusable = |what: &str| Refused::Passing(format!("got {what} from '{}'", quoted(issuer)));
    let answer: Answer =
        serde_json::from_slice(&page.body).map_err(|_| unusable("an answer that is no token"))?;
    let token = answer.access_token.filter(|token| !token.is_empty() && token.bytes().all(is_token_byte));
    let token = token.ok_or_else(|| unusable("a token that cannot be sent"))?;
    if answer.token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err(Refused::Rejected(format!(
            "got a token that is no bearer token from '{}'",
            quoted(issuer)
        )));
    }
    Ok(Issued {
        access_token: Secret::new(token),
        refresh_token: answer.refresh_token.filter(|token| !token.is_empty()).map(Secret::new),
        expires_in: answer.expires_in.and_then(|value| match value {
            Value::String(text) => text.parse().ok(),
            value => value.as_u64(),
        }),
        scopes: answer.scope.map(|scope| scope.split_ascii_whitespace().map(str::to_owned).collect()),
    })
}

impl Complaint {
    /// RFC 6749, section 4.1.2.1, and what servers say that are asked too often.
    fn passes(&self) -> bool {
        matches!(
            self.error.as_str(),
            "temporarily_unavailable" | "server_error" | "slow_down" | "too_many_requests"
        )
    }

    fn text(&self, issuer: &str) -> String {
        let more = if self.error_description.is_empty() { "" } else { ": " };
        format!(
            "got no token from '{}' ({}{more}{})",
            quoted(issuer),
            quoted(&self.error),
            quoted(&self.error_description)
        )
    }
}

/// RFC 6750, section 2.1, and whatever else a header can carry.
fn is_token_byte(byte: u8) -> bool {
    (0x21..=0x7e).contains(&byte)
}
