//! The one task that owns the database.
//!
//! # Theory of operation
//!
//! Changes are taken off the queue in batches, each batch one transaction. A batch stays in hand until it is on
//! file, so trouble loses nothing but what no longer fits into the queue behind it. Questions have a channel of
//! their own; before one is answered, the changes that were queued before it are written, so that a caller
//! reads what it wrote.
//!
//! What goes wrong with the file is [`Tended`]'s; here it decides what is done next. While hindered, questions are
//! answered from the old connection if it still reads, and never wait for the next attempt.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

use super::handle::{Drops, Queued, State};
use super::keys::{AddKey, AllKeys, DataVersion, KeysVersion, RevokeKeys, StoredKey};
use super::rows::{self, EraVerdict, Question, Revocation, StoredCatalog};
use super::schema::LAYOUT;
use crate::sqlite::{Fault, Health, OpenError, Reply, Tended, Unavailable, Verdict};

/// Changes in one transaction. Larger batches gain nothing: at 1,000 the cost of the commit is shared out.
const BATCH_LEN: usize = 1_000;
/// How often expired rows are deleted.
const PRUNE_EVERY: Duration = Duration::from_secs(3_600);

/// What a handle may ask for.
pub(super) enum Ask {
    Era { key: String, reply: Reply<Option<EraVerdict>> },
    Catalogs { reply: Reply<Vec<StoredCatalog>> },
    Revocations { now: SystemTime, reply: Reply<Vec<Revocation>> },
    Keys { reply: Reply<Vec<StoredKey>> },
    KeysVersion { reply: Reply<KeysVersion> },
    AddKey { key: StoredKey, reply: Reply<bool> },
    RevokeKeys { name_or_hint: String, now: SystemTime, reply: Reply<u64> },
    Flush { reply: Reply<()> },
    Shutdown { reply: Reply<()> },
}

pub(super) struct Owner {
    database: Tended,
    queued: mpsc::Receiver<Queued>,
    asked: mpsc::Receiver<Ask>,
    state: watch::Sender<State>,
    drops: Arc<Drops>,
    batch: Vec<Queued>,
    prune_due: bool,
    /// Changes of keys made by this process.
    key_changes: u64,
}

enum Next {
    Prune,
    Ask(Option<Ask>),
    Retry,
    Write,
}

impl Owner {
    pub fn new(
        path: PathBuf,
        queued: mpsc::Receiver<Queued>,
        asked: mpsc::Receiver<Ask>,
        state: watch::Sender<State>,
        drops: Arc<Drops>,
    ) -> Owner {
        let database = Tended::new(&LAYOUT, path);
        let batch = Vec::with_capacity(BATCH_LEN);
        Owner { database, queued, asked, state, drops, batch, prune_due: true, key_changes: 0 }
    }

    /// Works until the last handle is gone or one of them says so. `looked` hears whether the file is for us.
    pub async fn run(mut self, looked: oneshot::Sender<Result<(), OpenError>>) {
        if let Err(fault) = self.database.connect().await {
            self.suffer(fault).await;
        }
        let refusal = match self.database.health() {
            Health::Refused(refusal) => Err(refusal.clone()),
            _ => Ok(()),
        };
        let _ = looked.send(refusal);
        self.work().await;

        let mut prune = interval(PRUNE_EVERY);
        prune.set_missed_tick_behavior(MissedTickBehavior::Delay);
        prune.reset();
        loop {
            match self.next(&mut prune).await {
                Next::Prune => {
                    self.prune_due = true;
                    self.work().await;
                }
                Next::Retry => {
                    self.database.disconnect().await;
                    self.work().await;
                }
                Next::Write => self.work().await,
                Next::Ask(Some(Ask::Shutdown { reply })) => {
                    let _ = reply.send(self.close().await);
                    return;
                }
                Next::Ask(Some(ask)) => self.answer(ask).await,
                Next::Ask(None) => {
                    let _ = self.close().await;
                    return;
                }
            }
        }
    }

    async fn next(&mut self, prune: &mut Interval) -> Next {
        let retry_at = self.database.health().retry_at();
        let good = self.database.is_good();
        let refused = matches!(self.database.health(), Health::Refused(_));
        tokio::select! {
            biased;
            _ = prune.tick(), if good => Next::Prune,
            ask = self.asked.recv() => Next::Ask(ask),
            () = sleep_until(retry_at.unwrap_or_else(Instant::now)), if retry_at.is_some() => Next::Retry,
            // A closed queue means that the last handle went; `asked` ends with it.
            1.. = self.queued.recv_many(&mut self.batch, BATCH_LEN), if good || refused => Next::Write,
        }
    }

