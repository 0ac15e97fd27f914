//! The file's layout, its versions, and how a connection is made ready.
//!
//! The version is SQLite's own `user_version`, set in the same transaction as the tables it describes.
//! sqlx's migrator would bring its macro crate or a table of checksums, and has no notion of "newer than me";
//! what is needed here is a list of steps and one comparison.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, SqliteConnection};

use super::fault::{Fault, OpenError};

/// The steps from an empty file to today's layout. Only ever append: step *n* leads to version *n + 1*.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE era (
        key TEXT NOT NULL PRIMARY KEY,
        era TEXT NOT NULL,
        version TEXT NOT NULL,
        saved_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE catalog (
        server TEXT NOT NULL PRIMARY KEY,
        config_hash TEXT NOT NULL,
        lists BLOB NOT NULL,
        saved_at INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE revocation (
        id_hash BLOB NOT NULL PRIMARY KEY,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX revocation_by_expiry ON revocation (expires_at);
"];

/// One statement for each table that today's code uses, with the columns it uses.
const PROBES: &[&str] = &[
    "SELECT key, era, version, saved_at FROM era LIMIT 0",
    "SELECT server, config_hash, lists, saved_at FROM catalog LIMIT 0",
    "SELECT id_hash, expires_at FROM revocation LIMIT 0",
];

/// "TRNK" in ASCII, SQLite's `application_id`: tells our file from any other SQLite database.
const APPLICATION_ID: i64 = 0x5452_4E4B;

/// How long SQLite itself waits for another process's lock. Long enough for a peer's transaction or a backup's
/// step; beyond it the store counts as unavailable and our own backoff takes over.
const BUSY_TIMEOUT: Duration = Duration::from_millis(500);

/// What the write-ahead log is cut back to after a checkpoint, should a burst have made it larger.
const WAL_KEPT_BYTES: &str = "8388608";

/// Opens the file and looks at it without changing it.
pub(super) async fn connect(path: &Path) -> Result<SqliteConnection, Fault> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .busy_timeout(BUSY_TIMEOUT)
        .synchronous(SqliteSynchronous::Normal)
        .foreign_keys(true)
        .pragma("journal_size_limit", WAL_KEPT_BYTES)
        .thread_name(|_| "store".into())
        .disable_statement_logging();
    let mut conn = options.connect().await?;
    match inspect(&mut conn, path).await {
        Ok(()) => Ok(conn),
        Err(fault) => {
            // The file may be about to be moved, so the connection must be gone from it, not merely going.
            let _ = conn.close().await;
            Err(fault)
        }
    }
}

async fn inspect(conn: &mut SqliteConnection, path: &Path) -> Result<(), Fault> {
    let owner: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *conn).await?;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut *conn).await?;
    if owner != APPLICATION_ID && (owner != 0 || tables > 0) {
        return Err(Fault::Refused(OpenError::Foreign { path: path.to_owned() }));
    }
    let found = version(conn).await?;
    let known = MIGRATIONS.len();
    if usize::try_from(found).is_ok_and(|found| found <= known) {
        Ok(())
    } else {
        Err(Fault::Refused(OpenError::Newer { path: path.to_owned(), found, known }))
    }
}

/// Brings the file to today's layout and makes sure that it has it.
pub(super) async fn migrate(conn: &mut SqliteConnection) -> Result<(), Fault> {
    sqlx::query("PRAGMA journal_mode = WAL").execute(&mut *conn).await?;
    if usize::try_from(version(conn).await?) != Ok(MIGRATIONS.len()) {
        // Immediate: of two processes that start on a new file, the second waits and then finds it done.
        let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
        let done = usize::try_from(version(&mut transaction).await?).unwrap_or(0);
        for step in MIGRATIONS.iter().skip(done) {
            sqlx::raw_sql(*step).execute(&mut *transaction).await?;
        }
        let stamp =
            format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {}", MIGRATIONS.len());
        sqlx::raw_sql(AssertSqlSafe(stamp)).execute(&mut *transaction).await?;
        transaction.commit().await?;
    }
    for probe in PROBES {
        sqlx::query(*probe).execute(&mut *conn).await.map_err(Fault::in_layout)?;
    }
    Ok(())
}

async fn version(conn: &mut SqliteConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar("PRAGMA user_version").fetch_one(conn).await
}
