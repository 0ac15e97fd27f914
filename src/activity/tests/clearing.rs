//! What goes: by age, by size, by an operator's word; and what never gets in.

use std::fs;

use sqlx::SqliteConnection;

use super::super::context::Contexts;
use super::super::entry::Row;
use super::super::gap;
use super::super::retention::{Step, Sweep};
use super::super::rows;
use super::super::schema::LAYOUT;
use super::*;
use crate::sqlite::Tended;

pub(super) const SECOND: i64 = 1_000_000;

/// Writes calls that ended at these seconds, each of a tool of this name.
pub(super) async fn write(
    conn: &mut SqliteConnection,
    calls: impl Iterator<Item = (i64, &'static str)>,
    chain: bool,
) {
    let rows: Vec<Row> = calls
        .map(|(second, name)| {
            let mut row = Row::pack(&Entry { name, ..entry() });
            row.ended = second * SECOND;
            row
        })
        .collect();
    let mut contexts = Contexts::default();
    for rows in rows.chunks(4_000) {
        let rows: Vec<&Row> = rows.iter().collect();
        rows::commit(conn, &mut contexts, &rows, manner(chain)).await.unwrap();
    }
}

/// Clears away until nothing is left to do; answers in how many steps.
pub(super) async fn sweep(conn: &mut SqliteConnection, keep: Keep, now: i64) -> usize {
    let mut sweep = Sweep::default();
    for steps in 1..1_000 {
        if sweep.step(conn, keep, now * SECOND).await.unwrap() == Step::Done {
            return steps;
        }
    }
    panic!("the sweep does not end");
}

async fn number(conn: &mut SqliteConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(conn).await.unwrap()
}

#[tokio::test]
async fn rows_go_by_age_a_step_at_a_time_and_what_counts_them_goes_too() {
    let folder = TempDir::new().unwrap();
    let mut database = Tended::new(&LAYOUT, ActivityLog::file_in(folder.path()));
    let conn = database.ready().await.unwrap();
    write(conn, (1..12_000).map(|second| (second, if second < 9_000 { "old" } else { "new" })), false).await;
    let keep = Keep { age: Duration::from_secs(2_000), size: 1 << 30 };
    assert!(sweep(conn, keep, 12_000).await > 2, "not all at once");
    assert_eq!(number(conn, "SELECT min(id) FROM call").await, 10_000 * SECOND);
    assert_eq!(number(conn, "SELECT count(*) FROM call").await, 2_000);
    assert_eq!(number(conn, "SELECT min(slot) FROM tally").await, (10_000 * SECOND) >> 23);
    let names: Vec<String> =
        sqlx::query_scalar("SELECT name FROM context").fetch_all(&mut *conn).await.unwrap();
    assert_eq!(names, ["new"]);
    assert_eq!(sweep(conn, keep, 12_000).await, 1, "nothing is left to do");
}

#[tokio::test]
async fn a_file_that_grows_too_large_loses_its_oldest_rows_and_shrinks() {
    let folder = TempDir::new().unwrap();
    let file = ActivityLog::file_in(folder.path());
    let mut database = Tended::new(&LAYOUT, file.clone());
    let conn = database.ready().await.unwrap();
    write(conn, (1..60_000).map(|second| (second, "read")), false).await;
    sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut *conn).await.unwrap();
    let before = fs::metadata(&file).unwrap().len();
    let cap = before / 2;
    let keep = Keep { age: Duration::from_secs(1_000_000), size: cap };
    sweep(conn, keep, 60_000).await;
    sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut *conn).await.unwrap();
    // Up to four MiB of free pages stay for the next rows.
    assert!(fs::metadata(&file).unwrap().len() <= cap + (4 << 20));
    let pages = number(conn, "PRAGMA page_count").await - number(conn, "PRAGMA freelist_count").await;
    assert!(pages.cast_unsigned() * 4_096 <= cap, "{pages} pages hold something");
    assert_eq!(number(conn, "SELECT max(id) FROM call").await, 59_999 * SECOND);
    assert!(number(conn, "SELECT count(*) FROM call").await > 20_000, "no more goes than must");
}

#[tokio::test]
async fn the_writer_clears_away_by_itself() {
    let folder = TempDir::new().unwrap();
    let keep = Keep { age: Duration::ZERO, size: 1 << 30 };
    let log = start(folder.path());
    log.replace(Terms { keep, ..terms() });
    log.record(&entry());
    log.flush().await.unwrap();
    assert_eq!(all(folder.path(), &Filter::default()).await.len(), 1);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
    let gone = async {
        while !all(folder.path(), &Filter::default()).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LONG, gone).await.expect("the row never went");
    log.record(&entry());
    log.flush().await.unwrap();
    assert_eq!(all(folder.path(), &Filter::default()).await[0].name.as_deref(), Some("read"));
}

