//! Who is let in at the front, and what those hear who are not.

use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use tracing::{debug, info};

use crate::base::{Era, Error, ErrorKind};
use crate::guard::{Caller, Refusal};
use crate::telemetry::names;

use super::arrival::Arrival;
use super::front::Front;
use super::metadata;
use super::reply::{FrontResponse, refusal};

/// Who sends an exchange with these headers, which has come so.
pub async fn caller(front: &Front, headers: &HeaderMap, arrival: &Arrival<'_>) -> Result<Caller, Refusal> {
    let peer = arrival.peer;
    let caller = front.guard.authenticate(headers, peer).await.map_err(|why| match why {
        // A good credential is let in from wherever it comes; it is the wrong ones that have to wait.
        Refusal::Invalid(_) | Refusal::Several => match front.limits.failed_login(peer.address) {
            Ok(()) => why,
            Err(wait) => Refusal::Limited(wait),
        },
        why => why,
    });
    if let Err(why) = &caller {
        names::AUTH_REFUSALS.counter(&[why.as_str()]).increment(1);
        match why {
            // The first step of every client that logs in: nothing to tell an operator.
            Refusal::Missing => debug!(client = %peer.address, "refused: no credential"),
            // What is within the limit has been logged, and somebody who floods us must not flood the log.
            Refusal::Limited(_) => debug!(client = %peer.address, "refused: too many wrong credentials"),
            why => info!(client = %peer.address, reason = why.as_str(), "refused: {why}"),
        }
    }
    caller
}

/// What somebody hears who is not let in (RFC 6750 §3.1; MCP, `basic/authorization`, "Error Handling").
pub fn refused(front: &Front, why: Refusal, arrival: &Arrival<'_>, path: &str) -> FrontResponse {
    let (kind, status) = match why {
        Refusal::Missing | Refusal::Invalid(_) | Refusal::Expired(_) => {
            (ErrorKind::Unauthenticated, StatusCode::UNAUTHORIZED)
        }
        Refusal::Scope => (ErrorKind::Forbidden, StatusCode::FORBIDDEN),
        Refusal::Several => (ErrorKind::InvalidRequest, StatusCode::BAD_REQUEST),
        Refusal::Unavailable => (ErrorKind::Unavailable, StatusCode::SERVICE_UNAVAILABLE),
        Refusal::Limited(_) => (ErrorKind::RateLimited, StatusCode::TOO_MANY_REQUESTS),
    };
    let mut error = Error::new(kind, why.to_string());
    if let Refusal::Limited(wait) = why {
        error = error.retry_after(wait);
    }
    let mut response = refusal(&error, Era::Legacy);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    match why {
        Refusal::Unavailable => drop(headers.insert(RETRY_AFTER, SOON)),
        Refusal::Limited(_) => {}
        why => {
            drop(headers.insert(
                WWW_AUTHENTICATE,
                challenge(front, why, metadata::address(&front.guard, arrival, path)),
            ))
        }
    }
    response
}

/// Seconds after which a credential that cannot be checked now is worth another try.
const SOON: HeaderValue = HeaderValue::from_static("1");

fn challenge(front: &Front, why: Refusal, metadata: Option<String>) -> HeaderValue {
    let mut text = String::from(r#"Bearer realm="trunkline""#);
    if let Some(error) = why.code() {
        text.push_str(&format!(r#", error="{error}", error_description="{why}""#));
    }
    let scopes = front.guard.required_scopes();
    if !scopes.is_empty() && why != Refusal::Several {
        text.push_str(&format!(r#", scope="{}""#, scopes.join(" ")));
    }
    if let Some(address) = metadata {
        // The path is the client's own, and may hold what ends a quoted string (RFC 9110 §5.6.4).
        let address = address.replace('\\', r"\\").replace('"', r#"\""#);
        text.push_str(&format!(r#", resource_metadata="{address}""#));
    }
    // Scopes and our own words are visible ASCII without quotes.
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("Bearer"))
}
