//! How often: the limits of the configuration, each on its own.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use crate::base::{Error, ErrorKind, Principal, ServerName, glob};
use crate::config::{Config, Rate, Server, Service};
use crate::telemetry::names;

use super::bucket::{Bucket, Keyed, TokioClock};

/// Principals, addresses or tools of one server that are counted apart at the same time. A slot takes about 150 bytes.
const MOST_KEYS: usize = 20_000;
/// How often those that have rested are forgotten.
const REAP_EVERY: Duration = Duration::from_secs(60);

/// All limits. Cloning is cheap.
#[derive(Clone)]
pub struct Limits(Arc<ArcSwap<Inner>>);

struct Inner {
    clock: TokioClock,
    total: Option<Arc<Limit>>,
    principal: Option<Arc<Each<Principal>>>,
    failed_logins: Option<Arc<Each<IpAddr>>>,
    servers: HashMap<ServerName, PerServer>,
}

struct Limit {
    rate: Rate,
    bucket: Bucket<TokioClock>,
}

struct Each<K> {
    rate: Rate,
    keyed: Keyed<K, TokioClock>,
}

struct PerServer {
    /// The table of its entry: servers and services go by different names.
    section: &'static str,
    calls: Option<Arc<Limit>>,
    /// By pattern, the most exact first.
    tools: Vec<(String, Arc<Each<Box<str>>>)>,
}

/// Somebody has to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// Which limit, as a metric label.
    pub limit: &'static str,
    /// The key and value that set it.
    pub source: String,
    /// How long.
    pub after: Duration,
}

impl Limits {
    /// The limits of a configuration, everybody rested.
    pub fn new(config: &Config) -> Limits {
        Limits(Arc::new(ArcSwap::from_pointee(Inner::new(config, None))))
    }

    /// Takes the limits of another configuration. Whose limit is the same has used what they have used of it.
    pub fn replace(&self, config: &Config) {
        let before = self.0.load_full();
        self.0.store(Arc::new(Inner::new(config, Some(&before))));
    }

    /// Counts a request of a principal.
    pub fn request(&self, principal: &Principal) -> Result<(), Wait> {
        let inner = self.0.load();
        if let Some(each) = &inner.principal {
            let after = each.keyed.take(principal);
            after.map_err(|after| wait("principal", "limits.principal", each.rate, after))?;
        }
        match &inner.total {
            Some(limit) => {
                limit.take(&inner.clock).map_err(|after| wait("total", "limits.total", limit.rate, after))
            }
            None => Ok(()),
        }
    }

    /// Counts a request that goes to a server or a service; `tool` is the server's own name of the tool that is called.
    pub fn call(&self, server: &ServerName, tool: Option<&str>) -> Result<(), Wait> {
        let inner = self.0.load();
        let Some(limits) = inner.servers.get(server) else { return Ok(()) };
        let own = tool.and_then(|tool| {
            let found = limits.tools.iter().find(|(pattern, ..)| glob::matches(pattern, tool));
            Some((tool, found?))
        });
        if let Some((tool, (pattern, each))) = own {
            let key = || format!("servers.{server}.tools.rates.\"{pattern}\"");
            each.keyed.take(&tool.into()).map_err(|after| wait("tool", &key(), each.rate, after))?;
        }
        match &limits.calls {
            Some(limit) => limit.take(&inner.clock).map_err(|after| {
                wait("server", &format!("{}.{server}.rate", limits.section), limit.rate, after)
            }),
            None => Ok(()),
        }
    }

    /// Counts a wrong credential from an address.
    pub fn failed_login(&self, address: IpAddr) -> Result<(), Duration> {
        match &self.0.load().failed_logins {
            Some(each) => each.keyed.take(&block(address)),
            None => Ok(()),
        }
    }

    /// Forgets those who have rested, until `stop`.
    pub async fn reap_until(self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(REAP_EVERY);
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            let inner = self.0.load_full();
            if let Some(each) = &inner.principal {
                each.keyed.reap();
            }
            if let Some(each) = &inner.failed_logins {
                each.keyed.reap();
            }
            for (_, each) in inner.servers.values().flat_map(|server| &server.tools) {
                each.keyed.reap();
            }
        }
    }
}

