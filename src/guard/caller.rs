//! Who is calling, and what the credential says that they may do.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use tokio_util::sync::CancellationToken;

use crate::base::Principal;

/// The scope that the gateway's own administration asks for.
pub const ADMIN_SCOPE: &str = "admin";

/// Somebody who has been let in. Cloning is cheap.
#[derive(Clone)]
pub struct Caller(Arc<Inner>);

struct Inner {
    principal: Principal,
    scopes: Vec<String>,
    origin: Origin,
    /// Fires when the credential is no longer good, or nobody is let in without one any more.
    ended: Option<CancellationToken>,
    /// When it ceases to be, if it says so itself.
    ends_at: Option<SystemTime>,
}

/// What is known of a caller beside the credential.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// It is certain to be on this machine, and has no credential.
    Local,
    /// It has started this process, and talks to it through its own pipes.
    Starter,
    Elsewhere,
}

impl Caller {
    /// Somebody without a credential; `local` if certain to be on this machine.
    pub fn anonymous(local: bool) -> Caller {
        let origin = if local { Origin::Local } else { Origin::Elsewhere };
        Caller(Arc::new(Inner {
            principal: Principal::anonymous(),
            scopes: Vec::new(),
            origin,
            ended: Some(CancellationToken::new()),
            ends_at: None,
        }))
    }

    /// Whoever has started this process, and configured it.
    pub fn starter(principal: Principal) -> Caller {
        Caller(Arc::new(Inner {
            principal,
            scopes: Vec::new(),
            origin: Origin::Starter,
            ended: None,
            ends_at: None,
        }))
    }

    /// The holder of a credential with these scopes.
    pub fn known(principal: Principal, scopes: Vec<String>) -> Caller {
        let ended = Some(CancellationToken::new());
        Caller(Arc::new(Inner { principal, scopes, origin: Origin::Elsewhere, ended, ends_at: None }))
    }

    /// The holder of a credential that is good until `ends_at`, or until `ended` fires.
    pub fn until(
        principal: Principal,
        scopes: Vec<String>,
        ends_at: SystemTime,
        ended: CancellationToken,
    ) -> Caller {
        let (ended, ends_at) = (Some(ended), Some(ends_at));
        Caller(Arc::new(Inner { principal, scopes, origin: Origin::Elsewhere, ended, ends_at }))
    }

    /// Comes when the caller is not let in any more; what it has opened ends then. None for who has started this process.
    pub fn ended(&self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let (ended, ends_at) = (self.0.ended.clone()?, self.0.ends_at);
        Some(async move {
            let left = ends_at.map(|end| end.duration_since(SystemTime::now()).unwrap_or_default());
            match left {
                Some(left) => drop(tokio::time::timeout(left, ended.cancelled()).await),
                None => ended.cancelled().await,
            }
        })
    }

    #[cfg(test)]
    pub(super) fn is_over(&self) -> bool {
        self.0.ended.as_ref().is_some_and(CancellationToken::is_cancelled)
    }

    /// The credential is no longer good. Answers whether that is news.
    pub(super) fn end(&self) -> bool {
        let news = self.0.ended.as_ref().filter(|ended| !ended.is_cancelled());
        news.inspect(|ended| ended.cancel()).is_some()
    }

    /// Whether it is who has started this process.
    pub fn is_starter(&self) -> bool {
        self.0.origin == Origin::Starter
    }

    /// Whether it is somebody without a credential who is certain to be on this machine.
    pub fn is_local(&self) -> bool {
        self.0.origin == Origin::Local
    }

    /// Who it is.
    pub fn principal(&self) -> &Principal {
        &self.0.principal
    }

    /// What the credential is good for.
    pub fn scopes(&self) -> &[String] {
        &self.0.scopes
    }

    /// Whether the credential is good for `scope`.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.0.scopes.iter().any(|own| own == scope)
    }

    /// Whether the caller may administer the gateway: a credential with [`ADMIN_SCOPE`], or none at all on the machine
    /// itself where the configuration lets those in.
    pub fn may_administer(&self) -> bool {
        self.0.origin != Origin::Elsewhere || self.has_scope(ADMIN_SCOPE)
    }
}

impl PartialEq for Caller {
    fn eq(&self, other: &Caller) -> bool {
        (&self.0.principal, &self.0.scopes, self.0.origin)
            == (&other.0.principal, &other.0.scopes, other.0.origin)
    }
}

impl Eq for Caller {}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Caller").field(&self.0.principal).field(&self.0.scopes).finish()
    }
}
