//! Callers with a link of their own: what they see, and where what they say goes.

use crate::base::{Error, ErrorKind};
use crate::catalog::{View, view_of};
use crate::guard::Access;
use crate::protocol::method;
use crate::supervisor::{Caller, Fleet, ServerHandle, Subscription};

use super::request::Endpoint;
use super::resolve::Target;

/// What a server lists on the caller's own link: some offer more, or other things, to a client that can be asked. `None`
/// if the caller has none and is to have none, or it does not come up; then they see what all see.
pub(super) async fn view(server: &ServerHandle, caller: &Caller<'_>, access: &Access) -> Option<View> {
    server.link_key(caller)?;
    let own = server.for_caller(caller).await.ok().flatten()?;
    own.wait_until_live(0).await.ok()?;
    own.lists_used();
    Some(view_of(&own, access))
}

/// Takes a subscription on the link that the caller's requests take. The first on a link of one's own brings that up: a
/// resource may change before anything is called there.
pub(super) async fn subscribe(target: &Target, caller: &Caller<'_>) -> Result<Subscription, Error> {
    let own = target.server.for_caller(caller).await?;
    if let Some(own) = &own {
        own.wait_until_live(0).await?;
    }
    let server = own.as_ref().unwrap_or(&target.server);
    if !server.can_subscribe() {
        let text = format!("server '{}' does not offer subscriptions", server.name());
        return Err(Error::new(ErrorKind::MethodNotFound, text));
    }
    Ok(server.subscribe(target.name.as_deref().unwrap_or_default()))
}

/// The servers, by their links, that hear what a client announces by `method`.
pub(super) fn hearers(
    fleet: &Fleet,
    endpoint: &Endpoint,
    method: &str,
    caller: &Caller<'_>,
) -> Vec<ServerHandle> {
    if method == method::ROOTS_CHANGED {
        // No link that several share has been told of anybody's roots.
        let told =
            |server: &ServerHandle| caller.capabilities.tells_of_roots().then(|| server.own_link(caller))?;
        return match endpoint {
            Endpoint::Merged => fleet.servers().iter().filter_map(told).collect(),
            Endpoint::Server(server) => told(server).into_iter().collect(),
        };
    }
    match endpoint {
        Endpoint::Server(server) if !method::ENDING_HERE.contains(&method) => match server.own_link(caller) {
            Some(own) => vec![own],
            None if server.link_key(caller).is_some_and(|key| key.is_owned()) => Vec::new(),
            None => vec![server.clone()],
        },
        _ => Vec::new(),
    }
}
