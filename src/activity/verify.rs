//! Walking the chain from its beginning to its end: is what is on file what was written?

use std::cmp::Ordering;
use std::path::Path;

use serde::Serialize;
use sqlx::{Connection as _, Row as _, SqliteConnection};

use super::chain::{self, Kind, Link};
use super::digest::{Digest, hex};
use super::reader::{ReadError, Reader};
use super::sealed;
use crate::base::utc;

/// What a walk has found. Serialised, it is what `trunkline activity verify --json` prints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether the chain is whole, and everything on file belongs to it that should.
    pub whole: bool,
    /// Links that were walked.
    pub links: u64,
    /// Rows whose link is as it was written.
    pub rows: u64,
    /// Rows that were erased with a word of it, and left their digest.
    pub erased: u64,
    /// Rows that are in no link, because they were written before there was a chain or while it was off.
    pub unsealed: Option<Unsealed>,
    /// When the chain begins.
    pub since: Option<String>,
    /// Until when older rows and their links have been cleared away, and when that was last done.
    pub retired: Option<Retired>,
    /// The end of the chain: whoever keeps it elsewhere sees if the end is cut off, or all of it made anew.
    pub head: Option<Head>,
    /// The first place where something is wrong.
    pub broken: Option<Break>,
}

/// Rows that are in no link, and of which nobody can say whether they are as they were written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unsealed {
    /// How many.
    pub rows: u64,
    /// The time of the first.
    pub from: String,
    /// And of the last.
    pub until: String,
}

/// What was cleared away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Retired {
    /// The newest link that went.
    pub link: i64,
    /// When.
    pub at: String,
}

/// The end of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Head {
    /// The number of the link.
    pub link: i64,
    /// Its digest.
    pub digest: String,
    /// When it was written.
    pub at: String,
}

/// Where the chain is broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Break {
    /// The link, if it is one.
    pub link: Option<i64>,
    /// The time from which rows are concerned.
    pub from: Option<String>,
    /// And until when.
    pub until: Option<String>,
    /// What is wrong, in words.
    pub what: String,
}

/// Walks the chain in the file, beside the gateway that writes it or without one. `kept` is the digest of an earlier head,
/// which has to be in the chain still.
///
/// # Errors
/// If the file is not there, not of this version, or cannot be read.
pub async fn verify(path: &Path, kept: Option<&str>) -> Result<Verdict, ReadError> {
    let mut reader = Reader::open(path).await?;
    let walked = walk(reader.conn(), kept).await;
    reader.close().await;
    match walked {
        // What is no link any more, or a table that is gone, is as little as it was written as any other change.
        Err(error) if is_changed(&error) => Ok(Verdict {
            broken: Some(Break {
                link: None,
                from: None,
                until: None,
                what: format!("the chain is not in the form in which it was written ({error})"),
            }),
            ..Verdict::default()
        }),
        walked => Ok(walked?),
    }
}

/// Whether an error says that the file has another form than this version gives it, which it was opened as.
fn is_changed(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => true,
        sqlx::Error::Database(error) => error.message().starts_with("no such"),
        _ => false,
    }
}

/// Links that are read at a time.
const LINKS: i64 = 256;

/// What has been met so far.
struct Walk {
    verdict: Verdict,
    /// The digest of the link before.
    before: Vec<u8>,
    number: i64,
    /// The last id that a link is about.
    last: i64,
    /// Rows that links say were erased.
    erased: i64,
    kept: Option<String>,
}

async fn walk(conn: &mut SqliteConnection, kept: Option<&str>) -> sqlx::Result<Verdict> {
    // One look at the file: what is written meanwhile belongs to the next.
    let mut transaction = conn.begin().await?;
    let mut walk = Walk {
        verdict: Verdict::default(),
        before: Vec::new(),
        number: 0,
        last: -1,
        erased: 0,
        kept: kept.map(str::to_ascii_lowercase),
    };
    if let Some(link) = chain::retired(&mut transaction).await?
        && let Some((upto, before)) = &link.retired
    {
        walk.met(before);
        (walk.number, walk.before) = (*upto, before.clone());
        walk.verdict.retired = Some(Retired { link: *upto, at: utc::rfc3339(link.at) });
    }
    let broken = walk.links(&mut transaction).await?;
    let broken = match broken {
        Some(broken) => Some(broken),
        None => walk.end(&mut transaction).await?,
    };
    transaction.rollback().await?;
    walk.verdict.whole = broken.is_none();
    walk.verdict.broken = broken;
    Ok(walk.verdict)
}

