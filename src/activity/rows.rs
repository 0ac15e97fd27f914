//! Rows on their way into the file: one transaction a batch.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, AssertSqlSafe, Connection as _, Encode, Sqlite, SqliteConnection, Type};

use super::context::Contexts;
use super::entry::Row;
use super::payload::Part;
use super::redact::Redactor;
use super::tally::{Times, slot};

/// Rows in one statement, the most first. One statement costs some 50 µs on its way to SQLite's thread and back, whatever
/// it holds; 1,000 rows of 13 columns stay below SQLite's limit of 32,766 parameters.
const CHUNKS: [usize; 4] = [1_000, 100, 10, 1];

/// An insertion of any number of rows in few statements.
pub(super) struct Insert {
    table: &'static str,
    columns: usize,
    tail: &'static str,
    statements: [OnceLock<Arc<str>>; CHUNKS.len()],
}

impl Insert {
    /// Into all columns of a table; `tail` says what happens to rows that are there.
    pub const fn into(table: &'static str, columns: usize, tail: &'static str) -> Insert {
        Insert { table, columns, tail, statements: [const { OnceLock::new() }; CHUNKS.len()] }
    }

    /// Inserts `rows`; `write` binds the columns of one.
    pub async fn run<T>(
        &self,
        conn: &mut SqliteConnection,
        mut rows: &[T],
        write: impl Fn(&T, &mut SqliteArguments) -> sqlx::Result<()>,
    ) -> sqlx::Result<()> {
        for (length, statement) in CHUNKS.iter().zip(&self.statements) {
            while let Some((chunk, rest)) = rows.split_at_checked(*length) {
                let sql = statement.get_or_init(|| self.statement(*length));
                let mut arguments = SqliteArguments::default();
                arguments.reserve(length * self.columns, 0);
                for row in chunk {
                    write(row, &mut arguments)?;
                }
                sqlx::query_with(AssertSqlSafe(Arc::clone(sql)), arguments).execute(&mut *conn).await?;
                rows = rest;
            }
        }
        Ok(())
    }

    fn statement(&self, rows: usize) -> Arc<str> {
        let row = format!("({})", vec!["?"; self.columns].join(","));
        format!("INSERT INTO {} VALUES {} {}", self.table, vec![row.as_str(); rows].join(","), self.tail)
            .into()
    }
}

/// Adds one value.
pub(super) fn bind<'v, T>(arguments: &mut SqliteArguments, value: T) -> sqlx::Result<()>
where
    T: Encode<'v, Sqlite> + Type<Sqlite>,
{
    arguments.add(value).map_err(sqlx::Error::Encode)
}

static CALLS: Insert = Insert::into("call", 13, "");
static PAYLOADS: Insert = Insert::into("payload", 3, "");
static TALLIES: Insert = Insert::into(
    "tally",
    6,
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
    CALLS
        .run(&mut transaction, &numbered, |(id, context, row), arguments| call(*id, *context, row, arguments))
        .await?;
    let kept = |(id, _, row): &(i64, i64, &Row)| {
        let payload = row.payload.as_ref()?;
        let text = |part: &Part| redactor.redact(&part.text, part.cut);
        Some((*id, text(&payload.request), text(&payload.reply)))
    };
    let payloads: Vec<(i64, String, String)> = numbered.iter().filter_map(kept).collect();
    PAYLOADS
        .run(&mut transaction, &payloads, |(id, request, reply), arguments| {
            bind(arguments, *id)?;
            bind(arguments, request.clone())?;
            bind(arguments, reply.clone())
        })
        .await?;
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

fn call(id: i64, context: i64, row: &Row, arguments: &mut SqliteArguments) -> sqlx::Result<()> {
    bind(arguments, id)?;
    bind(arguments, context)?;
    bind(arguments, row.ended - row.total)?;
    bind(arguments, row.session.map(u64::cast_signed))?;
    // Most ids are numbers, which cost no allocation; what would not come back as it was stays text.
    match row.request().parse::<i64>() {
        Ok(number) if !row.request().starts_with(['-', '+', '0']) => bind(arguments, number)?,
        _ => bind(arguments, text(row.request()))?,
    }
    bind(arguments, text(row.trace()))?;
    bind(arguments, row.queue)?;
    bind(arguments, row.upstream)?;
    bind(arguments, row.total)?;
    bind(arguments, row.bytes_in)?;
    bind(arguments, row.bytes_out)?;
    bind(arguments, i64::from(row.progress))?;
    bind(arguments, row.lost)
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
