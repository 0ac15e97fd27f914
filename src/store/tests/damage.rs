//! Damaged files, and files that are not for us.

use std::os::unix::fs::FileExt as _;

use super::*;

#[tokio::test]
async fn a_file_of_noise_is_moved_aside_and_a_new_one_started() {
    let folder = TempDir::new().unwrap();
    let noise = b"this is no database, however long one looks at it. ".repeat(200);
    fs::write(file(folder.path()), &noise).unwrap();
    let store = open(folder.path()).await;
    store.remember_era("files:1", Era::Legacy, "1");
    store.flush().await.unwrap();
    let kept = aside(folder.path());
    assert_eq!(kept.len(), 1);
    assert_eq!(fs::read(&kept[0]).unwrap(), noise);
    store.shutdown().await.unwrap();
    assert_eq!(open(folder.path()).await.era_verdict("files:1").await, verdict(Era::Legacy, "1"));
    assert_eq!(aside(folder.path()).len(), 1);
}

/// A database of many pages, closed, and its size.
async fn large_database(folder: &Path) -> u64 {
    let store = open(folder).await;
    for server in 0..50 {
        store.save_catalog(&format!("server-{server}"), "h", Bytes::from(vec![b'x'; 20_000]));
    }
    store.shutdown().await.unwrap();
    fs::metadata(file(folder)).unwrap().len()
}

#[tokio::test]
async fn damage_in_the_middle_of_the_file_costs_only_what_it_held() {
    let folder = TempDir::new().unwrap();
    let size = large_database(folder.path()).await;
    let handle = fs::OpenOptions::new().write(true).open(file(folder.path())).unwrap();
    let junk = vec![0xA5; usize::try_from(size).unwrap() - 8_192];
    handle.write_all_at(&junk, 8_192).unwrap();

    let store = open(folder.path()).await;
    assert_eq!(store.load_catalogs().await, Ok(vec![]));
    store.save_catalog("server-1", "h", Bytes::from_static(b"new"));
    assert_eq!(store.load_catalogs().await.unwrap().len(), 1);
    assert_eq!(aside(folder.path()).len(), 1);
    assert_eq!(*store.state().borrow(), State::Serving);
}

#[tokio::test]
async fn a_truncated_file_is_moved_aside() {
    let folder = TempDir::new().unwrap();
    let size = large_database(folder.path()).await;
    fs::OpenOptions::new().write(true).open(file(folder.path())).unwrap().set_len(size / 2).unwrap();
    let store = open(folder.path()).await;
    assert_eq!(store.load_catalogs().await, Ok(vec![]));
    assert_eq!(aside(folder.path()).len(), 1);
}

#[tokio::test]
async fn a_database_that_lacks_a_table_is_moved_aside() {
    let folder = TempDir::new().unwrap();
    open(folder.path()).await.shutdown().await.unwrap();
    run(folder.path(), "DROP TABLE revocation").await;
    let store = open(folder.path()).await;
    store.revoke([1; 16], SystemTime::now() + HOUR);
    store.flush().await.unwrap();
    assert_eq!(aside(folder.path()).len(), 1);
}

#[tokio::test]
async fn a_newer_database_is_refused_by_both_versions_and_left_alone() {
    let folder = TempDir::new().unwrap();
    open(folder.path()).await.shutdown().await.unwrap();
    run(folder.path(), "PRAGMA user_version = 99").await;
    let before = fs::read(file(folder.path())).unwrap();
    let error = Store::open(Options { data_dir: folder.path().to_owned() }).await.err().unwrap();
    assert_eq!(error, OpenError::Newer { path: file(folder.path()), found: 99, known: 2 });
    let words = error.to_string();
    assert!(words.contains("version 99") && words.contains("up to 2"), "{words}");
    assert_eq!(fs::read(file(folder.path())).unwrap(), before);
    assert!(aside(folder.path()).is_empty());
}

#[tokio::test]
async fn another_programs_database_is_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    run(folder.path(), "CREATE TABLE photos (id INTEGER)").await;
    let before = fs::read(file(folder.path())).unwrap();
    let error = Store::open(Options { data_dir: folder.path().to_owned() }).await.err().unwrap();
    assert_eq!(error, OpenError::Foreign { path: file(folder.path()) });
    assert_eq!(fs::read(file(folder.path())).unwrap(), before);
}
