//! A database that its owner keeps going, whatever happens to the file.
//!
//! Every fault has one of three consequences. *Damaged*: the file is moved aside and the same work is done on a new one.
//! *Hindered*: wait with backoff, then try again on a new connection (a connection that was opened on a read-only disk
//! stays read-only). *Refused*: give up until a restart. Trouble is logged when it begins, when it changes and when it
//! ends.

use std::path::PathBuf;
use std::time::SystemTime;

use sqlx::{Connection as _, SqliteConnection};
use tokio::time::Instant;

use super::aside;
use super::fault::{Fault, Hindrance, Unavailable};
use super::health::Health;
use super::layout::{self, Layout};
use crate::base::random;

/// Damaged files that one process moves aside. A disk that damages every new file would fill up with them;
/// after this many the fault counts as a hindrance.
const MAX_ASIDE: u32 = 3;

/// How far the connection is.
enum Link {
    Closed,
    /// Found to be for us, unchanged so far.
    Seen(SqliteConnection),
    /// Brought to today's layout.
    Ready(SqliteConnection),
}

/// One database file and its connection; owned by one task.
pub struct Tended {
    layout: &'static Layout,
    path: PathBuf,
    link: Link,
    health: Health,
    moved_aside: u32,
    connections: u64,
}

/// What a fault has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// An empty file stands in its place: the work can be done again at once.
    Afresh,
    /// It has to wait; this is told for the first time if `news` says so.
    Wait {
        /// Whether the trouble is of another kind than before.
        news: bool,
    },
    /// It will not be done before a restart.
    Never,
}

impl Tended {
    /// A database that has not been opened yet.
    pub fn new(layout: &'static Layout, path: PathBuf) -> Tended {
        Tended { layout, path, link: Link::Closed, health: Health::Good, moved_aside: 0, connections: 0 }
    }

    /// How it is doing.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Whether what was asked last was done.
    pub fn is_good(&self) -> bool {
        matches!(self.health, Health::Good)
    }

    /// Nothing, or why it cannot be used now.
    pub fn usable(&self) -> Result<(), Unavailable> {
        if self.is_good() { Ok(()) } else { Err(self.why_not()) }
    }

    /// Why it cannot be used now.
    pub fn why_not(&self) -> Unavailable {
        Unavailable { name: self.layout.name, reason: self.health.why_not() }
    }

    /// Opens the file, unless it is open, and looks whether it is for us. Nothing in it is changed.
    pub async fn connect(&mut self) -> Result<(), Fault> {
        if let Link::Closed = self.link {
            let path = self.path.clone();
            on_disk("create the database", move || aside::prepare(&path)).await?;
            self.link = Link::Seen(layout::connect(self.layout, &self.path).await?);
            self.connections += 1;
        }
        Ok(())
    }

    /// How many connections have been made so far.
    pub fn connections(&self) -> u64 {
        self.connections
    }

    /// The connection to a file of today's layout.
    pub async fn ready(&mut self) -> Result<&mut SqliteConnection, Fault> {
        self.connect().await?;
        if let Link::Seen(conn) = &mut self.link {
            layout::migrate(self.layout, conn).await?;
        }
        self.link = match std::mem::replace(&mut self.link, Link::Closed) {
            Link::Seen(conn) | Link::Ready(conn) => Link::Ready(conn),
            Link::Closed => Link::Closed,
        };
        match &mut self.link {
            Link::Ready(conn) => Ok(conn),
            _ => Err(Fault::Hindered(Hindrance { kind: "closed", reason: "it is not open".to_owned() })),
        }
    }

    /// The connection as it is, for reading while nothing can be written.
    pub fn as_it_is(&mut self) -> Option<&mut SqliteConnection> {
        match &mut self.link {
            Link::Seen(conn) | Link::Ready(conn) => Some(conn),
            Link::Closed => None,
        }
    }

    /// Closes the file.
    pub async fn disconnect(&mut self) {
        if let Link::Seen(conn) | Link::Ready(conn) = std::mem::replace(&mut self.link, Link::Closed)
            && let Err(error) = conn.close().await
        {
            tracing::debug!(%error, "closing a database");
        }
    }

    /// Takes in a fault.
    pub async fn suffer(&mut self, fault: Fault) -> Verdict {
        match fault {
            Fault::Damaged(how) => match self.start_afresh(&how).await {
                Ok(()) => Verdict::Afresh,
                Err(why) => self.hinder(why),
            },
            Fault::Refused(refusal) => {
                tracing::error!(error = %refusal, "{} is refused; nothing is kept until a restart", self.layout.name);
                self.health = Health::Refused(refusal);
                Verdict::Never
            }
            Fault::Hindered(why) => self.hinder(why),
        }
    }

    /// Notes that what was asked was done.
    pub fn thrive(&mut self) {
        if let Health::Hindered { .. } = self.health {
            tracing::info!(path = %self.path.display(), "{} is available again", self.layout.name);
        }
        self.health = Health::Good;
    }

    async fn start_afresh(&mut self, how: &str) -> Result<(), Hindrance> {
        self.disconnect().await;
        if self.moved_aside == MAX_ASIDE {
            let reason = format!("every new database is damaged at once; check the disk ({how})");
            return Err(Hindrance { kind: "damaged", reason });
        }
        let path = self.path.clone();
        let moved =
            on_disk("move the damaged database aside", move || aside::move_aside(&path, SystemTime::now()));
        match moved.await {
            Ok(target) => {
                self.moved_aside += 1;
                tracing::error!(
                    error = how, kept_as = %target.display(),
                    "{} was damaged; an empty one takes its place: {}", self.layout.name, self.layout.loss
                );
                Ok(())
            }
            Err(Fault::Hindered(why)) => Err(why),
            Err(_) => Ok(()),
        }
    }

    fn hinder(&mut self, why: Hindrance) -> Verdict {
        let news = self.health.is_news(&why);
        if news {
            tracing::error!(
                path = %self.path.display(), reason = %why.reason,
                "{} is unavailable; serving goes on", self.layout.name
            );
        }
        self.health = self.health.hindered_by(why, Instant::now(), random::next_u64());
        Verdict::Wait { news }
    }
}

/// Runs a short piece of file work where it may block.
async fn on_disk<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Fault> {
    let done =
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    done.map_err(|error| Fault::in_folder(doing, &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Log {
        fn lines(&self) -> Vec<String> {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
        }
    }

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    static LAYOUT: Layout = Layout {
        name: "the shelf",
        application_id: 1,
        setup: "",
        migrations: &[],
        probes: &[],
        loss: "it is empty",
    };

    fn trouble(kind: &'static str) -> Hindrance {
        Hindrance { kind, reason: format!("it is {kind}") }
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_is_logged_when_it_begins_when_it_changes_and_when_it_ends() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let _installed = tracing::subscriber::set_default(subscriber);
        let mut tended = Tended::new(&LAYOUT, PathBuf::from("shelf.db"));
        for kind in ["locked", "locked", "locked", "full", "full"] {
            tended.hinder(trouble(kind));
        }
        tended.thrive();
        tended.thrive();
        let lines = log.lines();
        assert_eq!(lines.len(), 3, "{lines:#?}");
        assert!(
            lines[0].contains("it is locked") && lines[0].contains("the shelf is unavailable"),
            "{lines:#?}"
        );
        assert!(lines[1].contains("it is full") && lines[1].contains("unavailable"), "{lines:#?}");
        assert!(lines[2].contains("available again"), "{lines:#?}");
    }
}
