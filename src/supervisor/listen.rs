//! Hearing of changes: the GET stream of a legacy HTTP server, `subscriptions/listen` of a modern one. A legacy
//! child says so on its stdout, where the link hears it anyway.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::watch;
use tracing::debug;

use crate::base::backoff::Backoff;
use crate::base::{Era, Level, random};
use crate::protocol::{Kind, Message, Params, method, params, skim};
use crate::upstream::http::follow_events;
use crate::upstream::{Call, Event, Link, ListKind, Peer, own_meta, own_meta_with_tasks, own_request};

use super::handle::Shared;
use super::subscriptions;
use super::wishes::Topic;

/// Waits between attempts to listen again after a stream has ended.
const REOPEN: Backoff = Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(60) };

/// Follows the server's announcements for as long as the link lives, and keeps it told of the resources that somebody
/// wants to hear of. Never returns: a server that announces nothing is a healthy server.
pub(super) async fn follow(link: &Link, peer: &Peer, shared: &Shared) {
    match (link, peer.era()) {
        (_, Era::Modern) => listen(link, peer, shared).await,
        // Its one stream is followed already.
        (Link::Http(http), Era::Legacy) if http.is_oldest() => subscriptions::keep_told(link, shared).await,
        (Link::Http(http), Era::Legacy) => {
            tokio::join!(follow_events(http.clone()), subscriptions::keep_told(link, shared));
        }
        (Link::Stdio(_), Era::Legacy) => subscriptions::keep_told(link, shared).await,
    }
    std::future::pending().await
}

