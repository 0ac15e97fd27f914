//! What the store keeps, and the statements that write and read it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use crate::base::Era;

/// Which era a server was found to speak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EraVerdict {
    /// The era.
    pub era: Era,
    /// The protocol version that was agreed on.
    pub version: String,
}

/// The lists that a server gave when it was last asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCatalog {
    /// The server's name.
    pub server: String,
    /// A hash of the configuration under which the lists were read; under another they mean nothing.
    pub config_hash: String,
    /// The lists, as the caller encoded them.
    pub lists: Bytes,
}

/// A session id that must not be honoured again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation {
    /// A hash of the id.
    pub id_hash: [u8; 16],
    /// When the id would have expired by itself (whole seconds, rounded up).
    pub expires_at: SystemTime,
}

/// One queued change.
#[derive(Debug)]
pub(super) enum Write {
    RememberEra { key: String, era: Era, version: String },
    ForgetEra { key: String },
    SaveCatalog { server: String, config_hash: String, lists: Bytes },
    Revoke { id_hash: [u8; 16], expires_at: SystemTime },
}

/// How long an era verdict or a catalog is kept after it was last written. Both are only hints that save work
/// at a start; this bounds what servers leave behind that were renamed or removed from the configuration.
const HINT_AGE: Duration = Duration::from_secs(90 * 24 * 3600);

impl Write {
    pub(super) async fn execute(&self, conn: &mut SqliteConnection, now: SystemTime) -> sqlx::Result<()> {
        let query = match self {
            Write::RememberEra { key, era, version } => {
                sqlx::query("INSERT OR REPLACE INTO era (key, era, version, saved_at) VALUES (?, ?, ?, ?)")
                    .bind(key)
                    .bind(era.as_str())
                    .bind(version)
                    .bind(to_seconds(now))
            }
            Write::ForgetEra { key } => sqlx::query("DELETE FROM era WHERE key = ?").bind(key),
            Write::SaveCatalog { server, config_hash, lists } => sqlx::query(
                "INSERT OR REPLACE INTO catalog (server, config_hash, lists, saved_at) VALUES (?, ?, ?, ?)",
            )
            .bind(server)
            .bind(config_hash)
            .bind(lists.as_ref())
            .bind(to_seconds(now)),
            Write::Revoke { id_hash, expires_at } => {
                sqlx::query("INSERT OR REPLACE INTO revocation (id_hash, expires_at) VALUES (?, ?)")
                    .bind(id_hash.as_slice())
                    .bind(to_seconds(*expires_at))
            }
        };
        query.execute(conn).await.map(drop)
    }
}

/// Deletes what nobody needs any more; answers how many revocations had expired.
pub(super) async fn prune(conn: &mut SqliteConnection, now: SystemTime) -> sqlx::Result<u64> {
    let stale = to_seconds(now).saturating_sub(HINT_AGE.as_secs().cast_signed());
    sqlx::query("DELETE FROM era WHERE saved_at < ?").bind(stale).execute(&mut *conn).await?;
    sqlx::query("DELETE FROM catalog WHERE saved_at < ?").bind(stale).execute(&mut *conn).await?;
    super::keys::prune(&mut *conn, now).await?;
    let expired = sqlx::query("DELETE FROM revocation WHERE expires_at <= ?").bind(to_seconds(now));
    Ok(expired.execute(conn).await?.rows_affected())
}

/// Something the store can be asked, as often as needed to get an answer.
pub(super) trait Question: Sync {
    type Answer;
    fn put(&self, conn: &mut SqliteConnection) -> impl Future<Output = sqlx::Result<Self::Answer>> + Send;
}

/// Which era was found under this key?
pub(super) struct EraOf(pub String);
/// Which lists are kept?
pub(super) struct AllCatalogs;
/// Which revocations still matter at this time?
pub(super) struct RevocationsAt(pub SystemTime);

impl Question for EraOf {
    type Answer = Option<EraVerdict>;

    async fn put(&self, conn: &mut SqliteConnection) -> sqlx::Result<Self::Answer> {
        let query = sqlx::query("SELECT era, version FROM era WHERE key = ?").bind(&self.0);
        let Some(row) = query.fetch_optional(conn).await? else { return Ok(None) };
        // A word we do not know says as much as no verdict.
        let era = Era::parse(row.try_get("era")?);
        let version = row.try_get("version")?;
        Ok(era.map(|era| EraVerdict { era, version }))
    }
}

impl Question for AllCatalogs {
    type Answer = Vec<StoredCatalog>;

    async fn put(&self, conn: &mut SqliteConnection) -> sqlx::Result<Self::Answer> {
        let query = sqlx::query("SELECT server, config_hash, lists FROM catalog ORDER BY server");
        query.fetch_all(conn).await?.iter().map(catalog).collect()
    }
}

fn catalog(row: &SqliteRow) -> sqlx::Result<StoredCatalog> {
    Ok(StoredCatalog {
        server: row.try_get("server")?,
        config_hash: row.try_get("config_hash")?,
        lists: Bytes::from(row.try_get::<Vec<u8>, _>("lists")?),
    })
}

impl Question for RevocationsAt {
    type Answer = Vec<Revocation>;

    async fn put(&self, conn: &mut SqliteConnection) -> sqlx::Result<Self::Answer> {
        let query = sqlx::query("SELECT id_hash, expires_at FROM revocation WHERE expires_at > ?");
        query.bind(to_seconds(self.0)).fetch_all(conn).await?.iter().map(revocation).collect()
    }
}

fn revocation(row: &SqliteRow) -> sqlx::Result<Revocation> {
    let id_hash: &[u8] = row.try_get("id_hash")?;
    let id_hash = id_hash.try_into().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    let seconds: i64 = row.try_get("expires_at")?;
    Ok(Revocation { id_hash, expires_at: UNIX_EPOCH + Duration::from_secs(seconds.max(0).cast_unsigned()) })
}

/// Whole seconds since 1970, rounded up: a revocation must not end before the id it revokes.
pub(super) fn to_seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs().saturating_add(u64::from(since.subsec_nanos() > 0));
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_up_and_never_overflow() {
        assert_eq!(to_seconds(UNIX_EPOCH), 0);
        assert_eq!(to_seconds(UNIX_EPOCH + Duration::from_millis(1_001)), 2);
        assert_eq!(to_seconds(UNIX_EPOCH - Duration::from_secs(5)), 0);
    }
}
