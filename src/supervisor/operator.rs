//! What an operator may ask of a server, and sees of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use crate::credentials::LoginState;
use crate::upstream::StderrTail;

use super::breaker::{Breaker, Counts};
use super::event::{ServerChange, ServerEvent};
use super::handle::{Command, ServerHandle, Shared, Status};
use super::machine::{Next, State};
use super::snapshot::Offer;

/// What an operator has said of a server, and sees of it.
#[derive(Debug)]
pub(super) struct Operated {
    disabled: AtomicBool,
    /// What a server that is out of service offers: always the same one, so that nothing seems to change.
    nothing: Arc<Offer>,
    /// Its lists are to be read again, fresh or not.
    reread: AtomicBool,
    /// How often somebody has wanted the tools as they are by now, and which of these wishes have been met.
    tools_wanted: AtomicU64,
    tools_read: watch::Sender<u64>,
    /// The last lines of its latest process's stderr.
    pub stderr: ArcSwapOption<StderrTail>,
    events: broadcast::Sender<ServerEvent>,
}

impl Operated {
    /// Of a server whose changes are told to `events`. What was said of the one that it follows holds for it too.
    pub fn after(before: Option<&Operated>, events: broadcast::Sender<ServerEvent>) -> Operated {
        let disabled = before.is_some_and(|before| before.instead().is_some());
        Operated {
            disabled: AtomicBool::new(disabled),
            nothing: Arc::default(),
            reread: AtomicBool::new(false),
            tools_wanted: AtomicU64::new(0),
            tools_read: watch::Sender::new(0),
            stderr: ArcSwapOption::empty(),
            events,
        }
    }

    /// What it offers instead of what it has, while it is out of service.
    pub fn instead(&self) -> Option<Arc<Offer>> {
        self.disabled.load(Ordering::Acquire).then(|| Arc::clone(&self.nothing))
    }

    /// Whether its lists are to be read again, once.
    pub fn take_reread(&self) -> bool {
        self.reread.swap(false, Ordering::AcqRel)
    }

    /// The last wish for the tools as they are by now, unless it has been met.
    pub fn tools_due(&self) -> Option<u64> {
        let wanted = self.tools_wanted.load(Ordering::Acquire);
        (wanted > *self.tools_read.borrow()).then_some(wanted)
    }

    /// Says that the tools have been read since that wish.
    pub fn tools_read(&self, wish: u64) {
        self.tools_read.send_replace(wish);
    }
}

/// How long a call waits for the tools as they are by now, which come in one or a few pages.
const READ_ANEW: Duration = Duration::from_secs(10);

impl ServerHandle {
    /// Starts the server, at once even if it rests after failures.
    pub async fn start(&self) {
        let _ = self.0.commands.send(Command::Start).await;
    }

    /// Stops the server, and the links that single clients have there.
    pub async fn stop(&self) {
        let _ = self.0.commands.send(Command::Stop).await;
        self.close_links();
    }

    /// Stops the server and starts it again; calls in flight fail. Links of single clients end, and come back with their
    /// next calls.
    pub async fn restart(&self) {
        let _ = self.0.commands.send(Command::Restart).await;
        self.close_links();
    }

    /// Takes the server out of service: it stops, and what it offers is listed no more. Until
    /// [`ServerHandle::enable`], or the end of the gateway.
    pub async fn disable(&self) {
        self.set_disabled(true);
        self.stop().await;
    }

    /// Takes the server into service again.
    pub async fn enable(&self) {
        self.set_disabled(false);
        self.start().await;
    }

    fn set_disabled(&self, disabled: bool) {
        let shared = &self.0;
        if shared.operated.disabled.swap(disabled, Ordering::AcqRel) != disabled {
            shared.changes.send_modify(|changes| *changes += 1);
            shared.announce(ServerChange::Service(!disabled));
        }
    }

    /// Whether an operator has taken the server out of service.
    pub fn is_disabled(&self) -> bool {
        self.0.operated.disabled.load(Ordering::Acquire)
    }

    /// Whether an operator has stopped it.
    pub(super) fn is_stopped(&self) -> bool {
        let state = &self.0.status.borrow().state;
        matches!(state, State::Stopped | State::Stopping { next: Next::Stopped })
            && self.0.retired.get().is_none()
    }

    /// How the gateway's login to it is doing; nothing, if its entry leaves none to be made.
    pub fn login(&self) -> Option<LoginState> {
        self.0.credential.as_ref().map(|credential| credential.state().borrow().clone())
    }

    /// Has its lists read again, also those that are not old yet.
    pub fn reread(&self) {
        self.0.operated.reread.store(true, Ordering::Release);
        self.lists_used();
    }

    /// Has its tools read again and waits for that; false if they cannot be had soon. However many wait, they are read once
    /// more at most.
    pub async fn read_tools_anew(&self) -> bool {
        let operated = &self.0.operated;
        let wish = operated.tools_wanted.fetch_add(1, Ordering::AcqRel) + 1;
        let mut read = operated.tools_read.subscribe();
        self.lists_used();
        let met = tokio::time::timeout(READ_ANEW, read.wait_for(|read| *read >= wish)).await;
        met.is_ok_and(|met| met.is_ok())
    }

    /// Closes its breaker and those of its links, on an operator's word.
    pub fn reset_breaker(&self) {
        self.0.fuse.with(Breaker::reset);
        self.pooled().iter().for_each(|link| link.0.fuse.with(Breaker::reset));
    }

    /// How long its breaker goes on refusing calls, if it does.
    pub fn breaker_wait(&self) -> Option<Duration> {
        self.0.fuse.with(|breaker| breaker.refuses(Instant::now())).map(|refused| refused.wait)
    }

    /// What its breaker has seen since the server was last started.
    pub fn breaker_counts(&self) -> Counts {
        self.0.fuse.with(|breaker| breaker.counts())
    }

    /// Why it is not as it should be; `None` if it is, or if an operator has taken it out of service.
    pub fn trouble(&self) -> Option<String> {
        if self.is_disabled() { None } else { self.0.status.borrow().trouble() }
    }

    /// Calls that wait for a place at the server, or for it to come up.
    pub fn waiting(&self) -> usize {
        self.0.waiting.load(Ordering::Relaxed)
    }

    /// The last lines that its latest process wrote to its standard error.
    pub fn stderr(&self) -> Vec<String> {
        self.0.operated.stderr.load().as_ref().map(|tail| tail.lines()).unwrap_or_default()
    }
}

impl Status {
    /// Why it is not as it should be; `None` if it is ready, or asleep until the next call.
    pub fn trouble(&self) -> Option<String> {
        let reason = match self.state {
            State::Ready { .. } | State::Dormant => return None,
            State::Stopped => "is stopped",
            _ => "is not up yet",
        };
        Some(self.last_error.clone().unwrap_or_else(|| reason.to_owned()))
    }
}

impl Shared {
    /// Tells whoever watches the fleet.
    pub fn announce(self: &Arc<Self>, change: ServerChange) {
        // Nobody may be watching, which is fine.
        let _ = self.operated.events.send(ServerEvent { server: self.config.name.clone(), change });
    }
}
