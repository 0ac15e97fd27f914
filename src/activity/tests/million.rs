//! A million rows, and how long it takes to find some of them.

use std::io::Write as _;

use tokio::time::Instant;

use super::super::context::Contexts;
use super::super::entry::Row;
use super::super::rows;
use super::super::schema::LAYOUT;
use super::*;
use crate::sqlite::Tended;

const ROWS: u64 = 1_000_000;
/// What a query may take.
const MOST: Duration = Duration::from_millis(100);

/// A month of calls: two in five seconds, 40 clients, 20 servers, 400 tools; one client called nine times.
async fn fill(folder: &Path) {
    let mut database = Tended::new(&LAYOUT, ActivityLog::file_in(folder));
    let conn = database.ready().await.unwrap();
    let mut contexts = Contexts::default();
    let names: Vec<String> = (0..400).map(|number| format!("name-{number}")).collect();
    for from in (0..ROWS).step_by(4_000) {
        let rows = (from..from + 4_000).map(|number| {
            let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
            let tool = mixed as usize % 400;
            let rare = number % 111_111 == 50_000;
            let client = if rare { "rare" } else { &names[mixed as usize / 7 % 40] };
            let mut row = Row::pack(&Entry {
                client: ClientText::Known { name: client, version: "1" },
                server: &names[tool / 20],
                name: &names[tool],
                outcome: if mixed % 50 == 0 { "timeout" } else { "ok" },
                total: Duration::from_micros(500 + mixed % 5_000),
                ..entry()
            });
            row.ended = 1_785_000_000_000_000 + number.cast_signed() * 2_500_000;
            row
        });
        let rows: Vec<Row> = rows.collect();
        let rows: Vec<&Row> = rows.iter().collect();
        rows::commit(conn, &mut contexts, &rows, manner(false)).await.unwrap();
    }
    database.disconnect().await;
}

#[tokio::test]
#[ignore = "writes a million rows, which takes a minute: cargo test --lib million -- --ignored --nocapture"]
async fn a_million_rows_answer_in_a_tenth_of_a_second() {
    let folder = TempDir::new().unwrap();
    fill(folder.path()).await;
    let mut reader = reader(folder.path()).await;
    let text = |text: &str| Some(text.to_owned());
    let middle = Some(1_785_000_000_000_000 + 600_000 * 2_500_000);
    let queries = [
        ("the newest", Filter::default()),
        ("by client", Filter { client: text("name-7"), ..Filter::default() }),
        ("by a rare client", Filter { client: text("rare"), ..Filter::default() }),
        ("by server", Filter { server: text("name-3"), ..Filter::default() }),
        ("by server and tool", Filter { server: text("name-3"), tool: text("name-61"), ..Filter::default() }),
        ("by time", Filter { until: middle, ..Filter::default() }),
        ("by client and time", Filter { client: text("name-7"), until: middle, ..Filter::default() }),
        ("errors", Filter { errors: true, ..Filter::default() }),
    ];
    let mut slow = Vec::new();
    for (name, filter) in queries {
        let mut took = Duration::MAX;
        for _ in 0..3 {
            let start = Instant::now();
            let page = reader.page(&filter, 50, None).await.unwrap();
            took = took.min(start.elapsed());
            assert_eq!(page.records.len(), if name == "by a rare client" { 9 } else { 50 }, "{name}");
        }
        let _ = writeln!(std::io::stderr(), "{name}: {:.1} ms", took.as_secs_f64() * 1e3);
        slow.extend((took > MOST).then_some((name, took)));
    }
    let start = Instant::now();
    let day = Filter { since: Some(1_785_000_000_000_000 + 965_440 * 2_500_000), ..Filter::default() };
    let stats = reader.stats(&day, By::Server).await.unwrap();
    let took = start.elapsed();
    let _ = writeln!(std::io::stderr(), "figures of a day by server: {:.1} ms", took.as_secs_f64() * 1e3);
    assert_eq!(stats.iter().map(|stat| stat.calls).sum::<u64>(), 34_560);
    assert!(slow.is_empty(), "{slow:?}");
}
