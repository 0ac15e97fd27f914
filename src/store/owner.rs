//! The one task that owns the database.
//!
//! # Theory of operation
//!
//! Changes are taken off the queue in batches, each batch one transaction. A batch stays in hand until it is on
//! file, so trouble loses nothing but what no longer fits into the queue behind it. Questions have a channel of
//! their own; before one is answered, the changes that were queued before it are written, so that a caller
//! reads what it wrote.
//!
//! Every fault has one of three consequences. *Damaged*: the file is moved aside and the same work is done on
//! a new one. *Hindered*: wait with backoff, then try again on a new connection (a connection that was opened
//! on a read-only disk stays read-only). *Refused*: give up until a restart. While hindered, questions are
//! answered from the old connection if it still reads, and never wait for the next attempt.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

use super::aside;
use super::fault::{Fault, Hindrance, OpenError, Unavailable};
use super::handle::{Drops, Queued, State};
use super::health::Health;
use super::rows::{self, EraVerdict, Question, Revocation, StoredCatalog};
use super::schema;
use crate::base::random;

/// Changes in one transaction. Larger batches gain nothing: at 1,000 the cost of the commit is shared out.
const BATCH_LEN: usize = 1_000;
/// How often expired rows are deleted.
const PRUNE_EVERY: Duration = Duration::from_secs(3_600);
/// Damaged files that one process moves aside. A disk that damages every new file would fill up with them;
/// after this many the fault counts as a hindrance.
const MAX_ASIDE: u32 = 3;

pub(super) type Reply<T> = oneshot::Sender<Result<T, Unavailable>>;

/// What a handle may ask for.
pub(super) enum Ask {
    Era { key: String, reply: Reply<Option<EraVerdict>> },
    Catalogs { reply: Reply<Vec<StoredCatalog>> },
    Revocations { now: SystemTime, reply: Reply<Vec<Revocation>> },
    Flush { reply: Reply<()> },
    Shutdown { reply: Reply<()> },
}

/// How far the connection is.
enum Link {
    Closed,
    /// Found to be for us, unchanged so far.
    Seen(SqliteConnection),
    /// Brought to today's layout.
    Ready(SqliteConnection),
}

