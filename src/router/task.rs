//! Task ids: sealed on their way out, opened on their way in, so that a task is its principal's and finds its server.
//!
//! A server mints its ids for us; to it every client looks the same (2025-11-25, `basic/utilities/tasks`, "Security": an id
//! must be bound to whoever asked). What a client holds says which server minted it and for whom, under a seal; the same
//! task has the same sealed id each time, since a client compares them. Nothing is stored for that. Only
//! `tasks/list`, where a server tells of everybody's tasks, and what it says of a task beside all calls need to know whose
//! they are (`taskbook`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::broadcast;

use crate::base::{Error, ErrorKind, FINGERPRINT, Principal, SealKey, ServerName};
use crate::protocol::params::{self, key};
use crate::protocol::{Message, Span, Splice, method, skim, translate};
use crate::supervisor::ServerHandle;
use crate::upstream::Peer;

use super::request::Request;
use super::taskbook::{Book, Holder, NEWS, Print, Source, TaskNews, print};

/// Sets task ids apart from everything else that is sealed with the same key.
const PURPOSE: &[u8] = b"trunkline task v1";
/// And the cursors of a merged list.
const CURSOR: &[u8] = b"trunkline task cursor v1";

/// Seals and opens ids. Cloning is cheap.
#[derive(Clone)]
pub(super) struct Tasks(Arc<Inner>);

struct Inner {
    key: SealKey,
    book: Mutex<Book>,
    news: broadcast::Sender<TaskNews>,
}

/// A place in the lists of several servers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub server: String,
    /// The server's own cursor, raw JSON; none at its beginning.
    pub own: Option<String>,
}

/// What follows a page of a merged list.
#[derive(Debug)]
pub(super) struct More {
    /// The server after the one whose page it is.
    next: Option<String>,
}

impl More {
    /// What follows the pages of the server at `at`.
    pub fn after(servers: &[&ServerHandle], at: usize) -> More {
        More { next: servers.get(at + 1).map(|server| server.name().to_string()) }
    }
}

impl Tasks {
    pub fn new(key: SealKey) -> Tasks {
        Tasks(Arc::new(Inner { key, book: Mutex::default(), news: broadcast::Sender::new(NEWS) }))
    }

    /// The id under which a client knows the task `id` of `server`.
    pub fn seal(&self, principal: &Principal, server: &ServerName, id: &str) -> String {
        self.seal_for(&print(principal), server, id)
    }

    /// The same for the principal that `holder` stands for.
    pub(super) fn seal_for(&self, holder: &Print, server: &ServerName, id: &str) -> String {
        let payload = [&holder[..], server.as_str().as_bytes(), b"\0", id.as_bytes()].concat();
        self.0.key.seal_alike(PURPOSE, &payload)
    }

    /// Server and id of a task that `principal` holds. Forged, foreign and mistyped ids are not told apart.
    pub fn open(&self, principal: &Principal, sealed: &str) -> Option<(String, String)> {
        let payload = self.0.key.open(PURPOSE, sealed)?;
        let (owner, rest) = payload.split_first_chunk::<FINGERPRINT>()?;
        if *owner != print(principal) {
            return None;
        }
        let (server, id) = std::str::from_utf8(rest).ok()?.split_once('\0')?;
        Some((server.to_owned(), id.to_owned()))
    }

    /// A cursor for `principal`.
    pub fn seal_cursor(&self, principal: &Principal, cursor: &Cursor) -> String {
        let own = cursor.own.as_deref().unwrap_or_default();
        let payload = [&print(principal)[..], cursor.server.as_bytes(), b"\0", own.as_bytes()].concat();
        self.0.key.seal(CURSOR, &payload)
    }

    /// The place that a cursor names.
    pub fn open_cursor(&self, principal: &Principal, sealed: &str) -> Option<Cursor> {
        let payload = self.0.key.open(CURSOR, sealed)?;
        let (owner, rest) = payload.split_first_chunk::<FINGERPRINT>()?;
        let (server, own) = std::str::from_utf8(rest).ok()?.split_once('\0')?;
        let cursor = Cursor { server: server.to_owned(), own: (!own.is_empty()).then(|| own.to_owned()) };
        (*owner == print(principal)).then_some(cursor)
    }

