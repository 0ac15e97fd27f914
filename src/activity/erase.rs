//! Taking rows out of the log, those of one principal or all, beside the gateway that writes it or without one.
//!
//! Rows go with their payloads, counts and contexts, and their bytes are overwritten in the file. A row stays that says when
//! it was done and how many rows went, and not whose.

use std::path::Path;
use std::time::{Duration, SystemTime};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, SqliteConnection};

use super::chain;
use super::context::Contexts;
use super::gap;
use super::insert::Pace;
use super::reader::{ReadError, Reader};
use super::redact::Redactor;
use super::rows::{self, Manner};
use super::sealed;
use crate::base::utc;

/// How long each step waits for the gateway's own transactions, which take milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Erases the rows of `principal`; answers how many there were.
///
/// # Errors
/// If the file is not there, not of this version, or cannot be written. What was erased until then stays erased; calling
/// again goes on.
pub async fn erase(path: &Path, principal: &str) -> Result<u64, ReadError> {
    let mut conn = open(path).await?;
    let erased = erase_in(&mut conn, principal).await;
    close(conn).await;
    Ok(erased?)
}

/// Erases all rows that are there when it begins; answers how many there were.
///
/// # Errors
/// As [`erase`].
pub async fn erase_all(path: &Path) -> Result<u64, ReadError> {
    let mut conn = open(path).await?;
    let erased = erase_all_in(&mut conn).await;
    close(conn).await;
    Ok(erased?)
}

async fn open(path: &Path) -> Result<SqliteConnection, ReadError> {
    // The reader looks whether the file is what it should be.
    Reader::open(path).await?.close().await;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("secure_delete", "ON")
        .thread_name(|_| "activity eraser".into())
        .disable_statement_logging();
    Ok(options.connect().await?)
}

async fn close(mut conn: SqliteConnection) {
    // The write-ahead log still holds what was there before; a reader may keep this from being done at once, and then
    // the next checkpoint does it.
    let _ = sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut conn).await;
    let _ = conn.close().await;
}

/// The contexts of a principal. A row that stands for missing ones is nobody's, and stays, as the word that rows were erased.
const MINE: &str = "SELECT id FROM context WHERE principal = ? AND outcome <> 'gap'";

async fn erase_in(conn: &mut SqliteConnection, principal: &str) -> sqlx::Result<u64> {
    let mut erased = 0;
    loop {
        let slots = format!("SELECT DISTINCT slot FROM tally WHERE context IN ({MINE}) LIMIT ?");
        let slots: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(slots))
            .bind(principal)
            .bind(STEP_SLOTS)
            .fetch_all(&mut *conn)
            .await?;
        if slots.is_empty() {
            break;
        }
        erased += erase_slots(conn, principal, &slots).await?;
    }
    let contexts = format!("DELETE FROM context WHERE id IN ({MINE})");
    sqlx::query(AssertSqlSafe(contexts)).bind(principal).execute(&mut *conn).await?;
    note(conn, gap::ERASED, erased).await?;
    Ok(erased)
}

/// Leaves the row that says that others are missing.
async fn note(conn: &mut SqliteConnection, reason: &'static str, erased: u64) -> sqlx::Result<()> {
    if erased == 0 {
        return Ok(());
    }
    let note = gap::row(reason, utc::micros(SystemTime::now()), Some(erased));
    let manner = Manner {
        redactor: &Redactor::default(),
        pace: Pace::AtOnce,
        chain: chain::head(conn).await?.is_some(),
    };
    rows::commit(conn, &mut Contexts::default(), &[&note], manner).await
}

