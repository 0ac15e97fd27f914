//! The states of one supervised server, as a pure machine: state × event × now → state, action.
//!
//! ```text
//!  Stopped ──Start──▶ Starting ──Up──▶ Ready ──Idle──▶ Stopping { Dormant } ──Down──▶ Dormant ──Wake, Start──▶ Starting
//!     │                │    ▲            │
//!    Rest         Down │    │ Due, Start │ Down, the first in the window or after a second of use,
//!     ▼                ▼    │            │ Lapsed, when the link has lasted           ──▶ Starting
//!  Dormant            Backoff ◀──────────┤ Down, sooner
//!                      │                 │
//!         budget spent ▼                 ▼
//!                     Failed ◀── budget spent, or a fault that trying again cannot mend
//!                      └── Due (the slow retry), Start ──▶ Starting
//!
//!  Starting, Ready ──Stop──▶ Stopping { Stopped } ──Down──▶ Stopped      Backoff, Failed, Dormant ──Stop──▶ Stopped
//!  Stopping { any } ──Start──▶ Stopping { Starting } ──Down──▶ Starting  Stopping { any } ──Stop──▶ Stopping { Stopped }
//!  Stopping { Dormant } ──Wake──▶ Stopping { Starting }
//! ```
//!
//! The first start after a generation that was Ready has no delay, unless that one fell within its first second. No state is for ever without somebody's will:
//! `Failed` is tried again at the slow rate, or at once on an operator's word; `Dormant` ends with the next call. A
//! wish that comes while a generation is being stopped is not lost: it decides what comes next.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::base::backoff::Backoff;
use crate::config;

/// How restarts are paced.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Waits between attempts that did not become Ready.
    pub backoff: Backoff,
    /// Restarts allowed within [`Policy::window`]; the next one goes to `Failed`.
    pub budget: usize,
    /// See [`Policy::budget`].
    pub window: Duration,
    /// How long a failed server rests before it is tried again.
    pub slow_retry: Duration,
}

impl Policy {
    /// Backoff from half a second to half a minute within what the configuration says. Its defaults are five restarts a
    /// minute, as in Erlang/OTP's customary child specification and systemd's `StartLimitBurst` of 5, over a minute
    /// since a server takes longer to start than a unit; a failed server is tried once a minute.
    pub const fn new(restart: config::Restart) -> Policy {
        Policy {
            backoff: Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(30) },
            budget: restart.budget,
            window: restart.window,
            slow_retry: restart.slow_retry,
        }
    }
}

/// Where a server is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody wants it to run.
    Stopped,
    /// A generation is coming up: process, handshake, lists.
    Starting,
    /// Process up, handshake done, lists read.
    Ready {
        /// Since when.
        since: Instant,
    },
    /// Waiting for the next attempt.
    Backoff {
        /// When it is due.
        until: Instant,
        /// How many attempts have failed in a row.
        attempt: u32,
        /// What went wrong last.
        reason: String,
    },
    /// Given up for now.
    Failed {
        /// What went wrong last.
        reason: String,
        /// When it is tried again all the same.
        retry_at: Instant,
    },
    /// Stopped for idleness; the next call wakes it.
    Dormant,
    /// A generation is being stopped.
    Stopping {
        /// What comes when it has ended.
        next: Next,
    },
}

/// What comes after `Stopping`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nobody wants it.
    Stopped,
    /// It was idle.
    Dormant,
    /// Somebody wants it again.
    Starting,
}

impl State {
    /// The name used in logs, metrics and status.
    pub fn as_str(&self) -> &'static str {
        match self {
            State::Stopped => "stopped",
            State::Starting => "starting",
            State::Ready { .. } => "ready",
            State::Backoff { .. } => "backoff",
            State::Failed { .. } => "failed",
            State::Dormant => "dormant",
            State::Stopping { .. } => "stopping",
        }
    }
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is wanted: at boot, or on an operator's word.
    Start,
    /// It is wanted when somebody calls, not before.
    Rest,
    /// Somebody calls.
    Wake,
    /// Nobody has called for long.
    Idle,
    /// It is not wanted any more.
    Stop,
    /// The generation is up and its lists have been read.
    Up,
    /// The generation has ended.
    Down {
        /// Why, as a clause that follows the server's name.
        reason: String,
        /// Whether trying again soon is pointless (command not found).
        permanent: bool,
    },
    /// The generation's link has lapsed; the server itself is well.
    Lapsed {
        /// Why, as a clause that follows the server's name.
        reason: String,
    },
    /// The time of [`Machine::due`] has come.
    Due,
}