    /// Does what there is to do; what goes wrong decides what `next` waits for.
    async fn work(&mut self) {
        if let Health::Refused(_) = self.database.health() {
            self.batch.clear();
            return;
        }
        while let Err(fault) = self.attempt().await {
            if !self.suffer(fault).await {
                return;
            }
        }
        self.thrive();
    }

    async fn attempt(&mut self) -> Result<(), Fault> {
        let conn = self.database.ready().await?;
        if self.prune_due {
            let expired = rows::prune(conn, SystemTime::now()).await?;
            tracing::debug!(expired, "expired revocations deleted");
            self.prune_due = false;
        }
        if !self.batch.is_empty() {
            commit(conn, &self.batch).await?;
            self.batch.clear();
        }
        Ok(())
    }

    /// Takes in a fault. True if the work can be tried again at once.
    async fn suffer(&mut self, fault: Fault) -> bool {
        let verdict = self.database.suffer(fault).await;
        match (verdict, self.database.health()) {
            // What is in the new file is not old enough to be pruned.
            (Verdict::Afresh, _) => self.prune_due = false,
            (_, Health::Refused(refusal)) => {
                self.state.send_replace(State::Refused(refusal.clone()));
            }
            (Verdict::Wait { news: true }, _) => {
                self.state.send_replace(State::Unavailable(self.database.why_not()));
            }
            _ => {}
        }
        verdict == Verdict::Afresh
    }

    fn thrive(&mut self) {
        self.database.thrive();
        self.drops.relieved();
        self.state.send_if_modified(|state| {
            let changed = *state != State::Serving;
            *state = State::Serving;
            changed
        });
    }

    /// Writes all that is queued at this moment, unless there is trouble already.
    async fn settle(&mut self) -> Result<(), Unavailable> {
        let mut waiting = self.queued.len();
        while waiting > 0 && self.database.is_good() {
            while self.batch.len() < BATCH_LEN && waiting > 0 {
                waiting -= 1;
                self.batch.extend(self.queued.try_recv());
            }
            self.work().await;
        }
        self.database.usable()
    }

    async fn answer(&mut self, ask: Ask) {
        let settled = self.settle().await;
        match ask {
            Ask::Flush { reply } | Ask::Shutdown { reply } => drop(reply.send(settled)),
            Ask::Era { key, reply } => drop(reply.send(self.read(rows::EraOf(key)).await)),
            Ask::Catalogs { reply } => drop(reply.send(self.read(rows::AllCatalogs).await)),
            Ask::Revocations { now, reply } => drop(reply.send(self.read(rows::RevocationsAt(now)).await)),
            Ask::Keys { reply } => drop(reply.send(self.read(AllKeys).await)),
            Ask::KeysVersion { reply } => {
                let data = self.read(DataVersion).await;
                let (connection, own) = (self.database.connections(), self.key_changes);
                drop(reply.send(data.map(|data| KeysVersion { connection, data, own })));
            }
            Ask::AddKey { key, reply } => {
                self.key_changes += 1;
                drop(reply.send(self.read(AddKey(key)).await));
            }
            Ask::RevokeKeys { name_or_hint, now, reply } => {
                self.key_changes += 1;
                drop(reply.send(self.read(RevokeKeys(name_or_hint, now)).await));
            }
        }
    }

    /// Reads, and reads once more from the empty database if the first one turns out to be damaged.
    async fn read<Q: Question>(&mut self, question: Q) -> Result<Q::Answer, Unavailable> {
        loop {
            let Some(conn) = self.database.as_it_is() else { return Err(self.database.why_not()) };
            let fault = match question.put(conn).await {
                Ok(answer) => return Ok(answer),
                Err(error) => Fault::from(error),
            };
            if !self.suffer(fault).await {
                return Err(self.database.why_not());
            }
            self.work().await;
        }
    }

    async fn close(&mut self) -> Result<(), Unavailable> {
        self.queued.close();
        if matches!(self.database.health(), Health::Hindered { .. }) {
            // One last attempt, whatever the schedule says.
            self.database.disconnect().await;
            self.work().await;
        }
        let result = self.settle().await;
        let lost = self.batch.len() + self.queued.len();
        if lost > 0 {
            tracing::warn!(lost, "the store was closed before its last changes could be written");
        }
        self.database.disconnect().await;
        self.state.send_replace(State::Closed);
        result
    }
}

async fn commit(conn: &mut SqliteConnection, batch: &[Queued]) -> sqlx::Result<()> {
    let now = SystemTime::now();
    // Immediate: waiting for another process's lock works only at the start of a transaction.
    let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
    for queued in batch {
        queued.write.execute(&mut transaction, now).await?;
    }
    transaction.commit().await
}
