//! What a row of the activity log costs: packing it where the call ends, and bringing it to the file.
//!
//! One writer and SQLite's thread take turns, so wall time is close to the processor's. Files lie in the folder for temporary
//! ones; a slow disk shows in the second figure and not in the first.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use trunkline::activity::{ActivityLog, ClientText, Entry, Keep, Options, Terms};

/// Rows that are recorded at once: what a gateway at its limit records within a tenth of a second.
const ROWS: u64 = 4_000;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .without_plots()
        .configure_from_args();
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
    rows(&mut criterion, &runtime);
    criterion.final_summary();
}

fn rows(criterion: &mut Criterion, runtime: &Runtime) {
    let folder = TempDir::new().unwrap_or_else(|error| panic!("no folder: {error}"));
    let _inside = runtime.enter();
    let log = ActivityLog::start(&options(&folder, false));
    let mut group = criterion.benchmark_group("activity");
    group.throughput(Throughput::Elements(ROWS));
    let mut number = 0;
    group.bench_function("record", |bencher| {
        bencher.iter_batched(
            || runtime.block_on(log.flush()),
            |_| record(&log, &mut number),
            BatchSize::PerIteration,
        );
    });
    for (name, chain) in [("record and write", false), ("record and write, chained", true)] {
        log.replace(options(&folder, chain).terms);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                record(&log, &mut number);
                runtime.block_on(log.flush())
            });
        });
    }
    group.finish();
    let _ = runtime.block_on(log.shutdown());
}

/// The rows of two clients that call five tools of two servers in turn.
fn record(log: &ActivityLog, number: &mut u64) {
    for _ in 0..ROWS {
        *number += 1;
        let (client, tool) = (*number as usize % 2, *number as usize % 5);
        log.record(black_box(&Entry {
            principal: "anonymous",
            client: ClientText::Known { name: ["desk", "web"][client], version: "1.2" },
            era: ["legacy", "modern"][client],
            server: ["files", "search"][tool / 3],
            generation: 1,
            method: "tools/call",
            name: ["read", "write", "list", "find", "index"][tool],
            outcome: "ok",
            breaker: "closed",
            session: (client == 0).then_some(0xfeed_0000_0000_0001),
            request: &number.to_string(),
            queue: Duration::from_micros(20 + *number % 16),
            upstream: Some(Duration::from_micros(800 + *number % 512)),
            total: Duration::from_micros(900 + *number % 512),
            bytes_in: 180,
            bytes_out: 220,
            ..Entry::EMPTY
        }));
    }
}

fn options(folder: &TempDir, chain: bool) -> Options {
    Options {
        data_dir: folder.path().to_owned(),
        queue: 65_536,
        terms: Terms {
            window: Duration::from_secs(3_600),
            keep: Keep { age: Duration::from_secs(86_400), size: 1 << 30 },
            capture_limit: 0,
            chain,
            secrets: Vec::new(),
        },
    }
}
