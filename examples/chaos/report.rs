//! The figures, and which promises they keep.

use std::time::Duration;

use crate::gateway::Inventory;
use crate::mischief::Mischief;
use crate::run::{HEALTHY, SERVERS, tallies};
use crate::tally::{Tally, quantile};

/// p99 on healthy servers may grow by this factor.
const MOST_SLOWER: f64 = 1.5;
/// Below this a p99 is scheduling noise, whatever its ratio.
const NOISE_MICROS: f64 = 1_000.0;
/// A killed server that starts at once is back by then, at p99.
const MOST_RECOVERY: Duration = Duration::from_secs(1);
/// Memory may be more by this at the end: what the allocator keeps of the largest messages in flight at once, which
/// the chaos run caps at 16 MiB on either victim.
const MOST_GROWTH: u64 = 48 << 20;

/// Everything that was measured.
pub struct Outcome {
    pub calm: Vec<Tally>,
    pub chaos: Vec<Tally>,
    pub calm_time: Duration,
    pub chaos_time: Duration,
    pub mischief: Mischief,
    pub before: Inventory,
    pub after: Inventory,
    /// Servers that did not answer at the end.
    pub answers: Vec<String>,
}

/// Prints the report; `false` when a promise broke.
pub fn print(outcome: &Outcome) -> bool {
    let sum = |tallies: &[Tally]| tallies.iter().fold(Tally::default(), |sum, tally| sum.join(tally));
    let (calm, chaos) = (sum(&outcome.calm[..HEALTHY]), sum(&outcome.chaos[..HEALTHY]));
    let victims = sum(&outcome.chaos[HEALTHY..]);
    phase("calm, healthy servers", &calm, outcome.calm_time);
    phase("chaos, healthy servers", &chaos, outcome.chaos_time);
    phase("chaos, victims", &victims, outcome.chaos_time);
    println!("deeds: {:?}", outcome.mischief.deeds);
    let (kill, hang) = (&outcome.mischief.back_after_kill, &outcome.mischief.back_after_hang);
    recovery("back after kill -9", kill);
    recovery("back after a hang", hang);
    println!("before {:?}\nafter  {:?}", outcome.before.counts, outcome.after.counts);
    let growth = outcome.after.resident.saturating_sub(outcome.before.resident);
    println!(
        "memory {:.1} MB before, {:.1} MB after",
        mb(outcome.before.resident),
        mb(outcome.after.resident)
    );
    debug_assert_eq!((outcome.chaos.len(), tallies().len()), (SERVERS.len(), SERVERS.len()));

    let all = calm.clone().join(&sum(&outcome.calm[HEALTHY..])).join(&chaos).join(&victims);
    let (slow, limit) =
        (quantile(&chaos.micros, 0.99), (quantile(&calm.micros, 0.99) * MOST_SLOWER).max(NOISE_MICROS));
    let left = outcome.after.left_over(&outcome.before);
    let promises = [
        (
            "every answer is the answer to its own question",
            all.wrong.is_empty(),
            format!("{:?}", all.wrong.first()),
        ),
        (
            "no error on a healthy server",
            calm.failed() + chaos.failed() == 0,
            format!("{:?} {:?}", calm.errors, chaos.errors),
        ),
        (
            "p99 of healthy servers is at most 1.5 times that of the calm run",
            slow <= limit,
            format!("{slow:.0} > {limit:.0} µs"),
        ),
        (
            "a killed server is back within 1 s at p99",
            kill.is_empty() || quantile(kill, 0.99) <= MOST_RECOVERY.as_micros() as f64,
            format!("{:.0} ms", quantile(kill, 0.99) / 1000.0),
        ),
        (
            "every server comes back",
            outcome.mischief.lost.is_empty() && outcome.answers.is_empty(),
            format!("{:?} {:?}", outcome.mischief.lost, outcome.answers),
        ),
        ("nothing is left over", left.is_empty() && outcome.after.in_flight == 0, format!("{left:?}")),
        ("memory does not grow", growth <= MOST_GROWTH, format!("by {:.1} MB", mb(growth))),
    ];
    for (promise, kept, else_) in &promises {
        println!(
            "{} {promise}{}",
            if *kept { "kept  " } else { "BROKEN" },
            if *kept { String::new() } else { format!(": {else_}") }
        );
    }
    promises.iter().all(|(_, kept, _)| *kept)
}

fn phase(name: &str, tally: &Tally, time: Duration) {
    let calls = tally.good + tally.failed();
    println!(
        "{name}: {calls} calls in {:.0} s, {} errors ({:.3} %) {:?}; plain calls p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms",
        time.as_secs_f64(),
        tally.failed(),
        tally.failed() as f64 * 100.0 / calls.max(1) as f64,
        tally.errors,
        quantile(&tally.micros, 0.5) / 1000.0,
        quantile(&tally.micros, 0.99) / 1000.0,
        quantile(&tally.micros, 0.999) / 1000.0,
    );
}

fn recovery(name: &str, micros: &[u32]) {
    if !micros.is_empty() {
        let at = |share| quantile(micros, share) / 1000.0;
        println!(
            "{name}: {} times, p50 {:.0} ms, p99 {:.0} ms, worst {:.0} ms",
            micros.len(),
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
