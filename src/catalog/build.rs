//! Making views from offers: filtering, naming, merging. Pure.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use crate::base::Era;
use crate::config::{Hints, ItemKind, Transport};
use crate::guard::Access;
use crate::protocol::mirror::Mirrors;
use crate::protocol::params::key;
use crate::protocol::skim;
use crate::supervisor::ServerHandle;
use crate::upstream::ListKind;

use super::introduction::{Caching, introduce_fleet, introduce_server};
use super::naming;
use super::source::Source;
use super::template::Template;
use super::view::{Introduction, ListResult, Route, View};

/// `_meta` key under which a list says which servers it lacks. The prefix is the project's own name, as the
/// specification asks of vendors.
const UNAVAILABLE: &str = "dev.trunkline/unavailable";
/// Something that a reader of the catalog should know: a name that had to change, an entry that could not be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The server whose entry it is.
    pub server: String,
    /// What was done, one sentence.
    pub text: String,
}

/// How a view names its entries.
#[derive(Clone, Copy, Debug)]
pub enum Naming {
    /// As the server does.
    Own,
    /// `<server>__<name>`, at most this long.
    Prefixed(usize),
}

/// Makes the view that somebody with this access has of `sources`, and says what is worth saying about it. What they
/// may not use is not there, so that it cannot be told from what does not exist.
pub fn build(sources: &[Source], naming: Naming, access: &Access) -> (View, Vec<Remark>) {
    let full = access.is_full();
    let permitted: Vec<Source>;
    let sources = match full {
        true => sources,
        false => {
            permitted = sources
                .iter()
                .filter(|(server, _)| access.touches(server.name().as_str()))
                .cloned()
                .collect();
            &permitted
        }
    };
    let mut builder = Builder {
        access: (!full).then_some(access),
        naming,
        over_http: false,
        view: View::default(),
        remarks: Vec::new(),
        bodies: Default::default(),
    };
    for (server, offer) in sources {
        let modern = offer.peer.as_ref().is_some_and(|peer| peer.era() == Era::Modern);
        builder.over_http = modern && matches!(server.config().transport, Transport::Http { .. });
        for kind in ListKind::ALL {
            for entry in offer.list(kind).entries() {
                builder.add(server, kind, entry);
            }
        }
    }
    builder.finish(sources)
}

/// What somebody with this access sees of what one server lists under its own names, by a link beside the shared one.
pub fn view_of(server: &ServerHandle, access: &Access) -> View {
    build(&[(server.clone(), server.offer())], Naming::Own, access).0
}

struct Builder<'a> {
    /// What may be seen, if that is not everything.
    access: Option<&'a Access>,
    naming: Naming,
    /// Whether the entries come from a modern server behind a URL.
    over_http: bool,
    view: View,
    remarks: Vec<Remark>,
    bodies: [BytesMut; 4],
}

