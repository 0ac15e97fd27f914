//! What all pages share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::base::Principal;
use crate::enhance::Enhancer;
use crate::guard::Caller;
use crate::supervisor::ServerHandle;

use super::super::api::{Api, Order};
use super::refusal::Refusal;

/// Whether the pages are there. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct Switch(Arc<AtomicBool>);

impl Switch {
    /// A switch that is on or off.
    pub fn new(on: bool) -> Switch {
        Switch(Arc::new(AtomicBool::new(on)))
    }

    /// Puts the pages there, or takes them away.
    pub fn set(&self, on: bool) {
        self.0.store(on, Ordering::Relaxed);
    }

    /// Whether they are there.
    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the pages show, and where they place orders.
#[derive(Clone)]
pub struct Compat {
    pub api: Api,
    pub enhancer: Enhancer,
    pub on: Switch,
}

impl Compat {
    /// The server of this name.
    pub fn server(&self, name: &str) -> Result<ServerHandle, Refusal> {
        self.api.fleet().get(name).ok_or_else(|| Refusal::not_found(format!("Server {name} not found")))
    }

    /// Has an order carried out.
    pub async fn order(&self, order: Order, by: &By) -> Result<(), Refusal> {
        let (principal, client) = by;
        let placed = self.api.0.parts.orders.place_as(order, principal.clone(), client.clone());
        placed.await.map(drop).map_err(Refusal::from)
    }
}

/// On whose word: who it is by its credential, and what it calls itself without one.
pub type By = (Principal, Option<String>);

/// On whose word.
pub fn by(caller: &Caller, client: Client) -> By {
    (caller.principal().clone(), client.0)
}

/// What somebody without a credential on this machine calls itself.
#[derive(Clone, Debug)]
pub struct Client(pub Option<String>);