#[tokio::test]
async fn one_principals_rows_can_be_erased_beside_the_running_writer() {
    let folder = TempDir::new().unwrap();
    let log = start(folder.path());
    let call = |principal: &'static str| {
        let payload = Some(("from a diary", "dear"));
        log.record(&Entry { principal, name: "diary", payload, ..entry() });
    };
    for _ in 0..300 {
        call("key:ann");
        call("key:bob");
    }
    log.flush().await.unwrap();
    let file = ActivityLog::file_in(folder.path());
    assert_eq!(erase(&file, "key:ann").await.unwrap(), 300);
    let records = all(folder.path(), &Filter::default()).await;
    assert_eq!(records.iter().filter(|record| record.principal.as_deref() == Some("key:bob")).count(), 300);
    assert!(records.iter().all(|record| record.principal.as_deref() != Some("key:ann")));
    assert_eq!((records[0].name.as_deref(), records[0].lost), (Some(gap::ERASED), Some(300)));
    let mut reader = reader(folder.path()).await;
    let stats = reader.stats(&Filter::default(), By::Principal).await.unwrap();
    assert_eq!(stats.iter().map(|stat| stat.key.as_str()).collect::<Vec<_>>(), ["key:bob"]);
    reader.close().await;
    assert_eq!(erase(&file, "key:ann").await.unwrap(), 0);

    // The writer's numbers of contexts are void, and it knows.
    call("key:ann");
    log.flush().await.unwrap();
    let mine = Filter { principal: Some("key:ann".into()), ..Filter::default() };
    assert_eq!(all(folder.path(), &mine).await.len(), 1);
    erase(&file, "key:ann").await.unwrap();
    log.shutdown().await.unwrap();
    let bytes = fs::read(&file).unwrap();
    assert!(memchr::memmem::find(&bytes, b"key:bob").is_some());
    assert!(memchr::memmem::find(&bytes, b"key:ann").is_none(), "the name is still in the file");
}

#[tokio::test]
async fn rows_of_callers_who_were_turned_away_can_be_erased_and_what_says_that_rows_are_missing_stays() {
    let folder = TempDir::new().unwrap();
    let log =
        ActivityLog::start(&Options { terms: Terms { chain: true, ..terms() }, ..options(folder.path()) });
    for principal in ["", "key:ann"] {
        log.record(&Entry { principal, ..entry() });
    }
    log.flush().await.unwrap();
    let file = ActivityLog::file_in(folder.path());
    assert_eq!(erase(&file, "key:ann").await.unwrap(), 1);
    assert_eq!(erase(&file, "").await.unwrap(), 1);
    assert_eq!(erase(&file, "").await.unwrap(), 0);
    log.shutdown().await.unwrap();
    let left = all(folder.path(), &Filter::default()).await;
    let notes: Vec<_> = left.iter().map(|row| (row.kind, row.name.as_deref(), row.lost)).collect();
    assert_eq!(notes, [("gap", Some(gap::ERASED), Some(1)); 2]);
    let verdict = verify(&file, None).await.unwrap();
    assert!(verdict.whole && verdict.erased == 2, "{verdict:?}");
}

#[tokio::test]
async fn all_rows_can_be_erased_beside_the_running_writer_and_what_comes_after_stays() {
    let folder = TempDir::new().unwrap();
    let log = start(folder.path());
    let call = |principal: &'static str| {
        let payload = Some(("from a diary", "dear"));
        log.record(&Entry { principal, name: "diary", payload, ..entry() });
    };
    let file = ActivityLog::file_in(folder.path());
    (0..300).for_each(|_| call("key:ann"));
    log.flush().await.unwrap();
    assert_eq!(erase_all(&file).await.unwrap(), 300);
    let left = all(folder.path(), &Filter::default()).await;
    let [note] = left.as_slice() else { panic!("{} rows are left", left.len()) };
    assert_eq!((note.name.as_deref(), note.lost, note.kind), (Some(gap::CLEARED), Some(300), "gap"));
    assert_eq!((&note.principal, &note.era, &note.method), (&None, &None, &None), "it is no call");
    let mut reader = reader(folder.path()).await;
    assert_eq!(reader.stats(&Filter::default(), By::Principal).await.unwrap(), []);
    assert_eq!(reader.exchange_figures().await.unwrap(), ExchangeFigures::default());
    reader.close().await;

    // The writer's numbers of contexts are void, and it knows.
    call("key:bob");
    log.flush().await.unwrap();
    let rows = all(folder.path(), &Filter::default()).await;
    assert_eq!(rows.iter().map(|row| row.principal.as_deref()).collect::<Vec<_>>(), [Some("key:bob"), None]);
    log.shutdown().await.unwrap();
    let bytes = fs::read(&file).unwrap();
    for (text, stays) in [(&b"key:bob"[..], true), (b"key:ann", false)] {
        assert_eq!(memchr::memmem::find(&bytes, text).is_some(), stays, "{}", String::from_utf8_lossy(text));
    }
}

#[tokio::test]
async fn a_payload_is_kept_cut_and_without_secrets() {
    let folder = TempDir::new().unwrap();
    let log = start(folder.path());
    let request = format!(r#"{{"password":"opensesame1","a":"x hunter2222 y","b":"{}"}}"#, "z".repeat(5_000));
    log.record(&Entry { payload: Some((&request, r#"{"result":{"token":"opensesame2"}}"#)), ..entry() });
    log.record(&entry());
    log.shutdown().await.unwrap();
    let [plain, kept] = all(folder.path(), &Filter::default()).await.try_into().unwrap();
    assert_eq!(plain.payload, None);
    let payload = kept.payload.unwrap();
    assert!(payload.request.starts_with(r#"{"password":"***","a":"x *** y","b":"zz"#), "{}", payload.request);
    assert!(payload.request.len() < 1_010 && payload.request.ends_with("z…"), "{}", payload.request.len());
    assert_eq!(payload.reply, r#"{"result":{"token":"***"}}"#);
    let bytes = fs::read(ActivityLog::file_in(folder.path())).unwrap();
    for secret in ["hunter2222", "opensesame1", "opensesame2"] {
        assert!(memchr::memmem::find(&bytes, secret.as_bytes()).is_none(), "{secret} is in the file");
    }
}
