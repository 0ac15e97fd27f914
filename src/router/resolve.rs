//! From what a request names to the server that owns it.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::{Error, ErrorKind};
use crate::catalog::{CatalogHandle, Owner, View, split_name};
use crate::config::{Hints, ItemKind, Transport};
use crate::guard::Access;
use crate::protocol::mirror::Mirrors;
use crate::protocol::{Span, method, params, skim};
use crate::supervisor::{Fleet, ServerHandle};
use crate::upstream::ListKind;

use super::request::{Endpoint, Request};
use super::task::{self, More, Tasks};
use super::tasklist;

/// Where a request goes, and what has to change on the way.
#[derive(Debug)]
pub(super) struct Target {
    pub server: ServerHandle,
    /// The place of the name and what takes it, if the server knows it by another.
    pub rename: Option<(Span, Bytes)>,
    /// The server's own name, or the URI.
    pub name: Option<String>,
    /// The parameters of the tool that an HTTP client mirrors into headers.
    pub mirrors: Option<Arc<Mirrors>>,
    /// What follows a page of a merged list of tasks.
    pub more: Option<More>,
    /// A field of `params` that does not go on.
    pub dropped: Option<&'static str>,
    /// An argument that the server gets in other words.
    pub rewritten: Option<Rewritten>,
    /// What the caller is told in the result's `_meta`: a field, JSON text.
    pub mark: Option<String>,
    /// Whether the result may be kept, and if so where it came from: empty, `hit`, `miss` or `bypass`.
    pub cache: &'static str,
}

/// An argument that the server gets in other words.
#[derive(Debug)]
pub(super) struct Rewritten {
    /// Its place in the message.
    pub span: Span,
    /// The new words, a JSON string.
    pub text: Bytes,
}

impl Target {
    /// The arguments as the server gets them, raw JSON.
    pub fn arguments<'r>(&self, request: &'r Request) -> Cow<'r, str> {
        let arguments = request.arguments();
        let (Some(new), Some(span)) = (&self.rewritten, &request.params.arguments) else {
            return Cow::Borrowed(arguments);
        };
        let (before, behind) = (new.span.start - span.start, new.span.end - span.start);
        let text = String::from_utf8_lossy(&new.text);
        Cow::Owned([&arguments[..before], &text, &arguments[behind..]].concat())
    }

    /// The server, and nothing that has to change.
    pub fn plain(server: &ServerHandle) -> Target {
        Target {
            server: server.clone(),
            rename: None,
            name: None,
            mirrors: None,
            more: None,
            dropped: None,
            rewritten: None,
            mark: None,
            cache: "",
        }
    }

    /// What became of the prompt, if there was one: empty, `yes` or `no`.
    pub fn enhanced(&self) -> &'static str {
        match (&self.mark, &self.rewritten) {
            (None, _) => "",
            (Some(_), Some(_)) => "yes",
            (Some(_), None) => "no",
        }
    }
}

/// Resolves a request that names something. Errors say what the client can do about it; what policy or a filter
/// hides looks exactly like what does not exist.
pub(super) async fn resolve(
    request: &Request,
    catalog: &CatalogHandle,
    fleet: &Fleet,
    tasks: &Tasks,
) -> Result<Target, Error> {
    match (&request.endpoint, request.message.method()) {
        (_, name) if method::names_task(name) => resolve_task(request, fleet, tasks),
        (_, method::TASKS_LIST) => tasklist::resolve(request, fleet, tasks),
        (Endpoint::Server(server), name) => resolve_single(request, server, name, catalog),
        (Endpoint::Merged, method::TOOLS_CALL) => {
            named(request, request.params.name.clone(), ListKind::Tools, catalog, fleet).await
        }
        (Endpoint::Merged, method::PROMPTS_GET) => {
            named(request, request.params.name.clone(), ListKind::Prompts, catalog, fleet).await
        }
        (Endpoint::Merged, method::RESOURCES_READ | method::SUBSCRIBE | method::UNSUBSCRIBE) => {
            let uri = string(request, &request.params.uri, "uri")?;
            owned(uri, catalog, &request.access)
        }
        (Endpoint::Merged, method::COMPLETE) => reference(request, catalog, fleet).await,
        (Endpoint::Merged, other) => Err(unknown_method(other)),
    }
}

/// The refusal of a method that nobody knows here.
pub(super) fn unknown_method(method: &str) -> Error {
    Error::new(ErrorKind::MethodNotFound, format!("method '{method}' does not exist here"))
}

