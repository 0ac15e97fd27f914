//! What the store promises, tried on real files. Here: keeping and forgetting.

mod damage;
mod processes;
mod trouble;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::base::Era;
use crate::sqlite::OpenError;

/// Far more than anything here takes; only a test that would hang meets it.
const LONG: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

async fn open(folder: &Path) -> Store {
    Store::open(Options { data_dir: folder.to_owned() }).await.unwrap()
}

fn file(folder: &Path) -> PathBuf {
    folder.join("trunkline.db")
}

/// A connection of another process, as far as SQLite is concerned.
async fn peer(folder: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(file(folder)).create_if_missing(true).connect().await.unwrap()
}

async fn run(folder: &Path, sql: &'static str) {
    let mut conn = peer(folder).await;
    sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
}

async fn count(folder: &Path, sql: &'static str) -> i64 {
    let mut conn = peer(folder).await;
    let count = sqlx::query_scalar(sql).fetch_one(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    count
}

async fn until(store: &Store, wanted: impl Fn(&State) -> bool) {
    let mut state = store.state();
    timeout(LONG, state.wait_for(|state| wanted(state))).await.expect("the state never came").unwrap();
}

async fn until_serving(store: &Store) {
    until(store, |state| *state == State::Serving).await;
}

async fn until_unavailable(store: &Store) {
    until(store, |state| matches!(state, State::Unavailable(_))).await;
}

/// Until all that was queued is on file. One answer has seconds to come, and many rows may take longer on a busy machine.
async fn until_written(store: &Store) {
    timeout(LONG, async { while store.flush().await.is_err() {} }).await.expect("it never was");
}

fn aside(folder: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let ours = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with("trunkline.db.corrupt-") && name.ends_with('Z')
    };
    names.filter(ours).collect()
}

fn verdict(era: Era, version: &str) -> Option<EraVerdict> {
    Some(EraVerdict { era, version: version.to_owned() })
}

fn skip(why: &str) {
    // Through a file handle: the lints keep print macros out of the library, tests included.
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

#[tokio::test]
async fn what_was_kept_is_there_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let expires_at = SystemTime::now() + HOUR;
    let store = open(folder.path()).await;
    store.remember_era("files:1", Era::Legacy, "2025-11-25");
    store.remember_era("search:1", Era::Legacy, "2025-06-18");
    store.remember_era("search:1", Era::Modern, "2026-07-28");
    store.remember_era("gone:1", Era::Modern, "2026-07-28");
    store.forget_era("gone:1");
    store.save_catalog("search", "h0", Bytes::from_static(b"old"));
    store.save_catalog("search", "h1", Bytes::from_static(b"{\"tools\":[]}"));
    store.save_catalog("files", "h2", Bytes::new());
    store.revoke([1; 16], expires_at);
    store.shutdown().await.unwrap();
    assert_eq!(*store.state().borrow(), State::Closed);

    let store = open(folder.path()).await;
    assert_eq!(store.era_verdict("files:1").await, verdict(Era::Legacy, "2025-11-25"));
    assert_eq!(store.era_verdict("search:1").await, verdict(Era::Modern, "2026-07-28"));
    assert_eq!(store.era_verdict("gone:1").await, None);
    let catalogs = store.load_catalogs().await.unwrap();
    let catalogs: Vec<_> = catalogs.iter().map(|c| (&*c.server, &*c.config_hash, &c.lists[..])).collect();
    assert_eq!(catalogs, [("files", "h2", b"".as_slice()), ("search", "h1", b"{\"tools\":[]}")]);
    let revocations = store.load_revocations(SystemTime::now()).await.unwrap();
    assert_eq!(revocations.len(), 1);
    assert_eq!(revocations[0].id_hash, [1; 16]);
    assert!(revocations[0].expires_at >= expires_at, "a revocation must not end before its session id");
}

#[tokio::test]
async fn a_reader_sees_what_was_queued_before_it_asked() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).await;
    for round in 0..50 {
        store.remember_era("files:1", Era::Legacy, &round.to_string());
        assert_eq!(store.era_verdict("files:1").await, verdict(Era::Legacy, &round.to_string()));
    }
}

