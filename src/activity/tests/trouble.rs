//! Trouble: kills, locks, full queues, full disks, damaged files.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::process::{Command, Stdio};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, SqliteConnection};

use super::super::gap;
use super::*;
use crate::sqlite::SmallDisk;

/// A connection of another process, as far as SQLite is concerned.
async fn peer(folder: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(ActivityLog::file_in(folder)).connect().await.unwrap()
}

fn gaps(records: &[Record]) -> Vec<(&str, Option<i64>)> {
    let gaps = records.iter().filter(|record| record.kind == "gap");
    gaps.map(|record| (record.name.as_deref().unwrap_or_default(), record.lost)).collect()
}

#[tokio::test]
async fn a_locked_file_loses_what_the_queue_cannot_hold_and_says_so() {
    let folder = TempDir::new().unwrap();
    let log = start(folder.path());
    until(&log, |state| *state == State::Serving).await;
    let mut lock = peer(folder.path()).await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut lock).await.unwrap();
    log.record(&entry());
    assert!(log.flush().await.unwrap_err().to_string().contains("another process holds its lock"));
    until(&log, |state| matches!(state, State::Unavailable(_))).await;
    for _ in 0..1_010 {
        log.record(&entry());
    }
    assert_eq!(log.dropped_rows(), 10);
    sqlx::raw_sql("ROLLBACK").execute(&mut lock).await.unwrap();
    until(&log, |state| *state == State::Serving).await;
    log.flush().await.unwrap();
    let records = all(folder.path(), &Filter::default()).await;
    assert_eq!(records.len(), 1_002);
    assert_eq!(gaps(&records), [(gap::NO_ROOM, Some(10))]);
    log.record(&entry());
    log.shutdown().await.unwrap();
    assert_eq!(gaps(&all(folder.path(), &Filter::default()).await).len(), 1, "a gap is told once");
}

#[tokio::test]
async fn a_damaged_file_is_moved_aside_and_the_rows_in_hand_go_to_the_new_one() {
    let folder = TempDir::new().unwrap();
    let log = start(folder.path());
    for number in 0..900_u64 {
        log.record(&Entry { name: &"x".repeat(400), request: &number.to_string(), ..entry() });
    }
    log.shutdown().await.unwrap();
    let file = ActivityLog::file_in(folder.path());
    let size = usize::try_from(fs::metadata(&file).unwrap().len()).unwrap();
    let handle = fs::OpenOptions::new().write(true).open(&file).unwrap();
    handle.write_all_at(&vec![0xA5; size - 4_096], 4_096).unwrap();

    let log = start(folder.path());
    log.record(&Entry { name: "after", ..entry() });
    log.flush().await.unwrap();
    let records = all(folder.path(), &Filter::default()).await;
    assert_eq!(gaps(&records), [(gap::DAMAGED, None)]);
    assert!(records.iter().any(|record| record.name.as_deref() == Some("after")));
    let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.filter(|name| name.to_string_lossy().starts_with("activity.db.corrupt-")).count(), 1);
}

#[tokio::test]
async fn a_newer_file_is_left_alone_and_its_calls_are_counted() {
    let folder = TempDir::new().unwrap();
    start(folder.path()).shutdown().await.unwrap();
    let mut other = peer(folder.path()).await;
    sqlx::raw_sql("PRAGMA user_version = 99").execute(&mut other).await.unwrap();
    sqlx::Connection::close(other).await.unwrap();
    let log = start(folder.path());
    until(&log, |state| matches!(state, State::Refused(_))).await;
    log.record(&entry());
    assert!(log.flush().await.unwrap_err().to_string().contains("version 99"));
    assert_eq!(log.dropped_rows(), 1);
    let error = Reader::open(&ActivityLog::file_in(folder.path())).await.err().unwrap().to_string();
    assert!(error.contains("version 99"), "{error}");
}

#[tokio::test]
async fn a_full_disk_is_survived_and_what_is_lost_is_counted() {
    let Some(disk) = SmallDisk::mount() else { return };
    let folder = disk.path();
    let log = start(folder);
    log.record(&entry());
    log.flush().await.unwrap();
    let filler = folder.join("filler");
    fs::write(&filler, vec![0; 1 << 20]).expect_err("1 MB does not fit beside the database");
    let mut recorded = 1_u64;
    while log.dropped_rows() == 0 {
        for _ in 0..100 {
            log.record(&Entry { request: &recorded.to_string(), ..entry() });
            recorded += 1;
        }
        let _ = log.flush().await;
    }
    assert!(matches!(*log.state().unwrap().borrow(), State::Unavailable(_)));
    fs::remove_file(&filler).unwrap();
    until(&log, |state| *state == State::Serving).await;
    log.shutdown().await.unwrap();
    let records = all(folder, &Filter::default()).await;
    let told: i64 = gaps(&records).iter().filter_map(|(_, lost)| *lost).sum();
    let calls = records.iter().filter(|record| record.kind == "call").count() as u64;
    assert_eq!(calls + told.cast_unsigned(), recorded);
    assert_eq!(told.cast_unsigned(), log.dropped_rows());
}

/// Tells the test binary, started again, that it is the other process of a test.
const OTHER_PROCESS: &str = "TRUNKLINE_ACTIVITY_TEST_DIR";

#[tokio::test]
async fn a_kill_loses_at_most_the_window_and_leaves_a_gap() {
    const TEST: &str = "a_kill_loses_at_most_the_window_and_leaves_a_gap";
    if let Some(folder) = std::env::var_os(OTHER_PROCESS) {
        let folder = Path::new(&folder);
        let log = ActivityLog::start(&Options {
            terms: Terms { window: Duration::from_millis(10), ..terms() },
            ..options(folder)
        });
        for number in 0_u64.. {
            log.record(&Entry { request: &number.to_string(), ..entry() });
            if number % 50 == 49 {
                log.flush().await.unwrap();
                fs::write(folder.join("flushed.new"), number.to_string()).unwrap();
                fs::rename(folder.join("flushed.new"), folder.join("flushed")).unwrap();
            }
        }
    }
    let folder = TempDir::new().unwrap();
    let module = module_path!().split_once("::").unwrap().1;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([&format!("{module}::{TEST}"), "--exact", "--test-threads=1"])
        .env(OTHER_PROCESS, folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let flushed = || fs::read_to_string(folder.path().join("flushed")).ok()?.parse::<usize>().ok();
    let seen = timeout(LONG, async {
        while flushed().is_none_or(|last| last < 1_000) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let seen = seen.await;
    child.kill().unwrap();
    child.wait().unwrap();
    seen.expect("the other process never flushed");
    let last = flushed().unwrap();
    start(folder.path()).shutdown().await.unwrap();
    let records = all(folder.path(), &Filter::default()).await;
    assert_eq!(gaps(&records), [(gap::KILLED, None)]);
    let calls: Vec<_> = records.iter().rev().filter(|record| record.kind == "call").collect();
    assert!(calls.len() > last, "{} rows of at least {}", calls.len(), last + 1);
    for (number, call) in calls.iter().enumerate() {
        assert_eq!(call.request.as_deref(), Some(number.to_string().as_str()));
    }
    start(folder.path()).shutdown().await.unwrap();
    assert_eq!(gaps(&all(folder.path(), &Filter::default()).await).len(), 1, "a good end leaves no gap");
}
