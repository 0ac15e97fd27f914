//! One identity provider: its keys, fetched and renewed by a task of its own.
//!
//! A token whose key is not known asks for newer keys: at once, once for all who wait, and within a limit, so that nobody
//! can make us ask the provider at their own pace. Keys that are known stay good while the provider cannot be reached, for
//! a bounded time. Without keys nobody can tell, and nobody is let in.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::Uri;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::base::backoff::Backoff;
use crate::base::{Principal, random};
use crate::config::{self, Rate};

use super::bucket::{Bucket, TokioClock};
use super::caller::Caller;
use super::discovery;
use super::jwt::{Fault, KeySet};

/// Fetches a document; the error is the end of a sentence. Whoever builds the guard brings it, bounded in time and size.
pub type Fetch = Arc<dyn Fn(Uri) -> Fetching + Send + Sync>;
/// A document on its way.
pub type Fetching = std::pin::Pin<Box<dyn Future<Output = Result<Bytes, String>> + Send>>;

/// How often keys are renewed that nobody misses: a key that its issuer has withdrawn is good here no longer than this.
const RENEW_EVERY: Duration = Duration::from_secs(300);
/// Waits between attempts while the issuer cannot be reached.
const RETRY: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(60) };
/// Keys of an issuer that has not been reached for so long are no longer believed.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
/// How long a caller waits for keys that are being fetched.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often those who show unknown keys may make us ask: rotations come hours apart, so that a few at once are plenty.
fn asking() -> Rate {
    let (count, burst) = (std::num::NonZeroU32::MIN, std::num::NonZeroU32::MIN.saturating_add(2));
    Rate { count, per: Duration::from_secs(10), burst }
}

/// An identity provider.
#[derive(Debug)]
pub(super) struct Issuer {
    config: config::Issuer,
    keys: ArcSwapOption<Known>,
    attempts: watch::Sender<Attempts>,
    asked: Notify,
    clock: TokioClock,
    asking: Option<Bucket<TokioClock>>,
    /// Fires when the configuration does not name it any more.
    gone: CancellationToken,
}

#[derive(Debug)]
struct Known {
    set: KeySet,
    at: Instant,
}

/// How often the keys have been fetched, or have been tried to.
#[derive(Debug, Default, Clone, Copy)]
struct Attempts {
    done: u64,
    busy: bool,
}

/// What became of a token.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is good.
    Known(Caller),
    /// It is not.
    Bad(Fault),
    /// Nobody can tell: there are no keys.
    Unavailable,
}

impl Issuer {
    /// An issuer whose keys are fetched until `stop`, or until it is [retired](Issuer::retire).
    pub fn start(config: config::Issuer, fetch: Fetch, stop: &CancellationToken) -> Arc<Issuer> {
        let clock = TokioClock::start();
        let issuer = Arc::new(Issuer {
            config,
            keys: ArcSwapOption::empty(),
            attempts: watch::Sender::default(),
            asked: Notify::new(),
            asking: Bucket::new(asking(), &clock),
            clock,
            gone: stop.child_token(),
        });
        tokio::spawn(Arc::clone(&issuer).follow(fetch));
        issuer
    }

    /// What the configuration says of it.
    pub fn config(&self) -> &config::Issuer {
        &self.config
    }

    /// It is not believed any more, and neither are those whom it has vouched for.
    pub fn retire(&self) {
        self.gone.cancel();
    }

    /// Whose token it is.
    pub async fn check(&self, token: &str, now: SystemTime) -> Verdict {
        let mut seen = self.attempts.borrow().done;
        if self.keys.load().is_none() {
            // At the start, or after failures: somebody waiting is a reason to try again.
            self.newer_than(seen).await;
            seen = self.attempts.borrow().done;
        }
        match self.verify(token, now) {
            Verdict::Bad(Fault::UnknownKey) if self.newer_than(seen).await => self.verify(token, now),
            verdict => verdict,
        }
    }

    fn verify(&self, token: &str, now: SystemTime) -> Verdict {
        let keys = self.keys.load();
        let Some(known) = keys.as_ref().filter(|known| known.at.elapsed() <= MAX_AGE) else {
            return Verdict::Unavailable;
        };
        match known.set.verify(token, &self.config, now) {
            Ok(claims) => {
                let principal = Principal::named(&format!("{}:{}", self.config.name, claims.subject));
                Verdict::Known(Caller::until(principal, claims.scopes, claims.ends_at, self.gone.clone()))
            }
            Err(fault) => Verdict::Bad(fault),
        }
    }

    /// Sees to it that there has been another attempt than the first `seen`; whether there has.
    async fn newer_than(&self, seen: u64) -> bool {
        let mut attempts = self.attempts.subscribe();
        let now = *attempts.borrow_and_update();
        if now.done > seen {
            return true;
        }
        if !now.busy {
            if self.asking.as_ref().is_some_and(|asking| asking.take(&self.clock).is_err()) {
                return false;
            }
            self.asked.notify_one();
        }
        let another = attempts.wait_for(|attempts| attempts.done > seen);
        matches!(tokio::time::timeout(PATIENCE, another).await, Ok(Ok(_)))
    }

