//! The task that owns one server: it feeds the machine, carries out its actions and publishes the state.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::base::{Era, random};
use crate::credentials::Credential;

use super::event::ServerChange;
use super::generation::{self, Ended, Resources};
use super::handle::{Command, Shared, Status};
use super::machine::{Action, Event, Machine, Policy, State};
use super::pool::Membership;

/// A generation that runs.
struct Running {
    task: JoinHandle<Ended>,
    cancel: CancellationToken,
}

pub(super) struct Owner {
    shared: Arc<Shared>,
    resources: Resources,
    commands: mpsc::Receiver<Command>,
    machine: Machine,
    running: Option<Running>,
    /// The generation's word that it is up.
    up: (mpsc::Sender<u64>, mpsc::Receiver<u64>),
    /// The era of the next attempt, when the last one proved it.
    proved: Option<Era>,
    /// Whether the server waits for somebody to log in.
    awaits_login: bool,
}

impl Owner {
    /// An owner whose first start has the number after `generation`.
    pub fn new(
        shared: Arc<Shared>,
        resources: Resources,
        commands: mpsc::Receiver<Command>,
        generation: u64,
    ) -> Owner {
        let machine = Machine::new(Policy::new(shared.config.restart)).after(generation);
        Owner {
            shared,
            resources,
            commands,
            machine,
            running: None,
            up: mpsc::channel(1),
            proved: None,
            awaits_login: false,
        }
    }

