//! One life of a server: bring it up, keep its lists fresh, see it end, clear up after it.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::base::{Era, Version};
use crate::config::{self, Protocol, Transport};
use crate::credentials::{Credential, Credentials, LoginState};
use crate::platform::{self, Process};
use crate::store::Store;
use crate::upstream::http::Authorize;
use crate::upstream::{Hint, Link, Lost, Peer, StdioLink, ended_fault, handshake};

use super::breaker::Breaker;
use super::handle::{Live, Retired, Shared};
use super::health;
use super::launch;
use super::listen;
use super::metrics::ServerMetrics;
use super::reading;
use super::remote;
use super::usage;

/// What every generation may use.
#[derive(Clone)]
pub(super) struct Resources {
    pub surroundings: Arc<launch::Surroundings>,
    pub store: Option<Store>,
    pub metrics: Arc<ServerMetrics>,
    /// Logins to servers.
    pub credentials: Option<Arc<Credentials>>,
    /// Places for children that are being brought up, of the whole fleet.
    pub starts: Arc<Semaphore>,
}

impl Resources {
    /// Who the gateway is to a server; nothing, if no login is to be made.
    pub fn credential(&self, server: &config::Server) -> Option<Arc<Credential>> {
        self.credentials.as_ref().and_then(|credentials| credentials.of(server))
    }
}

pub(super) struct Context {
    pub shared: Arc<Shared>,
    pub resources: Resources,
    pub number: u64,
    /// Whether it waits for a place among the starts.
    pub cold: bool,
    /// Fires when the start is over, well or not.
    pub settled: CancellationToken,
    /// The era that the generation before proved by its end.
    pub speaks: Option<Era>,
    pub up: mpsc::Sender<u64>,
    pub cancel: CancellationToken,
}

/// How a generation ended.
pub(super) struct Ended {
    /// A clause that follows the server's name.
    pub reason: String,
    /// Whether trying again soon is pointless.
    pub permanent: bool,
    /// Whether somebody has to log in to it first.
    pub needs_login: bool,
    /// Whether only the link has lapsed and the server is well: it is opened again at once, which is no restart.
    pub lapsed: bool,
    /// The HTTP status by which it refused the handshake, if it did.
    pub refused: Option<StatusCode>,
    /// What the end says of the server's era: one that exits on a probe speaks the old one.
    pub speaks: Option<Era>,
    /// How a process that is still there is made to go.
    pub farewell: Farewell,
}

/// How a child is made to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    /// Nothing is wrong with it: its input ends; then SIGTERM; then SIGKILL.
    Polite,
    /// It has broken off, and its successor waits: SIGTERM at once.
    Firm,
    /// It does not hear anything: SIGKILL at once.
    Kill,
}

impl Ended {
    pub fn because(reason: impl Into<String>) -> Ended {
        Ended {
            reason: reason.into(),
            permanent: false,
            needs_login: false,
            lapsed: false,
            refused: None,
            speaks: None,
            farewell: Farewell::Firm,
        }
    }

    fn stopped(shared: &Shared) -> Ended {
        let reason = match shared.retired.get() {
            None => "was stopped",
            Some(Retired::Replaced(_)) => {
                "was replaced by a reload, and the call took longer than drain_timeout"
            }
            Some(Retired::Removed) => "was removed by a reload, and the call took longer than drain_timeout",
        };
        Ended { farewell: Farewell::Polite, ..Ended::because(reason) }
    }
}

/// How long a start may keep its place from others. Most servers are up by then; one that is not waits for something
/// that costs the machine nothing.
const START_PLACE: Duration = Duration::from_secs(3);
/// The exit status is usually known a millisecond after the pipes have closed, on a busy machine a little later; a
/// caller is better served with it. Only the callers of a child that closes its pipes and lives on wait this long.
const EXIT_WAIT: Duration = Duration::from_millis(50);
/// After an exit, replies that the child had written before are still read for this long. The pipe usually ends at
/// once; only a descendant that the keeper has not reached yet can hold it open.
const DRAIN_WAIT: Duration = Duration::from_millis(100);

pub(super) async fn run(context: Context) -> Ended {
    let _settled = context.settled.clone().drop_guard();
    match &context.shared.config.transport {
        Transport::Stdio { .. } => Box::pin(run_child(context)).await,
        Transport::Http { .. } => Box::pin(run_remote(context)).await,
    }
}

