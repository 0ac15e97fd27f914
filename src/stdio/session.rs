//! The session of a legacy client: which one it is, and what it takes to open it anew.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use tracing::{info, warn};

use crate::base::{Error, ErrorKind};
use crate::protocol::{Message, header, method, params, skim, write};

use super::gateway::Gateway;
use super::stream;

/// Resources that are subscribed to again in a new session: as many as a gateway lets one client have.
const MAX_SUBSCRIPTIONS: usize = 1000;

/// A session as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Open {
    id: HeaderValue,
    version: Option<HeaderValue>,
}

impl Open {
    /// The headers of every request in this session.
    pub fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = vec![(header::SESSION_ID, self.id.clone())];
        headers.extend(self.version.clone().map(|version| (header::PROTOCOL_VERSION, version)));
        headers
    }
}

/// What the gateway has lost when it does not know a session any more.
#[derive(Debug, Default)]
struct Memory {
    open: Option<Open>,
    /// The client's `initialize`, as it sent it.
    initialize: Option<Bytes>,
    /// The last `logging/setLevel`.
    level: Option<Bytes>,
    /// Notifications of changed lists that the gateway has promised.
    announced: Vec<&'static str>,
    /// JSON strings.
    subscriptions: BTreeSet<String>,
}

/// The session, shared by everything that speaks in it.
#[derive(Debug, Default)]
pub(super) struct Session {
    memory: Mutex<Memory>,
    /// Held while a new one is opened, so that it is opened once.
    opening: tokio::sync::Mutex<()>,
}

impl Session {
    /// The session of now; none before `initialize`.
    pub fn current(&self) -> Option<Open> {
        self.lock().open.clone()
    }

    /// Takes what the answer to `initialize` brought.
    pub fn opened(&self, initialize: Bytes, id: Option<HeaderValue>, reply: &Message) {
        let version = skim::string_field(reply.payload(), "protocolVersion");
        let version = version.and_then(|version| HeaderValue::from_str(&version).ok());
        let mut memory = self.lock();
        // A gateway without sessions needs none.
        memory.open = id.map(|id| Open { id, version });
        memory.initialize = Some(initialize);
        memory.announced = announced(skim::field_text(reply.payload(), "capabilities").unwrap_or("{}"));
    }

    /// The notifications of changed lists that the gateway has promised.
    pub fn announced(&self) -> Vec<&'static str> {
        self.lock().announced.clone()
    }

    /// Remembers what a request that has succeeded asked for.
    pub fn note(&self, request: &Message, read: &crate::protocol::Params) {
        let mut memory = self.lock();
        match request.method() {
            method::SET_LEVEL => memory.level = Some(request.text().clone()),
            method::SUBSCRIBE if memory.subscriptions.len() < MAX_SUBSCRIPTIONS => {
                memory
                    .subscriptions
                    .extend(params::string_at(request, &read.uri).map(|uri| skim::quote(&uri)));
            }
            method::UNSUBSCRIBE => {
                if let Some(uri) = params::string_at(request, &read.uri) {
                    memory.subscriptions.remove(&skim::quote(&uri));
                }
            }
            _ => {}
        }
    }

    /// Opens a new session in place of `lost`, unless somebody has done so meanwhile.
    pub async fn reopen(&self, gateway: &Gateway, lost: &Open) -> Result<(), Error> {
        let _opening = self.opening.lock().await;
        let (initialize, level, subscriptions) = {
            let memory = self.lock();
            if memory.open.as_ref() != Some(lost) {
                return Ok(());
            }
            (memory.initialize.clone(), memory.level.clone(), memory.subscriptions.clone())
        };
        let gone =
            || Error::new(ErrorKind::Unavailable, "the gateway has lost the session and opens no new one");
        let initialize = initialize.ok_or_else(gone)?;
        let response = gateway.post(&initialize, &[]).await?;
        let id = response.headers().get(header::SESSION_ID).cloned();
        let reply = stream::reply(gateway, response).await?;
        if id.is_none() || reply.kind() != crate::protocol::Kind::Result {
            warn!(answer = reply.payload(), "the gateway has lost the session and opens no new one");
            return Err(gone());
        }
        self.opened(initialize, id, &reply);
        info!("the gateway had lost the session; a new one is open");
        let headers = self.current().map(|open| open.headers()).unwrap_or_default();
        // What is restored at best effort: the client has its old answers to all of these.
        let _ = gateway.post(&write::notification(method::INITIALIZED, None), &headers).await;
        if let Some(level) = level {
            let _ = gateway.post(&level, &headers).await;
        }
        for uri in subscriptions {
            let params = format!(r#"{{"uri":{uri}}}"#);
            let _ = gateway.post(&write::request(0, method::SUBSCRIBE, &params), &headers).await;
        }
        Ok(())
    }

    /// Ends the session at the gateway.
    pub async fn close(&self, gateway: &Gateway) {
        let open = self.lock().open.take();
        if let Some(open) = open {
            gateway.delete(&open.headers()).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn announced(capabilities: &str) -> Vec<&'static str> {
    let promises = |name: &str| {
        skim::field_text(capabilities, name).and_then(|it| skim::field_text(it, "listChanged"))
            == Some("true")
    };
    [
        ("tools", method::TOOLS_CHANGED),
        ("prompts", method::PROMPTS_CHANGED),
        ("resources", method::RESOURCES_CHANGED),
    ]
    .into_iter()
    .filter_map(|(name, method)| promises(name).then_some(method))
    .collect()
}
