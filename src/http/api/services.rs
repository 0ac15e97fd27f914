//! The services: how they are, and what can be done to them.

use axum::Json;
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;

use crate::guard::Caller;
use crate::supervisor::ServiceHandle;

use super::failure::Failure;
use super::orders::{Act, Order};
use super::shape::{Done, Service, ServiceDetail, Services};
use super::state::Api;
use super::telling::{millis, next_try, service_endpoint};

/// All of them.
pub async fn list(State(api): State<Api>) -> Json<Services> {
    Json(Services { services: api.0.parts.services.all().iter().map(summary).collect() })
}

/// One of them.
pub async fn detail(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Json<ServiceDetail>, Failure> {
    let service = api.service(&name)?;
    let config = service.config();
    Ok(Json(ServiceDetail {
        target: config.url.to_string(),
        endpoint: service_endpoint(&name),
        health_path: config.health_path.clone(),
        max_in_flight: config.max_in_flight,
        rate: config.rate.map(|rate| rate.to_string()),
        service: summary(&service),
    }))
}

/// Does something to a service. The answer says that it has been told so; how it fares then is for whoever looks.
pub async fn act(
    State(api): State<Api>,
    caller: Extension<Caller>,
    Path((name, act)): Path<(String, String)>,
) -> Result<(StatusCode, Json<Done>), Failure> {
    let act = Act::read(&act, &Act::OF_SERVICES, "a service")?;
    let service = api.service(&name)?.name().to_string();
    let order = Order::Service { name: service, act };
    Ok((StatusCode::ACCEPTED, api.order(order, &caller).await?))
}

fn summary(service: &ServiceHandle) -> Service {
    let status = service.status().borrow().clone();
    Service {
        name: service.name().to_string(),
        state: status.state.as_str().to_owned(),
        for_ms: millis(status.since.elapsed()),
        enabled: !service.is_disabled(),
        breaker: service.breaker().as_str().to_owned(),
        in_flight: service.in_flight(),
        waiting: service.waiting(),
        falls: status.restarts,
        next_try_ms: next_try(&status.state, service.breaker_wait()),
        last_error: status.last_error,
    }
}
