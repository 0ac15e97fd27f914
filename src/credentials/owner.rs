//! The task that owns one server's login: it reads it, renews it, and notices when there is another.
//!
//! A renewal runs here and not in the call that needs it: a refresh token is often good once, and a caller that goes away
//! in the middle would take its successor with it.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Uri};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::config::Grant;
use crate::upstream::http::Pass;

use super::challenge::Challenge;
use super::client::{Client, Proof};
use super::discovery::{Found, discover, wanted};
use super::handle::{Ask, Held, LoginState, NO_LOGIN, Shared, Token, What, cure, no_login};
use super::record::{Grounds, Record, take_up};
use super::token::{self, Refused};
use super::trouble::Trouble;
use super::vault::Vault;
use super::web::Web;

/// A token is renewed so long before it expires, or when a fifth of its life is left, whichever is later: long enough for
/// an authorization server that is away for a moment, and for clocks that differ.
const EARLY: Duration = Duration::from_secs(60);
/// No call goes out with a token that has less left: it would expire on the way.
const SKEW: Duration = Duration::from_secs(5);
/// An authorization server that could not help is left alone for so long.
const REST: Duration = Duration::from_secs(2);
/// A token that is refused so soon after the one before was is not mended by another.
const FRESH: Duration = Duration::from_secs(10);

pub(super) struct Owner {
    shared: Arc<Shared>,
    web: Web,
    vault: Vault,
    gate: Arc<Mutex<()>>,
    changes: watch::Receiver<u64>,
    /// The login in use.
    record: Option<Record>,
    /// Somebody has to do something because of what is kept: it cannot be read, or is another entry's.
    spoilt: bool,
    version: u64,
    /// When the token in use expires.
    expires: Option<Instant>,
    /// When a token was refused that had not expired.
    refused: Option<Instant>,
    /// The authorization server of a client with credentials of its own.
    found: Option<Found>,
    /// Scopes that a request needed on top.
    more: Vec<String>,
    resting: Option<(Instant, Trouble)>,
}

impl Owner {
    pub fn new(
        shared: Arc<Shared>,
        web: Web,
        vault: Vault,
        gate: Arc<Mutex<()>>,
        changes: watch::Receiver<u64>,
    ) -> Owner {
        Owner {
            shared,
            web,
            vault,
            gate,
            changes,
            record: None,
            spoilt: false,
            version: 0,
            expires: None,
            refused: None,
            found: None,
            more: Vec::new(),
            resting: None,
        }
    }

    /// Runs until the last handle is gone.
    pub async fn run(mut self, mut asks: mpsc::Receiver<Ask>) {
        self.look().await;
        loop {
            tokio::select! {
                ask = asks.recv() => {
                    let Some(ask) = ask else { return };
                    let answer = self.answer(ask.what).await;
                    if let Some(reply) = ask.reply {
                        let _ = reply.send(answer);
                    }
                }
                Ok(()) = self.changes.changed() => self.look().await,
            }
        }
    }

    async fn answer(&mut self, what: What) -> Result<bool, Trouble> {
        let seen = match &what {
            What::Renew(seen) | What::Refused(seen, _) | What::StepUp(seen, _) => seen,
            What::Want => &None,
        };
        // Somebody else has asked before, or somebody has logged in.
        if *seen != self.version_now() {
            return Ok(true);
        }
        self.look().await;
        if *seen != self.version_now() {
            return Ok(true);
        }
        if let Some((until, trouble)) = &self.resting
            && Instant::now() < *until
            && !matches!(what, What::Want)
        {
            return Err(trouble.clone());
        }
        let gate = Arc::clone(&self.gate);
        let _alone = gate.lock().await;
        let outcome = match what {
            What::Renew(None) if matches!(&**self.shared.held.load(), Held::Needed(_)) => {
                self.renew(&Challenge::default()).await.map(|()| true)
            }
            // Nothing is known, and nothing has been asked for.
            What::Renew(None) => Ok(true),
            What::Want if self.wants_a_person() => Err(self.need(NO_LOGIN)),
            What::Want => Ok(true),
            What::Renew(Some(_)) => self.renew(&Challenge::default()).await.map(|()| true),
            What::Refused(_, challenge) => self.after_refusal(&challenge).await.map(|()| true),
            What::StepUp(_, scopes) => self.step_up(&scopes).await,
        };
        match &outcome {
            Ok(_) => self.resting = None,
            Err(Trouble::Passing(why)) => {
                warn!(server = %self.shared.name, "{why}");
                self.resting = Some((Instant::now() + REST, Trouble::Passing(why.clone())));
            }
            Err(needed) => self.resting = Some((Instant::now() + REST, needed.clone())),
        }
        outcome
    }

    /// Whether nobody has logged in, and somebody must. Credentials of its own need nobody: without a token they have met
    /// with trouble that passes, or with some that is known already.
    fn wants_a_person(&self) -> bool {
        self.shared.settings.grant != Grant::ClientCredentials
            && matches!(&**self.shared.held.load(), Held::Nothing)
    }

