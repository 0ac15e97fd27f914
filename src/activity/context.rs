//! What many calls have in common, and the number that stands for it on file.
//!
//! The writer remembers the numbers of the contexts it has met. One that it does not know gets a new number, even if an
//! earlier run has kept the same: queries select contexts by what they say, and two of the same are as good as one. So
//! nothing has to be looked up, and memory may be forgotten at any time.

use std::collections::HashMap;

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteArguments;

use super::entry::{Client, unpack};
use super::insert::{Insert, Pace, bind};
use crate::protocol::ClientInfo;

/// Contexts that are remembered, some 200 bytes each. Beyond it all are forgotten, and each costs a row once more.
const REMEMBERED: usize = 16_384;

/// The numbers of the contexts that this process has written.
#[derive(Debug, Default)]
pub(super) struct Contexts {
    known: HashMap<Box<[u8]>, i64>,
    /// Numbers of the transaction under way, which may yet come to nothing.
    fresh: HashMap<Box<[u8]>, i64>,
    /// SQLite's `data_version`: another number means that another process has changed the file, perhaps these rows.
    version: Option<i64>,
}

impl Contexts {
    /// Forgets everything: the file is another one.
    pub fn forget(&mut self) {
        *self = Contexts::default();
    }

    /// Begins a transaction: numbers of one that failed are void.
    pub async fn begin(&mut self, conn: &mut SqliteConnection) -> sqlx::Result<()> {
        self.fresh.clear();
        let version = sqlx::query_scalar("PRAGMA data_version").fetch_one(conn).await?;
        if self.version != Some(version) || self.known.len() > REMEMBERED {
            self.known.clear();
            self.version = Some(version);
        }
        Ok(())
    }

    /// The numbers of these contexts, in their order; new ones are written.
    pub async fn numbers<'r>(
        &mut self,
        conn: &mut SqliteConnection,
        packed: impl Iterator<Item = &'r [u8]>,
    ) -> sqlx::Result<Vec<i64>> {
        let mut numbers: Vec<i64> = Vec::with_capacity(packed.size_hint().0);
        let mut new: Vec<(i64, &[u8])> = Vec::new();
        let mut next = None;
        let mut before: &[u8] = &[];
        for packed in packed {
            // Calls come in runs of the same kind; comparing is cheaper than looking up.
            let known = match numbers.last() {
                Some(number) if before == packed => Some(*number),
                _ => self.number(packed),
            };
            let number = match (known, next) {
                (Some(number), _) | (None, Some(number)) => number,
                (None, None) => {
                    let last: Option<i64> =
                        sqlx::query_scalar("SELECT max(id) FROM context").fetch_one(&mut *conn).await?;
                    last.unwrap_or(0) + 1
                }
            };
            if known.is_none() {
                next = Some(number + 1);
                self.fresh.insert(packed.into(), number);
                new.push((number, packed));
            }
            before = packed;
            numbers.push(number);
        }
        INSERT
            .run(conn, &new, Pace::AtOnce, |(number, packed), arguments| write(*number, packed, arguments))
            .await?;
        Ok(numbers)
    }

    /// The transaction is on file.
    pub fn keep(&mut self) {
        self.known.extend(self.fresh.drain());
    }

    fn number(&self, packed: &[u8]) -> Option<i64> {
        self.known.get(packed).or_else(|| self.fresh.get(packed)).copied()
    }
}

static INSERT: Insert = Insert::into("context", "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", "");

fn write(number: i64, packed: &[u8], arguments: &mut SqliteArguments) -> sqlx::Result<()> {
    let found = unpack(packed);
    let of = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let client = match found.as_ref().map(|found| &found.client) {
        Some(Client::Known { name, version }) => {
            ClientInfo { name: (*name).to_owned(), version: (*version).to_owned() }
        }
        Some(Client::Raw(text)) => ClientInfo::read(text),
        _ => ClientInfo::default(),
    };
    bind(arguments, number)?;
    bind(arguments, of(found.as_ref().map(|found| found.principal)))?;
    bind(arguments, client.name)?;
    bind(arguments, client.version)?;
    bind(arguments, of(found.as_ref().map(|found| found.era)))?;
    bind(arguments, of(found.as_ref().map(|found| found.endpoint)))?;
    bind(arguments, of(found.as_ref().map(|found| found.server)))?;
    bind(arguments, found.as_ref().map_or(0, |found| found.generation.cast_signed()))?;
    bind(arguments, of(found.as_ref().map(|found| found.method)))?;
    bind(arguments, of(found.as_ref().map(|found| found.name)))?;
    bind(arguments, of(found.as_ref().map(|found| found.outcome)))?;
    bind(arguments, found.as_ref().map_or(0, |found| found.code))?;
    bind(arguments, of(found.as_ref().map(|found| found.breaker)))?;
    bind(arguments, of(found.as_ref().map(|found| found.cancelled_by)))?;
    bind(arguments, of(found.as_ref().map(|found| found.cache)))?;
    bind(arguments, of(found.as_ref().map(|found| found.enhanced)))
}
