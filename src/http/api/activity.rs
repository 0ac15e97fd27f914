//! What happened: the activity log, in pages, in figures, as a whole; and without one principal's rows.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::Uri;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;

use crate::activity::{By, Cursor, Filter, ReadError, Reader, Record, Stat};
use crate::base::utc;
use crate::config::parse_duration;
use crate::guard::Caller;

use super::failure::Failure;
use super::feed::Stream;
use super::orders::Order;
use super::query::Query;
use super::shape::Done;
use super::state::Api;

/// What selects calls.
const FILTERS: &[&str] = &[
    "since",
    "until",
    "principal",
    "client",
    "server",
    "tool",
    "method",
    "session",
    "trace",
    "errors",
    "slow",
];
/// Calls on a page that names no `limit`, and the most that one may have.
const PAGE: usize = 100;
const LONGEST_PAGE: usize = 1_000;
/// Who reads at once; a reader has a connection to the file, and a thread.
pub const READERS: usize = 4;
/// How long a page may take: figures over a year of a busy gateway take a few seconds.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long what has just happened is waited for to be on file.
const FLUSH: Duration = Duration::from_millis(500);
/// Pieces of an export that wait for whoever takes it.
const PIECES: usize = 4;

/// A part of the log.
#[derive(Debug, Serialize)]
pub struct Activity {
    /// Calls, and gaps.
    records: Vec<Record>,
    /// Where to go on, in the same direction; null at the end.
    next: Option<String>,
}

/// What calls came to.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// What they are put together by.
    by: String,
    /// One for each group, the most frequent first.
    stats: Vec<Stat>,
}

/// A page: the newest calls first, before a cursor; or, after one, the oldest first.
pub async fn page(State(api): State<Api>, uri: Uri) -> Result<Json<Activity>, Failure> {
    let query = Query::of(&uri, &[FILTERS, &["limit", "before", "after"]])?;
    let filter = filter(&query)?;
    let limit = query.read("limit", number(1..=LONGEST_PAGE), "a number from 1 to 1000")?.unwrap_or(PAGE);
    let cursor = |name| query.read(name, |text| Cursor::from_str(text).ok(), "what `next` of a page says");
    let (before, after) = (cursor("before")?, cursor("after")?);
    if before.is_some() && after.is_some() {
        return Err(Failure::invalid("'before' and 'after' exclude each other"));
    }
    let (mut reader, _place) = open(&api).await?;
    let page = match after {
        Some(after) => timeout(PATIENCE, reader.after(&filter, limit, after)).await,
        None => timeout(PATIENCE, reader.page(&filter, limit, before)).await,
    };
    let page = page.map_err(|_| slow())?.map_err(|error| unreadable(&error))?;
    Ok(Json(Activity { records: page.records, next: page.next.map(|cursor| cursor.to_string()) }))
}

/// Figures by server, tool, client, principal or method.
pub async fn stats(State(api): State<Api>, uri: Uri) -> Result<Json<Figures>, Failure> {
    let query = Query::of(&uri, &[FILTERS, &["by"]])?;
    for own in ["session", "trace", "slow"] {
        if query.get(own).is_some() {
            return Err(Failure::invalid(format!("figures cannot be had by '{own}'")));
        }
    }
    let word = query.get("by").unwrap_or("server");
    let by = By::parse_word(word).map_err(|how| Failure::invalid(format!("'by' is '{word}': {how}")))?;
    let filter = filter(&query)?;
    let (mut reader, _place) = open(&api).await?;
    let stats = timeout(PATIENCE, reader.stats(&filter, by)).await;
    let stats = stats.map_err(|_| slow())?.map_err(|error| unreadable(&error))?;
    Ok(Json(Figures { by: word.to_owned(), stats }))
}

