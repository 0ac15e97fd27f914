//! What many calls have in common, and the number that stands for it on file.
//!
//! The writer remembers the numbers of the contexts it has met. One that it does not know gets a new number, even if an
//! earlier run has kept the same: queries select contexts by what they say, and two of the same are as good as one. So
//! nothing has to be looked up, and memory may be forgotten at any time.

use std::collections::HashMap;

use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row as _, SqliteConnection};

use super::digest::{Digest, Field, digest_of};
use super::entry::{Client, Context, unpack};
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
        let mut new: Vec<(i64, Context<'_>, ClientInfo)> = Vec::new();
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
                    let context = unpack(packed).unwrap_or_default();
                    let client = info(&context.client);
                    let known = Known { number, digest: context.digest(&client) };
                    self.fresh.insert(packed.into(), known);
                    new.push((number, context, client));
                    known
                }
            };
            before = packed;
            numbered.push(known);
        }
        INSERT
            .run(conn, &new, |(number, context, client), arguments| {
                write(*number, context, client, arguments)
            })
            .await?;
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

impl<'a> Context<'a> {
    /// What the chain knows it by. The order of the fields is part of the format (see `digest`): a column that is added
    /// later goes to the end.
    fn digest(&self, client: &ClientInfo) -> Digest {
        digest_of(&[
            Field::Text(self.principal),
            Field::Text(&client.name),
            Field::Text(&client.version),
            Field::Text(self.era),
            Field::Text(self.endpoint),
            Field::Text(self.server),
            Field::Number(self.generation.cast_signed()),
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
}

/// The columns of `context` that are sealed, in the order in which [`digest_on_file`] reads them.
pub(super) const SEALED: &str = "principal, client, client_version, era, endpoint, server, generation, method, name, outcome, \
                                 code, breaker, cancelled_by, cache, enhanced";

/// The digest of a context on file, whose columns [`SEALED`] begin at the column `at`. Of a call without a context everything
/// is empty.
pub(super) fn digest_on_file(row: &SqliteRow, at: usize) -> sqlx::Result<Digest> {
    let text = |column: usize| row.try_get::<Option<&str>, _>(at + column).map(Option::unwrap_or_default);
    let number = |column: usize| row.try_get::<Option<i64>, _>(at + column).map(Option::unwrap_or_default);
    let client = ClientInfo { name: text(1)?.to_owned(), version: text(2)?.to_owned() };
    let context = Context {
        client: Client::Unknown,
        principal: text(0)?,
        era: text(3)?,
        endpoint: text(4)?,
        server: text(5)?,
        generation: number(6)?.cast_unsigned(),
        method: text(7)?,
        name: text(8)?,
        outcome: text(9)?,
        code: number(10)?,
        breaker: text(11)?,
        cancelled_by: text(12)?,
        cache: text(13)?,
        enhanced: text(14)?,
    };
    Ok(context.digest(&client))
}

/// A client's name and version, as they are written.
fn info(client: &Client<'_>) -> ClientInfo {
    match client {
        Client::Known { name, version } => {
            ClientInfo { name: (*name).to_owned(), version: (*version).to_owned() }
        }
        Client::Raw(text) => ClientInfo::read(text),
        Client::Unknown => ClientInfo::default(),
    }
}

fn write(
    number: i64,
    context: &Context<'_>,
    client: &ClientInfo,
    arguments: &mut SqliteArguments,
) -> sqlx::Result<()> {
    bind(arguments, number)?;
    for text in
        [context.principal, &client.name, &client.version, context.era, context.endpoint, context.server]
    {
        bind(arguments, text.to_owned())?;
    }
    bind(arguments, context.generation.cast_signed())?;
    for text in [context.method, context.name, context.outcome] {
        bind(arguments, text.to_owned())?;
    }
    bind(arguments, context.code)?;
    for text in [context.breaker, context.cancelled_by, context.cache, context.enhanced] {
        bind(arguments, text.to_owned())?;
    }
    Ok(())
}
