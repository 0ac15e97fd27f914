//! What is done to the victims.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::{Signal, kill_process};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::client::{Call, Client};
use crate::gateway::Gateway;
use crate::load::echo;
use crate::run::{HEALTHY, SERVERS};
use crate::tally::End;

/// Between two deeds, at least and at most.
const PAUSE_MS: (u64, u64) = (700, 2_200);
/// A server that does not come back within this is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Randomness that can be repeated: SplitMix64.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

/// What was done, and how fast the victims came back.
#[derive(Debug, Default)]
pub struct Mischief {
    /// Deeds by name.
    pub deeds: BTreeMap<&'static str, u64>,
    /// From a kill to the next good answer, in microseconds.
    pub back_after_kill: Vec<u32>,
    /// From a hang to the next good answer.
    pub back_after_hang: Vec<u32>,
    /// Victims that did not come back in time.
    pub lost: Vec<String>,
}

#[derive(Clone, Copy)]
enum Deed {
    Kill,
    Hang,
    Crash,
    Flood,
    Garbage,
    Endless,
}

/// Does things to the victims until `end`, each victim by its own dice.
pub async fn run(gateway: &std::sync::Arc<Gateway>, mut dice: Dice, end: Instant) -> crate::Result<Mischief> {
    let mut villains = Vec::new();
    for victim in &SERVERS[HEALTHY..] {
        let (gateway, dice) = (gateway.clone(), Dice::new(dice.next()));
        villains.push(tokio::spawn(async move { torment(&gateway, victim, dice, end).await }));
    }
    let mut all = Mischief::default();
    for villain in villains {
        let one = villain.await?;
        one.deeds.into_iter().for_each(|(name, count)| *all.deeds.entry(name).or_default() += count);
        all.back_after_kill.extend(one.back_after_kill);
        all.back_after_hang.extend(one.back_after_hang);
        all.lost.extend(one.lost);
    }
    Ok(all)
}

async fn torment(gateway: &Gateway, victim: &str, mut dice: Dice, end: Instant) -> Mischief {
    let mut done = Mischief::default();
    let mut client = Client::new(gateway.address, true);
    while Instant::now() < end {
        let (least, most) = PAUSE_MS;
        sleep(Duration::from_millis(least + dice.below(most - least))).await;
        let deed = [
            Deed::Kill,
            Deed::Kill,
            Deed::Kill,
            Deed::Hang,
            Deed::Crash,
            Deed::Flood,
            Deed::Garbage,
            Deed::Endless,
        ][dice.below(8) as usize];
        let name = deed.name();
        let Some(pid) = gateway.server_process(victim) else { continue };
        *done.deeds.entry(name).or_default() += 1;
        match deed {
            Deed::Kill | Deed::Hang => {
                let signal = if matches!(deed, Deed::Kill) { Signal::KILL } else { Signal::STOP };
                // It may have ended by itself meanwhile.
                let _gone = kill_process(pid, signal);
            }
            Deed::Crash | Deed::Flood | Deed::Garbage | Deed::Endless => {
                // What it answers is its own business.
                let _answer = client.call(&deed.call(victim)).await;
            }
        }
        match back(gateway, &mut client, victim).await {
            Some(took) if matches!(deed, Deed::Kill) => done.back_after_kill.push(took),
            Some(took) if matches!(deed, Deed::Hang) => done.back_after_hang.push(took),
            Some(_) => {}
            None => done.lost.push(format!("{victim} after {name}")),
        }
    }
    done
}

/// Microseconds until the victim answers again.
async fn back(gateway: &Gateway, client: &mut Client, victim: &str) -> Option<u32> {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if let End::Good { .. } = client.call(&echo(victim, "back?".to_owned())).await {
            return u32::try_from(started.elapsed().as_micros()).ok();
        }
        sleep(Duration::from_millis(5)).await;
        if gateway.server_process(victim).is_none() {
            sleep(Duration::from_millis(5)).await;
        }
    }
    None
}

impl Deed {
    fn name(self) -> &'static str {
        match self {
            Deed::Kill => "kill -9",
            Deed::Hang => "hang (SIGSTOP)",
            Deed::Crash => "exit in a call",
            Deed::Flood => "flood of notes",
            Deed::Garbage => "garbage on stdout",
            Deed::Endless => "line without end",
        }
    }

    fn call(self, victim: &str) -> Call {
        let (tool, arguments) = match self {
            Deed::Flood => ("flood", json!({ "notes": 20_000 })),
            Deed::Garbage => ("garbage", json!({})),
            Deed::Endless => ("endless", json!({})),
            _ => ("crash", json!({ "code": 1 })),
        };
        Call {
            tool: format!("{victim}__{tool}"),
            arguments,
            expected: None,
            timed: false,
            progress: matches!(self, Deed::Flood),
        }
    }
}
