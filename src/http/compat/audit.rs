//! The activity log as AgentHub showed it.

use std::time::Duration;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::{StatusCode, Uri};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use crate::activity::{ExchangeFilter, ReadError};
use crate::guard::Caller;

use super::super::api::{Failure, Order, Query, moment, open_log};
use super::refusal::Refusal;
use super::state::{Client, Compat, by};

/// What AgentHub took, and what it lacked.
const PARAMETERS: &[&str] =
    &["method", "status_min", "status_max", "client_id", "request_id", "limit", "offset"];
const MORE: &[&str] = &["server", "since", "until"];
/// Entries of a page that names no `limit`, and the most there are.
const PAGE: i64 = 50;
const LONGEST_PAGE: i64 = 1_000;
/// How long a page may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A page, the newest first.
pub async fn page(State(compat): State<Compat>, uri: Uri) -> Result<Json<Value>, Refusal> {
    let query = Query::of(&uri, &[PARAMETERS, MORE])?;
    let text = |name: &str| query.get(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let time =
        |name: &str| query.read(name, moment, "how long ago (1h) or a time of UTC (2026-07-28T09:30:00Z)");
    let filter = ExchangeFilter {
        verb: text("method"),
        status_min: number(&query, "status_min")?,
        status_max: number(&query, "status_max")?,
        client: text("client_id"),
        request: text("request_id"),
        server: text("server"),
        since: time("since")?,
        until: time("until")?,
    };
    let limit = whole(&query, "limit")?.unwrap_or(PAGE).min(LONGEST_PAGE);
    let offset = whole(&query, "offset")?.unwrap_or(0);
    let (mut reader, _place) = open_log(&compat.api).await.map_err(no_log)?;
    let read = async {
        Ok((reader.count_exchanges(&filter).await?, reader.exchanges(&filter, limit, offset).await?))
    };
    let (total, entries) = timeout(PATIENCE, read).await.map_err(|_| slow())?.map_err(unreadable)?;
    Ok(Json(json!({ "total": total, "limit": limit, "offset": offset, "entries": entries })))
}

/// How many there are of each verb and status.
pub async fn stats(State(compat): State<Compat>) -> Result<Json<Value>, Refusal> {
    let (mut reader, _place) = open_log(&compat.api).await.map_err(no_log)?;
    let figures = timeout(PATIENCE, reader.exchange_figures()).await;
    let figures = figures.map_err(|_| slow())?.map_err(unreadable)?;
    let by_status: Map<String, Value> =
        figures.by_status.into_iter().map(|(status, count)| (status.to_string(), count.into())).collect();
    let by_method: Map<String, Value> =
        figures.by_verb.into_iter().map(|(verb, count)| (verb, count.into())).collect();
    Ok(Json(json!({ "total_entries": figures.total, "by_method": by_method, "by_status": by_status })))
}

/// Takes all rows out. A parameter would not narrow it, and is refused.
pub async fn clear(
    State(compat): State<Compat>,
    Extension(caller): Extension<Caller>,
    Extension(client): Extension<Client>,
    uri: Uri,
) -> Result<Json<Value>, Refusal> {
    if uri.query().is_some_and(|query| !query.is_empty()) {
        let text = "all rows are erased or none; DELETE /api/v1/activity?principal=NAME erases those of one";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, text));
    }
    compat.order(Order::ClearActivity, &by(&caller, client)).await?;
    Ok(Json(json!({ "message": "Activity log cleared" })))
}

/// A parameter that is a whole number.
fn number(query: &Query, name: &str) -> Result<Option<i64>, Refusal> {
    let Some(text) = query.get(name) else { return Ok(None) };
    let wrong = |_| Refusal::parameter(name, text, "Input should be a valid integer");
    text.parse().map(Some).map_err(wrong)
}

/// One that is not below zero, which meant "all of them" there.
fn whole(query: &Query, name: &str) -> Result<Option<i64>, Refusal> {
    let number = number(query, name)?;
    match number.is_some_and(|number| number < 0) {
        true => {
            let text = query.get(name).unwrap_or_default();
            Err(Refusal::parameter(name, text, "Input should be greater than or equal to 0"))
        }
        false => Ok(number),
    }
}

fn no_log(why: Failure) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why.message())
}

fn unreadable(error: ReadError) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

fn slow() -> Refusal {
    let text = format!("the activity log was not read within {PATIENCE:?}; ask for less");
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text)
}
