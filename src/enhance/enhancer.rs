//! The way of one prompt: rule, privacy, cache, breaker, model.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::debug;

use crate::base::cache::{Bounds, Cache};
use crate::base::{Error, FINGERPRINT, fingerprint};
use crate::config::{Enhance, EnhanceRule, Privacy};
use crate::guard::{Limits, Wait};
use crate::supervisor::{Breaker, BreakerTicket, ServiceHandle};
use crate::telemetry::names;

use super::model::{Failure, ask_in_turn};
use super::statistics::{Became, Counts, Statistics};

/// The most bytes of prompts that are kept: 500 prompts of 8 KiB, four times what a prompt of 500 tokens takes.
const CACHE_BYTES: usize = 4 << 20;

/// Makes prompts better by one configuration. Cloning is cheap.
#[derive(Clone)]
pub(super) struct Enhancing(Arc<Inner>);

struct Inner {
    rules: Enhance,
    service: Option<ServiceHandle>,
    limits: Limits,
    known: Mutex<Cache<Key, Better>>,
    /// Questions under way, for those who ask the same.
    asking: Mutex<HashMap<Key, watch::Receiver<Option<Answer>>>>,
    breaker: Mutex<Breaker>,
    counts: Arc<Counts>,
}

/// A hash over prompt, rule and model.
type Key = [u8; FINGERPRINT];
/// The better prompt, and the model that made it.
type Better = (Arc<str>, Arc<str>);
type Answer = Result<Better, Unanswered>;

/// Why there is no better prompt.
#[derive(Clone, Debug)]
struct Unanswered {
    became: Became,
    reason: Arc<str>,
    /// The limit of the service that is used up, where it is that.
    wait: Option<Wait>,
}

/// One prompt to be made better.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// The prompt.
    pub prompt: String,
    /// The client, by which a rule is found.
    pub client: Option<String>,
    /// Who may see it, if the request is stricter than the rule.
    pub privacy: Option<Privacy>,
    /// Whether a model is asked although the answer is known.
    pub bypass_cache: bool,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enhanced {
    /// The prompt to use: the better one, or the original.
    pub prompt: Arc<str>,
    /// The model that made it; none if it is the original.
    pub model: Option<Arc<str>>,
    /// Whether no model had to be asked for it.
    pub cached: bool,
    /// Why it is the original.
    pub reason: Option<Arc<str>>,
    /// The limit of the service that is used up, where that is why.
    pub wait: Option<Wait>,
}

const NOT_CONFIGURED: &str = "prompt enhancement is not configured (enhance.service)";

impl Enhancing {
    /// By these rules, which ask this service as often as these limits allow.
    pub fn new(
        rules: Enhance,
        (service, limits): (Option<ServiceHandle>, Limits),
        counts: Arc<Counts>,
    ) -> Enhancing {
        Enhancing(Arc::new(Inner {
            known: Mutex::new(Cache::new(Bounds { entries: rules.cache_entries, weight: CACHE_BYTES })),
            asking: Mutex::default(),
            breaker: Mutex::new(Breaker::new(rules.breaker)),
            counts,
            rules,
            service,
            limits,
        }))
    }

    /// Makes a prompt better, or says why not. Never fails, and takes no longer than configured.
    pub async fn enhance(&self, ask: Ask) -> Enhanced {
        let inner = &self.0;
        let (name, rule) = inner.rules.rule(ask.client.as_deref());
        let service = match self.allowed(rule, ask.privacy) {
            Ok(service) => service,
            Err(reason) => return self.original(&ask, Unanswered::new(Became::Untouched, reason)),
        };
        let key = key(name, rule, &ask.prompt);
        if !ask.bypass_cache
            && let Some((prompt, model)) = lock(&inner.known).get(&key, Instant::now())
        {
            inner.counts.add(Became::Cached);
            return Enhanced { prompt, model: Some(model), cached: true, reason: None, wait: None };
        }
        let (answer, became) = if ask.bypass_cache {
            (self.ask(service, rule, key, &ask.prompt).await, Became::Enhanced)
        } else {
            self.ask_once(service, rule, key, &ask.prompt).await
        };
        match answer {
            Ok((prompt, model)) => {
                inner.counts.add(became);
                Enhanced { prompt, model: Some(model), cached: false, reason: None, wait: None }
            }
            Err(why) => self.original(&ask, why),
        }
    }

