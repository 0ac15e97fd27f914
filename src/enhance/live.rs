//! The enhancer that everybody holds: a reload puts other rules, or another service, behind it.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::config::Enhance;
use crate::guard::Limits;
use crate::supervisor::{ServiceHandle, Services};

use super::enhancer::{Ask, Enhanced, Enhancing};
use super::statistics::{Counts, Statistics};

/// Makes prompts better. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Enhancer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    now: ArcSwap<Enhancing>,
    limits: Limits,
    counts: Arc<Counts>,
}

impl Enhancer {
    /// An enhancer by these rules, which ask the service that they name as often as these limits allow.
    pub fn new(rules: Enhance, services: &Services, limits: Limits) -> Enhancer {
        let counts: Arc<Counts> = Arc::default();
        let service = service_of(&rules, services);
        let first = Enhancing::new(rules, (service, limits.clone()), Arc::clone(&counts));
        Enhancer(Arc::new(Inner { now: ArcSwap::from_pointee(first), limits, counts }))
    }

    /// Takes other rules, once the services are those of the same configuration. Prompts under way end as they began;
    /// where anything has changed, the cache and the breaker begin anew.
    pub fn replace(&self, rules: Enhance, services: &Services) {
        let service = service_of(&rules, services);
        if !self.0.now.load().is(&rules, service.as_ref()) {
            let next = Enhancing::new(rules, (service, self.0.limits.clone()), Arc::clone(&self.0.counts));
            self.0.now.store(Arc::new(next));
        }
    }

    /// Makes a prompt better, or says why not. Never fails, and takes no longer than configured.
    pub async fn enhance(&self, ask: Ask) -> Enhanced {
        self.0.now.load_full().enhance(ask).await
    }

    /// Leaves a prompt as it is, for somebody for whom there is no service.
    pub fn leave(&self, ask: &Ask) -> Enhanced {
        self.0.now.load().leave(ask)
    }

    /// The better prompt if it is known already; no model is asked and nothing is counted.
    pub fn known(&self, ask: &Ask) -> Option<Enhanced> {
        self.0.now.load().known(ask)
    }

    /// Forgets every answer, and says how many there were.
    pub fn forget(&self) -> usize {
        self.0.now.load().forget()
    }

    /// Forgets every answer, closes the breaker and counts anew.
    pub fn reset(&self) {
        self.0.now.load().reset();
    }

    /// The numbers.
    pub fn statistics(&self) -> Statistics {
        self.0.now.load().statistics()
    }

    /// The service that has the models, if there is one.
    pub fn service(&self) -> Option<ServiceHandle> {
        self.0.now.load().service().cloned()
    }
}

fn service_of(rules: &Enhance, services: &Services) -> Option<ServiceHandle> {
    services.get(rules.service.as_deref()?)
}