impl Inner {
    fn new(config: &Config, before: Option<&Inner>) -> Inner {
        let clock = before.map_or_else(TokioClock::start, |before| before.clock.clone());
        let (limits, old) = (&config.limits, before);
        Inner {
            total: limit(limits.total, old.and_then(|old| old.total.as_ref()), &clock),
            principal: each(limits.principal, old.and_then(|old| old.principal.as_ref()), &clock),
            failed_logins: each(limits.failed_logins, old.and_then(|old| old.failed_logins.as_ref()), &clock),
            servers: config
                .servers
                .iter()
                .filter_map(|server| {
                    let old = old.and_then(|old| old.servers.get(&server.name));
                    Some((server.name.clone(), per_server(server, old, &clock)?))
                })
                .chain(config.services.iter().filter_map(|service| {
                    let old = old.and_then(|old| old.servers.get(&service.name));
                    Some((service.name.clone(), per_service(service, old, &clock)?))
                }))
                .collect(),
            clock,
        }
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits").finish_non_exhaustive()
    }
}

/// One limit for all, or the one that there was if it was the same.
fn limit(rate: Option<Rate>, before: Option<&Arc<Limit>>, clock: &TokioClock) -> Option<Arc<Limit>> {
    let rate = rate?;
    match before.filter(|before| before.rate == rate) {
        Some(before) => Some(Arc::clone(before)),
        None => Some(Arc::new(Limit { rate, bucket: Bucket::new(rate, clock)? })),
    }
}

/// A limit for each of many, or the one that there was if it was the same.
fn each<K: Eq + Hash + Clone>(
    rate: Option<Rate>,
    before: Option<&Arc<Each<K>>>,
    clock: &TokioClock,
) -> Option<Arc<Each<K>>> {
    let rate = rate?;
    match before.filter(|before| before.rate == rate) {
        Some(before) => Some(Arc::clone(before)),
        None => Some(Arc::new(Each { rate, keyed: Keyed::new(rate, MOST_KEYS, clock.clone())? })),
    }
}

impl Limit {
    fn take(&self, clock: &TokioClock) -> Result<(), Duration> {
        self.bucket.take(clock)
    }
}

impl From<Wait> for Error {
    fn from(wait: Wait) -> Error {
        let text = format!(
            "too many requests: {}; try again in {:.3} seconds",
            wait.source,
            wait.after.as_secs_f64()
        );
        Error::new(ErrorKind::RateLimited, text).retry_after(wait.after)
    }
}

fn wait(limit: &'static str, key: &str, rate: Rate, after: Duration) -> Wait {
    names::RATE_LIMITED.counter(&[limit]).increment(1);
    Wait { limit, source: format!("{key} is {rate}"), after }
}

fn per_server(server: &Server, before: Option<&PerServer>, clock: &TokioClock) -> Option<PerServer> {
    let calls = limit(server.rate, before.and_then(|before| before.calls.as_ref()), clock);
    let tools = server.tools.rates.iter().filter_map(|(pattern, rate)| {
        let known = before.and_then(|before| before.tools.iter().find(|(known, _)| known == pattern));
        Some((pattern.clone(), each(Some(*rate), known.map(|(_, each)| each), clock)?))
    });
    let tools: Vec<_> = tools.collect();
    (calls.is_some() || !tools.is_empty()).then_some(PerServer { section: "servers", calls, tools })
}

fn per_service(service: &Service, before: Option<&PerServer>, clock: &TokioClock) -> Option<PerServer> {
    let calls = limit(service.rate, before.and_then(|before| before.calls.as_ref()), clock)?;
    Some(PerServer { section: "services", calls: Some(calls), tools: Vec::new() })
}

/// Addresses that are likely to be one caller's: an IPv4 address, or the /64 that an IPv6 host gets (RFC 6177).
fn block(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_network_are_one_and_others_are_not() {
        let of = |text: &str| block(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