/// At a server's own endpoint everything is the server's; only its filter stands between.
fn resolve_single(
    request: &Request,
    server: &ServerHandle,
    method: &str,
    catalog: &CatalogHandle,
) -> Result<Target, Error> {
    if !request.access.is_full()
        && let Some(target) = permitted(request, server, method, catalog)?
    {
        return Ok(target);
    }
    let (span, field) = match method {
        method::TOOLS_CALL | method::PROMPTS_GET => (&request.params.name, "name"),
        method::RESOURCES_READ | method::SUBSCRIBE | method::UNSUBSCRIBE => (&request.params.uri, "uri"),
        _ => return Ok(Target::plain(server)),
    };
    let name = string(request, span, field)?;
    let own = server.own_link(&request.caller());
    if method == method::TOOLS_CALL && is_hidden(server, own.as_ref(), &name) {
        return Err(unknown(ListKind::Tools, &name));
    }
    // Only where somebody has headers to read or to write.
    let over_http = request.headers.is_some() || matches!(server.config().transport, Transport::Http { .. });
    let mirrors = (over_http && method == method::TOOLS_CALL)
        .then(|| match own.as_ref().and_then(|own| listed(own, &name)) {
            Some(entry) => Mirrors::of_tool(&entry).ok().flatten().map(Arc::new),
            None => catalog.current().servers.get(server.name())?.mirrors(&name),
        })
        .flatten();
    Ok(Target { name: Some(name.into_owned()), mirrors, ..Target::plain(server) })
}

/// A task's id says whose it is.
fn resolve_task(request: &Request, fleet: &Fleet, tasks: &Tasks) -> Result<Target, Error> {
    let (span, sealed) = task::id_of(request)?;
    let (name, id) = tasks.open(&request.principal, &sealed).ok_or_else(task::unknown)?;
    let server = fleet.get(&name).filter(|_| request.access.touches(&name)).ok_or_else(task::unknown)?;
    match &request.endpoint {
        Endpoint::Server(here) if here.name() != server.name() => Err(task::unknown()),
        _ => {
            let rename = Some((span, Bytes::from(skim::quote(&id))));
            Ok(Target { rename, name: Some(id), ..Target::plain(&server) })
        }
    }
}

/// What somebody who may not use everything asks of a server at its own endpoint. Only what the server lists can be decided
/// on, and the rest is refused in the same words as what does not exist. `None` for what names nothing.
fn permitted(
    request: &Request,
    server: &ServerHandle,
    method: &str,
    catalog: &CatalogHandle,
) -> Result<Option<Target>, Error> {
    let listed = |name: Cow<'_, str>, kind: ListKind| {
        let seen = catalog.seen_by(&request.access);
        let view = seen.servers.get(server.name());
        let route = view.and_then(|view| match kind {
            ListKind::Tools => view.tool(&name),
            _ => view.prompt(&name),
        });
        let Some(route) = route else { return Err(unknown(kind, &name)) };
        let mirrors = route.mirrors.clone();
        Ok(Some(Target { name: Some(name.into_owned()), mirrors, ..Target::plain(server) }))
    };
    match method {
        method::TOOLS_CALL => listed(string(request, &request.params.name, "name")?, ListKind::Tools),
        method::PROMPTS_GET => listed(string(request, &request.params.name, "name")?, ListKind::Prompts),
        method::RESOURCES_READ | method::SUBSCRIBE | method::UNSUBSCRIBE => {
            let uri = string(request, &request.params.uri, "uri")?;
            owned_by(uri, server, catalog, &request.access).map(Some)
        }
        method::COMPLETE => {
            let span = request.params.reference.clone().ok_or_else(no_reference)?;
            let text = &request.message.as_str()[span];
            let target = match skim::string_field(text, "name") {
                Some(name) => listed(name, ListKind::Prompts)?,
                None => {
                    let uri = skim::string_field(text, "uri").ok_or_else(no_reference)?;
                    Some(owned_by(uri, server, catalog, &request.access)?)
                }
            };
            Ok(target.map(|target| Target { name: None, ..target }))
        }
        _ => Ok(None),
    }
}

/// Whether a filter hides a tool. Where there is a filter, a name that the server does not list is refused in the same
/// words, so that the two cannot be told apart.
fn is_hidden(server: &ServerHandle, own: Option<&ServerHandle>, name: &str) -> bool {
    let filter = &server.config().tools;
    if filter.allow.is_empty() && filter.deny.is_empty() {
        return false;
    }
    let is_listed = || own.into_iter().chain([server]).any(|server| listed(server, name).is_some());
    !filter.permits(name) || !is_listed()
}

/// The entry of a tool in its server's own list, JSON text.
pub(super) fn listed(server: &ServerHandle, name: &str) -> Option<String> {
    let offer = server.offer();
    let mut texts =
        offer.list(ListKind::Tools).entries().iter().filter_map(|entry| std::str::from_utf8(entry).ok());
    texts.find(|text| skim::string_field(text, "name").is_some_and(|own| own == name)).map(str::to_owned)
}

