//! The one task that owns the file.
//!
//! # Theory of operation
//!
//! The first row after a silence starts a window; when it is over, or the queue is half full, everything queued is written
//! in batches, each one transaction. Between two windows nobody waits on the queue, so that recording a call wakes nobody.
//! A batch stays in hand until it is on file; trouble with the file loses nothing but what no longer fits into the queue
//! behind it, and that is told by a gap row as soon as anything can be written.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::chain;
use super::context::Contexts;
use super::digest::hex;
use super::entry::Row;
use super::gap::{self, Drops};
use super::insert::Pace;
use super::log::State;
use super::retention::{Step, Sweep};
use super::rows::{self, Manner};
use super::schema::LAYOUT;
use super::terms::InForce;
use crate::base::utc;
use crate::platform;
use crate::sqlite::{Fault, Health, Reply, Tended, Unavailable, Verdict};

/// Rows in one transaction. Small enough that it takes a few milliseconds of one processor, large enough that the cost of
/// the commit is shared out.
const BATCH_LEN: usize = 4_000;

/// How often the file is looked through for what is too old or too much.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// Between two steps of clearing away: room for batches, and for whoever else needs the disk.
const SWEEP_PAUSE: Duration = Duration::from_millis(50);

/// What a handle may ask for.
pub(super) enum Ask {
    Flush { reply: Reply<()> },
    Shutdown { reply: Reply<()> },
}

/// What a writer hears by.
pub(super) type Inbox = (mpsc::Receiver<Row>, mpsc::Receiver<Ask>, Arc<Notify>);

pub(super) struct Writer {
    database: Tended,
    terms: Arc<InForce>,
    sweep: Sweep,
    /// When the file is looked through next for what must go.
    sweep_at: Instant,
    queued: mpsc::Receiver<Row>,
    asked: mpsc::Receiver<Ask>,
    crowded: Arc<Notify>,
    state: watch::Sender<State>,
    drops: Arc<Drops>,
    /// Lost rows that a gap row on file tells of.
    told: u64,
    contexts: Contexts,
    batch: Vec<Row>,
    pace: Pace,
    /// When the batch in hand is due.
    due: Option<Instant>,
    /// Whether this run stands in the file.
    entered: bool,
}

enum Next {
    Ask(Option<Ask>),
    Retry,
    Began,
    Write,
    Sweep,
}

impl Writer {
    pub fn new(
        path: PathBuf,
        terms: Arc<InForce>,
        (queued, asked, crowded): Inbox,
        state: watch::Sender<State>,
        drops: Arc<Drops>,
    ) -> Writer {
        Writer {
            database: Tended::new(&LAYOUT, path),
            terms,
            sweep: Sweep::default(),
            sweep_at: Instant::now() + SWEEP_EVERY,
            queued,
            asked,
            crowded,
            state,
            drops,
            told: 0,
            contexts: Contexts::default(),
            batch: Vec::new(),
            pace: Pace::AtOnce,
            due: None,
            entered: false,
        }
    }

    /// Works until the last handle is gone or one of them says so.
    pub async fn run(mut self) {
        self.work().await;
        loop {
            match self.next().await {
                Next::Began => self.due = Some(Instant::now() + self.terms.get().terms.window),
                Next::Write => self.settle(Pace::Steady).await,
                Next::Sweep => self.sweep().await,
                Next::Retry => {
                    self.database.disconnect().await;
                    self.work().await;
                }
                Next::Ask(Some(Ask::Flush { reply })) => {
                    self.settle(Pace::AtOnce).await;
                    let _ = reply.send(self.database.usable());
                }
                Next::Ask(Some(Ask::Shutdown { reply })) => {
                    let _ = reply.send(self.close().await);
                    return;
                }
                Next::Ask(None) => {
                    let _ = self.close().await;
                    return;
                }
            }
        }
    }

    async fn next(&mut self) -> Next {
        let health = self.database.health();
        let (retry_at, good) = (health.retry_at(), self.database.is_good());
        let refused = matches!(health, Health::Refused(_));
        tokio::select! {
            biased;
            ask = self.asked.recv() => Next::Ask(ask),
            () = sleep_until(retry_at.unwrap_or_else(Instant::now)), if retry_at.is_some() => Next::Retry,
            () = sleep_until(self.due.unwrap_or_else(Instant::now)), if good && self.due.is_some() => Next::Write,
            () = self.crowded.notified(), if good && self.due.is_some() => Next::Write,
            () = sleep_until(self.sweep_at), if good => Next::Sweep,
            // A closed queue means that the last handle went; `asked` ends with it.
            1.. = self.queued.recv_many(&mut self.batch, 1), if self.due.is_none() && (good || refused) => Next::Began,
        }
    }

