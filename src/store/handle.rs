//! The face of the store: a handle that any number of tasks may hold.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;

use super::keys::{KeysVersion, StoredKey};
use super::owner::{Ask, Owner};
use super::rows::{EraVerdict, Revocation, StoredCatalog, Write};
use super::schema::LAYOUT;
use crate::base::Era;
use crate::sqlite::{self, OpenError, Reply, Unavailable};

/// The database's name in the data directory.
pub(super) const FILE_NAME: &str = "trunkline.db";
/// Changes that may wait for the disk. The commonest, a revocation, takes about 100 bytes: under 1 MB in all.
pub(super) const QUEUE_LEN: usize = 8_192;
/// KiB of catalogs that may wait for the disk: a fleet of 200 servers with 300 KiB of lists each.
const QUEUED_KIB: usize = 64 * 1_024;
/// Questions that may wait for the owner; more make the asker wait.
const ASKS_LEN: usize = 64;
/// How long `open` waits for the first look at the file. It takes about a millisecond; when something is in
/// the way (a lock, a dead network disk) listening must not wait for it.
const OPEN_WAIT: Duration = Duration::from_millis(250);
/// How long any answer may take. Only a disk that hangs needs longer, and then the answer is "unavailable".
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// Where the store lives.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of the database; it is made if missing.
    pub data_dir: PathBuf,
}

/// How the store is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The file has not been opened yet.
    Opening,
    /// All is well.
    Serving,
    /// The file cannot be used for the reason given; the store goes on trying.
    Unavailable(Unavailable),
    /// The file is not for us, and stays untouched; nothing is kept until a restart.
    Refused(OpenError),
    /// The store has been shut down.
    Closed,
}

/// A handle to the store. Clones share it; when the last one is dropped, what is queued is written and the
/// file is closed.
#[derive(Clone)]
pub struct Store {
    writes: mpsc::Sender<Queued>,
    asks: mpsc::Sender<Ask>,
    room: Arc<Semaphore>,
    drops: Arc<Drops>,
    state: watch::Receiver<State>,
}

/// A change and the share of `QUEUED_KIB` that it holds until it is on file.
#[derive(Debug)]
pub(super) struct Queued {
    pub write: Write,
    _room: Option<OwnedSemaphorePermit>,
}

/// Changes that found no room.
#[derive(Debug, Default)]
pub(super) struct Drops {
    count: AtomicU64,
    reported: AtomicBool,
}

impl Store {
    /// Opens the store and starts the task that owns it.
    ///
    /// Returns after the first look at the file, or after 250 ms when that is held up; everything else
    /// happens in the background. Trouble with the file is no error here, see [`State`].
    ///
    /// # Errors
    /// If the database is a newer version's or another program's.
    pub async fn open(options: Options) -> Result<Store, OpenError> {
        let (writes, queued) = mpsc::channel(QUEUE_LEN);
        let (asks, asked) = mpsc::channel(ASKS_LEN);
        let (publish, state) = watch::channel(State::Opening);
        let (looked, first_look) = oneshot::channel();
        let drops = Arc::new(Drops::default());
        let path = options.data_dir.join(FILE_NAME);
        tokio::spawn(Owner::new(path, queued, asked, publish, Arc::clone(&drops)).run(looked));
        match timeout(OPEN_WAIT, first_look).await {
            Ok(Ok(Err(refusal))) => Err(refusal),
            _ => Ok(Store { writes, asks, room: Arc::new(Semaphore::new(QUEUED_KIB)), drops, state }),
        }
    }

    /// Keeps the verdict on a server's era. `key` names the server and a hash of its transport settings.
    pub fn remember_era(&self, key: &str, era: Era, version: &str) {
        self.queue(Write::RememberEra { key: key.to_owned(), era, version: version.to_owned() });
    }

    /// Drops a verdict that proved wrong.
    pub fn forget_era(&self, key: &str) {
        self.queue(Write::ForgetEra { key: key.to_owned() });
    }

    /// The verdict kept under `key`. `None` also when the store cannot tell now: then the server is probed.
    pub async fn era_verdict(&self, key: &str) -> Option<EraVerdict> {
        self.ask(|reply| Ask::Era { key: key.to_owned(), reply }).await.ok().flatten()
    }

    /// Keeps a server's lists in place of its earlier ones. To be called each time they were read: what has
    /// not been saved for 90 days is deleted.
    pub fn save_catalog(&self, server: &str, config_hash: &str, lists: Bytes) {
        let (server, config_hash) = (server.to_owned(), config_hash.to_owned());
        self.queue(Write::SaveCatalog { server, config_hash, lists });
    }

