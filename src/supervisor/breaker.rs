//! Whether a server's calls are refused because calls before them got no answer.
//!
//! ```text
//!            failures in a row, or a share of failures                open has passed
//!   Closed ───────────────────────────────────────────▶ Open ─────────────────────────▶ HalfOpen
//!     ▲ ▲                                                ▲                                │  │
//!     │ └──────────────── reset ─────────────────────────┼──────── a probe fails ─────────┘  │
//!     └──────────────────────────── success_threshold probes succeed ────────────────────────┘
//! ```
//!
//! Pure: the clock is passed in. A ticket belongs to the state that gave it out; when that state is over its outcome
//! counts no more, so that the calls which a death ended cannot close the way to the next generation.

use std::time::Duration;

use tokio::time::Instant;

use crate::config;

/// Calls in the window below which a share says nothing: with fewer, a single bad second would open the breaker.
const LEAST_CALLS: u32 = 20;
/// Parts in which the window moves on.
const SLICES: usize = 10;
/// What is told as the wait when all places for probes are taken: a probe is a call, and most take less.
const PROBE_WAIT: Duration = Duration::from_secs(1);

/// When to open and when to close.
pub type Policy = config::Breaker;

/// The breaker of one server.
#[derive(Debug)]
pub struct Breaker {
    policy: Policy,
    phase: Phase,
    /// Counts phases; a ticket of an earlier one is void.
    epoch: u64,
    counts: Counts,
}

/// What a breaker has seen since it was made or reset, for people; it decides by none of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls without an answer since the last one that had an answer.
    pub failures_in_a_row: u64,
    /// Calls with an answer since it was last closed.
    pub successes_since_closed: u64,
    /// All calls without an answer.
    pub failures: u64,
    /// All calls with one.
    pub successes: u64,
    /// How often it has opened.
    pub opened: u64,
    /// When a call was last without an answer.
    pub last_failure: Option<Instant>,
    /// When a call last had one.
    pub last_success: Option<Instant>,
}

#[derive(Debug)]
enum Phase {
    Closed { in_a_row: usize, window: Window },
    Open { until: Instant },
    HalfOpen { probes: usize, successes: usize },
}

/// Leave to make one call, to be given back with its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    epoch: u64,
    /// Whether it was given out to try.
    pub probe: bool,
}

/// A call that is not let through, and how long it makes no sense to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// How long.
    pub wait: Duration,
}

/// The phase without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls go through.
    Closed,
    /// Calls are refused.
    Open,
    /// A few calls are let through to try.
    HalfOpen,
}

impl BreakerState {
    /// The name used in logs, metrics and status.
    pub const fn as_str(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half_open",
        }
    }
}

impl Breaker {
    /// A closed breaker.
    pub fn new(policy: Policy) -> Breaker {
        Breaker { policy, phase: closed(), epoch: 0, counts: Counts::default() }
    }

    /// Lets a call through, or says how long it has to wait.
    pub fn admit(&mut self, now: Instant) -> Result<Ticket, Refused> {
        if let Phase::Open { until } = self.phase {
            if now < until {
                return Err(Refused { wait: until - now });
            }
            self.turn(Phase::HalfOpen { probes: 0, successes: 0 });
        }
        if let Phase::HalfOpen { probes, .. } = &mut self.phase {
            if *probes >= self.policy.half_open_max_calls {
                return Err(Refused { wait: PROBE_WAIT });
            }
            *probes += 1;
        }
        Ok(Ticket { epoch: self.epoch, probe: matches!(self.phase, Phase::HalfOpen { .. }) })
    }

    /// The refusal that a call would get now.
    pub fn refuses(&self, now: Instant) -> Option<Refused> {
        match self.phase {
            Phase::Open { until } if now < until => Some(Refused { wait: until - now }),
            _ => None,
        }
    }

