//! The load: workers that call all servers all the time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::client::{Call, Client};
use crate::gateway::Gateway;
use crate::mischief::Dice;
use crate::run::{SERVERS, tallies};
use crate::tally::{End, Tally};

/// Between two calls of one worker, at most: the machine must not be the bottleneck, or nothing is compared but that.
const MOST_THINKING_MS: u64 = 20;
/// What a worker does while the load is paused.
const PAUSE: Duration = Duration::from_millis(20);

/// Running workers.
pub struct Load {
    slots: Arc<Vec<Slot>>,
    paused: Arc<AtomicBool>,
    stopped: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts `workers` for each server, half of them of each era.
    pub fn start(gateway: &Gateway, workers: usize, seed: u64) -> Load {
        let slots: Arc<Vec<Slot>> = Arc::new(tallies().into_iter().map(Slot::new).collect());
        let (paused, stopped) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let mut load = Load { slots, paused, stopped, workers: Vec::new() };
        for (place, server) in SERVERS.iter().enumerate() {
            for number in 0..workers {
                let mut client = Client::new(gateway.address, number % 2 == 0);
                let mut dice = Dice::new(seed ^ ((place as u64) << 32) ^ ((number as u64) << 16) ^ 1);
                let (slots, paused, stopped) =
                    (load.slots.clone(), load.paused.clone(), load.stopped.clone());
                load.workers.push(tokio::spawn(async move {
                    while !stopped.load(Ordering::Relaxed) {
                        if paused.load(Ordering::Relaxed) {
                            // A connection that idles would be counted as a descriptor.
                            client = Client::new(client.address(), number % 2 == 0);
                            sleep(PAUSE).await;
                            continue;
                        }
                        let end = client.call(&some_call(server, &mut dice)).await;
                        slots[place].add(end);
                        sleep(Duration::from_millis(dice.below(MOST_THINKING_MS))).await;
                    }
                }));
            }
        }
        load
    }

    /// What has been counted since the last time, by server.
    pub fn take(&self) -> Vec<Tally> {
        self.slots.iter().map(Slot::take).collect()
    }

    pub fn pause(&self) {
        self.paused.store(true, Ordering::Relaxed);
    }

    pub fn resume(&self) {
        self.paused.store(false, Ordering::Relaxed);
    }

    /// Whether every server, the victims too, answers now; the names of those that do not.
    pub async fn everybody_answers(&self, gateway: &Gateway) -> Vec<String> {
        let mut silent = Vec::new();
        for server in SERVERS {
            let end = Client::new(gateway.address, true).call(&echo(server, "still there".to_owned())).await;
            if !matches!(end, End::Good { .. }) {
                silent.push(format!("{server}: {end:?}"));
            }
        }
        silent
    }

    pub async fn stop(self) {
        self.stopped.store(true, Ordering::Relaxed);
        for worker in self.workers {
            let _ended = worker.await;
        }
    }
}

/// A call of the tool that sends its message back.
pub fn echo(server: &str, message: String) -> Call {
    Call {
        tool: format!("{server}__echo"),
        arguments: json!({ "message": message }),
        expected: Some(message),
        timed: true,
        progress: false,
    }
}

/// Mostly plain calls; some that take their time, some large, some that report progress.
fn some_call(server: &str, dice: &mut Dice) -> Call {
    let plain = echo(server, format!("{:x}", dice.next()));
    match dice.below(20) {
        0 => Call {
            tool: format!("{server}__sleep"),
            arguments: json!({ "ms": dice.below(50) }),
            expected: Some("slept".to_owned()),
            timed: false,
            ..plain
        },
        1 => {
            let bytes = dice.below(100_000) as usize + 1;
            let expected = Some("x".repeat(bytes));
            Call {
                tool: format!("{server}__big"),
                arguments: json!({ "bytes": bytes }),
                expected,
                timed: false,
                ..plain
            }
        }
        2 => Call {
            tool: format!("{server}__stream"),
            arguments: json!({ "notes": 3, "ms": 1 }),
            expected: Some("3 notes".to_owned()),
            timed: false,
            progress: true,
        },
        _ => plain,
    }
}

/// A tally that workers add to and the run takes away.
struct Slot(Mutex<Tally>);

impl Slot {
    fn new(tally: Tally) -> Slot {
        Slot(Mutex::new(tally))
    }

    fn add(&self, end: End) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(end);
    }

    fn take(&self) -> Tally {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
