//! The way of one exchange to a service and back.

use std::sync::Arc;

use http::header::{RETRY_AFTER, VIA};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::Instant;
use tracing::debug;

use crate::base::{Error, ErrorKind, Principal};
use crate::config::{Hints, ItemKind};
use crate::protocol::skim;
use crate::router::{Visit, Work};
use crate::supervisor::{BoxError, ServiceHandle};
use crate::telemetry::Outcome;

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
    if let Err(wait) = front.limits.request(&who.principal) {
        return Ok(refusal(&wait.into(), StatusCode::TOO_MANY_REQUESTS));
    }
    let mut response = match exchange(front, &service, &who.principal, request).await {
        Ok(response) => response,
        Err(error) => {
            debug!(service = %service.name(), %error, "refused");
            refusal(&error, status_of(error.kind))
        }
    };
    if let Some(untold) = response.extensions_mut().get_mut::<Untold>() {
        untold.server = service.name().to_string();
    }
    Ok(response)
}

async fn exchange(
    front: &Arc<Front>,
    service: &ServiceHandle,
    principal: &Principal,
    request: Request<Incoming>,
) -> Result<FrontResponse, Error> {
    // A tunnel is not what a service is for, and a trace would show what we add.
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        let text = format!("{} is not passed on to services", request.method());
        return Ok(refusal(&Error::new(ErrorKind::InvalidRequest, text), StatusCode::METHOD_NOT_ALLOWED));
    }
    if request.headers().get_all(VIA).iter().any(|via| front.services.has_seen(via)) {
        let text = format!("service '{}' leads back to this gateway", service.name());
        return Ok(refusal(&Error::new(ErrorKind::InvalidRequest, text), StatusCode::LOOP_DETECTED));
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
    let mut response = FrontResponse::new(FrontBody::Service { body: Box::new(body), _place: place });
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    let failed = head.status.is_client_error() || head.status.is_server_error();
    let (outcome, code) =
        if failed { (Outcome::UpstreamError, i64::from(head.status.as_u16())) } else { (Outcome::Ok, 0) };
    Ok(Untold { outcome, code, ..Untold::DONE }.mark(response))
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
