//! Hearing of changes: the GET stream of a legacy HTTP server, `subscriptions/listen` of a modern one. A legacy
//! child says so on its stdout, where the link hears it anyway.

use std::time::Duration;

use tokio::sync::watch;
use tracing::debug;

use crate::base::backoff::Backoff;
use crate::base::{Era, Level, random};
use crate::protocol::{Message, method};
use crate::upstream::http::follow_events;
use crate::upstream::{Event, Link, ListKind, Peer, own_meta, own_request};

/// Waits between attempts to listen again after a stream has ended.
const REOPEN: Backoff = Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(60) };

/// Follows the server's announcements for as long as the link lives. Never returns: a server that announces nothing
/// is a healthy server.
pub(super) async fn follow(link: &Link, peer: &Peer) {
    match (link, peer.era()) {
        (Link::Http(http), Era::Legacy) => follow_events(http.clone()).await,
        (_, Era::Modern) => listen(link, peer).await,
        (Link::Stdio(_), Era::Legacy) => {}
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

async fn listen(link: &Link, peer: &Peer) {
    let filter = filter(peer);
    if filter.is_empty() {
        return;
    }
    let params = format!(r#"{{"notifications":{{{}}},"_meta":{{{}}}}}"#, filter.join(","), own_meta());
    let mut failures = 0;
    loop {
        let Ok(mut call) = link.call(&own_request(method::LISTEN, &params)) else { return };
        loop {
            match call.next().await {
                Event::Note(note) => {
                    failures = 0;
                    announce(link, &note);
                }
                Event::Reply(reply) => {
                    if reply.kind() == crate::protocol::Kind::Error {
                        debug!(server = %link.name(), error = reply.payload(), "does not let itself be listened to");
                        return;
                    }
                    break;
                }
                Event::Failed(fault) => {
                    debug!(server = %link.name(), "stopped announcing changes: {}", fault.error.message);
                    failures += 1;
                    break;
                }
            }
        }
        tokio::time::sleep(REOPEN.delay(failures, random::next_u64())).await;
        // Whatever changed while nobody listened is read now.
        for kind in ListKind::ALL {
            link.signals().list_changed(kind);
        }
    }
}

/// The announcements that the server says it makes.
fn filter(peer: &Peer) -> Vec<&'static str> {
    [("tools", r#""toolsListChanged":true"#), ("prompts", r#""promptsListChanged":true"#), ("resources", r#""resourcesListChanged":true"#)]
        .into_iter()
        .filter(|(capability, _)| peer.declares_feature(capability, "listChanged"))
        .map(|(_, field)| field)
        .collect()
}

fn announce(link: &Link, note: &Message) {
    if let Some(kind) = ListKind::of_notification(note.method()) {
        link.signals().list_changed(kind);
    }
}