async fn run_child(context: Context) -> Ended {
    let config = &context.shared.config;
    let surroundings = &context.resources.surroundings;
    let spec = launch::child_spec(config, surroundings);
    if context.cold {
        tokio::select! {
            () = take_place(&context) => {}
            () = context.cancel.cancelled() => return Ended::stopped(&context.shared),
        }
    }
    let spawned = tokio::select! {
        spawned = platform::spawn(&surroundings.exe, &spec) => spawned,
        () = context.cancel.cancelled() => return Ended::stopped(&context.shared),
        () = tokio::time::sleep(config.start_timeout) => {
            return Ended::because(format!("was not started by the system within {:?} (start_timeout)", config.start_timeout));
        }
    };
    let spawned = match spawned {
        Ok(spawned) => spawned,
        Err(error) => {
            return Ended {
                permanent: error.permanent(),
                ..Ended::because(format!("cannot be started: {error}"))
            };
        }
    };
    debug!(server = %config.name, generation = context.number, pid = spawned.pid, "started");
    if let Some(reason) = &spawned.unbounded {
        warn!(server = %config.name, "limits.processes has no effect: {reason}");
    }
    context.shared.status.send_modify(|status| status.pid = Some(spawned.pid));
    let pipes = (spawned.stdin, spawned.stdout, spawned.stderr);
    let tasks = TaskTracker::new();
    let max_message = usize::try_from(config.max_message).unwrap_or(usize::MAX);
    let link = StdioLink::start(config.name.clone(), context.shared.audience(), pipes, max_message, &tasks);
    context.shared.operated.stderr.store(Some(Arc::clone(link.stderr())));
    let mut process = spawned.process;

    let mut hint = None;
    let ended = tokio::select! {
        exit = process.wait() => {
            let _ = tokio::time::timeout(DRAIN_WAIT, link.ended()).await;
            Ended::because(exit.to_string())
        }
        reason = link.ended() => match tokio::time::timeout(EXIT_WAIT, process.wait()).await {
            Ok(exit) => Ended::because(exit.to_string()),
            Err(_) => Ended::because(format!("broke its pipes: {reason}")),
        },
        ended = serve(&context, Link::Stdio(Arc::clone(&link)), &mut hint) => ended,
        never = usage::collect(&config.name, spawned.keeper), if context.shared.speaks_for_server() => match never {},
        () = context.cancel.cancelled() => Ended::stopped(&context.shared),
    };
    let probed_in_vain = hint == Some(Hint::Unknown) && context.shared.live.load().is_none();
    context.shared.live.store(None);
    link.fail_all(&ended_fault(&config.name, &ended.reason));
    stop_child(&context, &link, &mut process, ended.farewell).await;
    if context.shared.speaks_for_server() {
        usage::forget(&config.name);
    }
    context.resources.metrics.link(&config.name, link.counts());
    context.shared.status.send_modify(|status| status.pid = None);
    for line in link.stderr().lines().iter().rev().take(LAST_WORDS).rev() {
        if !context.cancel.is_cancelled() {
            info!(server = %config.name, generation = context.number, "its stderr: {line}");
        }
    }
    // rmcp's legacy server, among others, exits on a request before `initialize`.
    let exited = !context.cancel.is_cancelled() && ended.speaks.is_none() && probed_in_vain;
    Ended { speaks: if exited { Some(Era::Legacy) } else { ended.speaks }, ..ended }
}

/// Lines of stderr that go to the log when a server has ended.
const LAST_WORDS: usize = 10;

/// Asks a child to leave, ever more firmly: end of input, SIGTERM to its group, SIGKILL to everything it started.
async fn stop_child(context: &Context, link: &StdioLink, process: &mut Process, farewell: Farewell) {
    let grace = context.shared.config.stop_grace;
    link.close_stdin();
    let left = match farewell {
        Farewell::Polite => tokio::time::timeout(grace, process.wait()).await.is_ok(),
        Farewell::Firm | Farewell::Kill => false,
    };
    if !left && farewell != Farewell::Kill {
        process.terminate();
        if tokio::time::timeout(grace, process.wait()).await.is_err() {
            warn!(server = %context.shared.config.name, "does not leave on SIGTERM; killing it");
        }
    }
    process.kill();
    process.gone().await;
}

/// Waits for a place among the starts, and gives it back when this one is over or has taken its time.
async fn take_place(context: &Context) {
    let Ok(place) = Arc::clone(&context.resources.starts).acquire_owned().await else { return };
    let settled = context.settled.clone();
    tokio::spawn(async move {
        let _ = tokio::time::timeout(START_PLACE, settled.cancelled()).await;
        drop(place);
    });
}