impl Walk {
    async fn links(&mut self, conn: &mut SqliteConnection) -> sqlx::Result<Option<Break>> {
        loop {
            let links = chain::behind(conn, self.number, LINKS).await?;
            if links.is_empty() {
                return Ok(None);
            }
            for link in links {
                if let Some(broken) = self.link(conn, &link).await? {
                    return Ok(Some(broken));
                }
            }
        }
    }

    async fn link(&mut self, conn: &mut SqliteConnection, link: &Link) -> sqlx::Result<Option<Break>> {
        if link.number != self.number + 1 {
            let (missing, next) = (self.number + 1, link.number);
            let what = format!(
                "link {missing} is missing, and {next} is the next: rows were removed with their links"
            );
            return Ok(Some(broken(link, what)));
        }
        // Before the first link that is left there is nothing: what was there went with its link.
        let low = self.last + 1;
        let (mut there, mut digests) = (0, Vec::new());
        match link.kind {
            Kind::Begin => self.skip(conn, (low, link.last)).await?,
            Kind::Rows => match rows_of(conn, link, low).await? {
                Ok(rows) => {
                    there = rows.there;
                    digests = rows.digests;
                }
                Err(what) => return Ok(Some(broken(link, what))),
            },
            Kind::Erased | Kind::Retired => {
                let strays = count(conn, low, link.last).await?;
                if strays > 0 {
                    return Ok(Some(broken(link, strange(strays))));
                }
            }
        }
        if link.expected(&self.before, &digests).as_slice() != link.digest {
            let what = match link.kind {
                Kind::Rows => "a row of it, or the link itself, is not as it was written",
                Kind::Begin | Kind::Erased | Kind::Retired => "the link is not as it was written",
            };
            return Ok(Some(broken(link, what.to_owned())));
        }
        if link.kind == Kind::Erased {
            self.erased += link.calls;
        }
        self.met(&link.digest);
        if self.verdict.links == 0 {
            self.verdict.since = Some(utc::rfc3339(link.at));
        }
        self.verdict.links += 1;
        self.verdict.rows += there;
        self.verdict.head =
            Some(Head { link: link.number, digest: hex(&link.digest), at: utc::rfc3339(link.at) });
        (self.number, self.before, self.last) = (link.number, link.digest.clone(), link.last.max(self.last));
        Ok(None)
    }

    /// Counts rows that no link is about.
    async fn skip(&mut self, conn: &mut SqliteConnection, (low, high): (i64, i64)) -> sqlx::Result<()> {
        let sql = "SELECT count(*), min(id), max(id) FROM call WHERE id BETWEEN ? AND ?";
        let (rows, first, last): (i64, Option<i64>, Option<i64>) =
            sqlx::query_as(sql).bind(low).bind(high).fetch_one(conn).await?;
        if let (Some(first), Some(last)) = (first, last) {
            let before = self.verdict.unsealed.take();
            self.verdict.unsealed = Some(Unsealed {
                rows: before.as_ref().map_or(0, |before| before.rows) + rows.unsigned_abs(),
                from: before.map_or_else(|| utc::rfc3339(first), |before| before.from),
                until: utc::rfc3339(last),
            });
        }
        Ok(())
    }