#[tokio::test]
async fn dropping_the_last_handle_writes_what_is_queued() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).await;
    let mut state = store.state();
    for id in 0..100 {
        store.revoke([id; 16], SystemTime::now() + HOUR);
    }
    drop(store);
    timeout(LONG, state.wait_for(|state| *state == State::Closed)).await.unwrap().unwrap();
    assert_eq!(count(folder.path(), "SELECT count(*) FROM revocation").await, 100);
}

#[tokio::test]
async fn folder_and_file_are_the_owners_alone() {
    let folder = TempDir::new().unwrap();
    let data_dir = folder.path().join("deep").join("data");
    let store = open(&data_dir).await;
    store.forget_era("x");
    store.flush().await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data_dir), 0o700);
    for name in ["trunkline.db", "trunkline.db-wal", "trunkline.db-shm"] {
        assert_eq!(mode(&data_dir.join(name)), 0o600, "{name}");
    }
}

#[tokio::test]
async fn gateways_that_start_at_once_on_a_new_file_share_it() {
    let folder = TempDir::new().unwrap();
    let (one, other) = tokio::join!(open(folder.path()), open(folder.path()));
    one.remember_era("a", Era::Legacy, "1");
    other.remember_era("b", Era::Modern, "2");
    until_serving(&one).await;
    until_serving(&other).await;
    one.flush().await.unwrap();
    other.flush().await.unwrap();
    assert_eq!(one.era_verdict("b").await, verdict(Era::Modern, "2"));
    assert_eq!(other.era_verdict("a").await, verdict(Era::Legacy, "1"));
    assert!(aside(folder.path()).is_empty());
}

#[tokio::test]
async fn expired_revocations_are_not_loaded_and_go_at_the_next_start() {
    let folder = TempDir::new().unwrap();
    let now = SystemTime::now();
    let store = open(folder.path()).await;
    store.revoke([1; 16], now - HOUR);
    store.revoke([2; 16], now + HOUR);
    let live = store.load_revocations(now).await.unwrap();
    assert_eq!(live.iter().map(|revocation| revocation.id_hash[0]).collect::<Vec<_>>(), [2]);
    assert!(store.load_revocations(now + HOUR * 2).await.unwrap().is_empty());
    store.shutdown().await.unwrap();
    assert_eq!(count(folder.path(), "SELECT count(*) FROM revocation").await, 2);

    open(folder.path()).await.shutdown().await.unwrap();
    assert_eq!(count(folder.path(), "SELECT count(*) FROM revocation").await, 1);
}

#[tokio::test]
async fn expired_revocations_go_every_hour() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).await;
    store.revoke([1; 16], SystemTime::now() - HOUR);
    store.flush().await.unwrap();
    assert_eq!(count(folder.path(), "SELECT count(*) FROM revocation").await, 1);
    tokio::time::pause();
    tokio::time::advance(HOUR + Duration::from_secs(1)).await;
    tokio::time::resume();
    store.flush().await.unwrap();
    assert_eq!(count(folder.path(), "SELECT count(*) FROM revocation").await, 0);
}

#[tokio::test]
async fn hints_that_nobody_renews_for_a_quarter_go() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).await;
    store.remember_era("old", Era::Legacy, "1");
    store.save_catalog("old", "h", Bytes::new());
    store.flush().await.unwrap();
    run(folder.path(), "UPDATE era SET saved_at = saved_at - 91 * 86400").await;
    run(folder.path(), "UPDATE catalog SET saved_at = saved_at - 91 * 86400").await;
    store.remember_era("new", Era::Legacy, "1");
    store.save_catalog("new", "h", Bytes::new());
    store.shutdown().await.unwrap();
    open(folder.path()).await.shutdown().await.unwrap();
    assert_eq!(count(folder.path(), "SELECT count(*) FROM era WHERE key = 'new'").await, 1);
    assert_eq!(count(folder.path(), "SELECT count(*) FROM era").await, 1);
    assert_eq!(count(folder.path(), "SELECT count(*) FROM catalog").await, 1);
}