    /// The version of the token in use.
    fn version_now(&self) -> Option<u64> {
        match &**self.shared.held.load() {
            Held::Token(token) => Some(token.pass.version),
            _ => None,
        }
    }

    /// Looks at what is kept, and takes it if it is another login.
    async fn look(&mut self) {
        if self.shared.settings.grant == Grant::ClientCredentials {
            // Its tokens are had again at any time and kept nowhere.
            if matches!(&**self.shared.held.load(), Held::Unread) {
                self.publish(Held::Nothing);
            }
            return;
        }
        let (vault, name) = (self.vault.clone(), self.shared.name.clone());
        let read = tokio::task::spawn_blocking(move || vault.read(&name)).await;
        match read {
            Ok(Ok(Some(record))) if !record.fits(&self.shared.url, &self.shared.settings) => {
                let why = "has been logged in to by another entry (its url, issuer or client_id has changed)";
                (self.record, self.spoilt) = (None, true);
                self.need(why);
            }
            Ok(Ok(Some(record))) => {
                self.spoilt = false;
                if self.record.as_ref().is_none_or(|known| known.serial != record.serial) {
                    info!(server = %self.shared.name, issuer = record.issuer, "takes up a login");
                    (self.refused, self.resting) = (None, None);
                    self.take(record);
                }
            }
            Ok(Ok(None)) => {
                let gone = self.record.take().is_some() | std::mem::take(&mut self.spoilt);
                if gone || matches!(&**self.shared.held.load(), Held::Unread) {
                    self.publish(Held::Nothing);
                }
            }
            // What is in use goes on being used.
            Ok(Err(error)) if self.record.is_none() => {
                self.spoilt = true;
                self.need(&format!("has a login that is of no use: {error}"));
            }
            Ok(Err(error)) => warn!(server = %self.shared.name, "{error}"),
            Err(error) => warn!(server = %self.shared.name, %error, "cannot look at its login"),
        }
    }

    /// A token in place of one that has expired, or is about to.
    async fn renew(&mut self, challenge: &Challenge) -> Result<(), Trouble> {
        if self.shared.settings.grant == Grant::ClientCredentials {
            return self.by_credentials(challenge).await;
        }
        let Some(record) = self.record.clone() else { return Err(no_login(&self.shared)) };
        let Some(refresh_token) = &record.refresh_token else {
            return Err(self.need("has been logged in to for a time that is over"));
        };
        let form = vec![
            ("grant_type", "refresh_token".to_owned()),
            ("refresh_token", refresh_token.0.expose().to_owned()),
            ("resource", record.resource.clone()),
        ];
        let proof = Proof::of_record(
            &record.method,
            record.client_secret.as_ref().map(|hidden| &hidden.0),
            &self.shared.settings,
        )
        .map_err(|trouble| self.need(trouble.text()))?;
        let client = Client { id: record.client_id.clone(), proof };
        let endpoint: Uri = record
            .token_endpoint
            .parse()
            .map_err(|_| self.need("has a login without an authorization server"))?;
        match token::request(&self.web, &endpoint, &record.issuer, &client, form).await {
            Ok(issued) => {
                debug!(server = %self.shared.name, "renewed its token");
                self.keep(record.serial, record.renewed(issued)).await;
                Ok(())
            }
            Err(Refused::Rejected(why)) => Err(self.need(&why)),
            Err(Refused::Passing(why)) => Err(Trouble::Passing(why)),
        }
    }

    /// Keeps a renewed login. Should it not find its way to the disk, it is used all the same.
    async fn keep(&mut self, before: u64, record: Record) {
        let (vault, name, kept) = (self.vault.clone(), self.shared.name.clone(), record.clone());
        let kept = tokio::task::spawn_blocking(move || vault.replace(&name, before, &kept)).await;
        match kept {
            Ok(Ok(Some(other))) if other.fits(&self.shared.url, &self.shared.settings) => self.take(other),
            Ok(Ok(_)) => self.take(record),
            Ok(Err(error)) => {
                warn!(server = %self.shared.name, "its renewed login is lost with this process: {error}");
                self.take(record);
            }
            Err(_) => self.take(record),
        }
    }

    /// What to do when the server refuses what it is shown, or wants to be shown something.
    async fn after_refusal(&mut self, challenge: &Challenge) -> Result<(), Trouble> {
        let now = Instant::now();
        let expired = self.expires.is_some_and(|at| now >= at);
        if self.version_now().is_some() && !expired {
            if self.refused.is_some_and(|at| now.duration_since(at) < FRESH) {
                // One tool may do so while the others serve: it costs its callers, and the login stays what it is.
                let cure = cure(&self.shared.name, &self.shared.settings);
                return Err(Trouble::Passing(format!("refuses one token after another; {cure}")));
            }
            self.refused = Some(now);
        }
        // The server may have another authorization server by now.
        self.found = None;
        let renewable = self.shared.settings.grant == Grant::ClientCredentials
            || self.record.as_ref().is_none_or(Record::renews);
        if !renewable {
            return Err(self.need("refuses its token, which cannot be renewed"));
        }
        self.renew(challenge).await
    }

