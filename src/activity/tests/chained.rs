//! The chain: what is as it was written is found whole, and whatever is not is found.

use std::fs;
use std::path::PathBuf;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::clearing::{SECOND, sweep, write};
use super::*;
use crate::activity::schema::LAYOUT;
use crate::sqlite::Tended;

fn chained(folder: &Path) -> ActivityLog {
    ActivityLog::start(&Options { terms: Terms { chain: true, ..terms() }, ..options(folder) })
}

/// Rows of every shape, in four batches; answers how many.
async fn rows_of_every_shape(folder: &Path) -> u64 {
    let log = chained(folder);
    for batch in 0..4 {
        for (number, request) in
            ["7", "-7", "007", "1.5", r#""seven""#, "", "9223372036854775808"].iter().enumerate()
        {
            let plain = Entry { request, ..entry() };
            log.record(&plain);
            log.record(&Entry { trace: "", progress: 0, principal: "key:bob", ..plain.clone() });
            log.record(&Entry {
                session: None,
                upstream: None,
                outcome: "timeout",
                code: -31504,
                ..plain.clone()
            });
            log.record(&Entry {
                client: ClientText::Raw(r#"{"name":"web","version":"2"}"#),
                ..plain.clone()
            });
            log.record(&Entry {
                client: ClientText::Raw("no object"),
                generation: number as u64,
                ..plain.clone()
            });
            log.record(&Entry { payload: Some((r#"{"password":"x"}"#, "hunter2222 said")), ..plain.clone() });
            log.record(&Entry { payload: Some(("", "")), name: "", progress: batch, ..plain });
        }
        log.flush().await.unwrap();
    }
    log.shutdown().await.unwrap();
    4 * 7 * 7
}

/// A copy of the log with a change in it.
async fn changed(folder: &Path, sql: &'static str) -> (TempDir, PathBuf) {
    let other = TempDir::new().unwrap();
    let file = ActivityLog::file_in(other.path());
    let original = ActivityLog::file_in(folder);
    // What a writer beside us has not brought into the file itself would be missing in the copy.
    edit(&original, "PRAGMA wal_checkpoint(TRUNCATE)").await;
    fs::copy(original, &file).unwrap();
    let changed = edit(&file, sql).await;
    assert!(changed > 0, "nothing was changed: {sql}");
    (other, file)
}

async fn open(file: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(file).connect().await.unwrap()
}

async fn edit(file: &Path, sql: &'static str) -> u64 {
    let mut conn = open(file).await;
    let changed = sqlx::raw_sql(sql).execute(&mut conn).await.unwrap().rows_affected();
    conn.close().await.unwrap();
    changed
}

fn what(verdict: &Verdict) -> &str {
    verdict.broken.as_ref().map_or("", |broken| broken.what.as_str())
}

#[tokio::test]
async fn what_is_as_it_was_written_is_whole_and_any_change_is_found() {
    let folder = TempDir::new().unwrap();
    let rows = rows_of_every_shape(folder.path()).await;
    let file = ActivityLog::file_in(folder.path());
    let verdict = verify(&file, None).await.unwrap();
    assert!(verdict.whole, "{verdict:?}");
    assert_eq!((verdict.links, verdict.rows, verdict.erased), (5, rows, 0));
    assert_eq!((verdict.unsealed, verdict.retired), (None, None));

    let changes = [
        ("UPDATE call SET total = total + 1 WHERE id = (SELECT max(id) FROM call)", "not as it was written"),
        ("UPDATE call SET upstream = 0 WHERE upstream IS NULL", "not as it was written"),
        ("UPDATE call SET request = '7' WHERE request = '007'", "not as it was written"),
        (
            "UPDATE call SET session = session + 1 WHERE id = (SELECT min(id) FROM call)",
            "not as it was written",
        ),
        ("UPDATE call SET trace = NULL WHERE id = (SELECT min(id) FROM call)", "not as it was written"),
        (
            "UPDATE call SET at = at - 3600000000 WHERE id = (SELECT max(id) FROM call)",
            "not as it was written",
        ),
        ("UPDATE context SET principal = 'key:eve' WHERE principal = 'key:bob'", "not as it was written"),
        ("UPDATE context SET outcome = 'ok', code = 0 WHERE outcome = 'timeout'", "not as it was written"),
        (
            "UPDATE call SET context = (SELECT min(id) FROM context) WHERE context = (SELECT max(id) FROM context)",
            "not as it was written",
        ),
        (
            "UPDATE payload SET reply = 'nothing' WHERE id = (SELECT min(id) FROM payload)",
            "not as it was written",
        ),
        ("DELETE FROM payload WHERE id = (SELECT min(id) FROM payload)", "not as it was written"),
        ("INSERT INTO payload SELECT id, '', '' FROM call ORDER BY id LIMIT 1", "not as it was written"),
        ("DELETE FROM context WHERE principal = 'key:bob'", "not as it was written"),
        (
            "DELETE FROM call WHERE id = (SELECT id FROM call ORDER BY id LIMIT 1 OFFSET 70)",
            "1 of its 49 rows are missing",
        ),
        (
            "INSERT INTO call SELECT id - 1000000000, context, at, session, request, trace, queue, upstream, total, \
             bytes_in, bytes_out, progress, lost FROM call LIMIT 1",
            "slipped in",
        ),
        (
            "INSERT INTO call SELECT max(id) + 1, context, at, session, request, trace, queue, upstream, total, \
             bytes_in, bytes_out, progress, lost FROM call",
            "behind the end of the chain",
        ),
        ("DELETE FROM link WHERE number = 3", "link 3 is missing"),
        ("DELETE FROM link WHERE number = 5", "behind the end of the chain"),
        ("DELETE FROM link", "there is no chain"),
        ("UPDATE link SET at = at + 1 WHERE number = 4", "not as it was written"),
        ("UPDATE link SET first = first - 1 WHERE number = 4", "not as it was written"),
        ("UPDATE link SET digest = zeroblob(32) WHERE number = 4", "not as it was written"),
        // Whoever removes a row has to leave a digest; no link speaks of it.
        (
            "DELETE FROM call WHERE id = (SELECT max(id) FROM call); \
             INSERT INTO tombstone SELECT last, zeroblob(32) FROM link WHERE number = 5",
            "not as it was written",
        ),
        ("INSERT INTO tombstone SELECT max(id), zeroblob(32) FROM call", "is there and has a tombstone"),
        ("INSERT INTO tombstone SELECT max(id), zeroblob(3) FROM call", "holds no digest"),
        ("INSERT INTO payload VALUES (5, 'a', 'b')", "slipped in"),
        ("UPDATE link SET kind = 'other' WHERE number = 4", "not in the form"),
        ("DROP TABLE tombstone; UPDATE run SET pid = pid + 1", "no such table"),
    ];
    for (sql, word) in changes {
        let (_folder, file) = changed(folder.path(), sql).await;
        let verdict = verify(&file, None).await.unwrap();
        assert!(!verdict.whole && what(&verdict).contains(word), "{sql}: {verdict:?}");
    }
    let counts = changed(folder.path(), "UPDATE link SET calls = 48 WHERE number = 4").await;
    assert!(!verify(&counts.1, None).await.unwrap().whole);
    let kind = changed(folder.path(), "UPDATE link SET kind = 'erased' WHERE number = 4").await;
    assert!(!verify(&kind.1, None).await.unwrap().whole);
}

#[tokio::test]
async fn an_end_that_was_cut_off_with_its_rows_is_found_by_a_digest_that_was_kept_elsewhere() {
    let folder = TempDir::new().unwrap();
    rows_of_every_shape(folder.path()).await;
    let whole = verify(&ActivityLog::file_in(folder.path()), None).await.unwrap();
    let kept = whole.head.unwrap().digest;
    let sql = "DELETE FROM call WHERE id >= (SELECT first FROM link WHERE number = 5); DELETE FROM payload WHERE id >= (SELECT first FROM link WHERE number = 5); DELETE FROM link WHERE number = 5";
    let (_other, file) = changed(folder.path(), sql).await;
    let cut = verify(&file, None).await.unwrap();
    assert!(cut.whole, "nothing in the file tells: {cut:?}");
    let found = verify(&file, Some(&kept)).await.unwrap();
    assert!(!found.whole && what(&found).contains(&kept), "{found:?}");

    // A chain that has gone on since still has the link, in either spelling.
    let log = chained(folder.path());
    log.record(&entry());
    log.shutdown().await.unwrap();
    let later = verify(&ActivityLog::file_in(folder.path()), Some(&kept.to_uppercase())).await.unwrap();
    assert!(later.whole && later.links == 6, "{later:?}");
}

#[tokio::test]
async fn rows_that_are_erased_leave_their_digest_and_a_link() {
    let folder = TempDir::new().unwrap();
    let rows = rows_of_every_shape(folder.path()).await;
    let file = ActivityLog::file_in(folder.path());
    assert_eq!(erase(&file, "key:bob").await.unwrap(), 28);
    let verdict = verify(&file, None).await.unwrap();
    assert!(verdict.whole, "{verdict:?}");
    // What is left, and the row that says so.
    assert_eq!((verdict.rows, verdict.erased), (rows - 28 + 1, 28));
    let bytes = fs::read(&file).unwrap();
    assert!(memchr::memmem::find(&bytes, b"key:bob").is_none(), "the name is still in the file");

    let more = changed(
        folder.path(),
        "DELETE FROM call WHERE id = (SELECT min(id) FROM call); INSERT INTO tombstone SELECT first, zeroblob(32) \
         FROM link WHERE number = 2",
    );
    assert!(!verify(&more.await.1, None).await.unwrap().whole);
    let unsaid = changed(folder.path(), "DELETE FROM link WHERE kind = 'erased'").await;
    let verdict = verify(&unsaid.1, None).await.unwrap();
    assert!(what(&verdict).contains("is missing"), "{verdict:?}");
    let many = changed(folder.path(), "INSERT INTO tombstone VALUES (1, zeroblob(32))").await;
    let verdict = verify(&many.1, None).await.unwrap();
    assert!(
        what(&verdict).contains("29 rows are said to be erased, and links speak of 28 only"),
        "{verdict:?}"
    );

    // All of them, beside a writer that goes on.
    let log = chained(folder.path());
    log.record(&entry());
    log.flush().await.unwrap();
    erase_all(&file).await.unwrap();
    log.record(&entry());
    log.shutdown().await.unwrap();
    let verdict = verify(&file, None).await.unwrap();
    assert!(verdict.whole && verdict.retired.is_some(), "{verdict:?}");
    assert_eq!((verdict.rows, verdict.erased), (2, 0), "a note and a call: {verdict:?}");
}

#[tokio::test]
async fn clearing_away_takes_whole_batches_and_says_so() {
    let folder = TempDir::new().unwrap();
    let file = ActivityLog::file_in(folder.path());
    let mut database = Tended::new(&LAYOUT, file.clone());
    let conn = database.ready().await.unwrap();
    // Three batches: 4,000 seconds, 4,000 seconds and the rest.
    write(conn, (1..12_000).map(|second| (second, "read")), true).await;
    let first = verify(&file, None).await.unwrap();
    let keep = Keep { age: Duration::from_secs(6_000), size: 1 << 30 };
    sweep(conn, keep, 12_000).await;
    let left: i64 = sqlx::query_scalar("SELECT min(id) FROM call").fetch_one(&mut *conn).await.unwrap();
    assert_eq!(left, 4_001 * SECOND, "a batch that is too old only in part stays");
    let verdict = verify(&file, None).await.unwrap();
    assert!(verdict.whole, "{verdict:?}");
    assert_eq!((verdict.rows, verdict.retired.as_ref().map(|retired| retired.link)), (7_999, Some(2)));
    let kept = verify(&file, Some(&first.head.unwrap().digest)).await.unwrap();
    assert!(kept.whole, "the end of before is still in it: {kept:?}");

    let (_other, changed_file) = changed(folder.path(), "DELETE FROM link WHERE number = 3").await;
    assert!(!verify(&changed_file, None).await.unwrap().whole, "more is gone than clearing away has said");
    let (_other, changed_file) = changed(folder.path(), "DELETE FROM link WHERE kind = 'retired'").await;
    assert!(!verify(&changed_file, None).await.unwrap().whole, "nobody says where the others went");
    let (_other, changed_file) = changed(
        folder.path(),
        "INSERT INTO call SELECT 77, context, at, session, request, trace, queue, upstream, total, bytes_in, bytes_out, \
         progress, lost FROM call LIMIT 1",
    )
    .await;
    assert!(what(&verify(&changed_file, None).await.unwrap()).contains("slipped in"));

    // When all is too old, nothing but the word of it is left, and the chain goes on.
    sweep(conn, keep, 1_000_000).await;
    let verdict = verify(&file, None).await.unwrap();
    assert_eq!((verdict.whole, verdict.rows, verdict.links), (true, 0, 1), "{verdict:?}");
    write(conn, (1..10).map(|second| (second, "read")), true).await;
    let verdict = verify(&file, None).await.unwrap();
    assert_eq!((verdict.whole, verdict.rows), (true, 9), "{verdict:?}");
    database.disconnect().await;
}

#[tokio::test]
async fn rows_of_a_time_without_the_chain_are_named_and_break_nothing() {
    let folder = TempDir::new().unwrap();
    let file = ActivityLog::file_in(folder.path());
    for (chain, rows) in [(false, 3), (true, 4), (false, 5), (true, 6)] {
        let log =
            ActivityLog::start(&Options { terms: Terms { chain, ..terms() }, ..options(folder.path()) });
        (0..rows).for_each(|_| log.record(&entry()));
        log.shutdown().await.unwrap();
        let verdict = verify(&file, None).await.unwrap();
        match (chain, rows) {
            (false, 3) => assert!(what(&verdict).contains("there is no chain"), "{verdict:?}"),
            (false, _) => {
                assert!(what(&verdict).contains("rows stand behind the end of the chain (5)"), "{verdict:?}");
            }
            (true, _) => assert!(verdict.whole, "{verdict:?}"),
        }
    }
    let verdict = verify(&file, None).await.unwrap();
    assert_eq!((verdict.rows, verdict.unsealed.map(|unsealed| unsealed.rows)), (10, Some(8)));
}

#[tokio::test]
async fn the_chain_can_be_put_on_while_the_log_is_kept() {
    let folder = TempDir::new().unwrap();
    let log = start(folder.path());
    log.record(&entry());
    log.flush().await.unwrap();
    log.replace(Terms { chain: true, ..terms() });
    log.record(&entry());
    log.shutdown().await.unwrap();
    let verdict = verify(&ActivityLog::file_in(folder.path()), None).await.unwrap();
    assert!(verdict.whole, "{verdict:?}");
    assert_eq!((verdict.rows, verdict.unsealed.map(|unsealed| unsealed.rows)), (1, Some(1)));
}
