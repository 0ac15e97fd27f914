//! How many listen to the event stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Listeners at once: people and a few programs that watch.
pub const LISTENERS: usize = 32;

/// Counts who listens. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct Feed(Arc<AtomicUsize>);

/// One listener's place; dropping it frees the place.
pub struct Place(Feed);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Feed {
    /// A place, if there is one left.
    pub fn enter(&self) -> Option<Place> {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        let place = Place(self.clone());
        (before < LISTENERS).then_some(place)
    }
}