    /// True if there is a token with these scopes now.
    async fn step_up(&mut self, scopes: &[String]) -> Result<bool, Trouble> {
        let (name, listed) = (self.shared.name.clone(), scopes.join(" "));
        if self.shared.settings.grant == Grant::ClientCredentials {
            if !take_up(&mut self.more, scopes.iter()) {
                return Err(Trouble::Passing(format!(
                    "wants a scope that its authorization server does not grant ({listed})"
                )));
            }
            return self.by_credentials(&Challenge::default()).await.map(|()| true);
        }
        let Some(record) = &self.record else { return Ok(false) };
        let mut next = record.clone();
        if take_up(&mut next.wanted, scopes.iter().filter(|scope| !record.scopes.contains(scope))) {
            // The token stays what it is; only the next login asks for more.
            let (vault, kept, before) = (self.vault.clone(), next.clone(), record.serial);
            let whose = name.clone();
            let _ = tokio::task::spawn_blocking(move || vault.replace(&whose, before, &kept)).await;
            self.record = Some(next);
        }
        Err(Trouble::Passing(format!(
            "wants more than it was logged in to for ({listed}); run `trunkline login {name}` to allow it"
        )))
    }

    /// A token for the gateway itself.
    async fn by_credentials(&mut self, challenge: &Challenge) -> Result<(), Trouble> {
        let shared = Arc::clone(&self.shared);
        let settings = &shared.settings;
        let found = match &self.found {
            Some(found) => found.clone(),
            None => {
                let found = discover(&self.web, &shared.url, challenge, settings).await;
                found.map_err(|trouble| self.told(trouble))?
            }
        };
        let client = Client::configured(settings, &found.metadata).map_err(|trouble| self.told(trouble))?;
        let Some(client) = client else { return Err(self.need("has no oauth.client_id")) };
        let mut scopes = wanted(&settings.scopes, challenge, &found);
        scopes.extend(self.more.iter().filter(|scope| !scopes.contains(scope)).cloned().collect::<Vec<_>>());
        let mut form =
            vec![("grant_type", "client_credentials".to_owned()), ("resource", found.resource.clone())];
        if !scopes.is_empty() {
            form.push(("scope", scopes.join(" ")));
        }
        let issued =
            token::request(&self.web, &found.token_endpoint, &found.metadata.issuer, &client, form).await;
        let issued = issued.map_err(|refused| self.told(refused.into()))?;
        let grounds = Grounds {
            server: &shared.url,
            resource: &found.resource,
            issuer: &found.metadata.issuer,
            token_endpoint: &found.token_endpoint,
            client: &client,
            scopes: &scopes,
        };
        self.take(Record::new(&grounds, issued));
        self.found = Some(found);
        Ok(())
    }

    /// What must be done is known to all from now on.
    fn told(&mut self, trouble: Trouble) -> Trouble {
        match trouble {
            Trouble::Needed(why) => self.need(&why),
            passing => passing,
        }
    }

    fn take(&mut self, record: Record) {
        self.version += 1;
        let mut value = match HeaderValue::from_str(&format!("Bearer {}", record.access_token.0.expose())) {
            Ok(value) => value,
            Err(_) => {
                self.need("has a token that cannot be sent");
                return;
            }
        };
        value.set_sensitive(true);
        let left = record.remaining().map(Duration::from_secs);
        let now = Instant::now();
        self.expires = left.map(|left| now + left);
        let can_renew = record.renews() || self.shared.settings.grant == Grant::ClientCredentials;
        self.publish(Held::Token(Token {
            pass: Pass { value, version: self.version },
            renew_at: left.filter(|_| can_renew).map(|left| now + left - EARLY.min(left / 5)),
            expires: left.map(|left| now + left.saturating_sub(SKEW.min(left / 10))),
        }));
        self.record = Some(record);
    }

    /// Somebody has to do something. `why` is a clause that follows the server's name.
    fn need(&mut self, why: &str) -> Trouble {
        let cure = cure(&self.shared.name, &self.shared.settings);
        let text = format!("{why}; {cure}");
        self.publish(Held::Needed(text.clone()));
        Trouble::Needed(text)
    }

    fn publish(&self, held: Held) {
        let state = match &held {
            Held::Unread | Held::Nothing => LoginState::NotAsked,
            Held::Token(_) => LoginState::LoggedIn,
            Held::Needed(why) => LoginState::Needed(why.clone()),
        };
        // The request path first: who hears of the state may call at once.
        self.shared.held.store(Arc::new(held));
        self.shared.state.send_if_modified(|before| {
            let changed = *before != state;
            *before = state;
            changed
        });
    }
}