/// A generation that has lived this long has been of use: the next one starts without delay. Opening a link again that
/// has lapsed is not even counted as a restart then.
const LASTING: Duration = Duration::from_secs(1);

/// What the owner has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    None,
    /// Start the next generation, which has this number.
    Launch(u64),
    /// Stop the running generation; `Down` follows.
    Halt,
}

/// The machine.
#[derive(Debug)]
pub struct Machine {
    state: State,
    policy: Policy,
    generation: u64,
    attempt: u32,
    restarts: VecDeque<Instant>,
    /// The running generation is the slow retry of a failed server: one more failure, and it rests again.
    probation: bool,
}

impl Machine {
    /// A machine in `Stopped`.
    pub fn new(policy: Policy) -> Machine {
        Machine {
            state: State::Stopped,
            policy,
            generation: 0,
            attempt: 0,
            restarts: VecDeque::new(),
            probation: false,
        }
    }

    /// The same, with the starts of `generation` behind it.
    pub fn after(self, generation: u64) -> Machine {
        Machine { generation, ..self }
    }

    /// The state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The number of the last generation that was launched; 0 before the first.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// When `Due` is to be fired.
    pub fn due(&self) -> Option<Instant> {
        match self.state {
            State::Backoff { until, .. } => Some(until),
            State::Failed { retry_at, .. } => Some(retry_at),
            _ => None,
        }
    }

    /// Takes one event. `random` jitters a backoff.
    pub fn on(&mut self, event: Event, now: Instant, random: u64) -> Action {
        match (&self.state, event) {
            (
                State::Stopped | State::Dormant | State::Backoff { .. } | State::Failed { .. },
                Event::Start,
            )
            | (State::Dormant, Event::Wake)
            | (State::Stopping { next: Next::Starting }, Event::Down { .. }) => {
                self.restarts.clear();
                self.attempt = 0;
                self.probation = false;
                self.launch()
            }
            (State::Stopped, Event::Rest) => self.turn(State::Dormant),
            (State::Backoff { until, .. }, Event::Due) if *until <= now => self.launch(),
            (State::Failed { retry_at, .. }, Event::Due) if *retry_at <= now => {
                self.probation = true;
                self.launch()
            }
            (State::Starting, Event::Up) => {
                self.attempt = 0;
                self.probation = false;
                self.state = State::Ready { since: now };
                Action::None
            }
            (State::Ready { since }, Event::Down { reason, permanent }) => {
                let lasted = now.duration_since(*since) >= LASTING;
                self.fell(reason, permanent, lasted || self.is_first(now), now, random)
            }
            // A link that lapses as soon as it is opened is no better than a server that falls.
            (State::Ready { since }, Event::Lapsed { .. }) if now.duration_since(*since) >= LASTING => {
                self.launch()
            }
            (State::Ready { .. }, Event::Lapsed { reason }) => {
                self.fell(reason, false, self.is_first(now), now, random)
            }
            (state, Event::Lapsed { reason }) if !matches!(state, State::Ready { .. }) => {
                self.on(Event::Down { reason, permanent: false }, now, random)
            }
            (State::Starting, Event::Down { reason, permanent }) => {
                self.fell(reason, permanent, false, now, random)
            }
            (State::Starting | State::Ready { .. }, Event::Stop) => self.halt(Next::Stopped),
            (State::Ready { .. }, Event::Idle) => self.halt(Next::Dormant),
            (State::Stopping { .. }, Event::Start)
            | (State::Stopping { next: Next::Dormant }, Event::Wake) => {
                self.turn(State::Stopping { next: Next::Starting })
            }
            (State::Stopping { .. }, Event::Stop) => self.turn(State::Stopping { next: Next::Stopped }),
            (State::Stopping { next: Next::Dormant }, Event::Down { .. }) => self.turn(State::Dormant),
            (State::Dormant | State::Backoff { .. } | State::Failed { .. }, Event::Stop)
            | (State::Stopping { next: Next::Stopped }, Event::Down { .. }) => self.turn(State::Stopped),
            // What does not fit the state comes late: an Up of a generation that has fallen, a second Start.
            _ => Action::None,
        }
    }

    fn turn(&mut self, state: State) -> Action {
        self.state = state;
        Action::None
    }

    fn halt(&mut self, next: Next) -> Action {
        self.state = State::Stopping { next };
        Action::Halt
    }

    fn launch(&mut self) -> Action {
        self.generation += 1;
        self.state = State::Starting;
        Action::Launch(self.generation)
    }

    /// Whether a restart now would be the first within the window.
    fn is_first(&self, now: Instant) -> bool {
        self.restarts.iter().all(|restart| now.duration_since(*restart) >= self.policy.window)
    }