    /// Leaves a prompt as it is, for somebody for whom there is no service.
    pub fn leave(&self, ask: &Ask) -> Enhanced {
        self.original(ask, Unanswered::new(Became::Untouched, NOT_CONFIGURED))
    }

    /// The better prompt if it is known already; no model is asked and nothing is counted.
    pub fn known(&self, ask: &Ask) -> Option<Enhanced> {
        let (name, rule) = self.0.rules.rule(ask.client.as_deref());
        self.allowed(rule, ask.privacy).ok()?;
        let (prompt, model) = lock(&self.0.known).get(&key(name, rule, &ask.prompt), Instant::now())?;
        Some(Enhanced { prompt, model: Some(model), cached: true, reason: None, wait: None })
    }

    /// Forgets every answer, and says how many there were.
    pub fn forget(&self) -> usize {
        lock(&self.0.known).remove_where(|_| true)
    }

    /// Forgets every answer, closes the breaker and counts anew.
    pub fn reset(&self) {
        self.forget();
        lock(&self.0.breaker).reset();
        self.0.counts.reset();
    }

    /// The numbers.
    pub fn statistics(&self) -> Statistics {
        let count = |became| self.0.counts.read(became);
        let known = lock(&self.0.known);
        Statistics {
            enhanced: count(Became::Enhanced),
            cached: count(Became::Cached),
            shared: count(Became::Shared),
            untouched: count(Became::Untouched),
            refused: count(Became::Refused),
            limited: count(Became::Limited),
            failed: count(Became::Failed),
            cache_size: known.len(),
            cache_max: self.0.rules.cache_entries,
            cache_evicted: known.evicted(),
            breaker: lock(&self.0.breaker).state().as_str(),
        }
    }

    /// Whether this is by these rules and asks this service.
    pub fn is(&self, rules: &Enhance, service: Option<&ServiceHandle>) -> bool {
        let same = match (&self.0.service, service) {
            (Some(own), Some(other)) => own.is(other),
            (None, None) => true,
            _ => false,
        };
        same && self.0.rules == *rules
    }

    /// The service that has the models, if there is one.
    pub fn service(&self) -> Option<&ServiceHandle> {
        self.0.service.as_ref()
    }

    fn original(&self, ask: &Ask, Unanswered { became, reason, wait }: Unanswered) -> Enhanced {
        self.0.counts.add(became);
        debug!(client = ask.client, %reason, "a prompt stays as it is");
        let prompt = ask.prompt.as_str().into();
        Enhanced { prompt, model: None, cached: false, reason: Some(reason), wait }
    }

