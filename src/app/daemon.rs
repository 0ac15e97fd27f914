//! From a checked configuration to a running gateway, and back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::activity::{self, ActivityLog};
use crate::base::ServerName;
use crate::base::seal::SealKey;
use crate::catalog::CatalogHandle;
use crate::config::{Config, Loaded, LogFormat, Setting, Sources};
use crate::credentials::{Credentials, CredentialsOptions, Vault};
use crate::enhance::Enhancer;
use crate::guard::{Guard, GuardOptions, Limits, Policy};
use crate::http::{self, Encryption, Front, OriginRules, Switch};
use crate::platform::{self, Notifier};
use crate::router::{Router, RouterOptions};
use crate::session::{Hub, Keep, SessionOptions, Sessions};
use crate::store::{self, Store};
use crate::supervisor::{Fleet, FleetOptions, Services, ServicesOptions, Surroundings};
use crate::telemetry::{self, Format, LogFilter, LogGuard, LogOptions, MetricsHandle, Recorder};
use crate::traces::Traces;

use super::admin::{self, Opened};
use super::banner::banner;
use super::claim::{claim, seal_key};
use super::failure::Failure;
use super::live::{Live, activity_terms, encrypt};
use super::pipes;
use super::reload::Reloader;
use super::scrape;
use super::stop::Stop;
use super::tasknews;
use super::watchdog;

/// Connections that may be open beside those that hold a stream or a call: idle keep-alive ones.
const IDLE_CONNECTIONS: usize = 4096;
/// Descriptors left for children's pipes, the store and upstream connections when connections are capped by the
/// limit on open files.
const RESERVED_FILES: usize = 1024;

/// Where the gateway meets its clients.
#[derive(Clone, Debug)]
pub enum Face {
    /// At the configured address.
    Listener,
    /// One client on standard input and output, at the merged endpoint or at that of one server; nothing listens.
    Pipes(Option<ServerName>),
}

/// Runs the gateway until it is told to stop. `say` prints to the person at the terminal.
pub fn run(loaded: Loaded, sources: Sources, face: Face, say: impl Fn(&str)) -> Result<(), Failure> {
    let config = &loaded.config;
    // Before there are threads: it takes variables away.
    let inherited = platform::inherited_listener()?;
    let (log, filter) = telemetry::init(&LogOptions {
        filter: config.gateway.log.filter.clone(),
        format: match config.gateway.log.format {
            LogFormat::Text => Format::Text,
            LogFormat::Json => Format::Json,
        },
    })?;
    let files = platform::raise_open_files()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.gateway.workers)
        .enable_all()
        .thread_name("trunkline")
        .build()?;
    let log = Arc::new(log);
    let given = Given { loaded, sources, files, inherited, log: Arc::clone(&log), filter };
    let ended = runtime.block_on(daemon(given, &face, say));
    match face {
        // Blocking work that hangs (a dead network disk) must not keep the process.
        Face::Listener => runtime.shutdown_timeout(Duration::from_secs(1)),
        // Nor must a read of standard input that nobody ends.
        Face::Pipes(_) => runtime.shutdown_background(),
    }
    log.flush();
    ended
}

/// What the daemon is given before there is a runtime.
struct Given {
    loaded: Loaded,
    sources: Sources,
    /// The limit on open files.
    files: Option<u64>,
    /// The service manager's socket.
    inherited: Option<std::net::TcpListener>,
    log: Arc<LogGuard>,
    filter: LogFilter,
}