pub(super) struct Owner {
    path: PathBuf,
    queued: mpsc::Receiver<Queued>,
    asked: mpsc::Receiver<Ask>,
    state: watch::Sender<State>,
    drops: Arc<Drops>,
    health: Health,
    link: Link,
    batch: Vec<Queued>,
    prune_due: bool,
    moved_aside: u32,
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
        let (health, link, batch) = (Health::Good, Link::Closed, Vec::with_capacity(BATCH_LEN));
        Owner { path, queued, asked, state, drops, health, link, batch, prune_due: true, moved_aside: 0 }
    }

    /// Works until the last handle is gone or one of them says so. `looked` hears whether the file is for us.
    pub async fn run(mut self, looked: oneshot::Sender<Result<(), OpenError>>) {
        if let Err(fault) = self.connect().await {
            self.suffer(fault).await;
        }
        let refusal = match &self.health {
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
                    self.disconnect().await;
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
        let retry_at = self.health.retry_at();
        let good = matches!(self.health, Health::Good);
        let refused = matches!(self.health, Health::Refused(_));
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
        if let Health::Refused(_) = self.health {
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
        self.connect().await?;
        if let Link::Seen(conn) = &mut self.link {
            schema::migrate(conn).await?;
        }
        self.link = match std::mem::replace(&mut self.link, Link::Closed) {
            Link::Seen(conn) | Link::Ready(conn) => Link::Ready(conn),
            Link::Closed => Link::Closed,
        };
        let Link::Ready(conn) = &mut self.link else { return Ok(()) };
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

    async fn connect(&mut self) -> Result<(), Fault> {
        if let Link::Closed = self.link {
            let path = self.path.clone();
            on_disk("create the database", move || aside::prepare(&path)).await?;
            self.link = Link::Seen(schema::connect(&self.path).await?);
        }
        Ok(())
    }

    async fn disconnect(&mut self) {
        if let Link::Seen(conn) | Link::Ready(conn) = std::mem::replace(&mut self.link, Link::Closed)
            && let Err(error) = conn.close().await
        {
            tracing::debug!(%error, "closing the store's connection");
        }
    }

    /// Takes in a fault. True if the work can be tried again at once.
    async fn suffer(&mut self, fault: Fault) -> bool {
        match fault {
            Fault::Damaged(how) => match self.start_afresh(&how).await {
                Ok(()) => return true,
                Err(fault) => self.hinder(fault),
            },
            Fault::Refused(refusal) => {
                tracing::error!(error = %refusal, "the store is refused; nothing is kept until a restart");
                self.state.send_replace(State::Refused(refusal.clone()));
                self.health = Health::Refused(refusal);
            }
            Fault::Hindered(why) => self.hinder(why),
        }
        false
    }

    async fn start_afresh(&mut self, how: &str) -> Result<(), Hindrance> {
        self.disconnect().await;
        if self.moved_aside == MAX_ASIDE {
            let reason = format!("every new database is damaged at once; check the disk ({how})");
            return Err(Hindrance { kind: "damaged", reason });
        }
        let path = self.path.clone();
        let moved =
            on_disk("move the damaged database aside", move || aside::move_aside(&path, SystemTime::now()));
        match moved.await {
            Ok(target) => {
                self.moved_aside += 1;
                self.prune_due = false;
                tracing::error!(
                    error = how, kept_as = %target.display(),
                    "the store was damaged; an empty one takes its place: server eras are probed again, and \
                     sessions deleted before now are no longer known as deleted"
                );
                Ok(())
            }
            Err(Fault::Hindered(why)) => Err(why),
            Err(_) => Ok(()),
        }
    }

    fn hinder(&mut self, why: Hindrance) {
        if self.health.is_news(&why) {
            tracing::error!(path = %self.path.display(), reason = %why.reason, "the store is unavailable; serving goes on");
            self.state.send_replace(State::Unavailable(Unavailable { reason: why.reason.clone() }));
        }
        self.health = self.health.hindered_by(why, Instant::now(), random::next_u64());
    }

    fn thrive(&mut self) {
        if let Health::Hindered { .. } = self.health {
            tracing::info!(path = %self.path.display(), "the store is available again");
        }
        self.health = Health::Good;
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
        while waiting > 0 && matches!(self.health, Health::Good) {
            while self.batch.len() < BATCH_LEN && waiting > 0 {
                waiting -= 1;
                self.batch.extend(self.queued.try_recv());
            }
            self.work().await;
        }
        self.health.usable()
    }

    async fn answer(&mut self, ask: Ask) {
        let settled = self.settle().await;
        match ask {
            Ask::Flush { reply } | Ask::Shutdown { reply } => drop(reply.send(settled)),
            Ask::Era { key, reply } => drop(reply.send(self.read(rows::EraOf(key)).await)),
            Ask::Catalogs { reply } => drop(reply.send(self.read(rows::AllCatalogs).await)),
            Ask::Revocations { now, reply } => drop(reply.send(self.read(rows::RevocationsAt(now)).await)),
        }
    }

    /// Reads, and reads once more from the empty database if the first one turns out to be damaged.
    async fn read<Q: Question>(&mut self, question: Q) -> Result<Q::Answer, Unavailable> {
        loop {
            let (Link::Seen(conn) | Link::Ready(conn)) = &mut self.link else {
                return Err(self.health.why_not());
            };
            let fault = match question.put(conn).await {
                Ok(answer) => return Ok(answer),
                Err(error) => Fault::from(error),
            };
            if !self.suffer(fault).await {
                return Err(self.health.why_not());
            }
            self.work().await;
        }
    }

    async fn close(&mut self) -> Result<(), Unavailable> {
        self.queued.close();
        if matches!(self.health, Health::Hindered { .. }) {
            // One last attempt, whatever the schedule says.
            self.disconnect().await;
            self.work().await;
        }
        let result = self.settle().await;
        let lost = self.batch.len() + self.queued.len();
        if lost > 0 {
            tracing::warn!(lost, "the store was closed before its last changes could be written");
        }
        self.disconnect().await;
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

/// Runs a short piece of file work where it may block.
async fn on_disk<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Fault> {
    let done =
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    done.map_err(|error| Fault::in_folder(doing, &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::Mutex;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Log {
        fn lines(&self) -> Vec<String> {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
        }
    }

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn owner() -> Owner {
        let (_, queued) = mpsc::channel(1);
        let (_, asked) = mpsc::channel(1);
        Owner::new(
            PathBuf::from("trunkline.db"),
            queued,
            asked,
            watch::channel(State::Opening).0,
            Arc::default(),
        )
    }

    fn trouble(kind: &'static str) -> Hindrance {
        Hindrance { kind, reason: format!("it is {kind}") }
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_is_logged_when_it_begins_when_it_changes_and_when_it_ends() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let _installed = tracing::subscriber::set_default(subscriber);
        let mut owner = owner();
        for kind in ["locked", "locked", "locked", "full", "full"] {
            owner.hinder(trouble(kind));
        }
        owner.thrive();
        owner.thrive();
        let lines = log.lines();
        assert_eq!(lines.len(), 3, "{lines:#?}");
        assert!(lines[0].contains("it is locked") && lines[0].contains("unavailable"), "{lines:#?}");
        assert!(lines[1].contains("it is full") && lines[1].contains("unavailable"), "{lines:#?}");
        assert!(lines[2].contains("available again"), "{lines:#?}");
    }
}