    fn fell(&mut self, reason: String, permanent: bool, at_once: bool, now: Instant, random: u64) -> Action {
        while self.restarts.front().is_some_and(|first| now.duration_since(*first) >= self.policy.window) {
            self.restarts.pop_front();
        }
        if permanent || self.probation || self.restarts.len() >= self.policy.budget {
            self.attempt = 0;
            self.restarts.clear();
            self.state = State::Failed { reason, retry_at: now + self.policy.slow_retry };
            return Action::None;
        }
        self.restarts.push_back(now);
        if at_once {
            return self.launch();
        }
        let until = now + self.policy.backoff.delay(self.attempt, random);
        self.attempt += 1;
        self.state = State::Backoff { until, attempt: self.attempt, reason };
        Action::None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const POLICY: Policy = Policy::new(config::Restart { budget: 5, window: MINUTE, slow_retry: MINUTE });

    fn down(permanent: bool) -> Event {
        Event::Down { reason: "exited with status 1".to_owned(), permanent }
    }

    fn ready(machine: &mut Machine, now: Instant) {
        machine.on(Event::Start, now, 0);
        machine.on(Event::Up, now, 0);
        assert_eq!(machine.state().as_str(), "ready");
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_restart_after_ready_has_no_delay() {
        let now = Instant::now();
        let mut machine = Machine::new(POLICY);
        ready(&mut machine, now);
        assert_eq!(machine.on(down(false), now, 0), Action::Launch(2));
        assert_eq!(machine.on(down(false), now, 0), Action::None);
        assert!(matches!(machine.state(), State::Backoff { attempt: 1, .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_generation_that_was_of_use_is_followed_at_once_as_long_as_the_budget_lasts() {
        let mut now = Instant::now();
        let mut machine = Machine::new(POLICY);
        ready(&mut machine, now);
        for _ in 0..POLICY.budget {
            now += LASTING;
            assert!(matches!(machine.on(down(false), now, 0), Action::Launch(_)));
            machine.on(Event::Up, now, 0);
        }
        now += LASTING;
        machine.on(down(false), now, 0);
        assert!(matches!(machine.state(), State::Failed { .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_falls_as_soon_as_it_is_up_is_started_with_pauses() {
        let now = Instant::now();
        let mut machine = Machine::new(POLICY);
        ready(&mut machine, now);
        assert!(matches!(machine.on(down(false), now, 0), Action::Launch(_)), "the first time");
        machine.on(Event::Up, now, 0);
        machine.on(down(false), now, 0);
        assert!(matches!(machine.state(), State::Backoff { .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_ran_well_for_longer_than_the_window_starts_with_a_full_budget() {
        let mut now = Instant::now();
        let mut machine = Machine::new(POLICY);
        ready(&mut machine, now);
        for _ in 0..100 {
            now += POLICY.window;
            assert!(matches!(machine.on(down(false), now, 0), Action::Launch(_)));
            machine.on(Event::Up, now, 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_crash_loop_ends_in_failed_and_is_tried_again_at_the_slow_rate() {
        let now = Instant::now();
        let mut machine = Machine::new(POLICY);
        machine.on(Event::Start, now, 0);
        let mut launches = 1;
        let mut at = now;
        while !matches!(machine.state(), State::Failed { .. }) {
            machine.on(down(false), at, u64::MAX);
            if let Some(due) = machine.due() {
                at = due;
            }
            if matches!(machine.state(), State::Backoff { .. }) {
                assert!(matches!(machine.on(Event::Due, at, 0), Action::Launch(_)));
                launches += 1;
            }
        }
        assert_eq!(launches, 1 + POLICY.budget);
        let due = machine.due().unwrap();
        assert!(matches!(machine.on(Event::Due, due, 0), Action::Launch(_)));
        machine.on(down(false), due, 0);
        assert!(matches!(machine.state(), State::Failed { .. }), "one slow retry is one attempt");
    }

    #[tokio::test(start_paused = true)]
    async fn a_permanent_fault_fails_at_once_and_an_operator_can_try_at_once() {
        let now = Instant::now();
        let mut machine = Machine::new(POLICY);
        machine.on(Event::Start, now, 0);
        machine.on(down(true), now, 0);
        assert!(matches!(machine.state(), State::Failed { .. }));
        assert_eq!(machine.on(Event::Due, now, 0), Action::None, "before its time");
        assert!(matches!(machine.on(Event::Start, now, 0), Action::Launch(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_halts_what_runs_and_forgets_what_waits() {
        let now = Instant::now();
        let mut machine = Machine::new(POLICY);
        ready(&mut machine, now);
        assert_eq!(machine.on(Event::Stop, now, 0), Action::Halt);
        assert_eq!(machine.on(down(false), now, 0), Action::None);
        assert_eq!(machine.state(), &State::Stopped);
        machine.on(Event::Start, now, 0);
        machine.on(down(true), now, 0);
        machine.on(Event::Stop, now, 0);
        assert_eq!((machine.state(), machine.due()), (&State::Stopped, None));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_server_sleeps_and_the_next_call_wakes_it_even_while_it_is_falling_asleep() {
        let now = Instant::now();
        let mut machine = Machine::new(POLICY);
        ready(&mut machine, now);
        assert_eq!(machine.on(Event::Idle, now, 0), Action::Halt);
        assert_eq!(machine.on(down(false), now, 0), Action::None);
        assert_eq!((machine.state(), machine.due()), (&State::Dormant, None));
        assert_eq!(machine.on(Event::Wake, now, 0), Action::Launch(2));
        machine.on(Event::Up, now, 0);
        machine.on(Event::Idle, now, 0);
        assert_eq!(machine.on(Event::Wake, now, 0), Action::None, "the old generation is still there");
        assert_eq!(machine.on(down(false), now, 0), Action::Launch(3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_somebody_stopped_is_not_woken_by_calls() {
        let now = Instant::now();
        let mut machine = Machine::new(POLICY);
        ready(&mut machine, now);
        machine.on(Event::Stop, now, 0);
        machine.on(Event::Wake, now, 0);
        machine.on(down(false), now, 0);
        machine.on(Event::Wake, now, 0);
        assert_eq!(machine.state(), &State::Stopped);
        machine.on(Event::Rest, now, 0);
        assert_eq!(machine.state(), &State::Dormant);
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_asked_for_while_it_is_stopping_is_not_lost_and_the_last_word_counts() {
        let now = Instant::now();
        let mut machine = Machine::new(POLICY);
        ready(&mut machine, now);
        for event in [Event::Stop, Event::Start, Event::Stop, Event::Start] {
            machine.on(event, now, 0);
        }
        assert_eq!(machine.on(down(false), now, 0), Action::Launch(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lapsed_link_is_opened_again_at_once_and_is_no_restart_unless_it_lapses_each_time() {
        let mut now = Instant::now();
        let mut machine = Machine::new(POLICY);
        ready(&mut machine, now);
        let lapsed = || Event::Lapsed { reason: "has forgotten our session".to_owned() };
        for _ in 0..100 {
            now += LASTING;
            assert!(matches!(machine.on(lapsed(), now, 0), Action::Launch(_)));
            machine.on(Event::Up, now, 0);
        }
        for _ in 0..=POLICY.budget {
            machine.on(lapsed(), now, 0);
            if let Some(due) = machine.due() {
                now = due;
                machine.on(Event::Due, now, 0);
            }
            machine.on(Event::Up, now, 0);
        }
        assert!(
            matches!(machine.state(), State::Failed { .. } | State::Ready { .. }),
            "{:?}",
            machine.state()
        );
        assert!(machine.restarts.len() <= POLICY.budget);
    }

    fn any_event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::Start),
            Just(Event::Stop),
            Just(Event::Rest),
            Just(Event::Wake),
            Just(Event::Idle),
            Just(Event::Up),
            any::<bool>().prop_map(down),
            Just(Event::Lapsed { reason: "has forgotten our session".to_owned() }),
            Just(Event::Due),
        ]
    }

    proptest! {
        #[test]
        fn no_generation_runs_twice_none_is_lost_and_no_state_is_for_ever(
            events in proptest::collection::vec((any_event(), 0u64..5_000, any::<u64>()), 0..200),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            let mut now = { let _guard = runtime.enter(); Instant::now() };
            let mut machine = Machine::new(POLICY);
            let mut running = false;
            for (event, millis, random) in events {
                now += Duration::from_millis(millis);
                // The owner reports the end only of what runs.
                if matches!(event, Event::Down { .. } | Event::Lapsed { .. } | Event::Up) && !running {
                    continue;
                }
                running &= !matches!(event, Event::Down { .. } | Event::Lapsed { .. });
                if let Action::Launch(_) = machine.on(event, now, random) {
                    prop_assert!(!running, "a second generation beside a running one");
                    running = true;
                }
                let state = machine.state();
                prop_assert_eq!(running, matches!(state, State::Starting | State::Ready { .. } | State::Stopping { .. }));
                prop_assert_eq!(machine.due().is_some(), matches!(state, State::Backoff { .. } | State::Failed { .. }));
                if let Some(due) = machine.due() {
                    let longest = POLICY.slow_retry.max(POLICY.backoff.cap);
                    prop_assert!(due <= now + longest);
                }
            }
        }
    }
}
