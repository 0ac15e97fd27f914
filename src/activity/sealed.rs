//! Rows as the chain sees them: the same digest from what is about to be written and from what is on file.
//!
//! The order of the fields is part of the format ([`super::digest`]): a column that is added later goes to the end of its list.

use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection};

use super::context;
use super::digest::{Digest, Field, digest_in};
use super::entry::Row;

/// What of a call is sealed.
struct Call<'a> {
    id: i64,
    context: &'a Digest,
    at: i64,
    session: Option<i64>,
    request: &'a str,
    trace: &'a str,
    queue: i64,
    upstream: Option<i64>,
    total: i64,
    bytes_in: i64,
    bytes_out: i64,
    progress: i64,
    lost: Option<i64>,
    payload: Option<(&'a str, &'a str)>,
}

impl Call<'_> {
    fn digest(&self, room: &mut Vec<u8>) -> Digest {
        let fields = [
            Field::Number(self.id),
            Field::Given(Some(self.context)),
            Field::Number(self.at),
            Field::Maybe(self.session),
            Field::Text(self.request),
            Field::Text(self.trace),
            Field::Number(self.queue),
            Field::Maybe(self.upstream),
            Field::Number(self.total),
            Field::Number(self.bytes_in),
            Field::Number(self.bytes_out),
            Field::Number(self.progress),
            Field::Maybe(self.lost),
            Field::Given(self.payload.map(|(request, _)| request.as_bytes())),
            Field::Given(self.payload.map(|(_, reply)| reply.as_bytes())),
        ];
        digest_in(room, &fields)
    }
}

/// The digest of a row that is about to be written under this id, with the messages that are kept of it.
pub(super) fn digest_of_row(
    room: &mut Vec<u8>,
    id: i64,
    context: &Digest,
    row: &Row,
    payload: Option<(&str, &str)>,
) -> Digest {
    let call = Call {
        id,
        context,
        at: row.arrived(),
        session: row.session.map(u64::cast_signed),
        request: row.request(),
        trace: row.trace(),
        queue: row.queue,
        upstream: row.upstream,
        total: row.total,
        bytes_in: row.bytes_in,
        bytes_out: row.bytes_out,
        progress: i64::from(row.progress),
        lost: row.lost,
        payload,
    };
    call.digest(room)
}

/// The rows with ids from `low` to `high` as they are on file, by id, with their digests; the calls of one principal only
/// if that is named.
pub(super) async fn on_file(
    conn: &mut SqliteConnection,
    (low, high): (i64, i64),
    principal: Option<&str>,
) -> sqlx::Result<Vec<(i64, Digest)>> {
    let whose = principal.map_or("", |_| "AND principal = ? AND outcome <> 'gap'");
    // The request's id is a number on file where it is one in JSON; both read the same.
    let sql = format!(
        "SELECT call.id, call.at, call.session, CAST(call.request AS TEXT), call.trace, call.queue, call.upstream, \
         call.total, call.bytes_in, call.bytes_out, call.progress, call.lost, payload.request, payload.reply, {} \
         FROM call LEFT JOIN context ON context.id = call.context LEFT JOIN payload ON payload.id = call.id \
         WHERE call.id BETWEEN ? AND ? {whose} ORDER BY call.id",
        context::SEALED
    );
    let query = sqlx::query(AssertSqlSafe(sql)).bind(low).bind(high);
    let query = match principal {
        Some(principal) => query.bind(principal),
        None => query,
    };
    let mut room = Vec::new();
    query.fetch_all(conn).await?.iter().map(|row| read(&mut room, row)).collect()
}

/// The column at which those of the context begin.
const CONTEXT_AT: usize = 14;

fn read(room: &mut Vec<u8>, row: &SqliteRow) -> sqlx::Result<(i64, Digest)> {
    let context = context::digest_on_file(row, CONTEXT_AT)?;
    let text = |at: usize| row.try_get::<Option<&str>, _>(at);
    let payload = text(12)?.zip(text(13)?);
    let call = Call {
        id: row.try_get(0)?,
        context: &context,
        at: row.try_get(1)?,
        session: row.try_get(2)?,
        request: text(3)?.unwrap_or_default(),
        trace: text(4)?.unwrap_or_default(),
        queue: row.try_get(5)?,
        upstream: row.try_get(6)?,
        total: row.try_get(7)?,
        bytes_in: row.try_get(8)?,
        bytes_out: row.try_get(9)?,
        progress: row.try_get(10)?,
        lost: row.try_get(11)?,
        payload,
    };
    Ok((call.id, call.digest(room)))
}
