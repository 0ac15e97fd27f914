//! The way of one exchange to a service and back.

use std::sync::Arc;

use http::header::{RETRY_AFTER, VIA};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::Instant;
use tracing::debug;

use crate::base::{Error, ErrorKind, Principal};
use crate::config::{Hints, ItemKind};
use crate::protocol::skim;
use crate::router::{InFlight, Visit, Work};
use crate::supervisor::{Answer, BoxError, BreakerState, ServiceHandle};
use crate::telemetry::Outcome;

use super::super::account::Account;
use super::super::body::FrontBody;
use super::super::front::Front;
use super::super::reply::{self, FrontResponse};
use super::super::untold::Untold;
use super::super::who::Who;
use super::headers::{to_client, to_service};

/// Where services are.
const SERVICES: &str = "/services/";

/// Answers what lies below `/services/`; `None` for any other path.
pub async fn forward(
    front: &Arc<Front>,
    who: &Who,
    request: Request<Incoming>,
) -> Result<FrontResponse, Request<Incoming>> {
    let Some(rest) = request.uri().path().strip_prefix(SERVICES) else { return Err(request) };
    let name = rest.split('/').next().unwrap_or_default();
    let may_use = |name: &str| who.access.allows(ItemKind::Service, name, "", Hints::UNKNOWN);
    let Some(service) = front.services.get(name).filter(|_| may_use(name)) else {
        let all = front.services.all();
        let services = all.iter().filter(|service| may_use(service.name().as_str()));
        let known: Vec<String> = services.map(|service| format!("{SERVICES}{}", service.name())).collect();
        let known = if known.is_empty() { "none is configured".to_owned() } else { known.join(", ") };
        let text = format!("there is no service at {SERVICES}{name}; {known}");
        return Ok(refusal(&Error::new(ErrorKind::InvalidRequest, text), StatusCode::NOT_FOUND));
    };
    let principal = &who.principal;
    let mut account = Box::new(Account::begin(front.router.activity(), principal, name, &request));
    let limits = &front.limits;
    if let Err(wait) = limits.request(principal).and_then(|()| limits.call(service.name(), None)) {
        return Ok(refused(&mut account, &wait.into(), StatusCode::TOO_MANY_REQUESTS));
    }
    Ok(match exchange(front, &service, request, (principal, &mut account)).await {
        Ok(Passed::Answer(head, body, place)) => {
            let body = FrontBody::Service { body, account, _place: place };
            FrontResponse::from_parts(head, body)
        }
        Ok(Passed::Refused(error, status)) => refused(&mut account, &error, status),
        Err(error) => {
            debug!(service = %service.name(), %error, "refused");
            if error.kind == ErrorKind::Unavailable && service.breaker() != BreakerState::Closed {
                account.fused();
            }
            refused(&mut account, &error, status_of(error.kind))
        }
    })
}

/// What became of a request.
enum Passed {
    /// The service has answered.
    Answer(http::response::Parts, Box<Answer>, InFlight),
    /// It is not passed on, which has a status of its own.
    Refused(Error, StatusCode),
}

async fn exchange(
    front: &Arc<Front>,
    service: &ServiceHandle,
    request: Request<Incoming>,
    (principal, account): (&Principal, &mut Account),
) -> Result<Passed, Error> {
    // A tunnel is not what a service is for, and a trace would show what we add.
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        let text = format!("{} is not passed on to services", request.method());
        let error = Error::new(ErrorKind::InvalidRequest, text);
        return Ok(Passed::Refused(error, StatusCode::METHOD_NOT_ALLOWED));
    }
    if request.headers().get_all(VIA).iter().any(|via| front.services.has_seen(via)) {
        let text = format!("service '{}' leads back to this gateway", service.name());
        return Ok(Passed::Refused(Error::new(ErrorKind::InvalidRequest, text), StatusCode::LOOP_DETECTED));
    }
    let visit = || Visit {
        since: Instant::now(),
        principal: principal.clone(),
        work: Work::Service { name: service.name().clone(), method: request.method().clone() },
    };
    let place = front.router.gate().enter(visit).ok_or_else(|| {
        let text = "the gateway has as many requests in flight as it may (max_in_flight); try again later";
        Error::new(ErrorKind::Overloaded, text).with_data(r#"{"retry_after":1}"#.to_owned())
    })?;
    let prefix = format!("{SERVICES}{}", service.name());
    let (mut head, body) = request.into_parts();
    to_service(&mut head.headers, head.version, front.services.pseudonym());
    let mut onward = Request::new(body.map_err(|error| Box::new(error) as BoxError).boxed_unsync());
    *onward.method_mut() = head.method;
    *onward.headers_mut() = head.headers;
    let path = head.uri.path().strip_prefix(&prefix).unwrap_or_default();
    let recalled = place.recalled();
    let sent = tokio::select! {
        sent = service.send(path, head.uri.query(), onward) => sent?,
        () = recalled.heard() => {
            let text = "the request was cancelled by an administrator of the gateway";
            return Err(Error::new(ErrorKind::Cancelled, text));
        }
        () = front.abort.cancelled() => {
            return Err(Error::new(ErrorKind::ShuttingDown, "the gateway is shutting down"));
        }
    };
    if sent.status() == StatusCode::SWITCHING_PROTOCOLS {
        let text = format!("service '{}' switches to a protocol that nobody asked for", service.name());
        return Err(Error::new(ErrorKind::ServerFailed, text));
    }
    let (mut head, body) = sent.into_parts();
    to_client(&mut head.headers, service.config().url.uri(), &prefix);
    account.answered(head.status, body.breaker());
    if body.is_end_stream() {
        account.ended();
    }
    // What else hyper knows of the service's connection is not the client's.
    let (mut own, ()) = http::Response::new(()).into_parts();
    (own.status, own.headers) = (head.status, head.headers);
    Ok(Passed::Answer(own, Box::new(body), place))
}

/// A refusal of ours: what a program branches on, a sentence for people, and when to try again.
pub fn refusal(error: &Error, status: StatusCode) -> FrontResponse {
    let retry = error.data.as_deref().and_then(|data| skim::field_text(data, "retry_after"));
    let more = retry.map(|seconds| format!(r#","retry_after":{seconds}"#)).unwrap_or_default();
    let body =
        format!("{{\"error\":\"{}\",\"message\":{}{more}}}\n", error.kind, skim::quote(&error.message));
    let mut response = reply::json(status.as_u16(), body.into());
    let seconds = match error.retry_after {
        Some(wait) => Some(reply::whole_seconds(wait)),
        None => retry.and_then(|seconds| HeaderValue::from_str(seconds).ok()),
    };
    if let Some(seconds) = seconds {
        response.headers_mut().insert(RETRY_AFTER, seconds);
    }
    let (outcome, code) = (Outcome::Failed(error.kind), i64::from(status.as_u16()));
    Untold { outcome, code, ..Untold::DONE }.mark(response)
}

/// The same where the row is the account's to write.
fn refused(account: &mut Account, error: &Error, status: StatusCode) -> FrontResponse {
    account.refused(error.kind, status);
    let mut response = refusal(error, status);
    response.extensions_mut().remove::<Untold>();
    response
}

/// What a plain HTTP client is told.
fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Overloaded => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unavailable | ErrorKind::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::ServerFailed => StatusCode::BAD_GATEWAY,
        ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    }
}
