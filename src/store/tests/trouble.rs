//! Trouble that passes: locks, full queues, full disks.

use super::super::handle::QUEUE_LEN;
use super::*;
use crate::sqlite::SmallDisk;

#[tokio::test]
async fn a_locked_file_is_told_at_once_and_written_when_the_lock_goes() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).await;
    until_serving(&store).await;
    let mut lock = peer(folder.path()).await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut lock).await.unwrap();
    store.remember_era("files:1", Era::Legacy, "1");
    let error = store.flush().await.unwrap_err();
    assert!(error.to_string().contains("another process holds its lock"), "{error}");
    until_unavailable(&store).await;
    // Readers are not in a writer's way.
    assert_eq!(store.load_catalogs().await, Ok(vec![]));
    sqlx::raw_sql("ROLLBACK").execute(&mut lock).await.unwrap();
    until_serving(&store).await;
    assert_eq!(store.era_verdict("files:1").await, verdict(Era::Legacy, "1"));
    assert_eq!(store.dropped_writes(), 0);
}

#[tokio::test]
async fn a_file_locked_at_the_start_does_not_hold_up_the_start() {
    let folder = TempDir::new().unwrap();
    open(folder.path()).await.shutdown().await.unwrap();
    let mut lock = peer(folder.path()).await;
    sqlx::raw_sql("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").execute(&mut lock).await.unwrap();
    let store = timeout(LONG, open(folder.path())).await.unwrap();
    store.remember_era("files:1", Era::Legacy, "1");
    assert_eq!(store.era_verdict("files:1").await, None);
    until_unavailable(&store).await;
    sqlx::raw_sql("ROLLBACK").execute(&mut lock).await.unwrap();
    lock.close().await.unwrap();
    until_serving(&store).await;
    store.flush().await.unwrap();
    assert_eq!(store.era_verdict("files:1").await, verdict(Era::Legacy, "1"));
}

#[tokio::test]
async fn a_full_queue_drops_and_counts_and_recovers() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).await;
    until_serving(&store).await;
    let mut lock = peer(folder.path()).await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut lock).await.unwrap();
    store.forget_era("the batch in hand");
    until_unavailable(&store).await;
    let expires_at = SystemTime::now() + HOUR;
    for id in 0..QUEUE_LEN + 10 {
        let mut id_hash = [0; 16];
        id_hash[..8].copy_from_slice(&id.to_le_bytes());
        store.revoke(id_hash, expires_at);
    }
    assert_eq!(store.dropped_writes(), 10);
    sqlx::raw_sql("ROLLBACK").execute(&mut lock).await.unwrap();
    until_serving(&store).await;
    until_written(&store).await;
    store.revoke([0xFF; 16], expires_at);
    until_written(&store).await;
    let mut kept = Vec::new();
    let read = async {
        while kept.is_empty() {
            kept = store.load_revocations(SystemTime::now()).await.unwrap_or_default()
        }
    };
    timeout(LONG, read).await.expect("they never were read");
    assert_eq!(kept.len(), QUEUE_LEN + 1);
    assert_eq!(store.dropped_writes(), 10);
}

#[tokio::test]
async fn catalogs_that_wait_are_bounded_by_their_bytes() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).await;
    until_serving(&store).await;
    let mut lock = peer(folder.path()).await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut lock).await.unwrap();
    store.forget_era("the batch in hand");
    until_unavailable(&store).await;
    let lists = Bytes::from(vec![b'x'; 1 << 20]);
    for _ in 0..65 {
        store.save_catalog("files", "h", lists.clone());
    }
    assert_eq!(store.dropped_writes(), 1);
    sqlx::raw_sql("ROLLBACK").execute(&mut lock).await.unwrap();
    until_serving(&store).await;
    until_written(&store).await;
    store.save_catalog("files", "h", lists.clone());
    until_written(&store).await;
    assert_eq!(store.dropped_writes(), 1);
}

#[tokio::test]
async fn after_shutdown_changes_are_counted_as_dropped_and_questions_refused() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).await;
    store.shutdown().await.unwrap();
    store.forget_era("late");
    assert_eq!(store.dropped_writes(), 1);
    assert!(store.flush().await.is_err());
    assert!(store.shutdown().await.is_err());
}

#[tokio::test]
async fn a_full_disk_is_told_survived_and_recovered_from() {
    let Some(disk) = SmallDisk::mount() else { return };
    let folder = disk.path();
    let store = open(folder).await;
    store.remember_era("before", Era::Legacy, "1");
    store.flush().await.unwrap();
    let filler = folder.join("filler");
    fs::write(&filler, vec![0; 1 << 20]).expect_err("1 MB does not fit beside the database");
    store.save_catalog("files", "h", Bytes::from(vec![b'x'; 200_000]));
    let error = store.flush().await.unwrap_err();
    assert!(error.to_string().contains("full"), "{error}");
    assert_eq!(store.era_verdict("before").await, verdict(Era::Legacy, "1"), "a full disk can still be read");
    fs::remove_file(&filler).unwrap();
    until_serving(&store).await;
    store.flush().await.unwrap();
    assert_eq!(store.load_catalogs().await.unwrap().len(), 1);
    assert!(aside(folder).is_empty());
}

#[tokio::test]
async fn a_disk_full_from_the_start_does_not_stop_the_start() {
    let Some(disk) = SmallDisk::mount() else { return };
    let filler = disk.path().join("filler");
    fs::write(&filler, vec![0; 2 << 20]).unwrap_err();
    let store = open(disk.path()).await;
    store.remember_era("files:1", Era::Legacy, "1");
    until_unavailable(&store).await;
    fs::remove_file(&filler).unwrap();
    until_serving(&store).await;
    store.flush().await.unwrap();
    assert_eq!(store.era_verdict("files:1").await, verdict(Era::Legacy, "1"));
}