    /// Runs until `shutdown`, and then until the server has stopped.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let _gone = self.shared.gone.clone().drop_guard();
        let first = self.shared.status.borrow().state.clone();
        match first {
            // An operator has taken the one before it out of service.
            State::Stopped => {}
            State::Dormant => self.feed(Event::Rest),
            _ => self.feed(Event::Start),
        }
        let mut leaving = false;
        loop {
            if leaving && self.running.is_none() {
                return;
            }
            let due = self.machine.due();
            let idle =
                self.shared.config.idle_stop.filter(|_| matches!(self.machine.state(), State::Ready { .. }));
            let event = tokio::select! {
                biased;
                Some(generation) = self.up.1.recv() => {
                    if generation == self.machine.generation() { Event::Up } else { continue }
                }
                ended = ended(&mut self.running) => {
                    // One session's state went with it. Nobody may take a new process for the old one.
                    leaving |= self.shared.member.as_ref().is_some_and(Membership::one_life) && matches!(self.machine.state(), State::Ready { .. });
                    self.down(ended)
                }
                () = shutdown.cancelled(), if !leaving => {
                    leaving = true;
                    Event::Stop
                }
                command = self.commands.recv(), if !leaving => match command {
                    Some(Command::Start) => Event::Start,
                    Some(Command::Stop) => Event::Stop,
                    Some(Command::Restart) => {
                        self.feed(Event::Stop);
                        Event::Start
                    }
                    None => { leaving = true; Event::Stop }
                },
                () = sleep_until(due), if due.is_some() => Event::Due,
                () = logged_in(self.shared.credential.as_deref()), if self.awaits_login && !leaving => {
                    self.awaits_login = false;
                    if matches!(self.machine.state(), State::Failed { .. }) { Event::Start } else { continue }
                }
                () = self.shared.wake.notified(), if !leaving => Event::Wake,
                () = idle_for(&self.shared, idle), if idle.is_some() && !leaving => Event::Idle,
            };
            self.feed(event);
            if leaving {
                self.feed(Event::Stop);
            }
        }
    }

    fn down(&mut self, ended: Ended) -> Event {
        self.running = None;
        self.proved = ended.speaks;
        self.awaits_login = ended.needs_login;
        if ended.lapsed {
            return Event::Lapsed { reason: ended.reason };
        }
        Event::Down { reason: ended.reason, permanent: ended.permanent }
    }

    fn feed(&mut self, event: Event) {
        let before = self.machine.state().as_str();
        let reason = match &event {
            Event::Down { reason, .. } | Event::Lapsed { reason } => Some(reason.clone()),
            _ => None,
        };
        match self.machine.on(event, Instant::now(), random::next_u64()) {
            Action::None => {}
            // What was up a moment ago, or is being waited for, does not queue behind what starts for the first time.
            Action::Launch(generation) => {
                self.launch(generation, !matches!(before, "ready" | "dormant" | "stopping"))
            }
            Action::Halt => {
                if let Some(running) = &self.running {
                    running.cancel.cancel();
                }
            }
        }
        self.publish(before, reason);
    }

    fn launch(&mut self, generation: u64, cold: bool) {
        let cancel = CancellationToken::new();
        let context = generation::Context {
            shared: Arc::clone(&self.shared),
            resources: self.resources.clone(),
            number: generation,
            cold,
            settled: CancellationToken::new(),
            speaks: self.proved.take(),
            up: self.up.0.clone(),
            cancel: cancel.clone(),
        };
        self.running = Some(Running { task: tokio::spawn(generation::run(context)), cancel });
    }

    fn publish(&self, before: &str, reason: Option<String>) {
        let state = self.machine.state().clone();
        let name = &self.shared.config.name;
        let generation = self.machine.generation();
        match (&state, &reason) {
            (State::Ready { .. }, _) => info!(server = %name, generation, "ready"),
            (State::Starting, Some(reason)) => {
                warn!(server = %name, generation, "{reason}; starting it again")
            }
            (State::Backoff { until, attempt, reason }, Some(_)) => {
                let wait = until.saturating_duration_since(Instant::now());
                warn!(server = %name, generation, attempt, "{reason}; next attempt in {} ms", wait.as_millis());
            }
            (State::Failed { reason, retry_at }, Some(_)) => {
                let wait = retry_at.saturating_duration_since(Instant::now());
                warn!(server = %name, generation, "{reason}; given up for now, next attempt in {} s", wait.as_secs());
            }
            (state, _) if state.as_str() != before => info!(server = %name, generation, "{}", state.as_str()),
            _ => {}
        }
        let fell = reason.is_some() && matches!(before, "starting" | "ready");
        // One name has one series: the server that is in the fleet speaks for it.
        let in_the_fleet = self.shared.joined.load(Ordering::Relaxed) && self.shared.retired.get().is_none();
        if self.shared.speaks_for_server() && in_the_fleet {
            self.resources.metrics.state(name.as_str(), state.as_str(), generation, fell);
            if state.as_str() != before || fell {
                let (state, reason) = (state.as_str(), reason.clone());
                self.shared.announce(ServerChange::State { state, generation, reason });
            }
        }
        self.shared.status.send_modify(|status: &mut Status| {
            if status.state.as_str() != state.as_str() || status.generation != generation {
                status.since = Instant::now();
            }
            status.restarts += u64::from(fell);
            status.state = state;
            status.generation = generation;
            status.last_error = match &status.state {
                State::Ready { .. } | State::Dormant | State::Stopped => None,
                _ => reason.or(status.last_error.take()),
            };
        });
    }
}

/// The end of the running generation; never, if none runs.
async fn ended(running: &mut Option<Running>) -> Ended {
    match running {
        None => std::future::pending().await,
        Some(running) => match (&mut running.task).await {
            Ok(ended) => ended,
            Err(error) => Ended {
                reason: format!("ran into a fault of the gateway ({error})"),
                permanent: false,
                needs_login: false,
                lapsed: false,
                refused: None,
                speaks: None,
                farewell: generation::Farewell::Kill,
            },
        },
    }
}

/// Waits until the server has not been called for as long as `idle` says, and takes it away from callers then.
async fn idle_for(shared: &Shared, idle: Option<Duration>) {
    let Some(idle) = idle else { return std::future::pending().await };
    loop {
        tokio::time::sleep_until(shared.pulse.last_use() + idle).await;
        if shared.pulse.last_use().elapsed() >= idle {
            if shared.close_if_idle() {
                return;
            }
            // A call is in flight, which is a use.
            shared.pulse.use_now();
        }
    }
}

/// Returns when nobody has to log in any more.
async fn logged_in(credential: Option<&Credential>) {
    match credential {
        Some(credential) => credential.settled().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
