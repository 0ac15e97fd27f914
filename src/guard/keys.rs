//! The keys in force: a table in memory, renewed when the file changes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::base::Principal;
use crate::store::{KEY_DIGEST, KeysVersion, Store, StoredKey};

use super::caller::Caller;
use super::key::digest_of;

/// How often the file is asked whether another process has changed it. The question is answered from memory that
/// SQLite shares between processes, and takes microseconds; a key that was made or revoked counts this much later.
pub const RELOAD_EVERY: Duration = Duration::from_millis(500);

/// What the principal of a key begins with; the key's name follows.
pub(super) const KEY_PRINCIPAL: &str = "key:";

/// All keys in force, for everybody who checks one.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// `None` until they have been read for the first time.
    table: ArcSwapOption<Table>,
    /// Counts the times when a credential has ceased to be good.
    ended: watch::Sender<u64>,
}

/// By the first eight bytes of the digest, which spread evenly because digests do.
#[derive(Debug, Default)]
struct Table(HashMap<u64, Vec<Entry>>);

#[derive(Debug)]
struct Entry {
    digest: [u8; KEY_DIGEST],
    caller: Caller,
    expires_at: Option<SystemTime>,
}

impl Table {
    fn get(&self, digest: &[u8; KEY_DIGEST]) -> Option<&Entry> {
        let entries = self.0.get(&place(digest))?;
        entries.iter().find(|entry| verify_slices_are_equal(&entry.digest, digest).is_ok())
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.0.values().flatten()
    }
}

impl Entry {
    fn is_over(&self, now: SystemTime) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

/// What became of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is good, and this is who holds it.
    Known(Caller),
    /// It was good once.
    Expired,
    /// It is not, or no longer, a key of ours.
    Unknown,
    /// Nobody can tell yet: the file has not been read.
    Unread,
}

impl Keys {
    /// A table that is empty, and has not been read; `ended` hears of every key that ceases to be in force.
    pub fn new(ended: watch::Sender<u64>) -> Keys {
        Keys { table: ArcSwapOption::empty(), ended }
    }

    /// Whose key it is.
    ///
    /// Nothing of the time this takes depends on how near a wrong key comes to a right one: what is looked up and
    /// compared is the digest, of which nobody can choose a part, and the comparison always reads all of it.
    pub fn check(&self, key: &str, now: SystemTime) -> Verdict {
        let table = self.table.load();
        let Some(table) = table.as_ref() else { return Verdict::Unread };
        let digest = digest_of(key);
        match table.get(&digest) {
            None => Verdict::Unknown,
            Some(entry) if entry.is_over(now) => Verdict::Expired,
            Some(entry) => Verdict::Known(entry.caller.clone()),
        }
    }

    /// Whether a principal has a key in force.
    pub fn is_in_force(&self, principal: &Principal, now: SystemTime) -> bool {
        let table = self.table.load();
        // What has not been read has not ended.
        let Some(table) = table.as_ref() else { return true };
        table.entries().any(|entry| entry.caller.principal() == principal && !entry.is_over(now))
    }

    /// Takes what is on file in place of what was known; whoever holds a key that is not among it any more is sent away.
    /// Answers how many keys are in force.
    pub fn replace(&self, stored: Vec<StoredKey>) -> usize {
        let before = self.table.load_full();
        let mut table: HashMap<u64, Vec<Entry>> = HashMap::new();
        let mut count = 0;
        for key in stored.into_iter().filter(|key| key.revoked_at.is_none()) {
            let principal = Principal::named(&format!("{KEY_PRINCIPAL}{}", key.name));
            let caller = Caller::known(principal, key.scopes);
            // What the holder has opened goes on, and ends with the key.
            let known = before.as_ref().and_then(|before| before.get(&key.digest));
            let caller =
                known.map(|entry| &entry.caller).filter(|known| **known == caller).cloned().unwrap_or(caller);
            let entry = Entry { digest: key.digest, caller, expires_at: key.expires_at };
            table.entry(place(&key.digest)).or_default().push(entry);
            count += 1;
        }
        let table = Arc::new(Table(table));
        self.table.store(Some(Arc::clone(&table)));
        let gone = |entry: &&Entry| table.get(&entry.digest).is_none_or(|now| now.caller != entry.caller);
        self.end(before.iter().flat_map(|before| before.entries()).filter(gone));
        count
    }

    /// Sends those away whose keys have expired.
    fn expire(&self, now: SystemTime) {
        if let Some(table) = self.table.load().as_ref() {
            self.end(table.entries().filter(|entry| entry.is_over(now)));
        }
    }

