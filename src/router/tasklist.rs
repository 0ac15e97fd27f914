//! `tasks/list`: of one server at its own endpoint, of all of them, one after the other, at the merged one.

use bytes::Bytes;

use crate::base::{Era, Error, ErrorKind};
use crate::protocol::{method, params, skim};
use crate::supervisor::{Fleet, ServerHandle};

use super::request::{Endpoint, Request};
use super::resolve::{Target, unknown_method};
use super::task::{More, Tasks};

/// Whether nobody has tasks to list.
pub(super) fn is_empty(request: &Request, fleet: &Fleet) -> bool {
    matches!(request.endpoint, Endpoint::Merged) && !fleet.servers().iter().any(|one| listed(request, one))
}

/// Whether a server's tasks are listed for whoever asks.
fn listed(request: &Request, server: &ServerHandle) -> bool {
    lists(server) && request.access.touches(server.name().as_str())
}

/// Whether a server says that it lists its tasks.
fn lists(server: &ServerHandle) -> bool {
    server.offer().peer.as_ref().is_some_and(|peer| {
        let tasks = skim::field_text(&peer.capabilities, "tasks");
        peer.era() == Era::Legacy && tasks.is_some_and(|tasks| skim::field(tasks, "list").is_some())
    })
}

/// The server whose page is asked for. A page of the merged list is a page of one server; its cursor says of which.
pub(super) fn resolve(request: &Request, fleet: &Fleet, tasks: &Tasks) -> Result<Target, Error> {
    if let Endpoint::Server(server) = &request.endpoint {
        return if lists(server) {
            Ok(Target::plain(server))
        } else {
            Err(unknown_method(method::TASKS_LIST))
        };
    }
    let bad = || Error::new(ErrorKind::InvalidParams, "the cursor is not one of ours, or its server is gone");
    let members = fleet.servers();
    let servers: Vec<&ServerHandle> = members.iter().filter(|server| listed(request, server)).collect();
    let Some(span) = request.params.cursor.clone() else {
        let first = servers.first().ok_or_else(bad)?;
        return Ok(Target { more: Some(More::after(&servers, 0)), ..Target::plain(first) });
    };
    let cursor = params::string_at(&request.message, &Some(span.clone()));
    let cursor = cursor.and_then(|text| tasks.open_cursor(&request.principal, &text)).ok_or_else(bad)?;
    let at = servers.iter().position(|server| server.name().as_str() == cursor.server).ok_or_else(bad)?;
    let target = Target { more: Some(More::after(&servers, at)), ..Target::plain(servers[at]) };
    Ok(match cursor.own {
        Some(own) => Target { rename: Some((span, Bytes::from(own))), ..target },
        None => Target { dropped: Some("cursor"), ..target },
    })
}
