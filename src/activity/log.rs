//! The face of the log: a handle that any number of tasks may hold.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};

use super::entry::{Entry, Row};
use super::gap::Drops;
use super::options::{Options, Terms};
use super::payload::Room;
use super::schema::LAYOUT;
use super::terms::InForce;
use super::writer::{Ask, Writer};
use crate::sqlite::{self, OpenError, Reply, Unavailable};

/// The database's name in the data directory.
const FILE_NAME: &str = "activity.db";
/// Questions that may wait for the writer; more make the asker wait.
const ASKS_LEN: usize = 16;
/// How long any answer may take. A full queue is written in half a second; only a disk that hangs needs longer.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// How the log is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The file has not been opened yet.
    Opening,
    /// All is well.
    Serving,
    /// The file cannot be used for the reason given; the log goes on trying.
    Unavailable(Unavailable),
    /// The file is not for us, and stays untouched; nothing is kept until a restart.
    Refused(OpenError),
    /// The log has been shut down.
    Closed,
}

/// A handle to the log. Clones share it; when the last one is dropped, what is queued is written and the file is closed.
#[derive(Clone, Default)]
pub struct ActivityLog(Option<Arc<Inner>>);

struct Inner {
    rows: mpsc::Sender<Row>,
    asks: mpsc::Sender<Ask>,
    /// Wakes the writer before its time.
    crowded: Arc<Notify>,
    drops: Arc<Drops>,
    state: watch::Receiver<State>,
    path: PathBuf,
    payloads: Room,
    terms: Arc<InForce>,
}

impl ActivityLog {
    /// A log that keeps nothing.
    pub fn off() -> ActivityLog {
        ActivityLog(None)
    }

    /// Starts the task that owns the file. Trouble with the file is no error here, see [`State`].
    pub fn start(options: &Options) -> ActivityLog {
        let (rows, queued) = mpsc::channel(options.queue);
        let (asks, asked) = mpsc::channel(ASKS_LEN);
        let (publish, state) = watch::channel(State::Opening);
        let (crowded, drops) = (Arc::new(Notify::new()), Arc::new(Drops::default()));
        let terms = Arc::new(InForce::new(options.terms.clone()));
        let path = Self::file_in(&options.data_dir);
        let writer = Writer::new(
            path.clone(),
            Arc::clone(&terms),
            (queued, asked, Arc::clone(&crowded)),
            publish,
            Arc::clone(&drops),
        );
        tokio::spawn(writer.run());
        ActivityLog(Some(Arc::new(Inner {
            rows,
            asks,
            crowded,
            drops,
            state,
            path,
            payloads: Room::default(),
            terms,
        })))
    }

    /// Where the log of a gateway lies whose own files are in `data_dir`.
    pub fn file_in(data_dir: &Path) -> PathBuf {
        data_dir.join(FILE_NAME)
    }

    /// Whether anything is kept.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Has the log kept on these terms from now on: rows that are not written yet, and what is cleared away next.
    pub fn replace(&self, terms: Terms) {
        if let Some(inner) = &self.0 {
            inner.terms.replace(terms);
        }
    }

    /// Keeps a call that has just ended. Never waits; without room the call is counted as lost.
    pub fn record(&self, entry: &Entry<'_>) {
        let Some(inner) = &self.0 else { return };
        let mut row = Row::pack(entry);
        if let Some((request, reply)) = entry.payload {
            row.payload = inner.payloads.take(request, reply, inner.terms.get().terms.capture_limit);
        }
        if inner.rows.try_send(row).is_err() {
            return inner.drops.add();
        }
        if inner.rows.capacity() < inner.rows.max_capacity() / 2 {
            inner.crowded.notify_one();
        }
    }

    /// Returns when all that was recorded before this call is on file.
    ///
    /// # Errors
    /// If the file cannot be written now. The rows stay queued and are written when it can be.
    pub async fn flush(&self) -> Result<(), Unavailable> {
        self.ask(|reply| Ask::Flush { reply }).await
    }

    /// Writes what is queued and closes the file. Later calls are counted as lost.
    ///
    /// # Errors
    /// If the last rows could not be written; they are lost.
    pub async fn shutdown(&self) -> Result<(), Unavailable> {
        self.ask(|reply| Ask::Shutdown { reply }).await
    }

    /// How the log is doing, and each change of it; `None` if it is off.
    pub fn state(&self) -> Option<watch::Receiver<State>> {
        self.0.as_ref().map(|inner| inner.state.clone())
    }

    /// How many calls went unrecorded in this run.
    pub fn dropped_rows(&self) -> u64 {
        self.0.as_ref().map_or(0, |inner| inner.drops.count())
    }

    /// The file, for [`super::Reader`]; `None` if the log is off.
    pub fn path(&self) -> Option<&Path> {
        self.0.as_ref().map(|inner| inner.path.as_path())
    }

    async fn ask<T: Default>(&self, ask: impl FnOnce(Reply<T>) -> Ask) -> Result<T, Unavailable> {
        let Some(inner) = &self.0 else { return Ok(T::default()) };
        sqlite::ask(&inner.asks, ask, &LAYOUT, ANSWER_WAIT).await
    }
}

impl std::fmt::Debug for ActivityLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ActivityLog").field(&self.path()).finish()
    }
}
