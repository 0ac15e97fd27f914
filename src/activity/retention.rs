//! What is too old, or too much, goes: a little at a time.
//!
//! Each step is a short transaction between two batches, so that neither a call's row nor a reader waits. Rows go in the
//! order in which they came; space goes back to the file system a few pages a step (`auto_vacuum = INCREMENTAL`).

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

use super::chain;
use super::tally::slot;

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// For how long.
    pub age: Duration,
    /// The most that the file holds, in bytes.
    pub size: u64,
}

/// Rows that one step deletes, some ten milliseconds; more than a batch holds, because those of the chain go as a whole.
const STEP_ROWS: i64 = 5_000;
/// Pages that one step gives back: 4 MiB of pages of 4 KiB.
const STEP_PAGES: i64 = 1_024;
/// What is left when the file has grown too large, in percent of its cap: so that it is not at its cap again at once.
const LEFT_PERCENT: u64 = 95;

/// What a step has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// There is more to do.
    More,
    /// Nothing is too old or too much.
    Done,
}

/// The course of a clean-up.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// Whether rows go because the file is too large.
    shrinking: bool,
    /// Whether rows have gone since contexts were last looked at.
    deleted: bool,
}

impl Sweep {
    /// Does one step. Numbers of contexts may be void afterwards if it answers `Done`.
    pub async fn step(&mut self, conn: &mut SqliteConnection, keep: Keep, now: i64) -> sqlx::Result<Step> {
        let oldest = now.saturating_sub(i64::try_from(keep.age.as_micros()).unwrap_or(i64::MAX));
        let used = used(conn).await?;
        let cap = if self.shrinking { keep.size / 100 * LEFT_PERCENT } else { keep.size };
        self.shrinking = used > cap;
        let end = if self.shrinking { i64::MAX } else { oldest };
        if delete(conn, end, now).await? {
            self.deleted = true;
            return Ok(Step::More);
        }
        self.shrinking = false;
        if give_back(conn).await? {
            return Ok(Step::More);
        }
        if std::mem::take(&mut self.deleted) {
            forget_contexts(conn).await?;
        }
        Ok(Step::Done)
    }
}

/// Bytes of the file that hold something.
async fn used(conn: &mut SqliteConnection) -> sqlx::Result<u64> {
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut *conn).await?;
    let free: i64 = sqlx::query_scalar("PRAGMA freelist_count").fetch_one(&mut *conn).await?;
    let size: i64 = sqlx::query_scalar("PRAGMA page_size").fetch_one(conn).await?;
    Ok((pages - free).max(0).cast_unsigned().saturating_mul(size.max(0).cast_unsigned()))
}

/// Deletes the oldest rows before `end`; false if there are none.
async fn delete(conn: &mut SqliteConnection, end: i64, now: i64) -> sqlx::Result<bool> {
    let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
    let beyond: Option<i64> =
        sqlx::query_scalar("SELECT id FROM call WHERE id < ? ORDER BY id LIMIT 1 OFFSET ?")
            .bind(end)
            .bind(STEP_ROWS)
            .fetch_optional(&mut *transaction)
            .await?;
    let end = chain::whole(&mut transaction, beyond.unwrap_or(end)).await?;
    let gone = sqlx::query("DELETE FROM call WHERE id < ?").bind(end).execute(&mut *transaction).await?;
    sqlx::query("DELETE FROM payload WHERE id < ?").bind(end).execute(&mut *transaction).await?;
    // A slot's tally goes with the last of its rows.
    let first: Option<i64> =
        sqlx::query_scalar("SELECT min(id) FROM call").fetch_one(&mut *transaction).await?;
    let kept = first.unwrap_or(end);
    sqlx::query("DELETE FROM tally WHERE slot < ?").bind(slot(kept)).execute(&mut *transaction).await?;
    let gone = gone.rows_affected();
    if gone > 0 {
        chain::retire(&mut transaction, end, i64::try_from(gone).unwrap_or(i64::MAX), now).await?;
    }
    transaction.commit().await?;
    Ok(gone > 0)
}

/// Gives free pages back to the file system; false if there are few.
async fn give_back(conn: &mut SqliteConnection) -> sqlx::Result<bool> {
    let free: i64 = sqlx::query_scalar("PRAGMA freelist_count").fetch_one(&mut *conn).await?;
    // A few free pages are the next rows' place.
    if free < STEP_PAGES {
        return Ok(false);
    }
    // The pragma takes no parameter.
    sqlx::raw_sql(AssertSqlSafe(format!("PRAGMA incremental_vacuum({STEP_PAGES})"))).execute(conn).await?;
    Ok(true)
}

/// Forgets contexts without calls.
async fn forget_contexts(conn: &mut SqliteConnection) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM context WHERE NOT EXISTS (SELECT 1 FROM tally WHERE tally.context = context.id)")
        .execute(conn)
        .await
        .map(drop)
}