    /// The call got an answer, whatever it was.
    pub fn succeed(&mut self, ticket: Ticket, now: Instant) {
        if ticket.epoch != self.epoch {
            return;
        }
        self.counts.successes += 1;
        self.counts.successes_since_closed += 1;
        self.counts.failures_in_a_row = 0;
        self.counts.last_success = Some(now);
        match &mut self.phase {
            Phase::Closed { in_a_row, window } => {
                *in_a_row = 0;
                window.add(false, now, self.policy.window);
            }
            Phase::HalfOpen { probes, successes } => {
                *probes = probes.saturating_sub(1);
                *successes += 1;
                if *successes >= self.policy.success_threshold {
                    self.turn(closed());
                    self.counts.successes_since_closed = 0;
                }
            }
            Phase::Open { .. } => {}
        }
    }

    /// The call got none.
    pub fn fail(&mut self, ticket: Ticket, now: Instant) {
        if ticket.epoch != self.epoch {
            return;
        }
        self.counts.failures += 1;
        self.counts.failures_in_a_row += 1;
        self.counts.last_failure = Some(now);
        let open = match &mut self.phase {
            Phase::Closed { in_a_row, window } => {
                *in_a_row += 1;
                let (calls, failures) = window.add(true, now, self.policy.window);
                let share = u64::from(failures) * 100 >= u64::from(calls) * self.policy.failure_share as u64;
                *in_a_row >= self.policy.failures || (calls >= LEAST_CALLS && share)
            }
            Phase::HalfOpen { .. } => true,
            Phase::Open { .. } => false,
        };
        if open {
            self.counts.opened += 1;
            self.turn(Phase::Open { until: now + self.policy.open });
        }
    }

    /// The call was withdrawn before anybody could tell: its place is free again, and nothing is counted.
    pub fn abandon(&mut self, ticket: Ticket) {
        if let (true, Phase::HalfOpen { probes, .. }) = (ticket.epoch == self.epoch, &mut self.phase) {
            *probes = probes.saturating_sub(1);
        }
    }

    /// Closes it and forgets everything: for a new generation, or on an operator's word.
    pub fn reset(&mut self) {
        self.turn(closed());
        self.counts = Counts::default();
    }