async fn named(
    request: &Request,
    span: Option<Span>,
    kind: ListKind,
    catalog: &CatalogHandle,
    fleet: &Fleet,
) -> Result<Target, Error> {
    let name = string(request, &span, "name")?;
    let access = &request.access;
    if let Some(target) = look_up(&name, &span, kind, catalog, access) {
        return Ok(target);
    }
    // A server that is still coming up may own it: its callers wait for it, and nobody else does.
    if let Some(server) = split_name(&name).and_then(|(server, _)| fleet.get(server))
        && access.touches(server.name().as_str())
        && server.live().is_none()
        && !server.is_dormant()
    {
        server.wait_until_live(0).await?;
        catalog.settled().await;
        if let Some(target) = look_up(&name, &span, kind, catalog, access) {
            return Ok(target);
        }
    }
    Err(unknown(kind, &name))
}

fn look_up(
    name: &str,
    span: &Option<Span>,
    kind: ListKind,
    catalog: &CatalogHandle,
    access: &Access,
) -> Option<Target> {
    let current = catalog.seen_by(access);
    let route = match kind {
        ListKind::Tools => current.merged.tool(name),
        _ => current.merged.prompt(name),
    }?;
    Some(Target {
        rename: span.clone().map(|span| (span, route.own_name_json.clone())),
        name: Some(route.own_name.to_string()),
        mirrors: route.mirrors.clone(),
        ..Target::plain(&route.server)
    })
}

/// The server of a resource, by what somebody with this access sees.
pub(super) fn owned(uri: Cow<'_, str>, catalog: &CatalogHandle, access: &Access) -> Result<Target, Error> {
    let seen = catalog.seen_by(access);
    owner_in(&seen.merged, uri, access)
}

/// The same at a server's own endpoint.
pub(super) fn owned_by(
    uri: Cow<'_, str>,
    server: &ServerHandle,
    catalog: &CatalogHandle,
    access: &Access,
) -> Result<Target, Error> {
    let seen = catalog.seen_by(access);
    match seen.servers.get(server.name()) {
        Some(view) => owner_in(view, uri, access),
        None => Err(unlisted(&uri)),
    }
}

fn owner_in(view: &View, uri: Cow<'_, str>, access: &Access) -> Result<Target, Error> {
    match view.owner(&uri) {
        // A template covers more than a rule may allow.
        Owner::One(server)
            if access.allows(ItemKind::Resource, server.name().as_str(), &uri, Hints::UNKNOWN) =>
        {
            Ok(Target { name: Some(uri.into_owned()), ..Target::plain(server) })
        }
        Owner::Several(names) => {
            let names: Vec<String> = names.iter().map(|name| format!("/mcp/{name}")).collect();
            let text =
                format!("resource '{uri}' may belong to several servers; ask at {}", names.join(" or "));
            Err(Error::new(ErrorKind::InvalidParams, text).with_data(uri_data(&uri)))
        }
        Owner::One(_) | Owner::None => Err(unlisted(&uri)),
    }
}

fn unlisted(uri: &str) -> Error {
    Error::new(
        ErrorKind::ResourceNotFound,
        format!(
            "resource '{uri}' is not listed by any server; ask at its server's own endpoint, /mcp/<server>"
        ),
    )
    .with_data(uri_data(uri))
}

fn no_reference() -> Error {
    Error::new(ErrorKind::InvalidParams, "'ref' must name a prompt or a resource template")
}

async fn reference(request: &Request, catalog: &CatalogHandle, fleet: &Fleet) -> Result<Target, Error> {
    let span = request.params.reference.clone().ok_or_else(no_reference)?;
    let text = &request.message.as_str()[span.clone()];
    let place = |field: &str| skim::field(text, field).map(|at| span.start + at.start..span.start + at.end);
    if let Some(name) = place("name") {
        return named(request, Some(name), ListKind::Prompts, catalog, fleet).await;
    }
    let uri = skim::string_field(text, "uri").ok_or_else(no_reference)?;
    Ok(Target { name: None, ..owned(uri, catalog, &request.access)? })
}

fn string<'r>(request: &'r Request, span: &Option<Span>, field: &str) -> Result<Cow<'r, str>, Error> {
    params::string_at(&request.message, span)
        .ok_or_else(|| Error::new(ErrorKind::InvalidParams, format!("params.{field} must be a string")))
}

fn unknown(kind: ListKind, name: &str) -> Error {
    let what = if kind == ListKind::Tools { "tool" } else { "prompt" };
    Error::new(ErrorKind::InvalidParams, format!("Unknown {what}: {name}"))
}

fn uri_data(uri: &str) -> String {
    format!(r#"{{"uri":{}}}"#, skim::quote(uri))
}