    /// All kept lists, by server name.
    ///
    /// # Errors
    /// If the file cannot be read now. [`Store::state`] tells when it can.
    pub async fn load_catalogs(&self) -> Result<Vec<StoredCatalog>, Unavailable> {
        self.ask(|reply| Ask::Catalogs { reply }).await
    }

    /// Makes a session id void until it would have expired by itself.
    pub fn revoke(&self, id_hash: [u8; 16], expires_at: SystemTime) {
        self.queue(Write::Revoke { id_hash, expires_at });
    }

    /// The revocations that still matter at `now`.
    ///
    /// # Errors
    /// If the file cannot be read now: ids that were deleted before the start would be honoured until it is
    /// loaded. [`Store::state`] tells when it can be.
    pub async fn load_revocations(&self, now: SystemTime) -> Result<Vec<Revocation>, Unavailable> {
        self.ask(|reply| Ask::Revocations { now, reply }).await
    }

    /// All API keys, also those that are void.
    ///
    /// # Errors
    /// If the file cannot be read now. [`Store::state`] tells when it can.
    pub async fn load_keys(&self) -> Result<Vec<StoredKey>, Unavailable> {
        self.ask(|reply| Ask::Keys { reply }).await
    }

    /// Where the keys stand. It costs no look at the disk.
    ///
    /// # Errors
    /// If the file cannot be read now.
    pub async fn keys_version(&self) -> Result<KeysVersion, Unavailable> {
        self.ask(|reply| Ask::KeysVersion { reply }).await
    }

    /// Puts a key on file. Answers whether it was put there: digest and hint must be new.
    ///
    /// # Errors
    /// If the file cannot be written now; the key is then not there.
    pub async fn add_key(&self, key: StoredKey) -> Result<bool, Unavailable> {
        self.ask(|reply| Ask::AddKey { key, reply }).await
    }

    /// Revokes all keys of a name, or the one with this hint. Answers how many those were.
    ///
    /// # Errors
    /// If the file cannot be written now; the keys are then still good.
    pub async fn revoke_keys(&self, name_or_hint: &str, now: SystemTime) -> Result<u64, Unavailable> {
        self.ask(|reply| Ask::RevokeKeys { name_or_hint: name_or_hint.to_owned(), now, reply }).await
    }

    /// Returns when all that was queued before this call is on file.
    ///
    /// # Errors
    /// If the file cannot be written now. The changes stay queued and are written when it can be.
    pub async fn flush(&self) -> Result<(), Unavailable> {
        self.ask(|reply| Ask::Flush { reply }).await
    }

    /// Writes what is queued and closes the file. Later changes are dropped and counted.
    ///
    /// # Errors
    /// If the last changes could not be written; they are lost.
    pub async fn shutdown(&self) -> Result<(), Unavailable> {
        self.ask(|reply| Ask::Shutdown { reply }).await
    }

    /// How the store is doing, and each change of it.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// How many changes were dropped so far because the queue was full or the store closed.
    #[must_use]
    pub fn dropped_writes(&self) -> u64 {
        self.drops.count.load(Ordering::Relaxed)
    }

    fn queue(&self, write: Write) {
        let room = match &write {
            Write::SaveCatalog { lists, .. } => {
                let kib = u32::try_from(lists.len().div_ceil(1_024)).unwrap_or(u32::MAX);
                match Arc::clone(&self.room).try_acquire_many_owned(kib) {
                    Ok(room) => Some(room),
                    Err(_) => return self.drops.add(),
                }
            }
            _ => None,
        };
        if self.writes.try_send(Queued { write, _room: room }).is_err() {
            self.drops.add();
        }
    }

    async fn ask<T>(&self, ask: impl FnOnce(Reply<T>) -> Ask) -> Result<T, Unavailable> {
        sqlite::ask(&self.asks, ask, &LAYOUT, ANSWER_WAIT).await
    }
}

impl Drops {
    fn add(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
        if !self.reported.swap(true, Ordering::Relaxed) {
            tracing::warn!("the store's queue is full: changes are dropped until the disk keeps up again");
        }
    }

    /// Says how it went once there is room again.
    pub(super) fn relieved(&self) {
        if self.reported.swap(false, Ordering::Relaxed) {
            let dropped_so_far = self.count.load(Ordering::Relaxed);
            tracing::warn!(dropped_so_far, "the store's queue has room again");
        }
    }
}