    /// The service, if the prompt may go there.
    fn allowed(&self, rule: &EnhanceRule, asked: Option<Privacy>) -> Result<&ServiceHandle, &'static str> {
        let service = self.0.service.as_ref().ok_or(NOT_CONFIGURED)?;
        if !rule.enabled {
            return Err("prompt enhancement is disabled for this client (enabled)");
        }
        match asked.map_or(rule.privacy, |asked| asked.max(rule.privacy)) {
            Privacy::Any => Ok(service),
            Privacy::Local if is_local(service) => Ok(service),
            Privacy::Local => {
                Err("the prompt must not leave this machine, and the service is not on it (privacy)")
            }
            Privacy::None => Err("no model may see the prompt (privacy)"),
        }
    }

    /// Asks a model, unless the same is being asked already: then its answer is shared. The question goes on when the
    /// client that asked it first has gone, for those who wait with it and for the cache.
    async fn ask_once(
        &self,
        service: &ServiceHandle,
        rule: &EnhanceRule,
        key: Key,
        prompt: &str,
    ) -> (Answer, Became) {
        let (mut waiting, became) = {
            let mut asking = lock(&self.0.asking);
            match asking.get(&key) {
                Some(waiting) => (waiting.clone(), Became::Shared),
                None => {
                    let (told, waiting) = watch::channel(None);
                    asking.insert(key, waiting.clone());
                    let (own, service, rule, prompt) =
                        (self.clone(), service.clone(), rule.clone(), prompt.to_owned());
                    tokio::spawn(async move {
                        let _gone = Asking { own: &own, key };
                        let answer = own.ask(&service, &rule, key, &prompt).await;
                        told.send_replace(Some(answer));
                    });
                    (waiting, Became::Enhanced)
                }
            }
        };
        let answer = match waiting.wait_for(Option::is_some).await {
            Ok(answer) => answer.clone(),
            Err(_) => None,
        };
        (answer.unwrap_or_else(|| Err(Unanswered::new(Became::Failed, "the question was given up"))), became)
    }

    async fn ask(&self, service: &ServiceHandle, rule: &EnhanceRule, key: Key, prompt: &str) -> Answer {
        let inner = &self.0;
        let ticket = match lock(&inner.breaker).admit(Instant::now()) {
            Ok(ticket) => ticket,
            Err(refused) => {
                let seconds = refused.wait.as_secs() + u64::from(refused.wait.subsec_nanos() > 0);
                let reason = format!("the last prompts got no answer; the next try is in {seconds} s");
                return Err(Unanswered::new(Became::Refused, reason));
            }
        };
        let mut ticket = Ticket { own: self, ticket: Some(ticket) };
        let since = Instant::now();
        let timeout = inner.rules.timeout;
        let asked = tokio::time::timeout(timeout, ask_in_turn((service, &inner.limits), rule, prompt)).await;
        let asked = asked.unwrap_or_else(|_| {
            Err(Failure::Service(format!("no model answered within {timeout:?} (enhance.timeout)")))
        });
        // No model took any time over what the rate kept from it.
        if !matches!(asked, Err(Failure::Limited(_))) {
            names::ENHANCE_DURATION.histogram(&[]).record(since.elapsed());
        }
        ticket.end(&asked);
        match asked {
            Ok((better, model)) => {
                let better: Better = (better.into(), model.into());
                let weight = better.0.len();
                let age = inner.rules.cache_ttl;
                lock(&inner.known).put(key, better.clone(), weight, age, Instant::now());
                Ok(better)
            }
            Err(failure) => Err(failure.into()),
        }
    }
}

impl Unanswered {
    fn new(became: Became, reason: impl Into<Arc<str>>) -> Unanswered {
        Unanswered { became, reason: reason.into(), wait: None }
    }
}

impl From<Failure> for Unanswered {
    fn from(failure: Failure) -> Unanswered {
        match failure {
            Failure::Model(reason) | Failure::Service(reason) | Failure::Busy(reason) => {
                Unanswered::new(Became::Failed, reason)
            }
            Failure::Limited(wait) => {
                let reason = Error::from(wait.clone()).message.as_ref().into();
                Unanswered { became: Became::Limited, reason, wait: Some(wait) }
            }
        }
    }
}

/// Takes a question off the list of those under way, however it ends.
struct Asking<'a> {
    own: &'a Enhancing,
    key: Key,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        lock(&self.own.0.asking).remove(&self.key);
    }
}

/// A ticket of the breaker; one that is dropped without an end was given up, and counts neither way.
struct Ticket<'a> {
    own: &'a Enhancing,
    ticket: Option<BreakerTicket>,
}

impl Ticket<'_> {
    fn end(&mut self, asked: &Result<(String, String), Failure>) {
        let Some(ticket) = self.ticket.take() else { return };
        let mut breaker = lock(&self.own.0.breaker);
        match asked {
            Ok(_) => breaker.succeed(ticket, Instant::now()),
            Err(Failure::Busy(_) | Failure::Limited(_)) => breaker.abandon(ticket),
            Err(_) => breaker.fail(ticket, Instant::now()),
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            lock(&self.own.0.breaker).abandon(ticket);
        }
    }
}

/// What decides about the answer, and so about whose answer may be shared.
fn key(name: &str, rule: &EnhanceRule, prompt: &str) -> Key {
    // The parts are told apart by their lengths.
    let mut text = String::new();
    for part in [name, &rule.model, &rule.system_prompt, prompt] {
        text.push_str(&format!("{}:{part}", part.len()));
    }
    fingerprint(text.as_bytes())
}

/// Whether the service is on this machine, by its address alone: what a name leads to, others decide.
fn is_local(service: &ServiceHandle) -> bool {
    let config = service.config();
    let host = config.url.uri().host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    config.proxy.is_none()
        && (host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()))
}

/// Held for a look-up, never across an await.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Enhancing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Enhancing").field(&self.0.service).finish()
    }
}
