//! A cache with bounds: so many entries, so much weight, so old. Pure: the clock is passed in.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::time::Instant;

/// What a cache may hold.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The most entries.
    pub entries: usize,
    /// The most weight of all entries together, in whatever the owner weighs.
    pub weight: usize,
}

/// Values by key. When it is full, what was not used for longest goes first.
#[derive(Debug)]
pub struct Cache<K, V> {
    bounds: Bounds,
    /// By key in their order, so that keys that begin alike can be forgotten together.
    entries: BTreeMap<K, Entry<V>>,
    /// Keys by when they were last used.
    order: BTreeMap<u64, K>,
    uses: u64,
    weight: usize,
    evicted: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    weight: usize,
    until: Instant,
    used: u64,
}

impl<K: Ord + Clone, V: Clone> Cache<K, V> {
    /// An empty cache.
    pub fn new(bounds: Bounds) -> Cache<K, V> {
        Cache { bounds, entries: BTreeMap::new(), order: BTreeMap::new(), uses: 0, weight: 0, evicted: 0 }
    }

    /// The value of a key, unless it is too old.
    pub fn get(&mut self, key: &K, now: Instant) -> Option<V> {
        if self.entries.get(key)?.until <= now {
            self.remove(key);
            return None;
        }
        self.uses += 1;
        let entry = self.entries.get_mut(key)?;
        self.order.remove(&entry.used);
        entry.used = self.uses;
        self.order.insert(self.uses, key.clone());
        Some(entry.value.clone())
    }

    /// The value of a key whatever its age. To look is no use of it.
    pub fn peek(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// Keeps a value for `age`. What is heavier than the whole cache is not kept.
    pub fn put(&mut self, key: K, value: V, weight: usize, age: Duration, now: Instant) {
        self.remove(&key);
        if weight > self.bounds.weight || self.bounds.entries == 0 || age.is_zero() {
            return;
        }
        self.make_room(1, weight);
        self.uses += 1;
        self.order.insert(self.uses, key.clone());
        self.entries.insert(key, Entry { value, weight, until: now + age, used: self.uses });
        self.weight += weight;
    }

    /// Forgets a key.
    pub fn remove(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&entry.used);
            self.weight -= entry.weight;
        }
    }

    /// Takes other bounds; what does not fit goes.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
        self.make_room(0, 0);
    }

    fn make_room(&mut self, entries: usize, weight: usize) {
        while self.entries.len() + entries > self.bounds.entries || self.weight + weight > self.bounds.weight
        {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.remove(&oldest);
            self.evicted += 1;
        }
    }

    /// Forgets the keys of a range; that costs nothing for those outside of it.
    pub fn remove_range(&mut self, keys: RangeInclusive<K>) {
        let named: Vec<K> = self.entries.range(keys).map(|(key, _)| key.clone()).collect();
        named.iter().for_each(|key| self.remove(key));
    }

    /// Forgets every value that `which` names, and says how many there were.
    pub fn remove_where(&mut self, which: impl Fn(&V) -> bool) -> usize {
        let named = self.entries.iter().filter(|(_, entry)| which(&entry.value));
        let named: Vec<K> = named.map(|(key, _)| key.clone()).collect();
        named.iter().for_each(|key| self.remove(key));
        named.len()
    }

    /// Entries, those that are too old included until somebody asks for them.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The weight of all entries.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// Entries that had to go for want of room.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AGE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_value_is_there_until_it_is_too_old() {
        let now = Instant::now();
        let mut cache = Cache::new(Bounds { entries: 2, weight: 10 });
        cache.put("a", 1, 1, AGE, now);
        assert_eq!(cache.get(&"a", now + AGE - Duration::from_millis(1)), Some(1));
        assert_eq!((cache.get(&"a", now + AGE), cache.len(), cache.weight()), (None, 0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn when_it_is_full_what_was_not_used_for_longest_goes() {
        let now = Instant::now();
        let mut cache = Cache::new(Bounds { entries: 2, weight: 10 });
        cache.put("a", 1, 1, AGE, now);
        cache.put("b", 2, 1, AGE, now);
        cache.get(&"a", now);
        cache.put("c", 3, 1, AGE, now);
        assert_eq!(["a", "b", "c"].map(|key| cache.get(&key, now)), [Some(1), None, Some(3)]);
        cache.put("heavy", 4, 10, AGE, now);
        assert_eq!((cache.len(), cache.evicted()), (1, 3));
        cache.put("too heavy", 5, 11, AGE, now);
        assert_eq!((cache.get(&"too heavy", now), cache.get(&"heavy", now)), (None, Some(4)));
    }

    #[tokio::test(start_paused = true)]
    async fn smaller_bounds_hold_at_once_and_a_look_is_no_use() {
        let now = Instant::now();
        let mut cache = Cache::new(Bounds { entries: 3, weight: 10 });
        for key in ["a", "b", "c"] {
            cache.put(key, key, 2, AGE, now);
        }
        assert_eq!((cache.peek(&"a"), cache.peek(&"d")), (Some(&"a"), None));
        cache.set_bounds(Bounds { entries: 3, weight: 4 });
        assert_eq!((cache.peek(&"a"), cache.len(), cache.weight()), (None, 2, 4));
        cache.set_bounds(Bounds { entries: 0, weight: 4 });
        assert!(cache.is_empty());
    }

    proptest! {
        #[test]
        fn it_never_holds_more_than_it_may(steps in prop::collection::vec((0u8..12, 0usize..8, 0u64..20), 0..200)) {
            let start = Instant::now();
            let mut cache = Cache::new(Bounds { entries: 5, weight: 16 });
            for (key, weight, at) in steps {
                let now = start + Duration::from_secs(at);
                cache.put(key, key, weight, AGE, now);
                prop_assert!(cache.len() <= 5 && cache.weight() <= 16);
                prop_assert_eq!(cache.order.len(), cache.len());
                prop_assert_eq!(cache.weight(), cache.entries.values().map(|entry| entry.weight).sum::<usize>());
                prop_assert_eq!(cache.get(&key, now), Some(key));
                if weight == 7 {
                    cache.remove_where(|value| value % 2 == 0);
                    prop_assert!(cache.entries.keys().all(|key| key % 2 == 1));
                }
                if weight == 6 {
                    cache.remove_range(3..=5);
                    prop_assert!(!cache.entries.keys().any(|key| (3..=5).contains(key)));
                }
            }
        }
    }
}
