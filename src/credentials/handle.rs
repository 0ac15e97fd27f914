//! The face of one server's login: the pass of the next request, and how the login is doing.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::StatusCode;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::base::{ErrorKind, ServerName};
use crate::config::{Grant, OAuth};
use crate::upstream::Fault;
use crate::upstream::http::{Authorize, Awaited, Pass, Refusal};

use super::challenge::Challenge;
use super::trouble::Trouble;
use super::web::Way;

/// How a login is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginState {
    /// The server has asked for nothing so far.
    NotAsked,
    /// There is a token, or one can be had.
    LoggedIn,
    /// Somebody has to log in, or to mend the entry: why, as a clause that follows the server's name.
    Needed(String),
}

/// A server's login. All its links share it.
#[derive(Debug)]
pub struct Credential {
    pub(super) shared: Arc<Shared>,
    pub(super) asks: mpsc::Sender<Ask>,
}

/// What handle and owner share.
#[derive(Debug)]
pub(super) struct Shared {
    pub name: ServerName,
    /// The server's URL and what its entry says of logins: whoever changes them has another login.
    pub url: http::Uri,
    pub settings: OAuth,
    /// So does whoever changes the way to authorization servers.
    pub way: Arc<Way>,
    pub held: ArcSwap<Held>,
    pub state: watch::Sender<LoginState>,
}

/// What there is now. The request path reads it and takes no lock.
#[derive(Debug)]
pub(super) enum Held {
    /// It has not been looked yet.
    Unread,
    /// The server has asked for nothing so far.
    Nothing,
    /// A token.
    Token(Token),
    /// Nothing, until somebody does something.
    Needed(String),
}

#[derive(Debug)]
pub(super) struct Token {
    pub pass: Pass,
    /// From when on it is renewed beside the calls.
    pub renew_at: Option<Instant>,
    /// From when on no call goes out with it.
    pub expires: Option<Instant>,
}

/// What the owner is asked for.
#[derive(Debug)]
pub(super) struct Ask {
    pub what: What,
    pub reply: Option<oneshot::Sender<Result<bool, Trouble>>>,
}

#[derive(Debug)]
pub(super) enum What {
    /// A look at what is kept, or a token in place of the one of this version.
    Renew(Option<u64>),
    /// A token in place of the one that the server has refused.
    Refused(Option<u64>, Challenge),
    /// A token with more scopes.
    StepUp(Option<u64>, Vec<String>),
    /// A login: nothing can be done without.
    Want,
}

/// Asks that may wait for the owner; more callers than these wait at the door.
pub(super) const ASKS: usize = 64;

/// The longest that a call waits for a token: a login's exchanges are short, and a person's login is not waited for.
const PATIENCE: Duration = Duration::from_secs(60);

impl Credential {
    /// How the login is doing; follow it with `changed()`.
    pub fn state(&self) -> watch::Receiver<LoginState> {
        self.shared.state.subscribe()
    }

    /// Returns when somebody has to do something: why.
    pub async fn needed(&self) -> String {
        let mut state = self.state();
        loop {
            if let LoginState::Needed(why) = &*state.borrow_and_update() {
                return why.clone();
            }
            if state.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Returns when the login that there was has been ended: what is asked from now on goes without one.
    pub async fn ended(&self) {
        let mut state = self.state();
        let found = state.wait_for(|state| *state == LoginState::LoggedIn).await.is_ok();
        if !found || state.wait_for(|state| *state == LoginState::NotAsked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Returns when nobody has to do anything (any more).
    pub async fn settled(&self) {
        let needed = |state: &LoginState| !matches!(state, LoginState::Needed(_));
        if self.state().wait_for(needed).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Says that the server does not come up without a login: if there is none, somebody is needed from now on.
    pub async fn want(&self) {
        let _ = self.ask(What::Want).await;
    }

    async fn ask(&self, what: What) -> Result<bool, Fault> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.asks.send(Ask { what, reply: Some(reply) }).await.ok()?;
            answer.await.ok()
        };
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Some(Ok(better))) => Ok(better),
            Ok(Some(Err(trouble))) => Err(self.fault(trouble.text())),
            Ok(None) => Err(self.fault("is being taken out of the configuration")),
            Err(_) => Err(self.fault(&format!("got no token within {PATIENCE:?}"))),
        }
    }

    /// Never a demand on the client: it is the server's entry that lacks a login. The request has not been executed, and
    /// must not be sent again all the same: the next generation of the server would refuse it as well.
    fn fault(&self, why: &str) -> Fault {
        Fault::unknown(ErrorKind::Unavailable, format!("server '{}' {why}", self.shared.name))
    }
}

impl Authorize for Credential {
    fn pass(&self) -> Awaited<'_, Result<Option<Pass>, Fault>> {
        Box::pin(async move {
            // Twice: what is fetched on the first round is there on the second.
            for _ in 0..2 {
                let now = Instant::now();
                let what = match &**self.shared.held.load() {
                    Held::Nothing => return Ok(None),
                    // Credentials of its own may be good again, without anybody saying so.
                    Held::Needed(_) if self.shared.settings.grant == Grant::ClientCredentials => {
                        What::Renew(None)
                    }
                    Held::Needed(why) => return Err(self.fault(why)),
                    Held::Unread => What::Renew(None),
                    Held::Token(token) if token.expires.is_some_and(|at| now >= at) => {
                        What::Renew(Some(token.pass.version))
                    }
                    Held::Token(token) => {
                        if token.renew_at.is_some_and(|at| now >= at) {
                            // Should nobody have room for it, the next call asks again.
                            let what = What::Renew(Some(token.pass.version));
                            let _ = self.asks.try_send(Ask { what, reply: None });
                        }
                        return Ok(Some(token.pass.clone()));
                    }
                };
                self.ask(what).await?;
            }
            Err(self.fault("gets tokens that have expired when they arrive"))
        })
    }

    fn refused(&self, refusal: Refusal) -> Awaited<'_, Result<bool, Fault>> {
        Box::pin(async move {
            let challenge = Challenge::of(&refusal.headers);
            let what = match refusal.status {
                StatusCode::UNAUTHORIZED => What::Refused(refusal.version, challenge),
                StatusCode::FORBIDDEN if challenge.error.as_deref() == Some("insufficient_scope") => {
                    What::StepUp(refusal.version, challenge.scopes)
                }
                _ => return Ok(false),
            };
            self.ask(what).await
        })
    }
}

/// What is wrong where nobody has logged in: a clause that follows the server's name.
pub(super) const NO_LOGIN: &str = "has not been logged in to";

/// Nobody has logged in. That is one call's trouble: a server may ask for it at some of its tools and serve the others
/// without, and only one that does not come up without a login has to wait for it ([`What::Want`]).
pub(super) fn no_login(shared: &Shared) -> Trouble {
    Trouble::Passing(format!("{NO_LOGIN}; {}", cure(&shared.name, &shared.settings)))
}

/// What a person is told to do.
pub(super) fn cure(name: &ServerName, settings: &OAuth) -> String {
    match settings.grant {
        Grant::AuthorizationCode => format!("run `trunkline login {name}`"),
        Grant::ClientCredentials => "check the keys of `oauth` in its entry".to_owned(),
    }
}
