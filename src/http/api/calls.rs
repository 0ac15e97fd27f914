//! Requests that are worked on.

use axum::Json;
use axum::extract::{Extension, Path, State};

use crate::guard::Caller;
use crate::protocol::{Params, params, skim};
use crate::router::{Entry, Work};

use super::failure::Failure;
use super::orders::Order;
use super::shape::{Call, Calls, Done};
use super::state::{Api, number};
use super::telling::{endpoint, millis, service_endpoint};

/// All of them, the oldest first. There are never more than `gateway.max_in_flight`.
pub async fn list(State(api): State<Api>) -> Json<Calls> {
    Json(Calls { calls: api.0.parts.router.gate().entries().iter().map(call).collect() })
}

/// Takes one back.
pub async fn cancel(
    State(api): State<Api>,
    caller: Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Done>, Failure> {
    api.order(Order::CancelCall(number(&id)?), &caller).await
}

fn call(entry: &Entry) -> Call {
    let visit = &entry.visit;
    let mut call = Call {
        id: entry.number,
        age_ms: millis(visit.since.elapsed()),
        method: String::new(),
        name: None,
        server: entry.server.as_ref().map(|server| server.name().to_string()),
        client: None,
        principal: visit.principal.to_string(),
        era: None,
        endpoint: String::new(),
        request_id: None,
    };
    match &visit.work {
        Work::Message { era, endpoint: at, message } => {
            let read = Params::read(message).ok();
            call.name = read.as_ref().and_then(|read| {
                let name =
                    params::string_at(message, &read.name).or_else(|| params::string_at(message, &read.uri));
                name.map(|name| name.into_owned())
            });
            call.method = message.method().to_owned();
            call.client = client(message.params());
            call.era = Some(era.to_string());
            call.endpoint = endpoint(at.as_ref().map_or("", |server| server.as_str()));
            call.request_id = message.id_bytes().map(|id| String::from_utf8_lossy(id).into_owned());
        }
        Work::Service { name, method } => {
            call.method = method.to_string();
            call.server = Some(name.to_string());
            call.endpoint = service_endpoint(name.as_str());
        }
    }
    call
}

/// What a modern client says of itself in each request.
fn client(params: &str) -> Option<String> {
    let info = skim::field_text(skim::field_text(params, "_meta")?, params::key::CLIENT_INFO)?;
    let text = |field: &str| skim::string_field(info, field).unwrap_or_default();
    Some(format!("{} {}", text("name"), text("version")).trim().to_owned())
}
