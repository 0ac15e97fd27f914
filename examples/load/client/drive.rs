//! The closed loop: every lane sends its next call when its last one was answered.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::check::{Checker, Fault, Faults};
use super::connection::Connection;
use super::request::{CallTemplate, Url, handshake};
use crate::options::Era;
use crate::stats::Samples;

/// How long replies may take to arrive after a round's time is up.
const GRACE: Duration = Duration::from_secs(15);
/// Faults after which a lane gives up, so that a refusing server is not hammered.
const MAX_FAULTS: u64 = 100;

/// One connection, with its session when the era has one, and its calls.
#[derive(Debug)]
pub struct Lane {
    connection: Connection,
    template: CallTemplate,
    checker: Checker,
}

/// What one round saw.
#[derive(Debug, Default)]
pub struct Round {
    /// Latencies of the right replies.
    pub samples: Samples,
    /// Everything else.
    pub faults: Faults,
    /// From the first request to the last reply.
    pub elapsed: Duration,
}

impl Round {
    /// Right replies a second.
    pub fn rate(&self) -> f64 {
        self.samples.len() as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

impl Connection {
    /// Does the era's handshake and returns the session, empty where there is none.
    pub async fn shake_hands(&mut self, url: &Url, era: Era) -> Result<String, Fault> {
        if era == Era::Modern {
            return Ok(String::new());
        }
        let reply = self.ask(&handshake(url, None)).await?;
        super::check::result_of(&reply, b"1")?;
        let session = reply.head.session.clone().unwrap_or_default();
        let reply = self.ask(&handshake(url, Some(&session))).await?;
        match reply.head.status {
            200..300 => Ok(session),
            status => Err(Fault::Status(status, "notifications/initialized was refused".into())),
        }
    }
}

impl Lane {
    /// Connects and does the handshake. `number` tells lanes apart in ids.
    pub async fn open(url: &Url, era: Era, tool: &str, number: usize, payload: usize) -> Result<Self, Fault> {
        let mut connection = Connection::open(url.address).await?;
        let session = connection.shake_hands(url, era).await?;
        let template = CallTemplate::new(url, era, &session, tool, number, payload);
        Ok(Self { connection, template, checker: Checker::default() })
    }

    /// One call, checked.
    pub async fn call(&mut self) -> Result<(), Fault> {
        self.template.advance();
        let received = self.connection.exchange(self.template.bytes()).await?;
        self.checker.check(&received, self.template.id(), self.template.text())
    }

    async fn run(mut self, until: Instant, most: u32) -> (Option<Self>, Samples, Faults) {
        let mut samples = Samples::default();
        let mut faults = Faults::default();
        let mut before = Instant::now();
        for _ in 0..most {
            let outcome = self.call().await;
            let after = Instant::now();
            match outcome {
                Ok(()) => samples.record(after - before),
                Err(fault) => {
                    faults.add(&fault);
                    if !fault.connection_is_sound() {
                        return (None, samples, faults);
                    }
                }
            }
            before = after;
            if after >= until || faults.total() >= MAX_FAULTS {
                break;
            }
        }
        (Some(self), samples, faults)
    }
}

/// Runs one round on all lanes at once. A lane whose connection broke, or whose reply never came, is gone
/// afterwards and its fault counted.
pub async fn drive(lanes: &mut Vec<Lane>, time: Duration, most: u32) -> Round {
    let mut round = Round::default();
    let mut running = JoinSet::new();
    let start = Instant::now();
    for lane in lanes.drain(..) {
        running.spawn(lane.run(start + time, most));
    }
    let limit = start + time + GRACE;
    while !running.is_empty() {
        match timeout_at(limit, running.join_next()).await {
            Ok(Some(Ok((lane, samples, faults)))) => {
                lanes.extend(lane);
                round.samples.absorb(samples);
                round.faults.absorb(&faults);
            }
            Ok(_) => round.faults.add(&Fault::Shape("a lane of the load tool broke".into())),
            Err(_) => {
                (0..running.len()).for_each(|_| round.faults.add(&Fault::Overdue));
                break;
            }
        }
    }
    round.elapsed = start.elapsed();
    round
}
