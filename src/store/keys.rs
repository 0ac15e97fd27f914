//! API keys on file: their digests, never the keys.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::rows::{Question, to_seconds};

/// Bytes of a key's digest: a SHA-256.
pub const KEY_DIGEST: usize = 32;

/// One API key, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// The SHA-256 of the key.
    pub digest: [u8; KEY_DIGEST],
    /// The beginning of the key, by which people recognise it.
    pub hint: String,
    /// Whose key it is; several keys may have one name.
    pub name: String,
    /// What it may do, in words of the operator's.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: SystemTime,
    /// From when on it is void.
    pub expires_at: Option<SystemTime>,
    /// When it was revoked.
    pub revoked_at: Option<SystemTime>,
}

/// Where the keys on file stand: as long as this is the same, so are they.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeysVersion {
    /// Which connection was asked.
    pub connection: u64,
    /// SQLite's count of what other processes have committed, as this connection sees it.
    pub data: i64,
    /// Changes of keys made by this process.
    pub own: u64,
}

/// How long a key is listed after it is of no more use, so that one can still look up what it was.
const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

/// Deletes keys that have been void for long.
pub(super) async fn prune(conn: &mut SqliteConnection, now: SystemTime) -> sqlx::Result<()> {
    let stale = to_seconds(now).saturating_sub(KEPT.as_secs().cast_signed());
    let delete = sqlx::query("DELETE FROM api_key WHERE coalesce(revoked_at, expires_at) < ?").bind(stale);
    delete.execute(conn).await.map(drop)
}

/// All keys, the oldest first.
pub(super) struct AllKeys;
/// Put this one in. Answers whether it is new.
pub(super) struct AddKey(pub StoredKey);
/// Revoke those of this name or hint, as of this time. Answers how many those were.
pub(super) struct RevokeKeys(pub String, pub SystemTime);
/// What have other processes committed?
pub(super) struct DataVersion;

impl Question for AllKeys {
    type Answer = Vec<StoredKey>;

    async fn put(&self, conn: &mut SqliteConnection) -> sqlx::Result<Self::Answer> {
        let query = sqlx::query(
            "SELECT digest, hint, name, scopes, created_at, expires_at, revoked_at FROM api_key \
             ORDER BY created_at, hint",
        );
        query.fetch_all(conn).await?.iter().map(key).collect()
    }
}

impl Question for AddKey {
    type Answer = bool;

    async fn put(&self, conn: &mut SqliteConnection) -> sqlx::Result<Self::Answer> {
        let query = sqlx::query(
            "INSERT OR IGNORE INTO api_key (digest, hint, name, scopes, created_at, expires_at) \
             VALUES (?, ?, ?, ?, ?, ?)",
        );
        let added = query
            .bind(self.0.digest.as_slice())
            .bind(&self.0.hint)
            .bind(&self.0.name)
            .bind(self.0.scopes.join(" "))
            .bind(to_seconds(self.0.created_at))
            .bind(self.0.expires_at.map(to_seconds))
            .execute(conn)
            .await?;
        Ok(added.rows_affected() == 1)
    }
}

impl Question for RevokeKeys {
    type Answer = u64;

    async fn put(&self, conn: &mut SqliteConnection) -> sqlx::Result<Self::Answer> {
        let query = sqlx::query(
            "UPDATE api_key SET revoked_at = ? WHERE revoked_at IS NULL AND (name = ? OR hint = ?)",
        );
        let revoked = query.bind(to_seconds(self.1)).bind(&self.0).bind(&self.0).execute(conn).await?;
        Ok(revoked.rows_affected())
    }
}

impl Question for DataVersion {
    type Answer = i64;

    async fn put(&self, conn: &mut SqliteConnection) -> sqlx::Result<Self::Answer> {
        sqlx::query_scalar("PRAGMA data_version").fetch_one(conn).await
    }
}

fn key(row: &SqliteRow) -> sqlx::Result<StoredKey> {
    let digest: &[u8] = row.try_get("digest")?;
    let scopes: &str = row.try_get("scopes")?;
    Ok(StoredKey {
        digest: digest.try_into().map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
        hint: row.try_get("hint")?,
        name: row.try_get("name")?,
        scopes: scopes.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect(),
        created_at: time(row.try_get("created_at")?),
        expires_at: row.try_get::<Option<i64>, _>("expires_at")?.map(time),
        revoked_at: row.try_get::<Option<i64>, _>("revoked_at")?.map(time),
    })
}

fn time(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds.max(0).cast_unsigned())
}