/// Every slot once, the oldest first; what comes in meanwhile is younger than the order, and stays.
async fn erase_all_in(conn: &mut SqliteConnection) -> sqlx::Result<u64> {
    let newest: Option<i64> = sqlx::query_scalar("SELECT max(id) FROM call").fetch_one(&mut *conn).await?;
    let last = super::tally::slot(newest.unwrap_or(0));
    let (mut erased, mut from) = (0, i64::MIN);
    loop {
        let slots = "SELECT DISTINCT slot FROM tally WHERE slot >= ? AND slot <= ? ORDER BY slot LIMIT ?";
        let slots: Vec<i64> =
            sqlx::query_scalar(slots).bind(from).bind(last).bind(STEP_SLOTS).fetch_all(&mut *conn).await?;
        let Some(done) = slots.last() else { break };
        from = done + 1;
        erased += clear_slots(conn, &slots).await?;
    }
    // Who called what is told by contexts too; also by those that were left when an earlier attempt broke off.
    let unused =
        "DELETE FROM context WHERE NOT EXISTS (SELECT 1 FROM tally WHERE tally.context = context.id)";
    sqlx::query(unused).execute(&mut *conn).await?;
    forget_links(conn).await?;
    note(conn, gap::CLEARED, erased).await?;
    Ok(erased)
}

/// Takes the links away of which no row is left: their tombstones would tell nothing that the link of it does not.
async fn forget_links(conn: &mut SqliteConnection) -> sqlx::Result<()> {
    let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
    let first: Option<i64> =
        sqlx::query_scalar("SELECT min(id) FROM call").fetch_one(&mut *transaction).await?;
    let end = chain::whole(&mut transaction, first.unwrap_or(i64::MAX)).await?;
    chain::retire(&mut transaction, end, 0, utc::micros(SystemTime::now())).await?;
    transaction.commit().await
}

async fn clear_slots(conn: &mut SqliteConnection, slots: &[i64]) -> sqlx::Result<u64> {
    let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
    let (mut erased, mut sealed) = (0, Vec::new());
    for slot in slots {
        let (first, end) = super::tally::bounds(*slot);
        sealed.extend(sealed::on_file(&mut transaction, (first, end - 1), None).await?);
        for (sql, counts) in [
            ("DELETE FROM payload WHERE id >= ? AND id < ?", false),
            ("DELETE FROM call WHERE id >= ? AND id < ?", true),
        ] {
            let gone = sqlx::query(sql).bind(first).bind(end).execute(&mut *transaction).await?;
            erased += if counts { gone.rows_affected() } else { 0 };
        }
        sqlx::query("DELETE FROM tally WHERE slot = ?").bind(slot).execute(&mut *transaction).await?;
    }
    chain::erased(&mut transaction, &sealed, utc::micros(SystemTime::now())).await?;
    transaction.commit().await?;
    Ok(erased)
}

/// Slots that are cleared in one transaction.
const STEP_SLOTS: i64 = 32;

async fn erase_slots(conn: &mut SqliteConnection, principal: &str, slots: &[i64]) -> sqlx::Result<u64> {
    let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
    let (mut erased, mut sealed) = (0, Vec::new());
    let mine = format!("context IN ({MINE})");
    for slot in slots {
        let bounds = super::tally::bounds(*slot);
        sealed.extend(sealed::on_file(&mut transaction, (bounds.0, bounds.1 - 1), Some(principal)).await?);
        let payloads = format!(
            "DELETE FROM payload WHERE id IN (SELECT id FROM call WHERE id >= ? AND id < ? AND {mine})"
        );
        let calls = format!("DELETE FROM call WHERE id >= ? AND id < ? AND {mine}");
        for (sql, counts) in [(payloads, false), (calls, true)] {
            let gone = sqlx::query(AssertSqlSafe(sql)).bind(bounds.0).bind(bounds.1).bind(principal);
            let gone = gone.execute(&mut *transaction).await?.rows_affected();
            erased += if counts { gone } else { 0 };
        }
        let tallies = format!("DELETE FROM tally WHERE slot = ? AND {mine}");
        sqlx::query(AssertSqlSafe(tallies)).bind(slot).bind(principal).execute(&mut *transaction).await?;
    }
    chain::erased(&mut transaction, &sealed, utc::micros(SystemTime::now())).await?;
    transaction.commit().await?;
    Ok(erased)
}
