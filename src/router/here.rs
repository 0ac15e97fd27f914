//! What is answered here, from snapshots: introductions, lists, levels.

use std::sync::Arc;

use crate::base::{Era, Error, ErrorKind, Level, Version};
use crate::catalog::{Introduction, View};
use crate::guard::Access;
use crate::protocol::params::key;
use crate::protocol::{method, params};
use crate::supervisor::{Caller, ServerHandle};
use crate::upstream::ListKind;

use super::dispatch::Router;
use super::own;
use super::request::{Endpoint, Request};
use super::resolve;
use super::tasklist;

impl Router {
    /// `initialize` for a legacy client: the result, JSON text.
    pub async fn introduce(
        &self,
        endpoint: &Endpoint,
        access: &Access,
        version: Version,
    ) -> Result<String, Error> {
        let view = self.view_when_known(endpoint, access).await?;
        Ok(introduced(&view, version))
    }

    /// The same by the link that the caller has of its own there: what a server can do, and says of itself, may depend on
    /// what its client declares. `None` for who has none.
    pub async fn introduce_own(
        &self,
        endpoint: &Endpoint,
        access: &Access,
        version: Version,
        caller: &Caller<'_>,
    ) -> Option<String> {
        let Endpoint::Server(server) = endpoint else { return None };
        let view = own::view(server, caller, access).await?;
        Some(introduced(&view, version))
    }

    /// What is answered from snapshots, without a server; `None` for everything else.
    pub(super) async fn answer_here(&self, request: &Request) -> Option<Result<Vec<u8>, Error>> {
        let method = request.message.method();
        if let Some(kind) = ListKind::ALL.into_iter().find(|kind| kind.method() == method) {
            return Some(self.list(request, kind).await);
        }
        match (method, request.era) {
            (method::PING, Era::Legacy) => Some(Ok(b"{}".to_vec())),
            (method::DISCOVER, Era::Modern) => Some(Ok(self.discover(request).await)),
            (method::SET_LEVEL, Era::Legacy) => Some(self.set_level(request)),
            (method::TASKS_LIST, Era::Legacy) if tasklist::is_empty(request, &self.0.fleet) => {
                Some(Ok(br#"{"tasks":[]}"#.to_vec()))
            }
            (method::DISCOVER, Era::Legacy) => Some(Err(resolve::unknown_method(method))),
            (removed, Era::Modern) if method::REMOVED_IN_MODERN.contains(&removed) => {
                Some(Err(resolve::unknown_method(method)))
            }
            _ => None,
        }
    }

    async fn list(&self, request: &Request, kind: ListKind) -> Result<Vec<u8>, Error> {
        if request.params.cursor.is_some() {
            return Err(Error::new(
                ErrorKind::InvalidParams,
                "the cursor is not one of ours: lists come in one page",
            ));
        }
        match &request.endpoint {
            Endpoint::Merged => self.0.fleet.servers().iter().for_each(ServerHandle::lists_used),
            Endpoint::Server(server) => {
                if let Some(view) = own::view(server, &request.caller(), &request.access).await {
                    return Ok(view.list(kind, request.era));
                }
                server.lists_used();
            }
        }
        Ok(self.view(&request.endpoint, &request.access).list(kind, request.era))
    }

    async fn discover(&self, request: &Request) -> Vec<u8> {
        let own = match &request.endpoint {
            Endpoint::Server(server) => own::view(server, &request.caller(), &request.access).await,
            Endpoint::Merged => None,
        };
        let view = own.map_or_else(|| self.view(&request.endpoint, &request.access), Arc::new);
        let intro = view.introduction();
        format!(
            r#"{{"resultType":"complete","supportedVersions":["{}"],"capabilities":{}{},"ttlMs":{},"cacheScope":"{}","_meta":{{"{}":{}}}}}"#,
            Version::LATEST_MODERN,
            intro.modern,
            instructions(intro),
            view.ttl_ms(),
            if intro.public { "public" } else { "private" },
            key::SERVER_INFO,
            intro.server_info,
        )
        .into_bytes()
    }

    /// The session has noted the level already; the servers hear the lowest that anybody wants.
    fn set_level(&self, request: &Request) -> Result<Vec<u8>, Error> {
        let level = params::level(&request.message, &request.params);
        let level = level.ok_or_else(|| {
            let known: Vec<&str> = Level::ALL.iter().map(|level| level.as_str()).collect();
            Error::new(ErrorKind::InvalidParams, format!("params.level must be one of {}", known.join(", ")))
        })?;
        match &request.endpoint {
            Endpoint::Merged => self.0.fleet.servers().iter().for_each(|server| server.want_log_level(level)),
            Endpoint::Server(server) => server.want_log_level(level),
        }
        Ok(b"{}".to_vec())
    }

    fn view(&self, endpoint: &Endpoint, access: &Access) -> Arc<View> {
        let current = self.0.catalog.seen_by(access);
        match endpoint {
            Endpoint::Merged => Arc::clone(&current.merged),
            Endpoint::Server(server) => current.servers.get(server.name()).cloned().unwrap_or_default(),
        }
    }

    /// The view of an endpoint that speaks for its server has to know the server: a server that has never been seen
    /// is waited for.
    async fn view_when_known(&self, endpoint: &Endpoint, access: &Access) -> Result<Arc<View>, Error> {
        if let Endpoint::Server(server) = endpoint {
            if server.offer().peer.is_none() {
                server.wait_until_live(0).await?;
            }
            self.0.catalog.settled().await;
        }
        Ok(self.view(endpoint, access))
    }
}

/// The result of `initialize`, JSON text.
fn introduced(view: &View, version: Version) -> String {
    let intro = view.introduction();
    let instructions = instructions(intro);
    format!(
        r#"{{"protocolVersion":"{version}","capabilities":{},"serverInfo":{}{instructions}}}"#,
        intro.legacy, intro.server_info
    )
}

fn instructions(intro: &Introduction) -> String {
    intro.instructions.as_ref().map(|text| format!(r#","instructions":{text}"#)).unwrap_or_default()
}
