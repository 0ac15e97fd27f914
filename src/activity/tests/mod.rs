//! What the log promises, tried on real files. Here: keeping and asking.

mod chained;
mod clearing;
mod million;
mod trouble;

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tempfile::TempDir;
use tokio::time::timeout;

use super::entry::tests::entry;
use super::insert::Pace;
use super::redact::Redactor;
use super::rows::Manner;
use super::*;
use crate::base::Secret;

/// Far more than anything here takes; only a test that would hang meets it.
const LONG: Duration = Duration::from_secs(60);
/// A window that no test waits for: rows are written by a flush.
const WINDOW: Duration = Duration::from_secs(3_600);

fn options(folder: &Path) -> Options {
    Options { data_dir: folder.to_owned(), queue: 1_000, terms: terms() }
}

fn terms() -> Terms {
    Terms {
        window: WINDOW,
        keep: Keep { age: 100 * WINDOW, size: 1 << 30 },
        capture_limit: 1_000,
        chain: false,
        secrets: vec![Secret::new("hunter2222")],
    }
}

/// How a test that writes batches by itself has them written.
fn manner(chain: bool) -> Manner<'static> {
    static NOTHING: LazyLock<Redactor> = LazyLock::new(Redactor::default);
    Manner { redactor: &NOTHING, pace: Pace::AtOnce, chain }
}

fn start(folder: &Path) -> ActivityLog {
    ActivityLog::start(&options(folder))
}

async fn reader(folder: &Path) -> Reader {
    Reader::open(&ActivityLog::file_in(folder)).await.unwrap()
}

async fn all(folder: &Path, filter: &Filter) -> Vec<Record> {
    let mut reader = reader(folder).await;
    let page = reader.page(filter, 10_000, None).await.unwrap();
    reader.close().await;
    page.records
}

async fn until(log: &ActivityLog, wanted: impl Fn(&State) -> bool) {
    let mut state = log.state().unwrap();
    timeout(LONG, state.wait_for(|state| wanted(state))).await.expect("the state never came").unwrap();
}

