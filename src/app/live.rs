//! What a running gateway takes over from another configuration.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use tracing::warn;

use crate::activity;
use crate::config::{Config, Gateway};
use crate::enhance::Enhancer;
use crate::http::{Encryption, Front, Switch};
use crate::supervisor::Applied;
use crate::telemetry::LogFilter;

/// Everything that holds a piece of the configuration and can take another.
///
/// Whoever keeps such a piece is told here, and the key's row in the list of keys says `live`; a key without it is named
/// by a reload as waiting for a restart.
pub struct Live {
    /// The front, and through it sessions, streams, router and fleet.
    pub front: Arc<Front>,
    /// What makes prompts better.
    pub enhancer: Enhancer,
    /// Whether AgentHub's paths are answered.
    pub agenthub: Switch,
    /// The log's filter.
    pub log: LogFilter,
}

impl Live {
    /// What speaks against taking a configuration over that is right in itself: where, what and the cure.
    pub fn against(&self, config: &Config) -> Option<String> {
        let tls = config.gateway.tls.as_ref()?;
        let now = SystemTime::now();
        let served_is_good = self.front.encryption.good_until().is_some_and(|until| until > now);
        let problem = tls.identity.as_ref()?.out_of_date(now).filter(|_| served_is_good)?;
        Some(format!(
            "{}: the certificate {problem}, and the one that is served is good; name a certificate that is good now \
             (gateway.tls.certificate)",
            tls.certificate.display()
        ))
    }

    /// Takes a configuration over. What is the same stays as it is.
    pub fn apply(&self, config: &Config) -> Applied {
        let (front, gateway) = (&self.front, &config.gateway);
        if let Err(error) = encrypt(&front.encryption, gateway) {
            warn!("the certificate that was served before stays: {error}");
        }
        front.rules.replace(gateway.allowed_origins.clone(), gateway.allowed_hosts.clone());
        front.proxies.store(Arc::new(gateway.trusted_proxies.clone()));
        front.max_body.store(usize::try_from(gateway.max_body).unwrap_or(usize::MAX), Ordering::Relaxed);
        front.sessions.set_limits(gateway.session_ttl, gateway.max_sessions);
        front.hub.set_cap(gateway.max_streams);
        front.router.gate().set_cap(gateway.max_in_flight);
        front.router.results().set_size(gateway.result_cache);
        front.router.catalog().set_name_limit(gateway.name_limit);
        if let Err(error) = self.log.set(&gateway.log.filter) {
            warn!("{error}");
        }
        front.router.traces().replace(config.traces.as_ref());
        self.agenthub.set(config.compat.agenthub);
        // Before anybody is shown a new secret.
        front.router.activity().replace(activity_terms(config));
        front.services.apply(config.services.clone());
        self.enhancer.replace(config.enhance.clone(), &front.services);
        front.guard.replace(config.auth.clone());
        front.limits.replace(config);
        let applied = front.router.fleet().apply(config.servers.clone());
        if front.policy.replace(config.policy.clone()) {
            front.router.catalog().announce_all();
        }
        applied
    }
}

/// How the activity log is kept.
pub fn activity_terms(config: &Config) -> activity::Terms {
    let kept = &config.activity;
    activity::Terms {
        window: kept.window,
        keep: activity::Keep { age: kept.keep, size: kept.max_size },
        capture_limit: usize::try_from(kept.capture_limit).unwrap_or(usize::MAX),
        chain: kept.chain,
        secrets: config.secrets(),
    }
}

/// Takes the certificate over, and says what an operator should know of it.
pub fn encrypt(encryption: &Encryption, gateway: &Gateway) -> Result<(), rustls::Error> {
    encryption.replace(gateway.tls.as_ref())?;
    let Some((tls, identity)) = gateway.tls.as_ref().and_then(|tls| Some((tls, tls.identity.as_ref()?)))
    else {
        return Ok(());
    };
    if let Some(problem) = identity.out_of_date(SystemTime::now()) {
        let file = tls.certificate.display();
        warn!("the certificate in {file} {problem}: clients will refuse it; renew it and reload");
    }
    if identity.is_exposed() {
        let file = tls.key.display();
        // No refusal: secrets that a container is given are often mounted so, in a root of its own.
        warn!("everybody on this machine may read the private key in {file}: chmod o-rwx '{file}'");
    }
    Ok(())
}