async fn daemon(given: Given, face: &Face, say: impl Fn(&str)) -> Result<(), Failure> {
    let Given { loaded, sources, files, inherited, log, filter } = given;
    let config = loaded.config.clone();
    let gateway = &config.gateway;
    let notifier = Notifier::of_process();
    let stop = Stop::on_signals()?;
    let mut hangups = signal(SignalKind::hangup())?;
    tokio::spawn(platform::collect_orphans(CancellationToken::new()));
    let listener = match face {
        Face::Listener => Some(listener(gateway.listen, inherited).await?),
        Face::Pipes(_) => None,
    };
    let admin_listener = match face {
        Face::Listener => admin::bind(&config.admin).await?,
        Face::Pipes(_) => None,
    };
    let address = listener.as_ref().map_or(Ok(gateway.listen), TcpListener::local_addr)?;
    let encryption = Encryption::off();
    encrypt(&encryption, gateway)?;
    let key = seal_key(&gateway.data_dir)?;
    // One on pipes is a guest: a client's own, beside the daemon and others of its kind.
    let _claim = matches!(face, Face::Listener).then(|| claim(&gateway.data_dir)).transpose()?;
    let store = Store::open(store::Options { data_dir: gateway.data_dir.clone() }).await?;
    let activity = match config.activity.enabled {
        true => ActivityLog::start(&activity::Options {
            data_dir: gateway.data_dir.clone(),
            queue: config.activity.queue,
            terms: activity_terms(&config),
        }),
        false => ActivityLog::off(),
    };
    let metrics = Recorder::install()?;
    tokio::spawn(telemetry::watch_runtime());
    let fleet = Fleet::start(FleetOptions {
        servers: config.servers.clone(),
        surroundings: Surroundings::of_process()?,
        parallel_starts: gateway.parallel_starts,
        stored: store.load_catalogs().await.unwrap_or_default(),
        store: Some(store.clone()),
        credentials: Some(Credentials::start(CredentialsOptions {
            vault: Vault::new(&gateway.data_dir, key.clone()),
        })),
    });
    let services = Services::start(ServicesOptions {
        services: config.services.clone(),
        max_connections: gateway.max_service_connections,
        events: fleet.announcer(),
    });
    let options = GuardOptions { auth: config.auth.clone(), fetch: super::documents::documents };
    let guard = Guard::start(options, store.clone(), stop.asked.clone()).await;
    let limits = Limits::new(&config);
    tokio::spawn(limits.clone().reap_until(stop.asked.clone()));
    let policy = Policy::new(config.policy.clone());
    let enhancer = Enhancer::new(config.enhance.clone(), &services, limits.clone());
    let trust = Trust { key, guard, limits, policy, encryption };
    let agenthub = Switch::new(config.compat.agenthub);
    let upstreams = (&fleet, &services, (&enhancer, &agenthub));
    let (shown, settings) = watch::channel(loaded.settings.clone());
    let (given, kept) = ((address, settings), (&store, &activity));
    let (front, opened) = build_front(&config, given, upstreams, kept, trust, (metrics, log), &stop);
    front.router.traces().replace(config.traces.as_ref());
    let mut recall = tokio::spawn(recall_revocations(front.sessions.clone(), store.clone()));
    // A deleted session must not be let in because its deletion has not been read yet; a store that does not answer
    // goes on being asked while we serve.
    let _ = tokio::time::timeout(RECALL_WAIT, &mut recall).await;
    tokio::spawn(front.sessions.clone().reap_until(stop.asked.clone()));
    tokio::spawn(end_with_credential(Arc::clone(&front), stop.asked.clone()));
    let live = Live { front: Arc::clone(&front), enhancer, agenthub, log: filter };
    let reloader = Reloader::new(sources, loaded, live, notifier.clone());
    if let Some(opened) = opened {
        admin::attend(&front, &store, &reloader, (opened.book, shown));
        if let (Some(listener), Some(pages)) = (admin_listener, opened.apart) {
            info!(address = %listener.local_addr()?, "the administration interface listens");
            admin::serve(&front, pages, listener, stop.asked.clone());
        }
    }
    let on_hangup = reloader.clone();
    let reloads = tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            on_hangup.reload("SIGHUP").await;
        }
    });
    tokio::spawn(reloader.clone().watch(stop.asked.clone()));
    if let Some(granted) = platform::watchdog_interval().filter(|_| notifier.is_heard()) {
        let (router, reloader) = (front.router.clone(), reloader.clone());
        tokio::spawn(watchdog::run(router, reloader, notifier.clone(), granted, stop.asked.clone()));
    }
    let serving = match (listener, face) {
        (Some(listener), _) => {
            say(&banner(&config, address));
            let connections = connections(&config, files);
            tokio::spawn(http::serve(Arc::clone(&front), listener, connections, stop.asked.clone()))
        }
        (None, Face::Pipes(server)) => tokio::spawn(pipes::serve(
            Arc::clone(&front),
            server.clone(),
            gateway.shutdown_grace,
            stop.clone(),
        )),
        (None, Face::Listener) => return Ok(()),
    };
    notifier.ready(&reloader.status());
    stop.asked.cancelled().await;
    notifier.stopping();
    reloads.abort();
    drain(&front, reloader.config().await.gateway.shutdown_grace, serving, &stop).await;
    // A second signal does not wait for anybody's grace; the keepers see to it that no child is left.
    services.shutdown().await;
    let _ = stop.insisted.run_until_cancelled(fleet.shutdown()).await;
    let _ = stop.insisted.run_until_cancelled(front.router.traces().shutdown()).await;
    if let Err(error) = store.shutdown().await {
        warn!(%error, "the store could not be closed in good order");
    }
    if let Err(error) = activity.shutdown().await {
        warn!(%error, "the activity log could not be closed in good order");
    }
    info!("stopped");
    Ok(())
}

