//! What servers say of tasks, on its way to the clients that hold them.

use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::base::Era;
use crate::protocol::{Message, Splice, skim};
use crate::supervisor::{Subscription, TaskNote};

use super::dispatch::Router;
use super::request::{Endpoint, Request};
use super::task::{Tasks, ids_of_note};
use super::taskbook::{Holder, Source, TaskNews, print};

impl Tasks {
    /// Passes on what a server says of a task, to whoever holds it. If nobody does, the answer that names it may still be
    /// on its way.
    pub fn tell(&self, said: TaskNote) {
        let Some(id) = id_of(&said.note) else { return };
        let task = Source { server: &said.server, scope: said.scope }.task(&id);
        let holder = {
            let mut book = self.book();
            match book.holder(task) {
                Some(holder) => holder,
                None => return book.keep(task, said),
            }
        };
        self.send(&said, &id, holder);
    }

    /// Tells its holder what has been said of a task.
    pub(super) fn send(&self, said: &TaskNote, id: &str, holder: Holder) {
        let mut splice = Splice::new(said.note.text().clone());
        let Some(at) = said.note.params_span() else { return };
        let object = &said.note.as_str()[at.clone()];
        for span in ids_of_note(object) {
            let Some(id) = skim::string(&object[span.clone()]) else { continue };
            let sealed = skim::quote(&self.seal_for(&holder.principal, &said.server, &id));
            splice.replace(at.start + span.start..at.start + span.end, sealed);
        }
        let id = self.seal_for(&holder.principal, &said.server, id);
        // Nobody may be listening, which is fine.
        let _ = self.news().send(TaskNews { id, session: holder.session, note: splice.to_bytes(0) });
    }

    /// Whether a notification on the stream of `request` speaks of a task of that client: one that it is known to hold, or
    /// one that nobody holds yet while this very request makes one.
    pub fn is_own(&self, request: &Request, from: Source<'_>, note: &Message) -> bool {
        let Some(id) = id_of(note) else { return true };
        let holder = self.book().holder(from.task(&id));
        match holder {
            Some(holder) => {
                let session = request.session.map(|session| session.id);
                holder == Holder { principal: print(&request.principal), session }
            }
            None => skim::field(request.message.params(), "task").is_some(),
        }
    }
}

impl Router {
    /// Passes on what servers say of tasks, until `shutdown`.
    pub async fn follow_tasks(self, shutdown: CancellationToken) {
        let mut notes = self.0.fleet.task_notes();
        let follow = async {
            loop {
                match notes.recv().await {
                    Ok(note) => self.0.tasks.tell(note),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return,
                }
            }
        };
        shutdown.run_until_cancelled(follow).await;
    }

    /// Hears of every word of a server on a task from now on.
    pub fn task_news(&self) -> broadcast::Receiver<TaskNews> {
        self.0.tasks.news().subscribe()
    }

    /// Follows the task that a modern client holds under `sealed`; `None` if there is none, or none that can be followed.
    pub async fn follow_task(&self, request: &Request, sealed: &str) -> Option<Subscription> {
        let (name, id) = self.0.tasks.open(&request.principal, sealed)?;
        let server = self.0.fleet.get(&name).filter(|_| request.access.touches(&name))?;
        if matches!(&request.endpoint, Endpoint::Server(here) if here.name() != server.name()) {
            return None;
        }
        let own = server.for_caller(&request.caller()).await.ok()?;
        let server = own.unwrap_or(server);
        let offer = server.offer();
        let peer = offer.peer.as_ref()?;
        if !peer.has_tasks() || peer.era() == Era::Legacy {
            return None;
        }
        // Who can name it holds it, also when this process has not seen it made.
        self.0.tasks.remember(request, Source::of(&server), &id, false);
        Some(server.follow_task(&id))
    }
}

fn id_of(note: &Message) -> Option<String> {
    let params = note.params();
    let id = skim::field(params, "taskId")?;
    skim::string(&params[id]).map(|id| id.into_owned())
}