async fn run_remote(context: Context) -> Ended {
    let authorize = context.shared.credential.clone().map(|credential| credential as Arc<dyn Authorize>);
    let link = match launch::http_link(&context.shared.config, context.shared.audience(), authorize) {
        Ok(link) => link,
        Err(reason) => return Ended { permanent: true, ..Ended::because(reason) },
    };
    let mut ended = tokio::select! {
        ended = remote::speak(&context, &link) => ended,
        why = login_needed(context.shared.credential.as_deref()) => Ended::because(why),
        // Whether it serves without a login shows when it is opened anew.
        () = login_ended(context.shared.credential.as_deref()) => {
            Ended { lapsed: true, ..Ended::because("has been logged out of") }
        }
        () = context.cancel.cancelled() => Ended::stopped(&context.shared),
    };
    if ended.refused == Some(StatusCode::UNAUTHORIZED)
        && let Some(credential) = &context.shared.credential
    {
        credential.want().await;
    }
    if let Some(LoginState::Needed(why)) =
        context.shared.credential.as_ref().map(|credential| credential.state().borrow().clone())
    {
        // Trying again would ask the same of the same person.
        ended =
            Ended { permanent: true, needs_login: true, ..Ended::because(format!("{why} (needs_login)")) };
    }
    context.shared.live.store(None);
    link.close_questions();
    if context.cancel.is_cancelled() {
        link.end_session().await;
    }
    ended
}

/// Returns when somebody has to log in: why.
async fn login_needed(credential: Option<&Credential>) -> String {
    match credential {
        Some(credential) => credential.needed().await,
        None => std::future::pending().await,
    }
}

/// Returns when the login that there was has been ended.
async fn login_ended(credential: Option<&Credential>) {
    match credential {
        Some(credential) => credential.ended().await,
        None => std::future::pending().await,
    }
}

/// Brings the link up and keeps the lists fresh; returns when the handshake fails or the link is lost.
pub(super) async fn serve(context: &Context, link: Link, used_hint: &mut Option<Hint>) -> Ended {
    let config = &context.shared.config;
    let key = launch::era_key(config);
    let hint = match &link {
        // Nothing of the modern era ever went over the oldest transport.
        Link::Http(http) if http.is_oldest() => Hint::Configured(Era::Legacy),
        _ => hint(context, &key).await,
    };
    *used_hint = Some(hint);
    let peer = match handshake(&link, hint, config.start_timeout).await {
        Ok(peer) => Arc::new(peer),
        Err(fault) => {
            forget(context, hint, &key);
            let reason = format!("did not come up: {}", fault.error.message);
            return Ended { refused: fault.status, ..Ended::because(reason) };
        }
    };
    remember(context, &peer, &key);
    let offer = reading::read_offer(&link, &peer, config).await;
    reading::publish(&context.shared, &context.resources.store, offer);
    let live = Live { generation: context.number, link: link.clone(), peer: Arc::clone(&peer) };
    // Nothing that happened to earlier generations is held against this one.
    context.shared.fuse.with(Breaker::reset);
    context.shared.pulse.use_now();
    context.shared.live.store(Some(Arc::new(live)));
    context.settled.cancel();
    let _ = context.up.send(context.number).await;

    tokio::select! {
        () = listen::pass_log_level(&link, &peer, context.shared.log_level.subscribe()) => Ended::because("ended its streams"),
        () = listen::follow(&link, &peer, &context.shared) => Ended::because("ended its streams"),
        lost = reading::keep_fresh(&link, &peer, &context.shared, &context.resources.store) => {
            Ended { lapsed: lost == Lost::Session, ..Ended::because(lost.to_string()) }
        }
        reason = health::watch(&link, &peer, &context.shared) => {
            Ended { farewell: Farewell::Kill, ..Ended::because(reason) }
        }
    }
}

/// What is known of the era: the configuration, the last generation's end, or the verdict on file.
async fn hint(context: &Context, key: &str) -> Hint {
    match context.shared.config.protocol {
        Protocol::Legacy => return Hint::Configured(Era::Legacy),
        Protocol::Modern => return Hint::Configured(Era::Modern),
        Protocol::Auto => {}
    }
    if let Some(era) = context.speaks.or(context.shared.member.as_ref().and_then(|member| member.era)) {
        return Hint::Remembered(era);
    }
    let verdict = match &context.resources.store {
        Some(store) => store.era_verdict(key).await,
        None => None,
    };
    verdict.map_or(Hint::Unknown, |verdict| Hint::Remembered(verdict.era))
}

fn remember(context: &Context, peer: &Peer, key: &str) {
    let (era, version): (Era, Version) = (peer.era(), peer.version);
    info!(server = %context.shared.config.name, generation = context.number, %era, %version, "handshake done");
    if let Some(store) = &context.resources.store {
        store.remember_era(key, era, version.as_str());
    }
}

/// A remembered verdict under which the handshake failed may be wrong: the next attempt probes.
fn forget(context: &Context, hint: Hint, key: &str) {
    if let (Hint::Remembered(_), Some(store)) = (hint, &context.resources.store) {
        store.forget_era(key);
    }
}
