//! What one endpoint shows: its lists as finished results, and the way from each name to its server.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use crate::base::Era;
use crate::protocol::Span;
use crate::protocol::mirror::Mirrors;
use crate::supervisor::ServerHandle;
use crate::upstream::ListKind;

use super::template::Template;

/// Where a name leads.
#[derive(Clone, Debug)]
pub struct Route {
    /// The server that owns it.
    pub server: ServerHandle,
    /// The server's own name for it.
    pub own_name: Box<str>,
    /// The same as a JSON string, ready to be spliced in.
    pub own_name_json: Bytes,
    /// The parameters of a tool that an HTTP client mirrors into headers.
    pub mirrors: Option<Arc<Mirrors>>,
    /// Whether a tool says that it changes nothing and may be called again.
    pub repeatable: bool,
}

/// A list as it is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListResult {
    /// The result for a legacy client, JSON text.
    pub legacy: Bytes,
    /// The result for a modern client, JSON text, that may not be kept.
    pub modern: Bytes,
    /// Where in it to say for how long it may.
    pub ttl: Span,
}

/// One endpoint. Immutable; a change of any server makes a new one.
#[derive(Debug, Default)]
pub struct View {
    pub(super) lists: [ListResult; 4],
    pub(super) tools: HashMap<Box<str>, Route>,
    /// Whether any of them mirrors parameters.
    pub(super) mirrors: bool,
    pub(super) prompts: HashMap<Box<str>, Route>,
    pub(super) resources: HashMap<Box<str>, ServerHandle>,
    pub(super) templates: Vec<(Box<str>, Template, ServerHandle)>,
    /// Schemes of everything listed, with the servers that list them, in configuration order.
    pub(super) schemes: HashMap<Box<str>, Vec<ServerHandle>>,
    /// Until when what is shown may be kept; none if it may not.
    pub(super) fresh_until: Option<Instant>,
    /// The body of an `initialize` result, less the version.
    pub(super) introduction: Introduction,
}

/// What an endpoint says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Introduction {
    /// `capabilities`, JSON text, for a legacy client.
    pub legacy: String,
    /// `capabilities`, JSON text, for a modern client.
    pub modern: String,
    /// `serverInfo`, JSON text.
    pub server_info: String,
    /// `instructions`, JSON text, if there are any.
    pub instructions: Option<String>,
    /// Whether it may be shared between callers.
    pub public: bool,
}

/// One entry of a view, for whoever looks at all of them.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'v> {
    /// Its name here, its URI, or its pattern of URIs.
    pub shown: &'v str,
    /// The server's own name for it.
    pub own: &'v str,
    /// The server that it leads to.
    pub server: &'v ServerHandle,
}

impl Entry<'_> {
    /// Whether more than the server's name was put before its own.
    pub fn is_shortened(&self) -> bool {
        super::naming::split(self.shown) != Some((self.server.name().as_str(), self.own))
    }
}

/// Which server a URI belongs to.
#[derive(Debug)]
pub enum Owner<'v> {
    /// This one.
    One(&'v ServerHandle),
    /// These might; nobody can tell.
    Several(BTreeSet<String>),
    /// None that is known.
    None,
}

impl View {
    /// The finished result of a list.
    pub fn list(&self, kind: ListKind, era: Era) -> Vec<u8> {
        let list = &self.lists[kind as usize];
        match (era, self.ttl_ms()) {
            (Era::Legacy, _) => list.legacy.to_vec(),
            (Era::Modern, 0) => list.modern.to_vec(),
            (Era::Modern, left) => {
                let (head, tail) = (&list.modern[..list.ttl.start], &list.modern[list.ttl.end..]);
                [head, left.to_string().as_bytes(), tail].concat()
            }
        }
    }

    /// For how long what is shown now may be kept, in milliseconds: what is left of the time that its servers gave.
    pub fn ttl_ms(&self) -> u64 {
        let left = self.fresh_until.map(|until| until.saturating_duration_since(Instant::now()));
        left.map_or(0, |left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
    }

    /// Where the tool `name` leads.
    pub fn tool(&self, name: &str) -> Option<&Route> {
        self.tools.get(name)
    }

    /// The parameters of the tool `name` that are mirrored into headers.
    pub fn mirrors(&self, name: &str) -> Option<Arc<Mirrors>> {
        self.mirrors.then(|| self.tool(name)?.mirrors.clone()).flatten()
    }

    /// Where the prompt `name` leads.
    pub fn prompt(&self, name: &str) -> Option<&Route> {
        self.prompts.get(name)
    }

    /// Whose `uri` is: exactly listed first, then by template, then by scheme; never a guess.
    pub fn owner(&self, uri: &str) -> Owner<'_> {
        if let Some(server) = self.resources.get(uri) {
            return Owner::One(server);
        }
        let matching =
            self.templates.iter().filter(|(text, template, _)| &**text == uri || template.matches(uri));
        match single(matching.map(|(_, _, server)| server)) {
            Owner::None => {}
            decided => return decided,
        }
        match super::naming::scheme(uri).and_then(|scheme| self.schemes.get(&*scheme)) {
            Some(servers) => single(servers.iter()),
            None => Owner::None,
        }
    }

    /// All tools, in no order.
    pub fn tools(&self) -> impl Iterator<Item = Entry<'_>> {
        named(&self.tools)
    }

    /// All prompts, in no order.
    pub fn prompts(&self) -> impl Iterator<Item = Entry<'_>> {
        named(&self.prompts)
    }

    /// All resources, in no order.
    pub fn resources(&self) -> impl Iterator<Item = Entry<'_>> {
        self.resources.iter().map(|(uri, server)| Entry { shown: uri, own: uri, server })
    }

    /// All templates.
    pub fn templates(&self) -> impl Iterator<Item = Entry<'_>> {
        self.templates.iter().map(|(text, _, server)| Entry { shown: text, own: text, server })
    }

    /// What the endpoint says of itself.
    pub fn introduction(&self) -> &Introduction {
        &self.introduction
    }
}

fn named(routes: &HashMap<Box<str>, Route>) -> impl Iterator<Item = Entry<'_>> {
    routes.iter().map(|(shown, route)| Entry { shown, own: &route.own_name, server: &route.server })
}

fn single<'v>(servers: impl Iterator<Item = &'v ServerHandle>) -> Owner<'v> {
    let mut names = BTreeSet::new();
    let mut one = None;
    for server in servers {
        names.insert(server.name().to_string());
        one = Some(server);
    }
    match (one, names.len()) {
        (Some(server), 1) => Owner::One(server),
        (None, _) => Owner::None,
        _ => Owner::Several(names),
    }
}