    /// What lies behind the end of the chain, and whether all that was erased was erased with a word of it.
    async fn end(&mut self, conn: &mut SqliteConnection) -> sqlx::Result<Option<Break>> {
        let beyond = count(conn, self.last + 1, i64::MAX).await?;
        let gone: i64 = sqlx::query_scalar("SELECT count(*) FROM tombstone").fetch_one(&mut *conn).await?;
        self.verdict.erased = gone.unsigned_abs();
        let payloads = "SELECT count(*) FROM payload WHERE id NOT IN (SELECT id FROM call)";
        let strays: i64 = sqlx::query_scalar(payloads).fetch_one(&mut *conn).await?;
        let mut from = None;
        let what = if self.verdict.links == 0 && beyond > 0 {
            "there is no chain: it has never been on (`activity.chain = true`), or somebody has removed it"
                .to_owned()
        } else if beyond > 0 {
            let first: i64 = sqlx::query_scalar("SELECT min(id) FROM call WHERE id > ?")
                .bind(self.last)
                .fetch_one(conn)
                .await?;
            from = Some(utc::rfc3339(first));
            format!(
                "rows stand behind the end of the chain ({beyond}): its end was cut off, or they were written while \
                 `activity.chain` was false"
            )
        } else if gone > self.erased {
            format!("{gone} rows are said to be erased, and links speak of {} only", self.erased)
        } else if strays > 0 {
            format!("messages of {strays} calls are there that are not: they were slipped in")
        } else if let Some(kept) = &self.kept {
            format!(
                "the digest {kept} is nowhere in the chain: its end was cut off, or it was made anew, or that link has \
                 been cleared away since"
            )
        } else {
            return Ok(None);
        };
        Ok(Some(Break { link: None, from, until: None, what }))
    }

    /// Notes that this digest is in the chain.
    fn met(&mut self, digest: &[u8]) {
        if self.kept.as_deref().is_some_and(|kept| kept == hex(digest)) {
            self.kept = None;
        }
    }
}

fn broken(link: &Link, what: String) -> Break {
    Break {
        link: Some(link.number),
        from: Some(utc::rfc3339(link.first)),
        until: Some(utc::rfc3339(link.last)),
        what,
    }
}

/// How many rows have ids from `low` to `high`.
async fn count(conn: &mut SqliteConnection, low: i64, high: i64) -> sqlx::Result<u64> {
    let sql = "SELECT count(*) FROM call WHERE id BETWEEN ? AND ?";
    let found: i64 = sqlx::query_scalar(sql).bind(low).bind(high).fetch_one(conn).await?;
    Ok(found.unsigned_abs())
}

/// The rows of a link.
struct Rows {
    /// The digests of all, of erased ones by their tombstones.
    digests: Vec<Digest>,
    /// How many are there.
    there: u64,
}

fn strange(rows: u64) -> String {
    format!("{rows} rows stand before it that no link knows: they were slipped in")
}

/// The rows of a link, or what is wrong with them. `low` is where those of the link before have ended: between the two
/// there is none.
async fn rows_of(conn: &mut SqliteConnection, link: &Link, low: i64) -> sqlx::Result<Result<Rows, String>> {
    let mut rows: Vec<(i64, Digest)> = sealed::on_file(conn, (low, link.last), None).await?;
    let there = rows.len() as u64;
    let strays = rows.iter().take_while(|(id, _)| *id < link.first).count() as u64;
    if strays > 0 {
        return Ok(Err(strange(strays)));
    }
    let tombstones = sqlx::query("SELECT id, digest FROM tombstone WHERE id BETWEEN ? AND ?");
    for row in tombstones.bind(link.first).bind(link.last).fetch_all(conn).await? {
        let digest: &[u8] = row.try_get(1)?;
        match Digest::try_from(digest) {
            Ok(digest) => rows.push((row.try_get(0)?, digest)),
            Err(_) => return Ok(Err("a tombstone of it holds no digest".to_owned())),
        }
    }
    rows.sort_unstable_by_key(|(id, _)| *id);
    if rows.windows(2).any(|pair| matches!(pair, [(one, _), (two, _)] if one == two)) {
        return Ok(Err("a row of it is there and has a tombstone".to_owned()));
    }
    let (found, wanted) = (rows.len() as u64, link.calls.unsigned_abs());
    Ok(match found.cmp(&wanted) {
        Ordering::Less => Err(format!("{} of its {wanted} rows are missing", wanted - found)),
        Ordering::Greater => Err(format!("it has {found} rows in place of {wanted}: some were slipped in")),
        Ordering::Equal => Ok(Rows { digests: rows.into_iter().map(|(_, digest)| digest).collect(), there }),
    })
}
