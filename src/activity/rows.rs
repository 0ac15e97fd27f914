//! Rows on their way into the file: one transaction a batch.

use std::collections::BTreeMap;

use sqlx::sqlite::SqliteArguments;
use sqlx::{Connection as _, SqliteConnection};

use super::context::Contexts;
use super::entry::Row;
use super::insert::{Insert, Pace, bind};
use super::payload::Part;
use super::redact::Redactor;
use super::tally::{Times, slot};

/// Calls of which all can be said.
static CALLS: Insert = Insert::into("call", "(?,?,?,?,?,?,?,?,?,?,?,?,?)", "");
/// Calls without trace, progress and loss, which most are: each value that is bound costs SQLite some 40 ns.
static PLAIN_CALLS: Insert = Insert::into("call", "(?,?,?,?,?,NULL,?,?,?,?,?,0,NULL)", "");
static PAYLOADS: Insert = Insert::into("payload", "(?,?,?)", "");
static TALLIES: Insert = Insert::into(
    "tally",
    "(?,?,?,?,?,?)",
    "ON CONFLICT (context, slot) DO UPDATE SET first = min(first, excluded.first), last = max(last, excluded.last), \
     calls = calls + excluded.calls, times = CAST(times || excluded.times AS BLOB)",
);

/// What a slot holds of a context.
struct Tally {
    first: i64,
    last: i64,
    times: Times,
}

/// Writes a batch, all of it or nothing.
///
/// Ids are the microsecond in which a call ended, made unique and never smaller than one before: so the order of ids is
/// that of rows in the file, and a stretch of time is a stretch of ids.
pub(super) async fn commit(
    conn: &mut SqliteConnection,
    contexts: &mut Contexts,
    rows: &[&Row],
    redactor: &Redactor,
    pace: Pace,
) -> sqlx::Result<()> {
    // Immediate: waiting for another process's lock works only at the start of a transaction.
    let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
    contexts.begin(&mut transaction).await?;
    let last: Option<i64> =
        sqlx::query_scalar("SELECT max(id) FROM call").fetch_one(&mut *transaction).await?;
    let numbers = contexts.numbers(&mut transaction, rows.iter().map(|row| row.context())).await?;
    let mut id = last.unwrap_or(0);
    let mut tallies: BTreeMap<(i64, i64), Tally> = BTreeMap::new();
    let mut numbered = Vec::with_capacity(rows.len());
    for (row, context) in rows.iter().zip(numbers) {
        id = row.ended.max(id + 1);
        numbered.push((id, context, *row));
        let tally = tallies.entry((context, slot(id))).or_insert(Tally {
            first: id,
            last: id,
            times: Times::default(),
        });
        tally.last = id;
        tally.times.add(row.total);
    }
    let (plain, others): (Vec<_>, Vec<_>) = numbered.iter().partition(|(_, _, row)| row.is_plain());
    for (statement, rows) in [(&PLAIN_CALLS, plain), (&CALLS, others)] {
        let bind_one = |(id, context, row): &&(i64, i64, &Row), arguments: &mut SqliteArguments| {
            call(*id, *context, row, arguments)
        };
        statement.run(&mut transaction, &rows, pace, bind_one).await?;
    }
    let kept = |(id, _, row): &(i64, i64, &Row)| {
        let payload = row.payload.as_ref()?;
        let text = |part: &Part| redactor.redact(&part.text, part.cut);
        Some((*id, text(&payload.request), text(&payload.reply)))
    };
    let payloads: Vec<(i64, String, String)> = numbered.iter().filter_map(kept).collect();
    PAYLOADS
        .run(&mut transaction, &payloads, pace, |(id, request, reply), arguments| {
            bind(arguments, *id)?;
            bind(arguments, request.clone())?;
            bind(arguments, reply.clone())
        })
        .await?;
    let tallies: Vec<_> = tallies.into_iter().collect();
    TALLIES
        .run(&mut transaction, &tallies, pace, |((context, slot), tally), arguments| {
            [*context, *slot, tally.first, tally.last, tally.times.count().cast_signed()]
                .into_iter()
                .try_for_each(|number| bind(arguments, number))?;
            bind(arguments, tally.times.encode())
        })
        .await?;
    transaction.commit().await?;
    contexts.keep();
    Ok(())
}

fn call(id: i64, context: i64, row: &Row, arguments: &mut SqliteArguments) -> sqlx::Result<()> {
    bind(arguments, id)?;
    bind(arguments, context)?;
    bind(arguments, row.arrived())?;
    bind(arguments, row.session.map(u64::cast_signed))?;
    // Most ids are numbers, which cost no allocation; what would not come back as it was stays text.
    match row.request().parse::<i64>() {
        Ok(number) if !row.request().starts_with(['-', '+', '0']) => bind(arguments, number)?,
        _ => bind(arguments, text(row.request()))?,
    }
    let plain = row.is_plain();
    if !plain {
        bind(arguments, text(row.trace()))?;
    }
    bind(arguments, row.queue)?;
    bind(arguments, row.upstream)?;
    bind(arguments, row.total)?;
    bind(arguments, row.bytes_in)?;
    bind(arguments, row.bytes_out)?;
    if !plain {
        bind(arguments, i64::from(row.progress))?;
        bind(arguments, row.lost)?;
    }
    Ok(())
}

fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// Enters a run of the gateway; answers how many earlier ones have not ended in good order.
pub(super) async fn begin_run(
    conn: &mut SqliteConnection,
    now: i64,
    is_alive: impl Fn(u32) -> bool,
) -> sqlx::Result<usize> {
    let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
    let open: Vec<(i64, i64)> =
        sqlx::query_as("SELECT id, pid FROM run WHERE ended IS NULL").fetch_all(&mut *transaction).await?;
    let own = std::process::id();
    let died = open.into_iter().filter(|(_, pid)| match u32::try_from(*pid) {
        Ok(pid) => pid == own || !is_alive(pid),
        Err(_) => true,
    });
    let died: Vec<i64> = died.map(|(id, _)| id).collect();
    for id in &died {
        sqlx::query("DELETE FROM run WHERE id = ?").bind(id).execute(&mut *transaction).await?;
    }
    sqlx::query("DELETE FROM run WHERE ended IS NOT NULL").execute(&mut *transaction).await?;
    let enter = sqlx::query("INSERT INTO run (pid, started) VALUES (?, ?)").bind(i64::from(own)).bind(now);
    enter.execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(died.len())
}

/// Notes that this run ends in good order.
pub(super) async fn end_run(conn: &mut SqliteConnection, now: i64) -> sqlx::Result<()> {
    let end = sqlx::query("UPDATE run SET ended = ? WHERE pid = ? AND ended IS NULL");
    end.bind(now).bind(i64::from(std::process::id())).execute(conn).await.map(drop)
}