    /// Writes all that is queued at this moment, unless there is trouble already.
    async fn settle(&mut self, pace: Pace) {
        self.due = None;
        let mut waiting = self.queued.len();
        loop {
            // One take for all: what is queued is there, so that nobody waits.
            let room = BATCH_LEN.saturating_sub(self.batch.len()).min(waiting);
            if room > 0 {
                waiting -= self.queued.recv_many(&mut self.batch, room).await.max(1);
            }
            if matches!(self.database.health(), Health::Hindered { .. }) {
                return;
            }
            let crowded = self.queued.len() > self.queued.max_capacity() / 2;
            self.pace = if crowded { Pace::AtOnce } else { pace };
            self.work().await;
            self.pace = Pace::AtOnce;
            if waiting == 0 {
                return;
            }
        }
    }

    /// Does what there is to do; what goes wrong decides what `next` waits for.
    async fn work(&mut self) {
        if let Health::Refused(_) = self.database.health() {
            self.batch.drain(..).for_each(|_| self.drops.add());
            return;
        }
        while let Err(fault) = self.attempt().await {
            let verdict = self.database.suffer(fault).await;
            match (verdict, self.database.health()) {
                (Verdict::Afresh, _) => {
                    self.contexts.forget();
                    self.entered = false;
                    self.batch.push(gap::row(gap::DAMAGED, utc::micros(SystemTime::now()), None));
                    continue;
                }
                (_, Health::Refused(refusal)) => {
                    self.state.send_replace(State::Refused(refusal.clone()));
                }
                (Verdict::Wait { news: true }, _) => {
                    self.state.send_replace(State::Unavailable(self.database.why_not()));
                }
                _ => {}
            }
            return;
        }
        self.database.thrive();
        self.drops.relieved();
        self.state.send_if_modified(|state| {
            let changed = *state != State::Serving;
            *state = State::Serving;
            changed
        });
    }

    async fn attempt(&mut self) -> Result<(), Fault> {
        let conn = self.database.ready().await?;
        let now = utc::micros(SystemTime::now());
        if !self.entered {
            let died = rows::begin_run(conn, now, platform::is_alive).await?;
            self.entered = true;
            self.batch.extend((died > 0).then(|| gap::row(gap::KILLED, now, None)));
        }
        let lost = self.drops.count();
        let missing =
            (lost > self.told).then(|| gap::row(gap::NO_ROOM, self.drops.since(), Some(lost - self.told)));
        let rows: Vec<&Row> = self.batch.iter().chain(&missing).collect();
        if !rows.is_empty() {
            let terms = self.terms.get();
            let manner = Manner { redactor: &terms.redactor, pace: self.pace, chain: terms.terms.chain };
            rows::commit(conn, &mut self.contexts, &rows, manner).await?;
            self.batch.clear();
            self.told = lost;
        }
        Ok(())
    }

    /// Does one step of clearing away, and comes back soon if there is more.
    async fn sweep(&mut self) {
        let (now, keep) = (utc::micros(SystemTime::now()), self.terms.get().terms.keep);
        let step = match self.database.ready().await {
            Ok(conn) => self.sweep.step(conn, keep, now).await.map_err(Fault::from),
            Err(fault) => Err(fault),
        };
        let pause = match step {
            Ok(Step::More) => SWEEP_PAUSE,
            Ok(Step::Done) => {
                // Those without calls are gone, and with them their numbers.
                self.contexts.forget();
                SWEEP_EVERY
            }
            Err(fault) => {
                // The next batch meets the same fault and sees to it.
                tracing::debug!(?fault, "old rows could not be cleared away");
                SWEEP_EVERY
            }
        };
        self.sweep_at = Instant::now() + pause;
    }

    async fn close(&mut self) -> Result<(), Unavailable> {
        self.queued.close();
        if matches!(self.database.health(), Health::Hindered { .. }) {
            // One last attempt, whatever the schedule says.
            self.database.disconnect().await;
            self.work().await;
        }
        self.settle(Pace::AtOnce).await;
        let result = self.database.usable();
        let lost = self.batch.len() + self.queued.len();
        if lost > 0 {
            tracing::warn!(lost, "the activity log was closed before its last rows could be written");
        } else if let (Ok(()), Some(conn)) = (&result, self.database.as_it_is()) {
            if let Err(error) = rows::end_run(conn, utc::micros(SystemTime::now())).await {
                tracing::debug!(%error, "the end of the run could not be noted");
            }
            if self.terms.get().terms.chain
                && let Ok(Some(head)) = chain::head(conn).await
            {
                // Outside of the file, where whoever changes it may not reach.
                let digest = hex(&head.digest);
                tracing::info!(link = head.number, digest, "the chain of the activity log ends here");
            }
        }
        self.database.disconnect().await;
        self.state.send_replace(State::Closed);
        result
    }
}
