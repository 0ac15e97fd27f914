//! Taking another configuration while the gateway runs: read, check, compare, take over; or leave everything as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use zeroize::Zeroizing;

use crate::base::{FINGERPRINT, fingerprint};
use crate::config::{self, Config, Loaded, Setting, Sources};
use crate::platform::Notifier;
use crate::supervisor::Applied;
use crate::telemetry::names;

use super::live::Live;

/// How a running gateway is told to read its configuration again. Cloning is cheap.
#[derive(Clone)]
pub struct Reloader(Arc<Inner>);

struct Inner {
    sources: Sources,
    live: Live,
    notifier: Notifier,
    /// What holds. The lock makes one reload wait for the one before.
    loaded: Mutex<Loaded>,
    /// What the files were when they were read last.
    seen: StdMutex<[u8; FINGERPRINT]>,
    /// The settings of the start: those that wait for a restart are compared with them.
    started: Vec<Setting>,
    last: watch::Sender<Option<Arc<Reloaded>>>,
}

/// How a reload ended: the event that it is.
#[derive(Debug)]
pub struct Reloaded {
    /// When.
    pub at: SystemTime,
    /// Who asked: a signal, the admin API, a changed file.
    pub cause: &'static str,
    /// What came of it.
    pub outcome: Result<Summary, Refused>,
}

/// What a reload changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// What became of the servers.
    pub servers: Applied,
    /// Keys of the daemon that have changed and hold now.
    pub changed: Vec<String>,
    /// Keys that have changed since the start and wait for a restart.
    pub restart: Vec<String>,
}

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Every fault in a line: where, what and the cure.
    pub faults: Vec<String>,
}

impl Reloader {
    /// A reloader of what has just been started.
    pub fn new(sources: Sources, loaded: Loaded, live: Live, notifier: Notifier) -> Reloader {
        let started = loaded.settings.clone();
        let seen = StdMutex::new(look(&watched(&loaded)));
        let (loaded, last) = (Mutex::new(loaded), watch::Sender::new(None));
        Reloader(Arc::new(Inner { sources, live, notifier, loaded, seen, started, last }))
    }

    /// Reads the configuration again and takes it over, if it is right. One at a time; the same again changes nothing.
    pub async fn reload(&self, cause: &'static str) -> Arc<Reloaded> {
        let inner = &self.0;
        let mut loaded = inner.loaded.lock().await;
        inner.notifier.reloading();
        let read = self.read(&loaded).await;
        let outcome = match read.and_then(|next| inner.live.against(&next.config).map_or(Ok(next), refused)) {
            Ok(next) => {
                let servers = inner.live.apply(&next.config);
                let summary = Summary {
                    servers,
                    changed: changed(&loaded, &next),
                    restart: differing(&inner.started, &next.settings, false),
                };
                *loaded = next;
                Ok(summary)
            }
            Err(refused) => Err(refused),
        };
        inner.notifier.ready(&status(&inner.live));
        let (word, reloaded) = (
            if outcome.is_ok() { "taken" } else { "refused" },
            Reloaded { at: SystemTime::now(), cause, outcome },
        );
        names::RELOADS.counter(&[word]).increment(1);
        match &reloaded.outcome {
            Ok(summary) => info!(cause, "configuration reloaded: {summary}"),
            Err(refused) => warn!(cause, "configuration not reloaded, everything stays as it is: {refused}"),
        }
        let reloaded = Arc::new(reloaded);
        inner.last.send_replace(Some(Arc::clone(&reloaded)));
        reloaded
    }

    /// How the last reload ended; follow it with `changed()`.
    pub fn last(&self) -> watch::Receiver<Option<Arc<Reloaded>>> {
        self.0.last.subscribe()
    }

    /// The configuration in force, and where each setting came from.
    pub async fn loaded(&self) -> Loaded {
        self.0.loaded.lock().await.clone()
    }

    /// The configuration in force.
    pub async fn config(&self) -> Config {
        self.0.loaded.lock().await.config.clone()
    }

    /// How the gateway is, in a line for the service manager.
    pub fn status(&self) -> String {
        status(&self.0.live)
    }

    async fn read(&self, before: &Loaded) -> Result<Loaded, Refused> {
        let (inner, before) = (Arc::clone(&self.0), watched(before));
        // Files can be on a disk that hangs.
        let read = tokio::task::spawn_blocking(move || {
            // Looked at first: what changes while they are read is seen by the next look.
            inner.note(look(&before));
            config::load(inner.sources.clone())
        });
        match read.await {
            Ok(Ok(loaded)) => Ok(loaded),
            Ok(Err(faults)) => {
                let line = |fault: &config::Fault| {
                    format!("{}: {}; {}", fault.place(), fault.message(), fault.help())
                };
                Err(Refused { faults: faults.iter().map(line).collect() })
            }
            Err(error) => Err(Refused { faults: vec![format!("it could not be read: {error}")] }),
        }
    }

