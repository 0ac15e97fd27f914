//! How the asynchronous runtime is doing: whether its tasks run when they should, and how busy its threads are.

use std::convert::Infallible;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::names;

/// How often a task is scheduled only to see when it runs: often enough that a stall of a quarter second is seen.
const LAG_EVERY: Duration = Duration::from_millis(100);
/// How often the pool for blocking work is asked for a thread. A pool that is full makes everybody wait, for seconds.
const BLOCKING_EVERY: Duration = Duration::from_secs(1);

/// Watches the runtime for as long as it runs.
pub async fn watch_runtime() -> Infallible {
    tokio::join!(watch_lag(), watch_blocking()).0
}

/// Records by how much a task runs later than it was to.
async fn watch_lag() -> Infallible {
    let lag = names::EVENT_LOOP_LAG.histogram(&[]);
    loop {
        let due = Instant::now() + LAG_EVERY;
        tokio::time::sleep_until(due).await;
        lag.record(due.elapsed());
    }
}

/// Records how long blocking work waits for a thread. The depth of that queue itself is told by unstable builds of the
/// runtime only.
async fn watch_blocking() -> Infallible {
    let wait = names::BLOCKING_WAIT.histogram(&[]);
    loop {
        tokio::time::sleep(BLOCKING_EVERY).await;
        let asked = Instant::now();
        let started = tokio::task::spawn_blocking(Instant::now).await;
        wait.record(started.unwrap_or_else(|_| Instant::now()).saturating_duration_since(asked));
    }
}

/// Tells what the runtime counts by itself.
pub fn tell_runtime(runtime: &Handle) {
    let metrics = runtime.metrics();
    names::TASKS.gauge(&[]).set(metrics.num_alive_tasks() as f64);
    names::RUN_QUEUE.gauge(&[]).set(metrics.global_queue_depth() as f64);
    names::WORKERS.gauge(&[]).set(metrics.num_workers() as f64);
    #[cfg(target_has_atomic = "64")]
    for worker in 0..metrics.num_workers() {
        let busy = metrics.worker_total_busy_duration(worker).as_secs_f64();
        names::WORKER_BUSY.gauge(&[&worker.to_string()]).set(busy);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Recorder;
    use super::*;

    fn above(text: &str, name: &str, bound: &str) -> u64 {
        let value = |le: &str| -> u64 {
            let line = format!("{name}_bucket{{le=\"{le}\"}} ");
            text.lines().find_map(|found| found.strip_prefix(&line)?.parse().ok()).unwrap_or(0)
        };
        value("+Inf") - value(bound)
    }

    /// Holds the thread, as code that must not be in a task does.
    fn keep_thread(length: Duration) {
        let (_hold, never) = std::sync::mpsc::channel::<()>();
        let _ = never.recv_timeout(length);
    }

    #[test]
    fn a_thread_that_is_kept_from_its_tasks_shows_as_lag() {
        let (recorder, handle) = Recorder::new();
        metrics::with_local_recorder(&recorder, || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let watched = tokio::time::timeout(Duration::from_secs(2), watch_lag());
                let stall = async {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    keep_thread(Duration::from_millis(400));
                };
                let _ = tokio::join!(watched, stall);
            });
        });
        let text = handle.render();
        assert!(above(&text, names::EVENT_LOOP_LAG.name, "0.25") >= 1, "{text}");
    }

    /// Lets every task run that can: each turn of the only thread polls them all.
    async fn others_run() {
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn a_full_pool_for_blocking_work_shows_as_wait() {
        let (recorder, handle) = Recorder::new();
        metrics::with_local_recorder(&recorder, || {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            // The clock stands while the only thread is taken, and moves on our word.
            let runtime = builder.enable_time().start_paused(true).max_blocking_threads(1).build().unwrap();
            runtime.block_on(async {
                let (release, held) = std::sync::mpsc::channel::<()>();
                let hog = tokio::task::spawn_blocking(move || held.recv());
                let watch = tokio::spawn(watch_blocking());
                others_run().await;
                tokio::time::advance(BLOCKING_EVERY).await;
                others_run().await;
                // Now it has asked for a thread, and waits.
                tokio::time::advance(Duration::from_millis(800)).await;
                release.send(()).unwrap();
                hog.await.unwrap().unwrap();
                // Whoever asks for the thread now gets it behind the watcher.
                tokio::task::spawn_blocking(|| ()).await.unwrap();
                others_run().await;
                watch.abort();
            });
        });
        let text = handle.render();
        assert_eq!(above(&text, names::BLOCKING_WAIT.name, "0.25"), 1, "{text}");
    }

    #[tokio::test]
    async fn the_runtime_tells_its_tasks_and_its_threads() {
        let (recorder, handle) = Recorder::new();
        metrics::with_local_recorder(&recorder, || tell_runtime(&Handle::current()));
        let text = handle.render();
        assert!(text.contains("trunkline_runtime_workers 1\n"), "{text}");
        assert!(text.contains("trunkline_runtime_worker_busy_seconds{worker=\"0\"} "), "{text}");
    }
}
