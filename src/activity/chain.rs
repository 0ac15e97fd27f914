//! The chain over the rows: a change of what is on file shows.
//!
//! Each batch leaves a link in the same transaction: a digest over the digests of its rows and over the link before. Whoever
//! changes, removes or slips in a row breaks the link that it belongs to. What goes in good order says so by a link of its
//! own: clearing away (`retired`), and erasing (`erased`), which leaves the digest of each row that went as its tombstone.
//!
//! There is no key in it: whoever may write the file can make the chain anew from any point on, and what was at the end can
//! be cut off unseen. Who keeps a digest of it elsewhere sees that, too ([`super::verify()`]).

use sqlx::{Row as _, SqliteConnection};

use super::digest::{Digest, Field, digest_of, sha256};
use super::insert::{Insert, bind};

/// What a link is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The chain begins, or goes on after rows without a link.
    Begin,
    /// A batch of rows.
    Rows,
    /// Rows have been erased, each leaving its digest.
    Erased,
    /// The oldest rows are gone, and the links that they had.
    Retired,
}

impl Kind {
    /// The word on file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Begin => "begin",
            Kind::Rows => "rows",
            Kind::Erased => "erased",
            Kind::Retired => "retired",
        }
    }

    fn of(word: &str) -> Option<Kind> {
        [Kind::Begin, Kind::Rows, Kind::Erased, Kind::Retired].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// A link as it is on file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub number: i64,
    pub at: i64,
    pub kind: Kind,
    /// The first id that it is about.
    pub first: i64,
    /// The last; never smaller than that of the link before.
    pub last: i64,
    /// Rows that it is about.
    pub calls: i64,
    /// For `retired`: the newest link that went, and its digest, on which the oldest that is left is built.
    pub retired: Option<(i64, Vec<u8>)>,
    pub digest: Vec<u8>,
}

/// The end of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub number: i64,
    pub last: i64,
    pub digest: Vec<u8>,
}

/// What is on file of links, in the order of [`read`].
const COLUMNS: &str = "number, at, kind, first, last, calls, upto, before, digest";

impl Link {
    /// The digest that it must have behind one with the digest `before`, with these rows.
    pub fn expected(&self, before: &[u8], rows: &[Digest]) -> Digest {
        let rows = (!rows.is_empty()).then(|| sha256(rows.as_flattened()));
        digest_of(&[
            Field::Given(Some(before)),
            Field::Number(self.number),
            Field::Number(self.at),
            Field::Text(self.kind.as_str()),
            Field::Number(self.first),
            Field::Number(self.last),
            Field::Number(self.calls),
            Field::Maybe(self.retired.as_ref().map(|(upto, _)| *upto)),
            Field::Given(self.retired.as_ref().map(|(_, digest)| digest.as_slice())),
            Field::Given(rows.as_ref().map(|rows| rows.as_slice())),
        ])
    }
}

/// The end of the chain; nothing where there is none.
pub(super) async fn head(conn: &mut SqliteConnection) -> sqlx::Result<Option<Head>> {
    let newest = sqlx::query("SELECT number, last, digest FROM link ORDER BY number DESC LIMIT 1");
    let Some(row) = newest.fetch_optional(conn).await? else { return Ok(None) };
    Ok(Some(Head { number: row.try_get(0)?, last: row.try_get(1)?, digest: row.try_get(2)? }))
}

/// At most `limit` links behind `number`, the oldest first.
pub(super) async fn behind(conn: &mut SqliteConnection, number: i64, limit: i64) -> sqlx::Result<Vec<Link>> {
    let sql = format!("SELECT {COLUMNS} FROM link WHERE number > ? ORDER BY number LIMIT ?");
    let found = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(number).bind(limit).fetch_all(conn).await?;
    found.iter().map(read).collect()
}

/// The newest link that says that others are gone.
pub(super) async fn retired(conn: &mut SqliteConnection) -> sqlx::Result<Option<Link>> {
    let sql = format!("SELECT {COLUMNS} FROM link WHERE kind = 'retired' ORDER BY number DESC LIMIT 1");
    let found = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_optional(conn).await?;
    found.as_ref().map(read).transpose()
}

fn read(row: &sqlx::sqlite::SqliteRow) -> sqlx::Result<Link> {
    let kind: &str = row.try_get(2)?;
    let kind =
        Kind::of(kind).ok_or_else(|| sqlx::Error::Decode(format!("a link of the kind {kind:?}").into()))?;
    let (upto, before): (Option<i64>, Option<Vec<u8>>) = (row.try_get(6)?, row.try_get(7)?);
    Ok(Link {
        number: row.try_get(0)?,
        at: row.try_get(1)?,
        kind,
        first: row.try_get(3)?,
        last: row.try_get(4)?,
        calls: row.try_get(5)?,
        retired: upto.zip(before),
        digest: row.try_get(8)?,
    })
}