/// The service manager's socket, or one of our own.
async fn listener(
    configured: SocketAddr,
    inherited: Option<std::net::TcpListener>,
) -> Result<TcpListener, Failure> {
    let Some(inherited) = inherited else {
        let bound = TcpListener::bind(configured).await;
        return bound.map_err(|reason| Failure::Listen { address: configured, reason });
    };
    let socket = inherited.local_addr()?;
    let open = |address: SocketAddr| !address.ip().to_canonical().is_loopback();
    // What the configuration demands of an open address has been checked for that address only.
    if open(socket) && !open(configured) {
        return Err(Failure::Socket { socket, configured });
    }
    Ok(TcpListener::from_std(inherited)?)
}

/// Whom to believe, and how much of it.
struct Trust {
    key: SealKey,
    guard: Guard,
    limits: Limits,
    policy: Policy,
    encryption: Encryption,
}

/// The front, and the administration interface, if there is one.
fn build_front(
    config: &Config,
    (address, settings): (SocketAddr, watch::Receiver<Vec<Setting>>),
    (fleet, services, (enhancer, agenthub)): (&Fleet, &Services, (&Enhancer, &Switch)),
    (store, activity): (&Store, &ActivityLog),
    trust: Trust,
    told: (MetricsHandle, Arc<LogGuard>),
    stop: &Stop,
) -> (Arc<Front>, Option<Opened>) {
    let gateway = &config.gateway;
    let Trust { key, guard, limits, policy, encryption } = trust;
    let catalog = CatalogHandle::start(fleet.clone(), gateway.name_limit, stop.asked.clone());
    let hub = Hub::start(&catalog, fleet, gateway.max_streams, stop.asked.clone());
    let sessions = Sessions::new(SessionOptions {
        key: key.clone(),
        ttl: gateway.session_ttl,
        cap: gateway.max_sessions,
        store: Some(store.clone()),
        keep: Keep::new(usize::try_from(gateway.replay.memory).unwrap_or(usize::MAX), gateway.replay.age),
        poll_after: gateway.replay.poll_after,
    });
    let router = Router::new(
        fleet.clone(),
        catalog,
        RouterOptions {
            max_in_flight: gateway.max_in_flight,
            max_parked: gateway.max_parked,
            limits: limits.clone(),
            result_cache: gateway.result_cache,
            enhancer: enhancer.clone(),
            key,
            activity: activity.clone(),
            traces: Traces::off(),
            tools: config.metrics.tools,
        },
    );
    tokio::spawn(router.clone().follow_updates(stop.asked.clone()));
    tasknews::pass_on(&router, &hub, &stop.asked);
    let counted = (services.clone(), sessions.clone(), hub.clone(), store.clone());
    let render = scrape::render(router.clone(), counted, encryption.clone(), told);
    let max_body = usize::try_from(gateway.max_body).unwrap_or(usize::MAX);
    let pages = http::pages(fleet.clone(), services.clone(), router.catalog().clone(), render)
        .merge(http::enhance_pages(enhancer.clone(), max_body));
    let rules = OriginRules::new(address, gateway.allowed_origins.clone(), gateway.allowed_hosts.clone());
    let (pages, opened) = match config.admin.enabled {
        false => (pages, None),
        true => {
            let parts = (&router, &sessions, &hub, services);
            let (api, book) =
                admin::open(config, settings, parts, (store, &policy), &rules, stop.asked.clone());
            let agenthub = http::agenthub_pages(api.clone(), enhancer.clone(), agenthub.clone());
            let with_api = pages.clone().merge(api.pages()).merge(agenthub);
            match config.admin.listen {
                None => (with_api, Some(Opened { book, apart: None })),
                Some(_) => (pages, Some(Opened { book, apart: Some(with_api) })),
            }
        }
    };
    let front = Arc::new(Front {
        pages,
        encryption,
        serves_mcp: true,
        router,
        services: services.clone(),
        oldest: http::Oldest::default(),
        guard,
        limits,
        policy,
        sessions,
        hub,
        rules,
        proxies: ArcSwap::from_pointee(gateway.trusted_proxies.clone()),
        max_body: AtomicUsize::new(max_body),
        calls: TaskTracker::new(),
        abort: CancellationToken::new(),
    });
    (front, opened)
}