/// Everything that is selected, the oldest first, one JSON object a line.
pub async fn export(State(api): State<Api>, uri: Uri) -> Result<Response, Failure> {
    let filter = filter(&Query::of(&uri, &[FILTERS])?)?;
    let (reader, place) = open(&api).await?;
    let (told, telling) = mpsc::channel(PIECES);
    let stop = api.0.parts.stop.clone();
    tokio::spawn(async move { stop.run_until_cancelled(pour(reader, filter, told)).await });
    let body = Body::new(Stream::<OwnedSemaphorePermit>::new(telling, place));
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// Takes one principal's rows out.
pub async fn erase(
    State(api): State<Api>,
    caller: Extension<Caller>,
    uri: Uri,
) -> Result<Json<Done>, Failure> {
    let query = Query::of(&uri, &[&["principal"]])?;
    let whose = query.get("principal").filter(|whose| !whose.is_empty());
    let whose = whose.ok_or_else(|| Failure::invalid("say whose rows are to go: ?principal=NAME"))?;
    let order = Order::EraseActivity(whose.to_owned());
    api.order(order, &caller).await
}

/// Sends the log on until its end, or until nobody takes it any more.
async fn pour(mut reader: Reader, filter: Filter, told: mpsc::Sender<Bytes>) {
    let mut at = Cursor::START;
    loop {
        let page = match reader.after(&filter, LONGEST_PAGE, at).await {
            Ok(page) => page,
            Err(error) => {
                // The body ends without its end, so that nobody takes it for the whole.
                tracing::warn!(%error, "an export of the activity log has been broken off");
                return;
            }
        };
        let mut lines = Vec::new();
        for record in &page.records {
            // A struct of texts and numbers can always be written.
            lines.extend(serde_json::to_vec(record).unwrap_or_default());
            lines.push(b'\n');
        }
        at = page.records.last().map_or(at, Record::cursor);
        let taken =
            lines.is_empty() || matches!(timeout(PATIENCE, told.send(lines.into())).await, Ok(Ok(())));
        if !taken || page.next.is_none() {
            return;
        }
    }
}

/// A reader of the log, and the place that it takes until it is dropped.
pub async fn open(api: &Api) -> Result<(Reader, OwnedSemaphorePermit), Failure> {
    let busy = |_| Failure::busy(format!("{READERS} read the activity log, as many as may; try again"));
    let place = api.0.readers.clone().try_acquire_owned().map_err(busy)?;
    let log = api.0.parts.router.activity();
    let path = log
        .path()
        .ok_or_else(|| Failure::not_found("the gateway keeps no activity log: activity.enabled is false"))?;
    // Best effort: a disk that hangs must not keep anybody from reading what is there.
    let _ = timeout(FLUSH, log.flush()).await;
    let reader = Reader::open(path).await.map_err(|error| unreadable(&error))?;
    Ok((reader, place))
}

fn filter(query: &Query) -> Result<Filter, Failure> {
    let text = |name| query.get(name).map(str::to_owned);
    let time = "how long ago (1h) or a time of UTC (2026-07-28T09:30:00Z)";
    Ok(Filter {
        since: query.read("since", moment, time)?,
        until: query.read("until", moment, time)?,
        principal: text("principal"),
        client: text("client"),
        server: text("server"),
        tool: text("tool"),
        method: text("method"),
        session: query.read("session", |text| u64::from_str_radix(text, 16).ok(), "16 hexadecimal digits")?,
        trace: text("trace"),
        errors: query.read("errors", |text| text.parse().ok(), "true or false")?.unwrap_or(false),
        slow: query.read("slow", |text| parse_duration(text).ok(), "a length of time such as 1s or 250ms")?,
    })
}

/// A time of UTC, or how long ago, in microseconds since 1970.
pub fn moment(text: &str) -> Option<i64> {
    let ago = || Some(utc::micros(SystemTime::now().checked_sub(parse_duration(text).ok()?)?));
    utc::parse_rfc3339(text).or_else(ago)
}

fn number(allowed: std::ops::RangeInclusive<usize>) -> impl FnOnce(&str) -> Option<usize> {
    move |text| text.parse().ok().filter(|number| allowed.contains(number))
}

fn slow() -> Failure {
    Failure::busy(format!("the activity log was not read within {PATIENCE:?}; ask for less"))
}

fn unreadable(error: &ReadError) -> Failure {
    match error {
        ReadError::Missing { .. } => Failure::not_found("nothing has been recorded yet"),
        other => Failure::busy(other.to_string()),
    }
}
