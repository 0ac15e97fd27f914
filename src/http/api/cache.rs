//! What is kept so that nobody has to be asked for it again.

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::Uri;

use crate::guard::Caller;

use super::failure::Failure;
use super::orders::Order;
use super::query::Query;
use super::shape::{Cache, CacheOfServer, Done, KeptPrompts};
use super::state::Api;

/// How much is kept, and how often that was of use.
pub async fn kept(State(api): State<Api>) -> Json<Cache> {
    Json(figures(&api))
}

/// The same as data.
pub fn figures(api: &Api) -> Cache {
    let router = &api.0.parts.router;
    let (results, prompts) = (router.results().status(), router.enhancer().statistics());
    let of_server = |(name, asked): &(crate::base::ServerName, crate::router::Asked)| CacheOfServer {
        server: name.to_string(),
        hits: asked.hits,
        misses: asked.misses,
        bypassed: asked.bypassed,
    };
    let servers: Vec<CacheOfServer> = results.servers.iter().map(of_server).collect();
    Cache {
        entries: results.entries,
        bytes: results.bytes,
        evicted: results.evicted,
        hits: servers.iter().map(|one| one.hits).sum(),
        misses: servers.iter().map(|one| one.misses).sum(),
        bypassed: servers.iter().map(|one| one.bypassed).sum(),
        servers,
        prompts: KeptPrompts {
            entries: prompts.cache_size,
            evicted: prompts.cache_evicted,
            hits: prompts.cached,
            misses: prompts.misses(),
        },
    }
}

/// Forgets what is kept: everything, or of one server, or of one tool there.
pub async fn clear(
    State(api): State<Api>,
    caller: Extension<Caller>,
    uri: Uri,
) -> Result<Json<Done>, Failure> {
    let query = Query::of(&uri, &[&["server", "tool"]])?;
    let (server, tool) = (named(&query, "server"), named(&query, "tool"));
    if tool.is_some() && server.is_none() {
        return Err(Failure::invalid("say whose tool it is: ?server=NAME&tool=NAME"));
    }
    api.order(Order::ClearCaches { server, tool }, &caller).await
}

/// Has lists read before anybody asks for them.
pub async fn warm(
    State(api): State<Api>,
    caller: Extension<Caller>,
    uri: Uri,
) -> Result<Json<Done>, Failure> {
    let query = Query::of(&uri, &[&["server"]])?;
    api.order(Order::WarmCaches { server: named(&query, "server") }, &caller).await
}

fn named(query: &Query, name: &str) -> Option<String> {
    query.get(name).filter(|value| !value.is_empty()).map(str::to_owned)
}