/// Tells a legacy server which log messages are wanted, now and whenever that changes.
pub(super) async fn pass_log_level(link: &Link, peer: &Peer, mut wanted: watch::Receiver<Option<Level>>) {
    if peer.era() == Era::Legacy && peer.declares("logging") {
        loop {
            let level = *wanted.borrow_and_update();
            if let Some(level) = level {
                let params = format!(r#"{{"level":"{}"}}"#, level.as_str());
                // A server that refuses sends what it likes, and each client's own level is kept here all the same.
                let _ = link.ask(method::SET_LEVEL, &params, SET_LEVEL_DEADLINE).await;
            }
            if wanted.changed().await.is_err() {
                break;
            }
        }
    }
    std::future::pending().await
}

/// A server that has not answered `logging/setLevel` by then is asked again only when the level changes.
const SET_LEVEL_DEADLINE: Duration = Duration::from_secs(5);

/// Listens, with a stream whose filter is what is wanted now. The filter of a stream is fixed when it is opened, so a
/// change opens another, and the old one is closed when the new one has been acknowledged.
async fn listen(link: &Link, peer: &Peer, shared: &Shared) {
    let mut changes = shared.wishes.changes();
    let mut failures = 0;
    let mut open: Option<Call> = None;
    let mut accepted = BTreeSet::new();
    // What the server does not let itself be asked for, in this generation.
    let mut refused = BTreeSet::new();
    loop {
        // In this order: a wish that comes between the two is looked at again.
        changes.mark_unchanged();
        let (mut topics, version) = shared.wishes.current();
        topics.retain(|topic| !refused.contains(topic));
        if filter(peer).is_empty() && topics.is_empty() {
            open = None;
            shared.wishes.told(version);
            if changes.changed().await.is_err() {
                return;
            }
            continue;
        }
        match open_stream(link, &listen_params(peer, &topics)).await {
            Opened::Acknowledged(call) => {
                failures = 0;
                open = Some(call);
                accepted.clone_from(&topics);
                shared.wishes.told(version);
            }
            Opened::Refused => {
                shared.wishes.told(version);
                let new: BTreeSet<Topic> = topics.difference(&accepted).cloned().collect();
                if new.is_empty() && open.is_none() {
                    return;
                }
                // One client's odd wish must not cost the others their announcements.
                if !new.is_empty() {
                    refused.extend(new);
                    continue;
                }
            }
            Opened::Failed => failures += 1,
        }
        let again = REOPEN.delay(failures, random::next_u64());
        let behind = accepted != topics;
        let Some(call) = &mut open else {
            tokio::time::sleep(again).await;
            continue;
        };
        tokio::select! {
            () = hear(link, call) => {
                open = None;
                accepted.clear();
                tokio::time::sleep(again).await;
                // Whatever changed while nobody listened is read now.
                ListKind::ALL.into_iter().for_each(|kind| link.signals().list_changed(kind));
            }
            changed = changes.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(again), if behind => {}
        }
    }
}

enum Opened {
    Acknowledged(Call),
    /// The server does not let itself be listened to.
    Refused,
    Failed,
}

/// Opens a stream and waits for its acknowledgement.
async fn open_stream(link: &Link, params: &str) -> Opened {
    let Ok(mut call) = link.call(&own_request(method::LISTEN, params)) else { return Opened::Failed };
    let acknowledged = async {
        loop {
            match call.next().await {
                Event::Note(note) if note.method() == method::ACKNOWLEDGED => {
                    return Opened::Acknowledged(call);
                }
                Event::Note(note) => announce(link, &note),
                Event::Question(_) => {}
                Event::Reply(reply) if reply.kind() == Kind::Error => {
                    debug!(server = %link.name(), error = reply.payload(), "does not let itself be listened to");
                    return Opened::Refused;
                }
                Event::Reply(_) | Event::Failed(_) => return Opened::Failed,
            }
        }
    };
    tokio::time::timeout(ACKNOWLEDGE, acknowledged).await.unwrap_or(Opened::Failed)
}

/// How long a server may take to acknowledge a stream: what it may take to answer anything (`call_timeout`'s default).
const ACKNOWLEDGE: Duration = Duration::from_secs(30);

/// Passes on what a stream says, until it ends.
async fn hear(link: &Link, call: &mut Call) {
    loop {
        match call.next().await {
            Event::Note(note) => {
                announce(link, &note);
                // A stream that never pauses must not keep its server's other duties waiting.
                tokio::task::consume_budget().await;
            }
            // Dropped, it is refused.
            Event::Question(_) => {}
            Event::Reply(_) => return,
            Event::Failed(fault) => {
                debug!(server = %link.name(), "stopped announcing changes: {}", fault.error.message);
                return;
            }
        }
    }
}

fn listen_params(peer: &Peer, topics: &BTreeSet<Topic>) -> String {
    let mut fields: Vec<String> = filter(peer).into_iter().map(str::to_owned).collect();
    let (uris, tasks): (Vec<&Topic>, Vec<&Topic>) =
        topics.iter().partition(|topic| matches!(topic, Topic::Resource(_)));
    for (field, topics) in [("resourceSubscriptions", &uris), ("taskIds", &tasks)] {
        if !topics.is_empty() {
            let names: Vec<String> = topics.iter().map(|topic| skim::quote(topic.name())).collect();
            fields.push(format!(r#""{field}":[{}]"#, names.join(",")));
        }
    }
    let meta = if tasks.is_empty() { own_meta() } else { own_meta_with_tasks() };
    format!(r#"{{"notifications":{{{}}},"_meta":{{{meta}}}}}"#, fields.join(","))
}

/// The announcements that the server says it makes.
fn filter(peer: &Peer) -> Vec<&'static str> {
    [
        ("tools", r#""toolsListChanged":true"#),
        ("prompts", r#""promptsListChanged":true"#),
        ("resources", r#""resourcesListChanged":true"#),
    ]
    .into_iter()
    .filter(|(capability, _)| peer.declares_feature(capability, "listChanged"))
    .map(|(_, field)| field)
    .collect()
}

fn announce(link: &Link, note: &Message) {
    if let Some(kind) = ListKind::of_notification(note.method()) {
        link.signals().list_changed(kind);
    } else if note.method() == method::TASK_CHANGED {
        link.signals().task(note.clone());
    } else if note.method() == method::RESOURCE_UPDATED
        && let Ok(read) = Params::read(note)
        && let Some(uri) = params::string_at(note, &read.uri)
    {
        link.signals().resource_updated(uri.into_owned());
    }
}