    /// Seals the ids in the result of a call. Most servers know no tasks, and most results of those that do name
    /// none.
    pub fn seal_result(
        &self,
        splice: &mut Splice,
        request: &Request,
        (from, peer, more): (Source<'_>, &Peer, Option<&More>),
        reply: &Message,
    ) {
        let Some(at) = reply.payload_span().filter(|_| peer.has_tasks()) else { return };
        let text = reply.as_str();
        let result = &text[at.clone()];
        let owner = &request.principal;
        if request.message.method() == method::TASKS_LIST {
            if let Some(more) = more {
                self.seal_next(splice, owner, (from.server, more), (text, at.clone()));
            }
            return self.seal_list(splice, owner, from, at, result);
        }
        if memchr::memmem::find(result.as_bytes(), b"\"taskId\"").is_none() {
            return;
        }
        for span in ids_of_result(request, result) {
            let Some(id) = skim::string(&result[span.clone()]) else { continue };
            self.remember(request, from, &id, !method::names_task(request.message.method()));
            let sealed = skim::quote(&self.seal(owner, from.server, &id));
            splice.replace(at.start + span.start..at.start + span.end, sealed);
        }
    }

    /// Seals the ids in a notification that came on the stream of a call.
    pub fn seal_note(
        &self,
        splice: &mut Splice,
        note: &Message,
        owner: &Principal,
        (server, peer): (&ServerName, &Peer),
    ) {
        let Some(at) = note.params_span().filter(|_| peer.has_tasks()) else { return };
        let text = note.as_str();
        let object = &text[at.clone()];
        if memchr::memmem::find(object.as_bytes(), b"\"taskId\"").is_none() {
            return;
        }
        let about = matches!(note.method(), method::TASK_STATUS | method::TASK_CHANGED);
        let spans = if about { ids_of_note(object) } else { related(object).into_iter().collect() };
        for span in spans {
            let Some(id) = skim::string(&object[span.clone()]) else { continue };
            let sealed = skim::quote(&self.seal(owner, server, &id));
            splice.replace(at.start + span.start..at.start + span.end, sealed);
        }
    }

    /// A list shows the tasks of its principal and no others.
    fn seal_list(&self, splice: &mut Splice, owner: &Principal, from: Source<'_>, at: Span, result: &str) {
        let Some(tasks) = skim::field(result, "tasks") else { return };
        let mut shown: Vec<Bytes> = Vec::new();
        let list = &result[tasks.clone()];
        // What is no list shows nothing.
        let _ = skim::each_element(list, |span| {
            let task = &list[span];
            let Some((place, id)) = skim::field(task, "taskId")
                .and_then(|place| Some((place.clone(), skim::string(&task[place])?)))
            else {
                return Ok(());
            };
            if self.is_owner(owner, from, &id) {
                let mut entry = Splice::new(Bytes::copy_from_slice(task.as_bytes()));
                entry.replace(place, skim::quote(&self.seal(owner, from.server, &id)));
                shown.push(entry.to_bytes(0));
            }
            Ok(())
        });
        let all = [b"[", shown.join(&b","[..]).as_slice(), b"]"].concat();
        splice.replace(at.start + tasks.start..at.start + tasks.end, all);
    }

    /// The cursor of the next page: of the same server, or of the next one.
    fn seal_next(
        &self,
        splice: &mut Splice,
        owner: &Principal,
        (server, more): (&ServerName, &More),
        (text, at): (&str, Span),
    ) {
        let result = &text[at.clone()];
        let own = skim::field(result, "nextCursor").filter(|span| result[span.clone()].starts_with('"'));
        if let Some(span) = own {
            let cursor = Cursor { server: server.to_string(), own: Some(result[span.clone()].to_owned()) };
            let sealed = skim::quote(&self.seal_cursor(owner, &cursor));
            splice.replace(at.start + span.start..at.start + span.end, sealed);
        } else if let Some(next) = &more.next {
            let cursor = Cursor { server: next.clone(), own: None };
            let field = format!(r#""nextCursor":{}"#, skim::quote(&self.seal_cursor(owner, &cursor)));
            translate::insert_field(splice, text, at, field);
        }
    }

    /// Notes who holds a task that an answer names, and tells them what has been said of it before.
    pub(super) fn remember(&self, request: &Request, from: Source<'_>, id: &str, made: bool) {
        let session = request.session.map(|session| session.id);
        let holder = Holder { principal: print(&request.principal), session };
        let said = self.book().remember(from.task(id), holder, made);
        said.iter().for_each(|said| self.send(said, id, holder));
    }

    fn is_owner(&self, owner: &Principal, from: Source<'_>, id: &str) -> bool {
        self.book().holder(from.task(id)).is_some_and(|holder| holder.principal == print(owner))
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn news(&self) -> &broadcast::Sender<TaskNews> {
        &self.0.news
    }
}

/// The refusal of an id that is nobody's, or somebody else's.
pub(super) fn unknown() -> Error {
    Error::new(ErrorKind::InvalidParams, "Unknown task: there is none of this id")
}

/// The id that a request names.
pub(super) fn id_of(request: &Request) -> Result<(Span, String), Error> {
    let id = params::string_at(&request.message, &request.params.task_id);
    match (request.params.task_id.clone(), id) {
        (Some(span), Some(id)) => Ok((span, id.into_owned())),
        _ => Err(Error::new(ErrorKind::InvalidParams, "params.taskId must be a string")),
    }
}

/// The places of ids in a result.
fn ids_of_result(request: &Request, result: &str) -> Vec<Span> {
    let mut places = Vec::new();
    let inside = |outer: Span, inner: Span| outer.start + inner.start..outer.start + inner.end;
    if method::names_task(request.message.method()) {
        places.extend(skim::field(result, "taskId"));
        // A task that is complete shows what its call would have answered.
        if let Some(whole) = skim::field(result, "result") {
            places.extend(
                related(&result[whole.clone()]).into_iter().map(|place| inside(whole.clone(), place)),
            );
        }
    } else if skim::field_text(result, "resultType") == Some("\"task\"") {
        places.extend(skim::field(result, "taskId"));
    } else if skim::field(request.message.params(), "task").is_some()
        && let Some(task) = skim::field(result, "task")
    {
        places.extend(skim::field(&result[task.clone()], "taskId").map(|place| inside(task, place)));
    }
    places.extend(related(result));
    places
}

/// The place of the id in `_meta` of whatever belongs to a task.
fn related(object: &str) -> Option<Span> {
    let meta = skim::field(object, "_meta")?;
    let task = skim::field(&object[meta.clone()], key::RELATED_TASK)?;
    let task = meta.start + task.start..meta.start + task.end;
    let id = skim::field(&object[task.clone()], "taskId")?;
    Some(task.start + id.start..task.start + id.end)
}

/// The places of ids in the parameters of a notification about a task, which shows what `tasks/get` would.
pub(super) fn ids_of_note(params: &str) -> Vec<Span> {
    let mut places: Vec<Span> = skim::field(params, "taskId").into_iter().chain(related(params)).collect();
    if let Some(result) = skim::field(params, "result")
        && let Some(place) = related(&params[result.clone()])
    {
        places.push(result.start + place.start..result.start + place.end);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str) -> ServerName {
        ServerName::new(name).unwrap()
    }

    #[test]
    fn a_task_is_its_principals_and_nobody_elses() {
        let tasks = Tasks::new(SealKey::random());
        let (ada, bob) = (Principal::named("key:ada"), Principal::named("key:bob"));
        let sealed = tasks.seal(&ada, &server("s"), "task-1");
        assert_eq!(tasks.open(&ada, &sealed), Some(("s".to_owned(), "task-1".to_owned())));
        assert_eq!(tasks.open(&bob, &sealed), None);
        assert_eq!(tasks.open(&ada, "task-1"), None);
        assert_eq!(Tasks::new(SealKey::random()).open(&ada, &sealed), None);
    }

    #[test]
    fn the_same_task_has_the_same_id_each_time_and_others_have_others() {
        let tasks = Tasks::new(SealKey::random());
        let ada = Principal::named("key:ada");
        let seal = |server_name: &str, id: &str| tasks.seal(&ada, &server(server_name), id);
        assert_eq!(seal("s", "1"), seal("s", "1"));
        assert_ne!(seal("s", "1"), seal("t", "1"));
        assert_ne!(seal("s", "1"), seal("s", "2"));
        assert_ne!(seal("s", "1"), tasks.seal(&Principal::anonymous(), &server("s"), "1"));
    }

    #[test]
    fn a_cursor_is_bound_to_whoever_got_it() {
        let tasks = Tasks::new(SealKey::random());
        let (ada, bob) = (Principal::named("key:ada"), Principal::named("key:bob"));
        for own in [None, Some("\"next\"".to_owned())] {
            let cursor = Cursor { server: "s".to_owned(), own };
            let sealed = tasks.seal_cursor(&ada, &cursor);
            assert_eq!(tasks.open_cursor(&ada, &sealed), Some(cursor));
            assert_eq!(tasks.open_cursor(&bob, &sealed), None);
            assert_eq!(tasks.open(&ada, &sealed), None, "a cursor is no id");
        }
    }
}
