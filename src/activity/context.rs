//! What many calls have in common, and the number that stands for it on file.
//!
//! The writer remembers the numbers of the contexts it has met. One that it does not know gets a new number, even if an
//! earlier run has kept the same: queries select contexts by what they say, and two of the same are as good as one. So
//! nothing has to be looked up, and memory may be forgotten at any time.

use std::collections::HashMap;

use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row as _, SqliteConnection};

use super::digest::{Digest, Field, digest_of};
use super::entry::{Client, unpack};
use super::insert::{Insert, bind};
use crate::protocol::ClientInfo;

/// A context that is on file, or is about to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub number: i64,
    /// What the chain knows it by.
    pub digest: Digest,
}

/// Contexts that are remembered, some 250 bytes each. Beyond it all are forgotten, and each costs a row once more.
const REMEMBERED: usize = 16_384;

/// The numbers of the contexts that this process has written.
#[derive(Debug, Default)]
pub(super) struct Contexts {
    known: HashMap<Box<[u8]>, Known>,
    /// Numbers of the transaction under way, which may yet come to nothing.
    fresh: HashMap<Box<[u8]>, Known>,
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

    /// These contexts, in their order; new ones are written.
    pub async fn number<'r>(
        &mut self,
        conn: &mut SqliteConnection,
        packed: impl Iterator<Item = &'r [u8]>,
    ) -> sqlx::Result<Vec<Known>> {
        let mut numbered: Vec<Known> = Vec::with_capacity(packed.size_hint().0);
        let mut new: Vec<(i64, Columns<'_>)> = Vec::new();
        let mut next = None;
        let mut before: &[u8] = &[];
        for packed in packed {
            // Calls come in runs of the same kind; comparing is cheaper than looking up.
            let known = match numbered.last() {
                Some(known) if before == packed => Some(*known),
                _ => self.known(packed),
            };
            let known = match known {
                Some(known) => known,
                None => {
                    let number = match next {
                        Some(number) => number,
                        None => newest(conn).await? + 1,
                    };
                    next = Some(number + 1);
                    let columns = Columns::of(packed);
                    let known = Known { number, digest: columns.digest() };
                    self.fresh.insert(packed.into(), known);
                    new.push((number, columns));
                    known
                }
            };
            before = packed;
            numbered.push(known);
        }
        INSERT.run(conn, &new, |(number, columns), arguments| write(*number, columns, arguments)).await?;
        Ok(numbered)
    }

    /// The transaction is on file.
    pub fn keep(&mut self) {
        self.known.extend(self.fresh.drain());
    }

    fn known(&self, packed: &[u8]) -> Option<Known> {
        self.known.get(packed).or_else(|| self.fresh.get(packed)).copied()
    }
}

async fn newest(conn: &mut SqliteConnection) -> sqlx::Result<i64> {
    let last: Option<i64> = sqlx::query_scalar("SELECT max(id) FROM context").fetch_one(conn).await?;
    Ok(last.unwrap_or(0))
}

static INSERT: Insert = Insert::into("context", "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", "");

/// A context as it is on file.
#[derive(Debug, Default)]
pub(super) struct Columns<'a> {
    pub principal: &'a str,
    pub client: ClientInfo,
    pub era: &'a str,
    pub endpoint: &'a str,
    pub server: &'a str,
    pub generation: i64,
    pub method: &'a str,
    pub name: &'a str,
    pub outcome: &'a str,
    pub code: i64,
    pub breaker: &'a str,
    pub cancelled_by: &'a str,
    pub cache: &'a str,
    pub enhanced: &'a str,
}

impl<'a> Columns<'a> {
    /// As a packed context is written.
    fn of(packed: &'a [u8]) -> Columns<'a> {
        let Some(found) = unpack(packed) else { return Columns::default() };
        let client = match found.client {
            Client::Known { name, version } => {
                ClientInfo { name: name.to_owned(), version: version.to_owned() }
            }
            Client::Raw(text) => ClientInfo::read(text),
            Client::Unknown => ClientInfo::default(),
        };
        Columns {
            principal: found.principal,
            client,
            era: found.era,
            endpoint: found.endpoint,
            server: found.server,
            generation: found.generation.cast_signed(),
            method: found.method,
            name: found.name,
            outcome: found.outcome,
            code: found.code,
            breaker: found.breaker,
            cancelled_by: found.cancelled_by,
            cache: found.cache,
            enhanced: found.enhanced,
        }
    }

    /// What the chain knows it by. The order of the fields is part of the format (see `digest`): a column that is added
    /// later goes to the end.
    pub fn digest(&self) -> Digest {
        digest_of(&[
            Field::Text(self.principal),
            Field::Text(&self.client.name),
            Field::Text(&self.client.version),
            Field::Text(self.era),
            Field::Text(self.endpoint),
            Field::Text(self.server),
            Field::Number(self.generation),
            Field::Text(self.method),
            Field::Text(self.name),
            Field::Text(self.outcome),
            Field::Number(self.code),
            Field::Text(self.breaker),
            Field::Text(self.cancelled_by),
            Field::Text(self.cache),
            Field::Text(self.enhanced),
        ])
    }

    /// The columns of `context` that are read, in the order of the fields.
    pub const NAMES: &'static str = "principal, client, client_version, era, endpoint, server, generation, method, name, \
                                     outcome, code, breaker, cancelled_by, cache, enhanced";

    /// As it is read from the column `at` on, where [`Self::NAMES`] begin. Of a call without a context everything is empty.
    pub fn on_file(row: &'a SqliteRow, at: usize) -> sqlx::Result<Columns<'a>> {
        let text = |column: usize| row.try_get::<Option<&str>, _>(at + column).map(Option::unwrap_or_default);
        let number =
            |column: usize| row.try_get::<Option<i64>, _>(at + column).map(Option::unwrap_or_default);
        Ok(Columns {
            principal: text(0)?,
            client: ClientInfo { name: text(1)?.to_owned(), version: text(2)?.to_owned() },
            era: text(3)?,
            endpoint: text(4)?,
            server: text(5)?,
            generation: number(6)?,
            method: text(7)?,
            name: text(8)?,
            outcome: text(9)?,
            code: number(10)?,
            breaker: text(11)?,
            cancelled_by: text(12)?,
            cache: text(13)?,
            enhanced: text(14)?,
        })
    }
}

fn write(number: i64, columns: &Columns<'_>, arguments: &mut SqliteArguments) -> sqlx::Result<()> {
    bind(arguments, number)?;
    let client = &columns.client;
    for text in
        [columns.principal, &client.name, &client.version, columns.era, columns.endpoint, columns.server]
    {
        bind(arguments, text.to_owned())?;
    }
    bind(arguments, columns.generation)?;
    for text in [columns.method, columns.name, columns.outcome] {
        bind(arguments, text.to_owned())?;
    }
    bind(arguments, columns.code)?;
    for text in [columns.breaker, columns.cancelled_by, columns.cache, columns.enhanced] {
        bind(arguments, text.to_owned())?;
    }
    Ok(())
}