    /// Reloads whenever the files have changed and have been quiet for one look, until `stop`.
    pub async fn watch(self, stop: CancellationToken) {
        let mut restless = None;
        loop {
            let (every, paths) = {
                let loaded = self.0.loaded.lock().await;
                (loaded.config.gateway.watch, watched(&loaded))
            };
            let wait = tokio::time::sleep(every.unwrap_or(UNWATCHED));
            if stop.run_until_cancelled(wait).await.is_none() {
                return;
            }
            if every.is_none() {
                continue;
            }
            let Ok(now) = tokio::task::spawn_blocking(move || look(&paths)).await else { continue };
            if now == self.0.seen() {
                restless = None;
            } else if restless == Some(now) {
                restless = None;
                self.reload("a changed file").await;
            } else {
                // An editor may be in the middle of writing: what has changed is taken when two looks agree.
                restless = Some(now);
            }
        }
    }
}

impl Inner {
    fn seen(&self) -> [u8; FINGERPRINT] {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, seen: [u8; FINGERPRINT]) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }
}

/// How soon it is noticed that files are to be watched.
const UNWATCHED: Duration = Duration::from_secs(5);

fn refused(fault: String) -> Result<Loaded, Refused> {
    Err(Refused { faults: vec![fault] })
}

/// Keys of the daemon that have changed and hold now, those included whose files have.
fn changed(before: &Loaded, after: &Loaded) -> Vec<String> {
    let mut keys = differing(&before.settings, &after.settings, true);
    let tls = |loaded: &Loaded| loaded.config.gateway.tls.as_ref().and_then(|tls| tls.identity.clone());
    let (before, after) = (tls(before), tls(after));
    if before.is_some() && after.is_some() && before != after {
        keys.push("gateway.tls.certificate".to_owned());
        keys.sort();
        keys.dedup();
    }
    keys
}

/// What a configuration comes from: its files and folders, and the files of the certificate.
fn watched(loaded: &Loaded) -> Vec<PathBuf> {
    let tls = loaded.config.gateway.tls.iter().flat_map(|tls| [tls.certificate.clone(), tls.key.clone()]);
    loaded.paths.iter().cloned().chain(tls).collect()
}

/// A number that changes when any of the files does. They are small, and times of files can lie.
fn look(paths: &[PathBuf]) -> [u8; FINGERPRINT] {
    // Each once: a drop-in is in its folder, too, and one that is new there is no other than one that is known.
    let mut files = BTreeSet::new();
    for path in paths {
        match std::fs::read_dir(path) {
            Err(_) => drop(files.insert(path.clone())),
            Ok(entries) => {
                let inside = entries.filter_map(|entry| Some(entry.ok()?.path()));
                files.extend(inside.filter(|path| path.extension().is_some_and(|name| name == "toml")));
            }
        }
    }
    let mut all = Zeroizing::new(Vec::new());
    for path in files {
        all.extend(path.as_os_str().as_encoded_bytes());
        all.push(0);
        all.extend(std::fs::read(path).unwrap_or_default());
        all.push(0);
    }
    fingerprint(&all)
}

/// Keys of the daemon whose value is another, of those that a reload brings into effect or of the others.
fn differing(before: &[Setting], after: &[Setting], live: bool) -> Vec<String> {
    let values = |settings: &[Setting]| -> BTreeMap<String, String> {
        settings.iter().map(|setting| (setting.key.clone(), setting.value.clone())).collect()
    };
    let (before, after) = (values(before), values(after));
    let keys = before.keys().chain(after.keys().filter(|key| !before.contains_key(*key)));
    keys.filter(|key| !key.starts_with("servers.") && !key.starts_with("defaults."))
        .filter(|key| before.get(*key) != after.get(*key))
        .filter(|key| config::doc_of(key).is_some_and(|doc| doc.is_live()) == live)
        .cloned()
        .collect()
}

fn status(live: &Live) -> String {
    let servers = live.front.router.fleet().servers();
    let ready = servers.iter().filter(|server| server.live().is_some() || server.is_dormant()).count();
    format!("{ready} of {} servers are ready", servers.iter().count())
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |names: &[crate::base::ServerName]| {
            names.iter().map(|name| name.as_str().to_owned()).collect::<Vec<_>>()
        };
        let Applied { added, replaced, removed, unchanged } = &self.servers;
        let parts = [
            ("servers added", names(added)),
            ("replaced", names(replaced)),
            ("removed", names(removed)),
            ("settings changed", self.changed.clone()),
            ("wait for a restart", self.restart.clone()),
        ];
        for (what, which) in parts.iter().filter(|(_, which)| !which.is_empty()) {
            write!(f, "{what}: {}; ", which.join(", "))?;
        }
        write!(f, "servers unchanged: {unchanged}")
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.faults.join("; "))
    }
}