impl Builder<'_> {
    fn add(&mut self, server: &ServerHandle, kind: ListKind, entry: &Bytes) {
        let text = std::str::from_utf8(entry).unwrap_or_default();
        let id_field = match kind {
            ListKind::Tools | ListKind::Prompts => "name",
            ListKind::Resources => "uri",
            ListKind::Templates => "uriTemplate",
        };
        let Some((span, own)) =
            skim::field(text, id_field).and_then(|span| Some((span.clone(), skim::string(&text[span])?)))
        else {
            return self
                .remark(server, format!("left out an entry of {} without '{id_field}'", kind.method()));
        };
        if self.access.is_some_and(|access| !may_see(access, server, kind, &own, text)) {
            return;
        }
        match kind {
            ListKind::Tools if !server.config().tools.permits(&own) => {}
            ListKind::Tools | ListKind::Prompts => {
                let mirrors = match self.mirrors(kind, text) {
                    Ok(mirrors) => mirrors,
                    Err(why) => return self.remark(server, format!("left out the tool '{own}': {why}")),
                };
                let shown = self.shown_name(server, &own);
                let routes =
                    if kind == ListKind::Tools { &mut self.view.tools } else { &mut self.view.prompts };
                match routes.entry(shown.clone().into()) {
                    Entry::Occupied(taken) => {
                        let other = taken.get().server.name().clone();
                        self.remark(
                            server,
                            format!("left out '{own}': '{shown}' is already taken by {other}"),
                        );
                    }
                    Entry::Vacant(free) => {
                        let json = Bytes::from(skim::quote(&own));
                        self.view.mirrors |= mirrors.is_some();
                        free.insert(Route {
                            server: server.clone(),
                            own_name: own.as_ref().into(),
                            own_name_json: json,
                            mirrors,
                            repeatable: kind == ListKind::Tools && is_repeatable(text),
                        });
                        let replacement =
                            matches!(self.naming, Naming::Prefixed(_)).then(|| skim::quote(&shown));
                        self.append(kind, text, span, replacement);
                    }
                }
            }
            ListKind::Resources => {
                self.note_scheme(server, &own);
                match self.view.resources.entry(own.as_ref().into()) {
                    Entry::Occupied(taken) => {
                        let other = taken.get().name().clone();
                        if other != *server.name() {
                            self.remark(
                                server,
                                format!("resource '{own}' is answered by {other}, which is configured first"),
                            );
                        }
                    }
                    Entry::Vacant(free) => {
                        free.insert(server.clone());
                        self.append(kind, text, span, None);
                    }
                }
            }
            ListKind::Templates => {
                self.note_scheme(server, &own);
                let before = self
                    .view
                    .templates
                    .iter()
                    .find(|(text, ..)| **text == *own)
                    .map(|(.., s)| s.name().clone());
                self.view.templates.push((own.as_ref().into(), Template::parse(&own), server.clone()));
                match before {
                    Some(other) if other != *server.name() => self.remark(
                        server,
                        format!(
                            "template '{own}' is {other}'s too; ask for its resources at /mcp/{}",
                            server.name()
                        ),
                    ),
                    _ => self.append(kind, text, span, None),
                }
            }
        }
    }

    /// The parameters that a tool wants to see in headers. Who speaks to its server over HTTP must not show a tool
    /// whose wishes break the rules (2026-07-28, `server/tools`, "x-mcp-header"); on a pipe they mean nothing.
    fn mirrors(&self, kind: ListKind, entry: &str) -> Result<Option<Arc<Mirrors>>, String> {
        if kind != ListKind::Tools {
            return Ok(None);
        }
        match Mirrors::of_tool(entry) {
            Ok(mirrors) => Ok(mirrors.map(Arc::new)),
            Err(why) if self.over_http => Err(why),
            Err(_) => Ok(None),
        }
    }

    fn shown_name(&mut self, server: &ServerHandle, own: &str) -> String {
        let Naming::Prefixed(limit) = self.naming else { return own.to_owned() };
        let shown = naming::merged_name(server.name(), own, limit);
        if !shown.ends_with(own) {
            self.remark(
                server,
                format!("shows '{own}' as '{shown}' (name_limit, or characters that model APIs refuse)"),
            );
        }
        shown
    }

    fn note_scheme(&mut self, server: &ServerHandle, uri: &str) {
        let Some(scheme) = naming::scheme(uri) else { return };
        let servers = self.view.schemes.entry(scheme.as_ref().into()).or_default();
        if !servers.iter().any(|known| known.name() == server.name()) {
            servers.push(server.clone());
        }
    }

    /// Appends an entry to a list's body; only the name is ours.
    fn append(&mut self, kind: ListKind, entry: &str, name: skim::Span, replacement: Option<String>) {
        let body = &mut self.bodies[kind as usize];
        if !body.is_empty() {
            body.put_u8(b',');
        }
        match replacement {
            None => body.put_slice(entry.as_bytes()),
            Some(shown) => {
                body.put_slice(&entry.as_bytes()[..name.start]);
                body.put_slice(shown.as_bytes());
                body.put_slice(&entry.as_bytes()[name.end..]);
            }
        }
    }

    fn remark(&mut self, server: &ServerHandle, text: String) {
        self.remarks.push(Remark { server: server.name().to_string(), text });
    }

    fn finish(mut self, sources: &[Source]) -> (View, Vec<Remark>) {
        let mut caching = Caching::of(sources);
        // What depends on the caller is not to be shared between callers.
        caching.public &= self.access.is_none();
        self.view.fresh_until = caching.fresh_until;
        self.view.introduction = match (self.naming, sources) {
            (Naming::Own, [(_, offer)]) => introduce_server(offer, &caching),
            _ => introduce_fleet(sources, &caching),
        };
        let unavailable: Vec<String> = sources
            .iter()
            .filter(|(server, offer)| offer.peer.is_none() && !server.is_disabled())
            .map(|(server, _)| skim::quote(server.name().as_str()))
            .collect();
        let missing =
            (!unavailable.is_empty()).then(|| format!(r#""{UNAVAILABLE}":[{}]"#, unavailable.join(",")));
        for kind in ListKind::ALL {
            let body = std::mem::take(&mut self.bodies[kind as usize]).freeze();
            self.view.lists[kind as usize] =
                list_result(kind, &body, &caching, missing.as_deref(), &self.view.introduction);
        }
        (self.view, self.remarks)
    }
}

/// Whether somebody with this access may see an entry; of a tool its annotations count.
fn may_see(access: &Access, server: &ServerHandle, kind: ListKind, own: &str, entry: &str) -> bool {
    let (item, hints) = match kind {
        ListKind::Tools => (ItemKind::Tool, hints(entry)),
        ListKind::Prompts => (ItemKind::Prompt, Hints::UNKNOWN),
        ListKind::Resources | ListKind::Templates => (ItemKind::Resource, Hints::UNKNOWN),
    };
    access.allows(item, server.name().as_str(), own, hints)
}

/// What a tool says of itself.
fn hints(tool: &str) -> Hints {
    let annotations = skim::field_text(tool, "annotations").unwrap_or("{}");
    let flag = |name: &str| match skim::field_text(annotations, name) {
        Some("true") => Some(true),
        Some("false") => Some(false),
        _ => None,
    };
    Hints::new(flag("readOnlyHint"), flag("destructiveHint"))
}

/// Whether a tool says that it changes nothing and does the same each time (`readOnlyHint` and `idempotentHint`).
fn is_repeatable(tool: &str) -> bool {
    let annotations = skim::field_text(tool, "annotations").unwrap_or("{}");
    ["readOnlyHint", "idempotentHint"].iter().all(|hint| skim::field_text(annotations, hint) == Some("true"))
}

fn list_result(
    kind: ListKind,
    body: &Bytes,
    caching: &Caching,
    missing: Option<&str>,
    intro: &Introduction,
) -> ListResult {
    let field = kind.field();
    let entries = std::str::from_utf8(body).unwrap_or_default();
    let legacy = match missing {
        None => format!(r#"{{"{field}":[{entries}]}}"#),
        Some(missing) => format!(r#"{{"{field}":[{entries}],"_meta":{{{missing}}}}}"#),
    };
    let missing = missing.map(|missing| format!(",{missing}")).unwrap_or_default();
    let head = format!(r#"{{"resultType":"complete","{field}":[{entries}],"ttlMs":"#);
    let tail = format!(
        r#","cacheScope":"{}","_meta":{{"{}":{}{missing}}}}}"#,
        caching.scope(),
        key::SERVER_INFO,
        intro.server_info,
    );
    let ttl = head.len()..head.len() + 1;
    ListResult { legacy: legacy.into(), modern: format!("{head}0{tail}").into(), ttl }
}
