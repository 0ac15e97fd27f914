//! Rows on their way into the file: one transaction a batch.

use std::collections::BTreeMap;
use std::time::SystemTime;

use sqlx::sqlite::SqliteArguments;
use sqlx::{Connection as _, SqliteConnection};

use tokio::time::Instant;

use super::chain;
use super::context::Contexts;
use super::entry::Row;
use super::insert::{Insert, LONGEST, Pace, bind};
use super::payload::Part;
use super::redact::Redactor;
use super::sealed;
use super::tally::{Times, slot};
use crate::base::utc;

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

/// How a batch is written.
#[derive(Clone, Copy)]
pub(super) struct Manner<'a> {
    /// What must not be part of a payload.
    pub redactor: &'a Redactor,
    pub pace: Pace,
    /// Whether it becomes a link of the chain.
    pub chain: bool,
}

/// A row with what the file adds to it.
struct Numbered<'r> {
    id: i64,
    context: i64,
    row: &'r Row,
    /// The messages that are kept.
    payload: Option<(String, String)>,
}

/// What a slot holds of a context.
struct Tally {
    first: i64,
    last: i64,
    times: Times,
}

/// By context and slot.
type Tallies = BTreeMap<(i64, i64), Tally>;

/// Writes a batch, all of it or nothing.
///
/// Ids are the microsecond in which a call ended, made unique and never smaller than one before: so the order of ids is
/// that of rows in the file, and a stretch of time is a stretch of ids.
///
/// With `chain` the batch leaves a link ([`chain`]).
pub(super) async fn commit(
    conn: &mut SqliteConnection,
    contexts: &mut Contexts,
    rows: &[&Row],
    Manner { redactor, pace, chain }: Manner<'_>,
) -> sqlx::Result<()> {
    // Immediate: waiting for another process's lock works only at the start of a transaction.
    let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
    contexts.begin(&mut transaction).await?;
    let newest: Option<i64> =
        sqlx::query_scalar("SELECT max(id) FROM call").fetch_one(&mut *transaction).await?;
    let head = chain::head(&mut transaction).await?;
    // No id is given twice: what a link says of one that has been erased must never be true of another.
    let mut id = newest.unwrap_or(0).max(head.as_ref().map_or(0, |head| head.last));
    let mut tallies = Tallies::new();
    let (mut sealed, mut room) = (Vec::new(), Vec::new());
    let mut chunks = rows.chunks(LONGEST).peekable();
    while let Some(chunk) = chunks.next() {
        let began = Instant::now();
        let known = contexts.number(&mut transaction, chunk.iter().map(|row| row.context())).await?;
        let mut numbered = Vec::with_capacity(chunk.len());
        for (row, context) in chunk.iter().zip(known) {
            id = row.ended.max(id + 1);
            tally(&mut tallies, id, context.number, row.total);
            let text = |part: &Part| redactor.redact(&part.text, part.cut);
            let payload = row.payload.as_ref().map(|kept| (text(&kept.request), text(&kept.reply)));
            if chain {
                let payload = payload.as_ref().map(|(request, reply)| (&**request, &**reply));
                sealed.push((id, sealed::digest_of_row(&mut room, id, &context.digest, row, payload)));
            }
            numbered.push(Numbered { id, context: context.number, row, payload });
        }
        write(&mut transaction, &numbered).await?;
        if chunks.peek().is_some() {
            pace.rest(began.elapsed()).await;
        }
    }
    if chain {
        chain::seal(&mut transaction, head, newest, &sealed, utc::micros(SystemTime::now())).await?;
    }
    let tallies: Vec<_> = tallies.into_iter().collect();
    TALLIES
        .run(&mut transaction, &tallies, |((context, slot), tally), arguments| {
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

/// Counts a call in its slot.
fn tally(tallies: &mut Tallies, id: i64, context: i64, took: i64) {
    let tally =
        tallies.entry((context, slot(id))).or_insert(Tally { first: id, last: id, times: Times::default() });
    tally.last = id;
    tally.times.add(took);
}

/// Writes some rows of a batch.
async fn write(conn: &mut SqliteConnection, rows: &[Numbered<'_>]) -> sqlx::Result<()> {
    let (plain, others): (Vec<_>, Vec<_>) = rows.iter().partition(|numbered| numbered.row.is_plain());
    PLAIN_CALLS.run(conn, &plain, |numbered, arguments| call(numbered, arguments)).await?;
    CALLS.run(conn, &others, |numbered, arguments| call(numbered, arguments)).await?;
    let kept = |numbered: &Numbered<'_>| {
        let (request, reply) = numbered.payload.as_ref()?;
        Some((numbered.id, request.clone(), reply.clone()))
    };
    let payloads: Vec<(i64, String, String)> = rows.iter().filter_map(kept).collect();
    PAYLOADS
        .run(conn, &payloads, |(id, request, reply), arguments| {
            bind(arguments, *id)?;
            bind(arguments, request.clone())?;
            bind(arguments, reply.clone())
        })
        .await
}

fn call(numbered: &Numbered<'_>, arguments: &mut SqliteArguments) -> sqlx::Result<()> {
    let row = numbered.row;
    bind(arguments, numbered.id)?;
    bind(arguments, numbered.context)?;
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