#[tokio::test]
async fn a_row_says_everything_that_is_known_of_a_call() {
    let folder = TempDir::new().unwrap();
    let log = start(folder.path());
    log.record(&entry());
    log.record(&Entry {
        client: ClientText::Raw(r#"{"name":"web","version":"2"}"#),
        endpoint: "files",
        outcome: "timeout",
        code: -31504,
        cancelled_by: "deadline",
        breaker: "half_open",
        session: None,
        request: r#""seven""#,
        trace: "",
        upstream: None,
        ..entry()
    });
    log.shutdown().await.unwrap();
    let [second, first] = all(folder.path(), &Filter::default()).await.try_into().unwrap();
    assert_eq!(
        (first.kind, first.principal.as_deref(), first.era.as_deref()),
        ("call", Some("anonymous"), Some("legacy"))
    );
    assert_eq!((first.client.as_deref(), first.client_version.as_deref()), (Some("desk"), Some("1.2")));
    assert_eq!((first.session.as_deref(), first.request.as_deref()), (Some("feed000000000001"), Some("7")));
    assert_eq!((first.endpoint, first.server.as_deref(), first.generation), (None, Some("files"), Some(3)));
    assert_eq!((first.method.as_deref(), first.name.as_deref()), (Some("tools/call"), Some("read")));
    assert_eq!((first.outcome.as_str(), first.code, first.cancelled_by), ("ok", None, None));
    assert_eq!(first.cache.as_deref(), Some("miss"));
    assert_eq!(
        (first.breaker.as_deref(), first.trace.as_deref()),
        (Some("closed"), Some("4bf92f3577b34da6a3ce929d0e0e4736"))
    );
    assert_eq!((first.queue_us, first.upstream_us, first.total_us), (20, Some(900), 1_000));
    assert_eq!((first.bytes_in, first.bytes_out, first.progress, first.lost), (180, 220, 2, None));
    assert!(
        first.time.ends_with('Z') && first.time.len() == "2026-07-28T09:30:00.000000Z".len(),
        "{}",
        first.time
    );
    assert_eq!((second.client.as_deref(), second.client_version.as_deref()), (Some("web"), Some("2")));
    assert_eq!((second.endpoint.as_deref(), second.request.as_deref()), (Some("files"), Some(r#""seven""#)));
    assert_eq!((second.outcome.as_str(), second.code), ("timeout", Some(-31504)));
    assert_eq!(
        (second.breaker.as_deref(), second.cancelled_by.as_deref()),
        (Some("half_open"), Some("deadline"))
    );
    assert_eq!((second.session, second.trace, second.upstream_us), (None, None, None));
    assert!(second.id > first.id);
}

#[tokio::test]
async fn a_row_is_on_file_when_its_window_is_over() {
    let folder = TempDir::new().unwrap();
    let log = ActivityLog::start(&Options {
        terms: Terms { window: Duration::from_millis(20), ..terms() },
        ..options(folder.path())
    });
    until(&log, |state| *state == State::Serving).await;
    log.record(&entry());
    let written = async {
        while all(folder.path(), &Filter::default()).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LONG, written).await.expect("the row was never written");
}

#[tokio::test]
async fn a_queue_that_fills_is_written_before_its_time() {
    let folder = TempDir::new().unwrap();
    let log = start(folder.path());
    until(&log, |state| *state == State::Serving).await;
    for _ in 0..50 {
        for _ in 0..100 {
            log.record(&entry());
        }
        let half_empty = async {
            while all(folder.path(), &Filter::default()).await.is_empty() && log.dropped_rows() == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let _ = timeout(Duration::from_millis(20), half_empty).await;
    }
    log.shutdown().await.unwrap();
    let found = all(folder.path(), &Filter::default()).await.len() as u64;
    assert_eq!((found, log.dropped_rows()), (5_000, 0));
}

#[tokio::test]
async fn every_filter_selects_what_it_says_and_pages_join_without_seam() {
    let folder = TempDir::new().unwrap();
    let log = start(folder.path());
    for number in 0..600_u64 {
        let name = ["read", "write", "list"][number as usize % 3];
        let failed = number % 10 == 0;
        log.record(&Entry {
            principal: if number % 2 == 0 { "key:ann" } else { "key:bob" },
            client: ClientText::Known { name: ["desk", "web"][number as usize % 2], version: "1" },
            server: if number < 300 { "files" } else { "search" },
            name,
            outcome: if failed { "upstream_error" } else { "ok" },
            code: if failed { -32000 } else { 0 },
            session: Some(number % 7),
            trace: if number == 5 { "abc" } else { "" },
            request: &number.to_string(),
            total: Duration::from_millis(number),
            ..entry()
        });
    }
    log.flush().await.unwrap();
    let folder = folder.path();
    let filters: [(Filter, usize); 9] = [
        (Filter::default(), 600),
        (Filter { principal: Some("key:ann".into()), ..Filter::default() }, 300),
        (Filter { client: Some("web".into()), ..Filter::default() }, 300),
        (Filter { server: Some("files".into()), tool: Some("read".into()), ..Filter::default() }, 100),
        (Filter { errors: true, ..Filter::default() }, 60),
        (Filter { slow: Some(Duration::from_millis(590)), ..Filter::default() }, 10),
        (Filter { session: Some(3), server: Some("files".into()), ..Filter::default() }, 43),
        (Filter { trace: Some("abc".into()), ..Filter::default() }, 1),
        (Filter { client: Some("nobody".into()), ..Filter::default() }, 0),
    ];
    for (filter, expected) in filters {
        let whole = all(folder, &filter).await;
        assert_eq!(whole.len(), expected, "{filter:?}");
        assert!(whole.is_sorted_by(|newer, older| newer.id > older.id), "{filter:?}");
        let mut reader = reader(folder).await;
        let (mut pages, mut next) = (Vec::new(), None);
        loop {
            let page = reader.page(&filter, 7, next).await.unwrap();
            pages.extend(page.records);
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        assert_eq!(pages, whole, "{filter:?}");
        let mut onward = Vec::new();
        let mut after = Cursor::START;
        loop {
            let page = reader.after(&filter, 11, after).await.unwrap();
            onward.extend(page.records);
            match page.next {
                Some(next) => after = next,
                None => break,
            }
        }
        onward.reverse();
        assert_eq!(onward, whole, "{filter:?}");
    }
    let middle = all(folder, &Filter::default()).await[299].id;
    let before = Filter { until: Some(middle), ..Filter::default() };
    let since = Filter { since: Some(middle), ..Filter::default() };
    assert_eq!((all(folder, &before).await.len(), all(folder, &since).await.len()), (300, 300));
}

#[tokio::test]
async fn figures_are_those_of_the_calls() {
    let folder = TempDir::new().unwrap();
    let log = start(folder.path());
    for number in 1..=400_u64 {
        log.record(&Entry {
            server: if number % 4 == 0 { "search" } else { "files" },
            outcome: if number % 8 == 0 { "timeout" } else { "ok" },
            total: Duration::from_micros(number * 100),
            ..entry()
        });
    }
    log.flush().await.unwrap();
    let mut reader = reader(folder.path()).await;
    let stats = reader.stats(&Filter::default(), By::Server).await.unwrap();
    let keys: Vec<&str> = stats.iter().map(|stat| stat.key.as_str()).collect();
    assert_eq!(keys, ["files", "search"]);
    assert_eq!((stats[0].calls, stats[0].errors), (300, 0));
    assert_eq!((stats[1].calls, stats[1].errors, stats[1].error_share), (100, 50, 0.5));
    assert!(
        stats[0].p50_us.abs_diff(20_000) < 1_500 && stats[0].p99_us.abs_diff(39_600) < 2_500,
        "{stats:?}"
    );
    let tools =
        reader.stats(&Filter { server: Some("files".into()), ..Filter::default() }, By::Tool).await.unwrap();
    assert_eq!((tools.len(), tools[0].key.as_str()), (1, "files read"));
    let old = Filter { until: Some(1_000_000), ..Filter::default() };
    assert!(reader.stats(&old, By::Client).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_no_log_is_not_told_to_be_of_another_version() {
    let folder = TempDir::new().unwrap();
    let file = ActivityLog::file_in(folder.path());
    let log = start(folder.path());
    log.record(&entry());
    log.shutdown().await.unwrap();
    let said = async |sql: &'static str| {
        let mut conn = SqliteConnectOptions::new().filename(&file).connect().await.unwrap();
        sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
        Reader::open(&file).await.err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(said("PRAGMA user_version = 5").await, "");
    assert!(said("PRAGMA user_version = 99").await.contains("has version 99"));
    assert!(said("PRAGMA application_id = 7").await.ends_with("is no activity log"));
}

#[tokio::test]
async fn a_log_that_is_off_keeps_nothing_and_makes_no_file() {
    let log = ActivityLog::off();
    log.record(&entry());
    log.flush().await.unwrap();
    log.shutdown().await.unwrap();
    assert_eq!((log.dropped_rows(), log.path()), (0, None));
    let folder = TempDir::new().unwrap();
    let missing = Reader::open(&ActivityLog::file_in(folder.path())).await.err().unwrap().to_string();
    assert!(missing.contains("activity.enabled"), "{missing}");
}
