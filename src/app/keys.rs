//! API keys as an operator handles them. They go straight to the file, whether a gateway runs or not; a running one sees
//! the change by itself.

use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::guard::{MintedKey, is_key_name, mint};
use crate::sqlite::{OpenError, Unavailable};
use crate::store::{self, State, Store, StoredKey};

/// What a new key is to be.
#[derive(Debug)]
pub struct NewKey {
    /// Whose it is.
    pub name: String,
    /// What it is good for.
    pub scopes: Vec<String>,
    /// How long it is good; without this, for ever.
    pub life: Option<Duration>,
    /// Whether the name may have another key in force.
    pub another: bool,
}

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The name is none.
    #[error(
        "'{0}' cannot name a key: write 1 to 64 letters, digits and `.`, `_`, `-`, `@`, a letter or digit first"
    )]
    Name(String),
    /// The name is taken.
    #[error(
        "'{0}' has a key that is in force; revoke it first, or, so that its holder can change over, add --another \
         and revoke the old one later"
    )]
    Taken(String),
    /// A life that ends beyond what clocks can tell.
    #[error("the key would expire later than this machine's clock can tell; leave --expires out")]
    TooLong,
    /// The file cannot be used now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The file is not ours.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The system gives us no runtime.
    #[error("the system refuses what is needed to open the store: {0}")]
    System(#[from] std::io::Error),
    /// The generator has repeated itself.
    #[error("the new key was not taken; try again")]
    Repeated,
}

/// Makes a key and puts it on file.
pub fn new(data_dir: &Path, wanted: NewKey) -> Result<MintedKey, KeyError> {
    if !is_key_name(&wanted.name) {
        return Err(KeyError::Name(wanted.name));
    }
    let now = SystemTime::now();
    let expires_at = match wanted.life {
        Some(life) => Some(now.checked_add(life).ok_or(KeyError::TooLong)?),
        None => None,
    };
    with_store(data_dir, async |store| {
        let in_force = |key: &StoredKey| {
            key.name == wanted.name && key.revoked_at.is_none() && key.expires_at.is_none_or(|end| end > now)
        };
        if !wanted.another && store.load_keys().await?.iter().any(in_force) {
            return Err(KeyError::Taken(wanted.name));
        }
        let minted = mint();
        let key = StoredKey {
            digest: minted.digest,
            hint: minted.hint.clone(),
            name: wanted.name,
            scopes: wanted.scopes,
            created_at: now,
            expires_at,
            revoked_at: None,
        };
        if store.add_key(key).await? { Ok(minted) } else { Err(KeyError::Repeated) }
    })
}

/// All keys on file.
pub fn list(data_dir: &Path) -> Result<Vec<StoredKey>, KeyError> {
    with_store(data_dir, async |store| Ok(store.load_keys().await?))
}

/// Revokes all keys of a name, or the one that begins so. Answers how many those were.
pub fn revoke(data_dir: &Path, name_or_hint: &str) -> Result<u64, KeyError> {
    let wanted = name_or_hint.trim_end_matches('…');
    with_store(data_dir, async |store| Ok(store.revoke_keys(wanted, SystemTime::now()).await?))
}

fn with_store<T>(
    data_dir: &Path,
    work: impl AsyncFnOnce(&Store) -> Result<T, KeyError>,
) -> Result<T, KeyError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = Store::open(store::Options { data_dir: data_dir.to_owned() }).await?;
        if let State::Unavailable(why) = &*store.state().borrow() {
            return Err(why.clone().into());
        }
        let done = work(&store).await?;
        store.shutdown().await?;
        Ok(done)
    })
}
