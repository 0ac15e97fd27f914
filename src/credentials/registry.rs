//! Whose login is whose, and whether one has come or gone on disk.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};

use crate::base::ServerName;
use crate::config::{Server, Transport};

use super::handle::{ASKS, Credential, Held, LoginState, Shared};
use super::owner::Owner;
use super::vault::Vault;
use super::web::{Way, Web};

/// What logins are made from.
pub struct CredentialsOptions {
    /// Where they are kept.
    pub vault: Vault,
}

/// The logins of all servers.
pub struct Credentials {
    vault: Vault,
    known: Mutex<HashMap<ServerName, Entry>>,
    /// Bumped whenever a login on disk may have changed.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Entry {
    credential: Weak<Credential>,
    /// One renewal at a time, also while a server of a changed entry follows the one before.
    gate: Arc<tokio::sync::Mutex<()>>,
}

/// How often it is looked whether somebody has logged in or out: a person hardly notices, and a look costs microseconds.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Credentials {
    /// Starts looking after the logins, until the last handle is gone.
    pub fn start(options: CredentialsOptions) -> Arc<Credentials> {
        let CredentialsOptions { vault } = options;
        let changes = watch::Sender::new(0);
        let credentials = Arc::new(Credentials { vault, known: Mutex::default(), changes });
        tokio::spawn(look(Arc::downgrade(&credentials)));
        credentials
    }

    /// The login of a server; nothing, if its entry leaves none to be made.
    pub fn of(&self, server: &Server) -> Option<Arc<Credential>> {
        let (Transport::Http { url, .. }, Some(settings)) = (&server.transport, &server.oauth) else {
            return None;
        };
        let way = Way::of(server);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = known.entry(server.name.clone()).or_default();
        if let Some(credential) = entry.credential.upgrade()
            && credential.shared.url == *url.uri()
            && credential.shared.settings == *settings
            && *credential.shared.way == way
        {
            return Some(credential);
        }
        let (asks, asked) = mpsc::channel(ASKS);
        let shared = Arc::new(Shared {
            name: server.name.clone(),
            url: url.uri().clone(),
            settings: settings.clone(),
            way: Arc::new(way),
            held: ArcSwap::from_pointee(Held::Unread),
            state: watch::Sender::new(LoginState::NotAsked),
        });
        let owner = Owner::new(
            Arc::clone(&shared),
            Web::by(Arc::clone(&shared.way)),
            self.vault.clone(),
            Arc::clone(&entry.gate),
            self.changes.subscribe(),
        );
        tokio::spawn(owner.run(asked));
        let credential = Arc::new(Credential { shared, asks });
        entry.credential = Arc::downgrade(&credential);
        Some(credential)
    }
}

async fn look(credentials: Weak<Credentials>) {
    let mut seen = None;
    loop {
        let Some(vault) = credentials.upgrade().map(|credentials| credentials.vault.clone()) else { return };
        // The folder may be on a disk that hangs.
        let now = tokio::task::spawn_blocking(move || vault.changed_at()).await.unwrap_or_default();
        if now != seen {
            seen = now;
            if let Some(credentials) = credentials.upgrade() {
                credentials.changes.send_modify(|count| *count += 1);
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}