    /// What it has seen.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The phase, as it was left by the last call or outcome.
    pub fn state(&self) -> BreakerState {
        match self.phase {
            Phase::Closed { .. } => BreakerState::Closed,
            Phase::Open { .. } => BreakerState::Open,
            Phase::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    fn turn(&mut self, phase: Phase) {
        self.phase = phase;
        self.epoch += 1;
    }
}

fn closed() -> Phase {
    Phase::Closed { in_a_row: 0, window: Window::default() }
}

/// Calls and failures of the last while, in slices that are forgotten one by one.
#[derive(Debug, Default)]
struct Window {
    slices: [Slice; SLICES],
    /// The slice that is being filled, and since when.
    current: usize,
    since: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slice {
    calls: u32,
    failures: u32,
}

impl Window {
    /// Counts one call and returns the sums of the window with it.
    fn add(&mut self, failed: bool, now: Instant, length: Duration) -> (u32, u32) {
        self.move_on(now, length);
        let slice = &mut self.slices[self.current];
        slice.calls = slice.calls.saturating_add(1);
        slice.failures = slice.failures.saturating_add(u32::from(failed));
        if !failed {
            // Only a failure asks for the sums.
            return (0, 0);
        }
        let sum = |count: fn(&Slice) -> u32| self.slices.iter().map(count).fold(0, u32::saturating_add);
        (sum(|slice| slice.calls), sum(|slice| slice.failures))
    }

    fn move_on(&mut self, now: Instant, length: Duration) {
        let slice = length / SLICES as u32;
        let since = *self.since.get_or_insert(now);
        let mut passed = now.saturating_duration_since(since);
        if passed >= length {
            *self = Window { since: Some(now), ..Window::default() };
            return;
        }
        while passed >= slice && !slice.is_zero() {
            passed -= slice;
            self.current = (self.current + 1) % SLICES;
            self.slices[self.current] = Slice::default();
            self.since = Some(now - passed);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: Policy = Policy {
        failures: 3,
        failure_share: 50,
        window: Duration::from_secs(30),
        open: Duration::from_secs(30),
        half_open_max_calls: 1,
        success_threshold: 1,
    };

    fn breaker() -> (Breaker, Instant) {
        (Breaker::new(POLICY), Instant::now())
    }

    fn fail(breaker: &mut Breaker, now: Instant, times: usize) {
        for _ in 0..times {
            let ticket = breaker.admit(now).unwrap();
            breaker.fail(ticket, now);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_it_and_a_success_among_them_does_not_let_them_add_up() {
        let (mut breaker, now) = breaker();
        for _ in 0..10 {
            fail(&mut breaker, now, 2);
            for _ in 0..8 {
                let ticket = breaker.admit(now).unwrap();
                breaker.succeed(ticket, now);
            }
        }
        assert_eq!(
            breaker.state(),
            BreakerState::Closed,
            "a fifth of the calls failed, never three in a row"
        );
        fail(&mut breaker, now, 3);
        assert_eq!(breaker.admit(now), Err(Refused { wait: POLICY.open }));
        assert_eq!(breaker.admit(now + POLICY.open / 2), Err(Refused { wait: POLICY.open / 2 }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_of_failures_within_the_window_opens_it_and_old_ones_are_forgotten() {
        let spread = |pause: Duration| {
            let (mut breaker, mut now) = breaker();
            let mut opened = false;
            for call in 0..40 {
                let Ok(ticket) = breaker.admit(now) else { break };
                if call % 2 == 0 {
                    breaker.fail(ticket, now)
                } else {
                    breaker.succeed(ticket, now)
                }
                opened |= breaker.state() == BreakerState::Open;
                now += pause;
            }
            opened
        };
        assert!(spread(Duration::from_millis(10)));
        assert!(!spread(Duration::from_secs(5)), "there are never {LEAST_CALLS} calls in one window");
    }

    #[tokio::test(start_paused = true)]
    async fn one_probe_is_let_through_and_decides() {
        let (mut breaker, mut now) = breaker();
        fail(&mut breaker, now, 3);
        now += POLICY.open;
        let probe = breaker.admit(now).unwrap();
        assert_eq!(breaker.admit(now), Err(Refused { wait: PROBE_WAIT }));
        breaker.fail(probe, now);
        assert_eq!(breaker.state(), BreakerState::Open);
        now += POLICY.open;
        let probe = breaker.admit(now).unwrap();
        breaker.succeed(probe, now);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn what_it_has_seen_is_counted_until_it_is_reset() {
        let (mut breaker, mut now) = breaker();
        let ticket = breaker.admit(now).unwrap();
        breaker.succeed(ticket, now);
        fail(&mut breaker, now, 3);
        let seen = breaker.counts();
        assert_eq!((seen.failures_in_a_row, seen.failures, seen.successes, seen.opened), (3, 3, 1, 1));
        let failed_at = now;
        now += POLICY.open;
        let probe = breaker.admit(now).unwrap();
        breaker.succeed(probe, now);
        let seen = breaker.counts();
        assert_eq!((seen.failures_in_a_row, seen.successes_since_closed, seen.successes), (0, 0, 2));
        assert_eq!((seen.last_failure, seen.last_success), (Some(failed_at), Some(now)));
        breaker.reset();
        assert_eq!(breaker.counts(), Counts::default());
    }

    #[tokio::test(start_paused = true)]
    async fn an_abandoned_probe_frees_its_place() {
        let (mut breaker, mut now) = breaker();
        fail(&mut breaker, now, 3);
        now += POLICY.open;
        for _ in 0..100 {
            let probe = breaker.admit(now).unwrap();
            breaker.abandon(probe);
        }
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_of_the_generation_before_do_not_count_against_the_next() {
        let (mut breaker, now) = breaker();
        let tickets: Vec<Ticket> = (0..64).map(|_| breaker.admit(now).unwrap()).collect();
        breaker.reset();
        tickets.into_iter().for_each(|ticket| breaker.fail(ticket, now));
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    /// The same rules, written down the slow way: every outcome of the phase is kept.
    #[derive(Default)]
    struct Model {
        log: Vec<bool>,
        open_until: Option<Instant>,
        probes: Vec<usize>,
        half_open: bool,
        successes: usize,
        void: usize,
    }

    impl Model {
        fn clear(&mut self, issued: usize) {
            *self = Model { void: issued, ..Model::default() };
        }

        fn admit(&mut self, now: Instant, number: usize) -> bool {
            if let Some(until) = self.open_until {
                if now < until {
                    return false;
                }
                self.clear(number);
                self.half_open = true;
            }
            if self.half_open {
                if self.probes.len() >= POLICY.half_open_max_calls {
                    return false;
                }
                self.probes.push(number);
            }
            true
        }

        fn end(&mut self, number: usize, issued: usize, outcome: Option<bool>, now: Instant) {
            if number < self.void || self.open_until.is_some() {
                return;
            }
            self.probes.retain(|probe| *probe != number);
            let Some(ok) = outcome else { return };
            if self.half_open {
                if ok {
                    self.successes += 1;
                    if self.successes >= POLICY.success_threshold {
                        self.clear(issued);
                    }
                    return;
                }
            } else {
                self.log.push(ok);
                let in_a_row = self.log.iter().rev().take_while(|ok| !**ok).count();
                let failed = self.log.iter().filter(|ok| !**ok).count();
                let share = self.log.len() >= LEAST_CALLS as usize
                    && failed * 100 >= self.log.len() * POLICY.failure_share;
                if ok || (in_a_row < POLICY.failures && !share) {
                    return;
                }
            }
            self.clear(issued);
            self.open_until = Some(now + POLICY.open);
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Admit,
        End(prop::sample::Index, Option<bool>),
        Open,
        Reset,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => Just(Step::Admit),
            8 => (any::<prop::sample::Index>(), prop_oneof![4 => Just(Some(true)), 3 => Just(Some(false)), 1 => Just(None)])
                .prop_map(|(which, outcome)| Step::End(which, outcome)),
            1 => Just(Step::Open),
            1 => Just(Step::Reset),
        ]
    }

    proptest! {
        /// All within one slice of the window, whose moving on has its own test; `Open` passes the open time.
        #[test]
        fn it_does_what_the_simple_model_does(steps in proptest::collection::vec(step(), 0..300)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            let mut now = { let _guard = runtime.enter(); Instant::now() };
            let (mut breaker, mut model) = (Breaker::new(POLICY), Model::default());
            let (mut out, mut issued): (Vec<(usize, Ticket)>, usize) = (Vec::new(), 0);
            for step in steps {
                match step {
                    Step::Admit => {
                        let ticket = breaker.admit(now);
                        prop_assert_eq!(ticket.is_ok(), model.admit(now, issued));
                        if let Ok(ticket) = ticket {
                            out.push((issued, ticket));
                            issued += 1;
                        }
                    }
                    Step::End(_, _) if out.is_empty() => {}
                    Step::End(which, outcome) => {
                        let (number, ticket) = out.swap_remove(which.index(out.len()));
                        match outcome {
                            Some(true) => breaker.succeed(ticket, now),
                            Some(false) => breaker.fail(ticket, now),
                            None => breaker.abandon(ticket),
                        }
                        model.end(number, issued, outcome, now);
                    }
                    Step::Open if breaker.state() == BreakerState::Open => now += POLICY.open,
                    Step::Open => {}
                    Step::Reset => {
                        breaker.reset();
                        model.clear(issued);
                    }
                }
                prop_assert_eq!(breaker.state() == BreakerState::Open, model.open_until.is_some());
                prop_assert_eq!(breaker.state() == BreakerState::HalfOpen, model.half_open);
                if let Phase::HalfOpen { probes, .. } = &breaker.phase {
                    prop_assert_eq!(*probes, model.probes.len());
                }
            }
        }
    }
}
