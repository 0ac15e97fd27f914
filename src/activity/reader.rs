//! Reading the log: beside the gateway that writes it, or without one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, QueryBuilder, Sqlite, SqliteConnection};

use super::filter::{Cursor, Filter};
use super::record::{COLUMNS, Record};
use super::schema::LAYOUT;
use super::tally::slot;

/// Why nothing can be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Nothing has been recorded yet, or it is kept elsewhere.
    #[error(
        "there is no activity log at {path}: nothing has been recorded there, or `activity.enabled` is false",
        path = path.display()
    )]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Nobody says whether the file is there.
    #[error("the activity log {path} cannot be looked at ({why}): read it as the gateway's own user", path = path.display())]
    Hidden {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: std::io::Error,
    },
    /// The file is something else.
    #[error("{path} is no activity log", path = path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// SQLite keeps a small file beside a log that is read, and cannot make it.
    #[error(
        "the activity log {path} cannot be read where it is ({why}): SQLite keeps a file beside it, so its folder has to be \
         writable; read it as the gateway's own user, or copy it with the files beside it (-wal, -shm) to a folder of your own",
        path = path.display()
    )]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        why: String,
    },
    /// The file is of another version.
    #[error(
        "{path} is not an activity log of this version (it has version {found}, this Trunkline reads {known}): use the \
         release that wrote it, or start this one once so that it brings the file up to date",
        path = path.display()
    )]
    Layout {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The version that this build reads.
        known: usize,
    },
    /// The database says no.
    #[error("the activity log cannot be read: {0}")]
    Database(#[from] sqlx::Error),
}

/// A part of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// What was found, in the order that was asked for.
    pub records: Vec<Record>,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
}

/// A connection that reads and cannot write.
pub struct Reader {
    conn: SqliteConnection,
}

/// How long a reader waits for a lock: longer than any of the writer's transactions.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// Slots up to which a selection is read slot by slot. A selection with more is dense enough that its rows are soon met
/// among all others.
const SPARSE: i64 = 20_000;
/// Contexts that are named in a query by their numbers; more are left to a subquery.
const NAMED_CONTEXTS: usize = 500;

impl Reader {
    /// Opens the file.
    ///
    /// # Errors
    /// If it is not there, or not of this version.
    pub async fn open(path: &Path) -> Result<Reader, ReadError> {
        match tokio::fs::try_exists(path).await {
            Ok(true) => {}
            Ok(false) => return Err(ReadError::Missing { path: path.to_owned() }),
            Err(why) => return Err(ReadError::Hidden { path: path.to_owned(), why }),
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            .busy_timeout(BUSY_TIMEOUT)
            .thread_name(|_| "activity reader".into())
            .disable_statement_logging();
        let opened = async {
            let mut conn = options.connect().await?;
            let found: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut conn).await?;
            let owner: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut conn).await?;
            Ok((conn, found, owner))
        };
        let (conn, found, owner) = opened.await.map_err(|error| refused(path, error))?;
        let known = LAYOUT.migrations.len();
        let wrong = if owner != LAYOUT.application_id {
            ReadError::Foreign { path: path.to_owned() }
        } else if usize::try_from(found) != Ok(known) {
            ReadError::Layout { path: path.to_owned(), found, known }
        } else {
            return Ok(Reader { conn });
        };
        let _ = conn.close().await;
        Err(wrong)
    }

    /// At most `limit` records before a cursor, or of the end of the log, the newest first.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub async fn page(
        &mut self,
        filter: &Filter,
        limit: usize,
        before: Option<Cursor>,
    ) -> Result<Page, ReadError> {
        let low = filter.since.unwrap_or(0);
        let high = before.map_or(i64::MAX, |cursor| cursor.0).min(filter.until.unwrap_or(i64::MAX));
        let wanted = Wanted::of(&mut self.conn, filter).await?;
        let mut records = Vec::new();
        let slots = match &wanted {
            Wanted::None => return Ok(Page { records, next: None }),
            Wanted::Some { sparse: true, .. } if !filter.selects_rows() => {
                wanted.slots(&mut self.conn, low, high).await?
            }
            _ => vec![(low, high)],
        };
        for (first, last) in slots {
            let missing = limit.saturating_sub(records.len());
            if missing == 0 {
                break;
            }
            let range = (first.max(low), last.min(high));
            records.extend(wanted.rows(&mut self.conn, filter, range, missing, "DESC").await?);
        }
        let next = records.last().filter(|_| records.len() == limit).map(Record::cursor);
        Ok(Page { records, next })
    }

    /// At most `limit` records after a cursor, the oldest first: for whoever follows along.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub async fn after(&mut self, filter: &Filter, limit: usize, after: Cursor) -> Result<Page, ReadError> {
        let wanted = Wanted::of(&mut self.conn, filter).await?;
        if let Wanted::None = wanted {
            return Ok(Page { records: Vec::new(), next: None });
        }
        let range =
            (filter.since.unwrap_or(0).max(after.0.saturating_add(1)), filter.until.unwrap_or(i64::MAX));
        let records = wanted.rows(&mut self.conn, filter, range, limit, "ASC").await?;
        let next = records.last().filter(|_| records.len() == limit).map(Record::cursor);
        Ok(Page { records, next })
    }

    /// The place of the newest record; [`Cursor::START`] if there is none.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub async fn newest(&mut self) -> Result<Cursor, ReadError> {
        let last: Option<i64> =
            sqlx::query_scalar("SELECT max(id) FROM call").fetch_one(&mut self.conn).await?;
        Ok(last.map_or(Cursor::START, Cursor))
    }

    pub(super) fn conn(&mut self) -> &mut SqliteConnection {
        &mut self.conn
    }

    /// Closes the file.
    pub async fn close(self) {
        let _ = self.conn.close().await;
    }
}

