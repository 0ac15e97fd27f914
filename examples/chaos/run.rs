//! The order of events.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tokio::time::{Instant, sleep};

use crate::gateway::{Gateway, Inventory};
use crate::load::Load;
use crate::mischief::{self, Dice};
use crate::report::{Outcome, print};
use crate::tally::Tally;

/// Names of the servers; the last two are the victims.
pub const SERVERS: [&str; 8] = ["s0", "s1", "s2", "s3", "s4", "s5", "v0", "v1"];
/// Those that nothing is done to.
pub const HEALTHY: usize = 6;

/// The load before anything is measured: connections, caches, the allocator.
const WARM_UP: Duration = Duration::from_secs(3);
/// How long everything may take to come back to what it was.
const SETTLE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);

/// Runs a fleet under load and mischief.
#[derive(Clone, Debug, Parser)]
pub struct Options {
    /// How long the mischief lasts. The calm run before it lasts half as long.
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,
    /// The seed of everything that is random; from the clock if not given.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Workers for each server, each with a connection and one call at a time.
    #[arg(long, default_value_t = 4)]
    pub workers: usize,
    /// The gateway's binary; without, the one beside the folder this example lies in.
    #[arg(long)]
    pub gateway: Option<PathBuf>,
}

/// Runs it all; `false` when a promise broke.
pub async fn run(options: Options) -> crate::Result<bool> {
    let seed = options.seed.unwrap_or_else(seed_of_clock);
    println!(
        "chaos: seed {seed}, {} s, {} servers, victims {:?}",
        options.seconds,
        SERVERS.len(),
        &SERVERS[HEALTHY..]
    );
    let gateway = Arc::new(Gateway::start(&options).await?);
    let load = Load::start(&gateway, options.workers, seed);
    sleep(WARM_UP).await;
    load.take();
    // What is there while everybody is well: descriptors and processes under the same load.
    let calm_time = Duration::from_secs(options.seconds.div_ceil(2));
    sleep(calm_time).await;
    let calm = load.take();
    load.pause();
    let before = settled(&gateway, None).await?;
    load.resume();

    let started = Instant::now();
    let end = started + Duration::from_secs(options.seconds);
    let mischief = mischief::run(&gateway, Dice::new(seed), end).await?;
    let chaos = load.take();
    load.pause();
    let after = settled(&gateway, Some(&before)).await?;
    let answers = load.everybody_answers(&gateway).await;
    load.stop().await;
    let log = gateway.stop().await?;
    let outcome =
        Outcome { calm, chaos, calm_time, chaos_time: started.elapsed(), mischief, before, after, answers };
    let kept = print(&outcome);
    if !kept {
        println!("the gateway's log ends with:\n{log}");
    }
    Ok(kept)
}

/// What is there when the load has stopped; compared with `wanted`, as soon as it is the same or time is up.
async fn settled(gateway: &Gateway, wanted: Option<&Inventory>) -> crate::Result<Inventory> {
    let end = Instant::now() + SETTLE;
    // Idle connections and late replies are gone after this.
    sleep(Duration::from_secs(2)).await;
    loop {
        let now = gateway.inventory().await?;
        let calls = now.in_flight == 0;
        let done = wanted.map_or(calls, |wanted| now.left_over(wanted).is_empty() && calls);
        if done || Instant::now() > end {
            return Ok(now);
        }
        sleep(LOOK).await;
    }
}

fn seed_of_clock() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(0)
}

/// Makes an empty tally for each server.
pub fn tallies() -> Vec<Tally> {
    SERVERS.iter().map(|_| Tally::default()).collect()
}
