//! What a server says to nobody in particular, coalesced until the supervisor looks.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::protocol::{Message, method};

/// One of the lists that a server offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ListKind {
    /// `tools/list`.
    Tools,
    /// `prompts/list`.
    Prompts,
    /// `resources/list`.
    Resources,
    /// `resources/templates/list`; it has no change notification of its own and follows `Resources`.
    Templates,
}

impl ListKind {
    /// Every kind, in the order in which lists are read.
    pub const ALL: [ListKind; 4] =
        [ListKind::Tools, ListKind::Prompts, ListKind::Resources, ListKind::Templates];

    /// The method that reads the list.
    pub const fn method(self) -> &'static str {
        match self {
            ListKind::Tools => method::TOOLS_LIST,
            ListKind::Prompts => method::PROMPTS_LIST,
            ListKind::Resources => method::RESOURCES_LIST,
            ListKind::Templates => method::TEMPLATES_LIST,
        }
    }

    /// The field of the result that holds the entries.
    pub const fn field(self) -> &'static str {
        match self {
            ListKind::Tools => "tools",
            ListKind::Prompts => "prompts",
            ListKind::Resources => "resources",
            ListKind::Templates => "resourceTemplates",
        }
    }

    /// The capability under which a server offers the list.
    pub const fn capability(self) -> &'static str {
        match self {
            ListKind::Tools => "tools",
            ListKind::Prompts => "prompts",
            ListKind::Resources | ListKind::Templates => "resources",
        }
    }

    /// The kind whose change the notification `method` announces.
    pub fn of_notification(method: &str) -> Option<ListKind> {
        match method {
            method::TOOLS_CHANGED => Some(ListKind::Tools),
            method::PROMPTS_CHANGED => Some(ListKind::Prompts),
            method::RESOURCES_CHANGED => Some(ListKind::Resources),
            _ => None,
        }
    }
}

/// URIs remembered as updated until somebody looks. A server that floods with more loses the surplus, which its
/// subscribers will see in the next update of the same resource.
const MAX_UPDATED: usize = 1024;

/// Notes about tasks kept until somebody looks. A server that floods with more loses the oldest, and no client may rely on
/// any (2025-11-25, `basic/utilities/tasks`, "Task Status Notification").
const MAX_TASK_NOTES: usize = 256;

/// Notes for the one client behind a link that are kept until somebody looks. A server that floods with more loses the oldest:
/// they are log lines, of which nobody is promised all.
const MAX_STRAY: usize = 256;

/// Why a link to a remote server is of no more use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The server has forgotten our session. It is well, and opens another.
    Session,
    /// The server cannot be reached, for this reason.
    Unreachable(String),
}

impl std::fmt::Display for Lost {
    /// A clause that follows the server's name.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Lost::Session => f.write_str("has forgotten our session"),
            Lost::Unreachable(reason) => write!(f, "cannot be reached: {reason}"),
        }
    }
}

/// What has happened since the last look.
#[derive(Debug, Default)]
pub struct Happened {
    /// Lists that the server says have changed.
    pub changed: BTreeSet<ListKind>,
    /// Resources that the server says have changed.
    pub updated: BTreeSet<String>,
    /// What the server says of tasks.
    pub tasks: VecDeque<Message>,
    /// What the server said to the one client behind the link while none of its calls was in flight.
    pub stray: VecDeque<Message>,
    /// Why the link is of no more use, if it is not.
    pub lost: Option<Lost>,
}

/// The board on which a link writes and from which the supervisor reads.
#[derive(Debug, Default)]
pub struct Signals {
    happened: Mutex<Happened>,
    notify: Notify,
}

impl Signals {
    /// Notes that a list has changed.
    pub fn list_changed(&self, kind: ListKind) {
        self.enter(|happened| {
            happened.changed.insert(kind);
            if kind == ListKind::Resources {
                happened.changed.insert(ListKind::Templates);
            }
        });
    }

    /// Notes that the resource at `uri` has changed.
    pub fn resource_updated(&self, uri: String) {
        self.enter(|happened| {
            if happened.updated.len() < MAX_UPDATED {
                happened.updated.insert(uri);
            }
        });
    }

    /// Keeps what the server says of a task, whoever's that is.
    pub fn task(&self, note: Message) {
        self.enter(|happened| keep_newest(&mut happened.tasks, note, MAX_TASK_NOTES));
    }

    /// Keeps what the server says to the one client behind the link while none of its calls is in flight.
    pub fn stray(&self, note: Message) {
        self.enter(|happened| keep_newest(&mut happened.stray, note, MAX_STRAY));
    }

    /// Notes that the link is of no more use. The first reason counts.
    pub fn lost(&self, lost: Lost) {
        self.enter(|happened| {
            happened.lost.get_or_insert(lost);
        });
    }

    fn enter(&self, change: impl FnOnce(&mut Happened)) {
        change(&mut self.lock());
        self.notify.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Happened> {
        self.happened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something has happened and takes it all.
    pub async fn wait(&self) -> Happened {
        loop {
            let happened = std::mem::take(&mut *self.lock());
            let Happened { changed, updated, tasks, stray, lost } = &happened;
            let notes = tasks.len() + stray.len();
            if !changed.is_empty() || !updated.is_empty() || notes > 0 || lost.is_some() {
                return happened;
            }
            self.notify.notified().await;
        }
    }
}

fn keep_newest(notes: &mut VecDeque<Message>, note: Message, most: usize) {
    if notes.len() >= most {
        notes.pop_front();
    }
    notes.push_back(note);
}
