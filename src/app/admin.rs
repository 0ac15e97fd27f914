//! Brings up the administration interface: at the gateway's address, or at one of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::{Admin, Config, Setting};
use crate::guard::Policy;
use crate::http::api::{Api, ApiParts, OrderBook, Orders};
use crate::http::{self, Encryption, Front, OriginRules};
use crate::router::Router;
use crate::session::{Hub, Sessions};
use crate::store::Store;
use crate::supervisor::Services;

use super::failure::Failure;
use super::orders::{self, Hands};
use super::reload::Reloader;

/// Connections of administrators at once: people, and a few programs that watch.
const CONNECTIONS: usize = 256;

/// Any loopback address: callers without a credential come from one, wherever the gateway listens.
const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The interface before it is attended to.
pub struct Opened {
    /// Where its orders are written down.
    pub book: OrderBook,
    /// Its pages, if it has an address of its own.
    pub apart: Option<axum::Router>,
}

/// Binds the interface's own address, if it has one.
pub async fn bind(admin: &Admin) -> Result<Option<TcpListener>, Failure> {
    let Some(address) = admin.listen.filter(|_| admin.enabled) else { return Ok(None) };
    let bound = TcpListener::bind(address).await;
    bound.map(Some).map_err(|reason| Failure::ListenAdmin { address, reason })
}

/// The interface, and the book in which its orders are written down until somebody serves them.
pub fn open(
    config: &Config,
    settings: watch::Receiver<Vec<Setting>>,
    (router, sessions, hub, services): (&Router, &Sessions, &Hub, &Services),
    (store, policy): (&Store, &Policy),
    rules: &OriginRules,
    stop: CancellationToken,
) -> (Api, OrderBook) {
    let (orders, book) = Orders::channel();
    let api = Api::new(ApiParts {
        router: router.clone(),
        sessions: sessions.clone(),
        hub: hub.clone(),
        services: services.clone(),
        store: store.clone(),
        policy: policy.clone(),
        orders,
        configuration: config.origin.to_string(),
        settings,
        rules: rules.at(LOCAL),
        stop,
    });
    (api, book)
}

/// Serves what is ordered, and shows the settings that each reload brings.
pub fn attend(
    front: &Front,
    store: &Store,
    reloader: &Reloader,
    (book, shown): (OrderBook, watch::Sender<Vec<Setting>>),
) {
    let hands = Hands {
        router: front.router.clone(),
        sessions: front.sessions.clone(),
        hub: front.hub.clone(),
        services: front.services.clone(),
        store: store.clone(),
        reloader: reloader.clone(),
    };
    tokio::spawn(orders::serve(hands, book));
    let reloader = reloader.clone();
    tokio::spawn(async move {
        let mut last = reloader.last();
        while last.changed().await.is_ok() {
            shown.send_replace(reloader.loaded().await.settings);
        }
    });
}

/// Serves the interface at an address of its own until `stop`; MCP and services are not served there.
pub fn serve(front: &Front, pages: axum::Router, listener: TcpListener, stop: CancellationToken) {
    let address = listener.local_addr().unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)));
    let front = Front {
        router: front.router.clone(),
        services: front.services.clone(),
        oldest: http::Oldest::default(),
        sessions: front.sessions.clone(),
        hub: front.hub.clone(),
        guard: front.guard.clone(),
        limits: front.limits.clone(),
        policy: front.policy.clone(),
        rules: front.rules.at(address),
        proxies: ArcSwap::new(front.proxies.load_full()),
        max_body: AtomicUsize::new(front.max_body.load(Ordering::Relaxed)),
        pages,
        // Nobody but this machine can reach it.
        encryption: Encryption::off(),
        serves_mcp: false,
        calls: front.calls.clone(),
        abort: front.abort.clone(),
    };
    tokio::spawn(http::serve(Arc::new(front), listener, CONNECTIONS, stop));
}