/// Why a file could not be opened.
fn refused(path: &Path, error: sqlx::Error) -> ReadError {
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<i32>().ok());
    match code.map(|code| code & PRIMARY) {
        Some(CANNOT_OPEN | READ_ONLY) => {
            ReadError::ReadOnly { path: path.to_owned(), why: error.to_string() }
        }
        _ => error.into(),
    }
}

/// The primary part of SQLite's result codes ("Result and Error Codes").
const PRIMARY: i32 = 0xff;
/// `SQLITE_CANTOPEN`.
const CANNOT_OPEN: i32 = 14;
/// `SQLITE_READONLY`.
const READ_ONLY: i32 = 8;

/// The contexts that a filter selects.
enum Wanted {
    /// All.
    All,
    /// These, named by numbers or by a subquery; `sparse` if they have few slots.
    Some { list: Option<String>, sparse: bool },
    /// None.
    None,
}

impl Wanted {
    async fn of(conn: &mut SqliteConnection, filter: &Filter) -> sqlx::Result<Wanted> {
        if !filter.selects_contexts() {
            return Ok(Wanted::All);
        }
        let mut query = QueryBuilder::new("SELECT id FROM context WHERE 1");
        filter.on_context(&mut query);
        let numbers: Vec<i64> = query.build_query_scalar().fetch_all(&mut *conn).await?;
        if numbers.is_empty() {
            return Ok(Wanted::None);
        }
        if numbers.len() > NAMED_CONTEXTS {
            return Ok(Wanted::Some { list: None, sparse: false });
        }
        let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
        let list = numbers.join(",");
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM tally WHERE context IN ({list}) LIMIT {})",
            SPARSE + 1
        );
        let slots: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(conn).await?;
        Ok(Wanted::Some { list: Some(list), sparse: slots <= SPARSE })
    }

    /// The stretches of ids in which the contexts have calls, the newest first.
    async fn slots(&self, conn: &mut SqliteConnection, low: i64, high: i64) -> sqlx::Result<Vec<(i64, i64)>> {
        let Wanted::Some { list: Some(list), .. } = self else { return Ok(vec![(low, high)]) };
        let sql = format!(
            "SELECT min(first), max(last) + 1 FROM tally WHERE context IN ({list}) AND slot BETWEEN ? AND ? \
             GROUP BY slot ORDER BY slot DESC"
        );
        sqlx::query_as(AssertSqlSafe(sql)).bind(slot(low)).bind(slot(high)).fetch_all(conn).await
    }

    async fn rows(
        &self,
        conn: &mut SqliteConnection,
        filter: &Filter,
        (low, high): (i64, i64),
        limit: usize,
        order: &str,
    ) -> sqlx::Result<Vec<Record>> {
        let mut query: QueryBuilder<Sqlite> = QueryBuilder::new("SELECT ");
        // A cross join keeps the order of the loops: rows by id outside, which is the order that is wanted.
        query.push(COLUMNS).push(" FROM call CROSS JOIN context ON context.id = call.context");
        query.push(" LEFT JOIN payload ON payload.id = call.id WHERE call.id >= ");
        query.push_bind(low).push(" AND call.id < ").push_bind(high);
        match self {
            Wanted::Some { list: Some(list), .. } => {
                query.push(" AND call.context IN (").push(list).push(")");
            }
            Wanted::Some { list: None, .. } => filter.on_context(&mut query),
            Wanted::All | Wanted::None => {}
        }
        filter.on_call(&mut query);
        query.push(" ORDER BY call.id ").push(order).push(" LIMIT ");
        query.push_bind(i64::try_from(limit).unwrap_or(i64::MAX));
        query.build().fetch_all(conn).await?.iter().map(Record::read).collect()
    }
}