    async fn follow(self: Arc<Issuer>, fetch: Fetch) {
        let name = &self.config.name;
        let mut failures = 0;
        loop {
            self.attempts.send_modify(|attempts| attempts.busy = true);
            let Some(fetched) = self.gone.run_until_cancelled(self.fetch(&fetch)).await else { return };
            match fetched {
                Ok(set) => {
                    let keys = set.len();
                    match self.keys.swap(Some(Arc::new(Known { set, at: Instant::now() }))) {
                        Some(before) if failures == 0 && before.set.len() == keys => {
                            debug!(issuer = name, keys, "keys renewed")
                        }
                        _ => info!(issuer = name, keys, "keys of the issuer read"),
                    }
                    failures = 0;
                }
                Err(why) => {
                    if failures == 0 {
                        let known = self.keys.load().is_some();
                        let so = if known {
                            "those that are known stay good"
                        } else {
                            "nobody with a token of it is let in"
                        };
                        warn!(issuer = name, "its keys cannot be fetched, {so}: {why}");
                    }
                    failures += 1;
                }
            }
            self.attempts
                .send_modify(|attempts| *attempts = Attempts { done: attempts.done + 1, busy: false });
            let wait = match failures {
                0 => RENEW_EVERY,
                failures => RETRY.delay(failures - 1, random::next_u64()),
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.asked.notified() => {}
                () = self.gone.cancelled() => return,
            }
        }
    }

    async fn fetch(&self, fetch: &Fetch) -> Result<KeySet, String> {
        let place = match &self.config.jwks_url {
            Some(url) => url.uri().clone(),
            None => self.discover(fetch).await?,
        };
        let text = fetch(place.clone()).await.map_err(|why| format!("{place} {why}"))?;
        match KeySet::parse(&text) {
            Some(set) if set.len() > 0 => Ok(set),
            Some(_) => Err(format!("{place} has no key that is of use here")),
            None => Err(format!("{place} answers what is no set of keys")),
        }
    }

    async fn discover(&self, fetch: &Fetch) -> Result<Uri, String> {
        let mut last = "it has no place for metadata".to_owned();
        for place in discovery::places(self.config.url.uri()) {
            match fetch(place.clone()).await {
                Ok(text) => match discovery::keys_of(self.config.url.as_str(), &text) {
                    Some(found) => return found,
                    None => last = format!("{place} answers what is no metadata"),
                },
                Err(why) => last = format!("{place} {why}"),
            }
        }
        Err(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Url;

    /// The key of RFC 7517, appendix A.1.
    const KEYS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"1",
        "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;

    fn config() -> config::Issuer {
        config::Issuer {
            name: "id".to_owned(),
            url: Url::parse("https://id.example").unwrap(),
            audiences: vec!["a".to_owned()],
            algorithms: Vec::new(),
            jwks_url: None,
            clock_skew: Duration::ZERO,
            principal_claim: "sub".to_owned(),
            ca_file: None,
        }
    }

    /// What comes of fetching the keys of an issuer that answers so by the ends of its paths.
    async fn keys(answers: &[(&'static str, &'static str)]) -> Result<usize, String> {
        let answers = answers.to_vec();
        let fetch: Fetch = Arc::new(move |uri: Uri| -> Fetching {
            let found = answers.iter().find(|(end, _)| uri.path().ends_with(end));
            let answer = found.map(|(_, text)| Bytes::from_static(text.as_bytes()));
            Box::pin(std::future::ready(answer.ok_or_else(|| "answers 404 Not Found".to_owned())))
        });
        let stop = CancellationToken::new();
        let issuer = Issuer::start(config(), Arc::clone(&fetch), &stop);
        let fetched = issuer.fetch(&fetch).await.map(|set| set.len());
        stop.cancel();
        fetched
    }

    const PAGE: &str = "<!doctype html><title>Sign in</title>";
    const METADATA: &str = r#"{"issuer":"https://id.example","jwks_uri":"https://id.example/keys"}"#;
    const OTHERS: &str = r#"{"issuer":"https://other.example","jwks_uri":"https://other.example/keys"}"#;

    #[tokio::test]
    async fn a_page_for_people_where_metadata_could_be_ends_no_search_and_metadata_of_another_does() {
        let (first, second, keys_at) = ("oauth-authorization-server", "openid-configuration", "/keys");
        assert_eq!(keys(&[(first, PAGE), (second, METADATA), (keys_at, KEYS)]).await, Ok(1));
        assert_eq!(keys(&[(second, METADATA), (keys_at, KEYS)]).await, Ok(1));
        assert!(keys(&[(first, OTHERS), (second, METADATA), (keys_at, KEYS)]).await.is_err());
        assert!(keys(&[(first, PAGE), (keys_at, KEYS)]).await.is_err());
    }
}
