//! How many requests are worked on at once, in all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The count and its cap.
#[derive(Clone, Debug)]
pub struct Gate {
    count: Arc<AtomicUsize>,
    cap: Arc<AtomicUsize>,
}

/// One request's place; dropping it frees the place.
#[derive(Debug)]
pub struct InFlight(Arc<AtomicUsize>);

impl Gate {
    /// A gate that lets `cap` requests in at once.
    pub fn new(cap: usize) -> Gate {
        Gate { count: Arc::default(), cap: Arc::new(AtomicUsize::new(cap)) }
    }

    /// Lets a request in, unless the cap is reached.
    pub fn enter(&self) -> Option<InFlight> {
        let before = self.count.fetch_add(1, Ordering::Relaxed);
        let place = InFlight(Arc::clone(&self.count));
        (before < self.cap()).then_some(place)
    }

    /// Requests that are in.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// The cap.
    pub fn cap(&self) -> usize {
        self.cap.load(Ordering::Relaxed)
    }

    /// Takes another cap; requests above it go on.
    pub fn set_cap(&self, cap: usize) {
        self.cap.store(cap, Ordering::Relaxed);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_holds_and_a_refusal_leaves_no_trace() {
        let gate = Gate::new(2);
        let places: Vec<InFlight> = (0..2).filter_map(|_| gate.enter()).collect();
        assert!(gate.enter().is_none());
        assert_eq!(gate.count(), 2);
        drop(places);
        assert_eq!(gate.count(), 0);
        gate.clone().set_cap(0);
        assert!(gate.enter().is_none(), "a reload holds for every clone");
    }
}
