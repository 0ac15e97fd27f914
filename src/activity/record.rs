//! One row as it is read.

use serde::Serialize;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::filter::Cursor;
use super::gap::GAP;
use super::payload::Payload;
use crate::base::utc;

/// One call, or one gap. Serialised as one JSON object: what is not known is null.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    /// Its place in the log: the microsecond since 1970 in which the call ended, made unique.
    pub id: i64,
    /// `call`, or `gap` for a row that stands for missing ones.
    pub kind: &'static str,
    /// When the call arrived, UTC, to the microsecond.
    pub time: String,
    /// Who called; null for a gap.
    pub principal: Option<String>,
    /// The client's name.
    pub client: Option<String>,
    /// The client's version.
    pub client_version: Option<String>,
    /// The client's era; null for a gap.
    pub era: Option<String>,
    /// The hash of the session, 16 hexadecimal digits.
    pub session: Option<String>,
    /// The server whose own endpoint was called; null for the merged one.
    pub endpoint: Option<String>,
    /// The server that the call was for; null for what the gateway answered itself.
    pub server: Option<String>,
    /// Which start of the server answered.
    pub generation: Option<i64>,
    /// The method; null for a gap.
    pub method: Option<String>,
    /// The tool or prompt under the server's own name, or the URI; for a gap, its reason.
    pub name: Option<String>,
    /// The request's id, as raw JSON.
    pub request: Option<String>,
    /// The trace it belongs to.
    pub trace: Option<String>,
    /// How it ended: `ok`, `upstream_error`, or the kind of the gateway's error; `gap`.
    pub outcome: String,
    /// The JSON-RPC code of an error, or the HTTP status where there is none.
    pub code: Option<i64>,
    /// Whether the answer was one that the gateway had kept: `hit`, `miss` or `bypass`; null where nothing is kept.
    pub cache: Option<String>,
    /// Where it had a prompt that was to be made better: `yes` if it was, else `no`.
    pub enhanced: Option<String>,
    /// What the breaker did: `closed`, `half_open` (let through to try) or `open` (refused).
    pub breaker: Option<String>,
    /// Who ended it early: `client`, `disconnect`, `deadline`, `administrator` or `gateway`.
    pub cancelled_by: Option<String>,
    /// Microseconds until it was sent on.
    pub queue_us: i64,
    /// Microseconds that the server took.
    pub upstream_us: Option<i64>,
    /// Microseconds until it was answered.
    pub total_us: i64,
    /// Bytes of the request.
    pub bytes_in: i64,
    /// Bytes of the answer.
    pub bytes_out: i64,
    /// Notes of progress.
    pub progress: i64,
    /// For a gap: how many calls are missing; null if nobody knows.
    pub lost: Option<i64>,
    /// Its messages, if they were kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload>,
}

/// The columns that [`Record::read`] wants, of `call` joined with `context` and `payload`.
pub(super) const COLUMNS: &str = "call.id, call.at, principal, client, client_version, era, call.session, endpoint, server, \
    generation, method, name, CAST(call.request AS TEXT) AS request, call.trace, outcome, code, cache, enhanced, breaker, \
    cancelled_by, call.queue, call.upstream, call.total, call.bytes_in, call.bytes_out, call.progress, call.lost, \
    payload.request AS kept_request, payload.reply AS kept_reply";

impl Record {
    /// The place of this record.
    pub fn cursor(&self) -> Cursor {
        Cursor(self.id)
    }

    pub(super) fn read(row: &SqliteRow) -> sqlx::Result<Record> {
        let text = |column: &str| row.try_get::<String, _>(column);
        let some =
            |column: &str| row.try_get(column).map(|text: String| Some(text).filter(|text| !text.is_empty()));
        let kept = |column: &str| row.try_get::<Option<String>, _>(column);
        let number = |column: &str| row.try_get::<i64, _>(column);
        let maybe = |column: &str| row.try_get::<Option<i64>, _>(column);
        let outcome = text("outcome")?;
        let gap = outcome == GAP;
        // What stands for missing calls has neither caller nor method. A caller whom nobody knows has an empty name.
        let called = |column: &str| text(column).map(|text| (!gap).then_some(text));
        Ok(Record {
            id: number("id")?,
            kind: if gap { "gap" } else { "call" },
            time: utc::rfc3339(number("at")?),
            principal: called("principal")?,
            client: some("client")?,
            client_version: some("client_version")?,
            era: called("era")?,
            session: maybe("session")?.map(|session| format!("{:016x}", session.cast_unsigned())),
            endpoint: some("endpoint")?,
            server: some("server")?,
            generation: Some(number("generation")?).filter(|generation| *generation != 0),
            method: called("method")?,
            name: some("name")?,
            request: row.try_get("request")?,
            trace: row.try_get("trace")?,
            outcome,
            code: Some(number("code")?).filter(|code| *code != 0),
            cache: some("cache")?,
            enhanced: some("enhanced")?,
            breaker: some("breaker")?,
            cancelled_by: some("cancelled_by")?,
            queue_us: number("queue")?,
            upstream_us: maybe("upstream")?,
            total_us: number("total")?,
            bytes_in: number("bytes_in")?,
            bytes_out: number("bytes_out")?,
            progress: number("progress")?,
            lost: maybe("lost")?,
            payload: kept("kept_request")?
                .zip(kept("kept_reply")?)
                .map(|(request, reply)| Payload { request, reply }),
        })
    }
}