    fn end<'e>(&self, entries: impl Iterator<Item = &'e Entry>) {
        let mut any = false;
        for entry in entries {
            any |= entry.caller.end();
        }
        if any {
            self.ended.send_modify(|count| *count += 1);
        }
    }

    /// Follows the file until `stop`. When it cannot be read, the keys that are known stay in force.
    pub async fn follow(
        self: Arc<Keys>,
        store: Store,
        mut read: Option<KeysVersion>,
        stop: CancellationToken,
    ) {
        let mut tick = tokio::time::interval(RELOAD_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = false;
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            self.expire(SystemTime::now());
            match self.renew(&store, read).await {
                Ok(version) => (read, told) = (Some(version), false),
                Err(error) if !told && read.is_none() => {
                    warn!(%error, "the API keys cannot be read yet; nobody who shows one is let in");
                    told = true;
                }
                Err(error) => {
                    debug!(%error, "the API keys cannot be read now; those that are known stay in force")
                }
            }
        }
    }

    /// Reads the keys if they are not as they were at `read`.
    pub async fn renew(
        &self,
        store: &Store,
        read: Option<KeysVersion>,
    ) -> Result<KeysVersion, crate::sqlite::Unavailable> {
        // The version first: a change after it is seen the next time.
        let version = store.keys_version().await?;
        if read != Some(version) {
            let keys = self.replace(store.load_keys().await?);
            if read.is_some() || keys > 0 {
                info!(keys, "API keys read");
            }
        }
        Ok(version)
    }
}

fn place(digest: &[u8; KEY_DIGEST]) -> u64 {
    let (first, _) = digest.split_at(size_of::<u64>());
    u64::from_ne_bytes(first.try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::key::mint;
    use super::*;
    use std::time::UNIX_EPOCH;

    fn stored(name: &str, digest: [u8; KEY_DIGEST]) -> StoredKey {
        StoredKey {
            digest,
            hint: format!("hint of {name}"),
            name: name.to_owned(),
            scopes: vec!["read".to_owned()],
            created_at: UNIX_EPOCH,
            expires_at: None,
            revoked_at: None,
        }
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn before_the_file_was_read_nobody_can_tell() {
        assert_eq!(Keys::default().check(mint().key.expose(), at(0)), Verdict::Unread);
    }

    #[test]
    fn a_key_is_known_until_it_expires_and_a_revoked_one_is_not() {
        let (keys, mine, old, gone) = (Keys::default(), mint(), mint(), mint());
        let expiring = StoredKey { expires_at: Some(at(100)), ..stored("old", old.digest) };
        let revoked = StoredKey { revoked_at: Some(at(1)), ..stored("gone", gone.digest) };
        assert_eq!(keys.replace(vec![stored("mine", mine.digest), expiring, revoked]), 2);

        let Verdict::Known(caller) = keys.check(mine.key.expose(), at(u32::MAX.into())) else {
            panic!("the key is not known")
        };
        assert_eq!(caller.principal().as_str(), "key:mine");
        assert!(caller.has_scope("read") && !caller.has_scope("admin") && !caller.may_administer());
        assert!(matches!(keys.check(old.key.expose(), at(99)), Verdict::Known(_)));
        assert_eq!(keys.check(old.key.expose(), at(100)), Verdict::Expired);
        assert_eq!(keys.check(gone.key.expose(), at(0)), Verdict::Unknown);
        assert_eq!(keys.check(mint().key.expose(), at(0)), Verdict::Unknown);
    }

    #[test]
    fn what_a_holder_has_open_ends_with_the_key_and_not_before() {
        let (keys, mine, other) = (Keys::default(), mint(), mint());
        let end = at(u32::MAX.into());
        let expiring = |name: &str, digest| StoredKey { expires_at: Some(end), ..stored(name, digest) };
        keys.replace(vec![expiring("mine", mine.digest), stored("other", other.digest)]);
        let caller = |key: &str| match keys.check(key, at(0)) {
            Verdict::Known(caller) => caller,
            verdict => panic!("{verdict:?}"),
        };
        let (first, second) = (caller(mine.key.expose()), caller(other.key.expose()));
        let open = |caller: &Caller| !caller.is_over();
        // Another key comes; nothing of these two has changed.
        keys.replace(vec![
            expiring("mine", mine.digest),
            stored("other", other.digest),
            stored("c", mint().digest),
        ]);
        assert!(open(&first) && open(&second) && !keys.ended.subscribe().has_changed().unwrap());
        let mut ended = keys.ended.subscribe();
        keys.replace(vec![expiring("mine", mine.digest)]);
        assert!(open(&first) && !open(&second) && ended.has_changed().unwrap());
        assert!(!keys.is_in_force(second.principal(), at(0)) && keys.is_in_force(first.principal(), at(0)));
        ended.mark_unchanged();
        keys.expire(end);
        assert!(!open(&first) && ended.has_changed().unwrap() && !keys.is_in_force(first.principal(), end));
        // Told once.
        ended.mark_unchanged();
        keys.expire(end);
        assert!(!ended.has_changed().unwrap());
    }

    #[test]
    fn digests_that_begin_alike_are_told_apart() {
        let (keys, mine) = (Keys::default(), mint());
        let mut near = mine.digest;
        near[KEY_DIGEST - 1] ^= 1;
        keys.replace(vec![stored("near", near)]);
        assert_eq!(keys.check(mine.key.expose(), at(0)), Verdict::Unknown);
        keys.replace(vec![stored("near", near), stored("mine", mine.digest)]);
        let Verdict::Known(caller) = keys.check(mine.key.expose(), at(0)) else { panic!("not known") };
        assert_eq!(caller.principal().as_str(), "key:mine");
    }
}
