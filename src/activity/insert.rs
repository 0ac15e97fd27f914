//! Many rows in few statements, without taking the processor from calls.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, AssertSqlSafe, Encode, Sqlite, SqliteConnection, Type};
use tokio::time::sleep;

/// Rows in one statement, the most first. One statement costs some 50 µs on its way to SQLite's thread and back, whatever
/// it holds, and 500 rows a millisecond; their parameters stay below SQLite's limit of 32,766.
const CHUNKS: [usize; 4] = [500, 100, 10, 1];
/// Rows of a full statement, and so as many as are written at a time.
pub(super) const LONGEST: usize = CHUNKS[0];
/// How much longer than its work the writer rests after a full statement, so that calls find four fifths of a processor
/// between two of them also where there are few processors.
const REST: u32 = 4;
/// The longest rest, in case the work was long because of a slow disk.
const LONGEST_REST: Duration = Duration::from_millis(5);

/// How fast a batch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// With rests after each full statement: calls under way are worth more than rows that could wait a little.
    Steady,
    /// As fast as possible: somebody waits for it, or the queue fills.
    AtOnce,
}

impl Pace {
    /// How long to rest after work that took `worked`.
    fn after(self, worked: Duration) -> Duration {
        match self {
            Pace::Steady => (worked * REST).min(LONGEST_REST),
            Pace::AtOnce => Duration::ZERO,
        }
    }

    /// Rests after such work.
    pub async fn rest(self, worked: Duration) {
        let rest = self.after(worked);
        if !rest.is_zero() {
            sleep(rest).await;
        }
    }
}

/// An insertion of any number of rows in few statements.
pub(super) struct Insert {
    table: &'static str,
    /// The values of a row in the order of the columns, `?` for each that is bound.
    row: &'static str,
    tail: &'static str,
    statements: [OnceLock<Arc<str>>; CHUNKS.len()],
}

impl Insert {
    /// Into all columns of a table; `tail` says what happens to rows that are there.
    pub const fn into(table: &'static str, row: &'static str, tail: &'static str) -> Insert {
        Insert { table, row, tail, statements: [const { OnceLock::new() }; CHUNKS.len()] }
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
                arguments.reserve(length * self.row.matches('?').count(), 0);
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
        format!("INSERT INTO {} VALUES {} {}", self.table, vec![self.row; rows].join(","), self.tail).into()
    }
}

/// Adds one value.
pub(super) fn bind<'v, T>(arguments: &mut SqliteArguments, value: T) -> sqlx::Result<()>
where
    T: Encode<'v, Sqlite> + Type<Sqlite>,
{
    arguments.add(value).map_err(sqlx::Error::Encode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_writer_rests_four_times_as_long_as_it_works_and_not_at_all_when_it_must_hurry() {
        let ms = Duration::from_millis;
        assert_eq!(Pace::Steady.after(ms(1)), ms(4));
        assert_eq!(Pace::Steady.after(ms(900)), LONGEST_REST);
        assert_eq!(Pace::AtOnce.after(ms(1)), Duration::ZERO);
    }

    #[test]
    fn a_statement_has_its_rows_and_sqlite_takes_their_parameters() {
        let insert = Insert::into("t", "(?,NULL,?)", "ON CONFLICT DO NOTHING");
        assert_eq!(
            &*insert.statement(2),
            "INSERT INTO t VALUES (?,NULL,?),(?,NULL,?) ON CONFLICT DO NOTHING"
        );
        // The widest table has 16 columns; SQLITE_MAX_VARIABLE_NUMBER is 32,766.
        assert!(CHUNKS[0] * 16 <= 32_766);
    }
}