/// Lets what is in flight finish within `grace`, then withdraws it.
async fn drain(front: &Front, grace: Duration, serving: tokio::task::JoinHandle<()>, stop: &Stop) {
    front.calls.close();
    let finished = async {
        let _ = serving.await;
        front.calls.wait().await;
    };
    tokio::pin!(finished);
    let in_time = tokio::select! {
        () = &mut finished => true,
        () = tokio::time::sleep(grace) => false,
        () = stop.insisted.cancelled() => false,
    };
    if !in_time {
        warn!(calls = front.router.gate().count(), "withdrawing what is still in flight");
        front.abort.cancel();
        let _ = tokio::time::timeout(LAST_WORDS, finished).await;
    }
}

/// How long withdrawn calls may take to tell their clients.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How long the start waits for the deletions of earlier runs: the store answers in a few milliseconds, or is in
/// trouble.
const RECALL_WAIT: Duration = Duration::from_millis(250);

/// Deleted session ids of earlier runs, as soon as the store can tell them.
async fn recall_revocations(sessions: Sessions, store: Store) {
    let mut state = store.state();
    loop {
        if let Ok(revocations) = store.load_revocations(SystemTime::now()).await {
            return sessions.revoked(revocations.into_iter().map(|one| (one.id_hash, one.expires_at)));
        }
        if state.changed().await.is_err() {
            return;
        }
    }
}

/// Ends the sessions of those whose last credential has ceased to be good, until `stop`.
async fn end_with_credential(front: Arc<Front>, stop: CancellationToken) {
    let mut ended = front.guard.ended();
    while let Some(Ok(())) = stop.run_until_cancelled(ended.changed()).await {
        for session in front.sessions.opened_by(|principal| !front.guard.is_in_force(principal)) {
            front.sessions.delete(&session);
            front.router.fleet().end_session(session.key().0);
        }
    }
}

fn connections(config: &Config, files: Option<u64>) -> usize {
    let wanted = config.gateway.max_streams + config.gateway.max_in_flight + IDLE_CONNECTIONS;
    let possible = files.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
    let room = possible.saturating_sub(RESERVED_FILES).max(possible / 2);
    if room < wanted {
        warn!(
            "the limit on open files ({possible}) allows {room} connections, fewer than the {wanted} that the configuration wants"
        );
    }
    wanted.min(room)
}