/// Appends the link of a batch within its transaction. `head` is the end of the chain, `newest` the newest row before the
/// batch: where it has no link, the chain begins anew behind it.
pub(super) async fn seal(
    conn: &mut SqliteConnection,
    head: Option<Head>,
    newest: Option<i64>,
    rows: &[(i64, Digest)],
    now: i64,
) -> sqlx::Result<()> {
    let (Some((first, _)), Some((last, _))) = (rows.first(), rows.last()) else { return Ok(()) };
    let digests: Vec<Digest> = rows.iter().map(|(_, digest)| *digest).collect();
    let newest = newest.unwrap_or(0);
    let head = match head {
        Some(head) if newest <= head.last => head,
        head => {
            let first = head.as_ref().map_or(0, |head| head.last + 1);
            add(
                conn,
                head.as_ref(),
                Part { kind: Kind::Begin, first, last: newest, calls: 0, retired: None },
                &[],
                now,
            )
            .await?
        }
    };
    let calls = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let part = Part { kind: Kind::Rows, first: *first, last: *last, calls, retired: None };
    add(conn, Some(&head), part, &digests, now).await.map(drop)
}

static TOMBSTONES: Insert = Insert::into("tombstone", "(?,?)", "");

/// Leaves the tombstones of rows that go in this transaction, and the link that says so; nothing where there is no chain.
pub(super) async fn erased(
    conn: &mut SqliteConnection,
    rows: &[(i64, Digest)],
    now: i64,
) -> sqlx::Result<()> {
    let Some(head) = head(conn).await? else { return Ok(()) };
    if rows.is_empty() {
        return Ok(());
    }
    TOMBSTONES
        .run(conn, rows, |(id, digest), arguments| {
            bind(arguments, *id)?;
            bind(arguments, digest.to_vec())
        })
        .await?;
    let calls = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let part = Part { kind: Kind::Erased, first: head.last, last: head.last, calls, retired: None };
    add(conn, Some(&head), part, &[], now).await.map(drop)
}

/// Where clearing away all before `end` has to stop: before the first batch that would be left in pieces.
pub(super) async fn whole(conn: &mut SqliteConnection, end: i64) -> sqlx::Result<i64> {
    let across = "SELECT first FROM link WHERE last >= ? AND kind = 'rows' ORDER BY last, number LIMIT 1";
    let first: Option<i64> = sqlx::query_scalar(across).bind(end).fetch_optional(conn).await?;
    Ok(first.map_or(end, |first| first.min(end)))
}

/// Takes the links away whose rows are gone, all before `end`, with the tombstones, and notes it.
pub(super) async fn retire(conn: &mut SqliteConnection, end: i64, calls: i64, now: i64) -> sqlx::Result<()> {
    let newest = "SELECT number, digest FROM link WHERE last < ? ORDER BY last DESC, number DESC LIMIT 1";
    let newest: Option<(i64, Vec<u8>)> = sqlx::query_as(newest).bind(end).fetch_optional(&mut *conn).await?;
    sqlx::query("DELETE FROM tombstone WHERE id < ?").bind(end).execute(&mut *conn).await?;
    let (Some((upto, before)), Some(head)) = (newest, head(conn).await?) else { return Ok(()) };
    let retired = Some((upto, before));
    let part = Part { kind: Kind::Retired, first: head.last, last: head.last, calls, retired };
    add(conn, Some(&head), part, &[], now).await?;
    sqlx::query("DELETE FROM link WHERE number <= ?").bind(upto).execute(conn).await.map(drop)
}

/// What a new link says.
struct Part {
    kind: Kind,
    first: i64,
    last: i64,
    calls: i64,
    retired: Option<(i64, Vec<u8>)>,
}

async fn add(
    conn: &mut SqliteConnection,
    head: Option<&Head>,
    part: Part,
    rows: &[Digest],
    now: i64,
) -> sqlx::Result<Head> {
    let Part { kind, first, last, calls, retired } = part;
    let number = head.map_or(0, |head| head.number) + 1;
    let mut link = Link { number, at: now, kind, first, last, calls, retired, digest: Vec::new() };
    link.digest = link.expected(head.map_or(&[], |head| head.digest.as_slice()), rows).to_vec();
    let (upto, before) = link.retired.unzip();
    sqlx::query("INSERT INTO link VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(number)
        .bind(now)
        .bind(kind.as_str())
        .bind(first)
        .bind(last)
        .bind(calls)
        .bind(upto)
        .bind(before)
        .bind(&link.digest)
        .execute(conn)
        .await?;
    Ok(Head { number, last, digest: link.digest })
}
