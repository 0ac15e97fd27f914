//! A file's layout, its versions, and how a connection is made ready.
//!
//! The version is SQLite's own `user_version`, set in the same transaction as the tables it describes.
//! sqlx's migrator would bring its macro crate or a table of checksums, and has no notion of "newer than me";
//! what is needed here is a list of steps and one comparison.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, SqliteConnection};

use super::fault::{Fault, OpenError};

/// What makes a database one of ours.
#[derive(Debug)]
pub struct Layout {
    /// What it is called in the log and in errors: "the store".
    pub name: &'static str,
    /// SQLite's `application_id`: tells our file from any other SQLite database.
    pub application_id: i64,
    /// What an empty file is told before its first table, for good.
    pub setup: &'static str,
    /// The steps from an empty file to today's layout. Only ever append: step *n* leads to version *n + 1*.
    pub migrations: &'static [&'static str],
    /// One statement for each table that today's code uses, with the columns it uses.
    pub probes: &'static [&'static str],
    /// What it means that an empty file takes the place of a damaged one, for the log.
    pub loss: &'static str,
}

/// How long SQLite itself waits for another process's lock. Long enough for a peer's transaction or a backup's
/// step; beyond it the database counts as unavailable and our own backoff takes over.
const BUSY_TIMEOUT: Duration = Duration::from_millis(500);

/// What the write-ahead log is cut back to after a checkpoint, should a burst have made it larger.
const WAL_KEPT_BYTES: &str = "8388608";

/// Opens the file and looks at it without changing it.
pub(super) async fn connect(layout: &Layout, path: &Path) -> Result<SqliteConnection, Fault> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .busy_timeout(BUSY_TIMEOUT)
        .synchronous(SqliteSynchronous::Normal)
        .foreign_keys(true)
        .pragma("journal_size_limit", WAL_KEPT_BYTES)
        .thread_name(|_| "sqlite".into())
        .disable_statement_logging();
    let mut conn = options.connect().await?;
    match inspect(layout, &mut conn, path).await {
        Ok(()) => Ok(conn),
        Err(fault) => {
            // The file may be about to be moved, so the connection must be gone from it, not merely going.
            let _ = conn.close().await;
            Err(fault)
        }
    }
}

async fn inspect(layout: &Layout, conn: &mut SqliteConnection, path: &Path) -> Result<(), Fault> {
    // In this order: another process that makes the file at the same time commits its tables and its mark together, and a
    // mark that is read after the tables is there if they are.
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut *conn).await?;
    let owner: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *conn).await?;
    if owner != layout.application_id && (owner != 0 || tables > 0) {
        return Err(Fault::Refused(OpenError::Foreign { path: path.to_owned() }));
    }
    let found = version(conn).await?;
    let known = layout.migrations.len();
    if usize::try_from(found).is_ok_and(|found| found <= known) {
        Ok(())
    } else {
        Err(Fault::Refused(OpenError::Newer { path: path.to_owned(), found, known }))
    }
}

/// Brings the file to today's layout and makes sure that it has it.
pub(super) async fn migrate(layout: &Layout, conn: &mut SqliteConnection) -> Result<(), Fault> {
    if version(conn).await? == 0 && !layout.setup.is_empty() {
        sqlx::raw_sql(layout.setup).execute(&mut *conn).await?;
    }
    sqlx::query("PRAGMA journal_mode = WAL").execute(&mut *conn).await?;
    if usize::try_from(version(conn).await?) != Ok(layout.migrations.len()) {
        // Immediate: of two processes that start on a new file, the second waits and then finds it done.
        let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
        let done = usize::try_from(version(&mut transaction).await?).unwrap_or(0);
        for step in layout.migrations.iter().skip(done) {
            sqlx::raw_sql(*step).execute(&mut *transaction).await?;
        }
        let stamp = format!(
            "PRAGMA application_id = {}; PRAGMA user_version = {}",
            layout.application_id,
            layout.migrations.len()
        );
        sqlx::raw_sql(AssertSqlSafe(stamp)).execute(&mut *transaction).await?;
        transaction.commit().await?;
    }
    for probe in layout.probes {
        sqlx::query(*probe).execute(&mut *conn).await.map_err(Fault::in_layout)?;
    }
    Ok(())
}

async fn version(conn: &mut SqliteConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar("PRAGMA user_version").fetch_one(conn).await
}
