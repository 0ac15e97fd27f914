//! `trunkline sessions` and `trunkline streams`.

use clap::Subcommand;
use http::Method;

use crate::cli::exit;
use crate::cli::words::{print, say};
use crate::http::api::shape::{Done, Session, Sessions, Stream, Streams};

use super::client::{Client, Remote, Trouble};
use super::table::{cut, length, table};

/// Characters of a cell that a client wrote.
const CELL: usize = 40;

/// What to do with a session.
#[derive(Debug, Subcommand)]
pub enum Deed {
    /// End a session; its calls are withdrawn, and its client has to open another.
    Close {
        /// What stands for the session in the list.
        id: String,
    },
}

/// What to do with a stream.
#[derive(Debug, Subcommand)]
pub enum StreamDeed {
    /// End a stream.
    Close {
        /// Its number in the list.
        id: u64,
    },
}

/// Lists the sessions, or closes one.
pub async fn sessions(client: &Client, remote: &Remote, deed: Option<Deed>) -> Result<u8, Trouble> {
    if let Some(Deed::Close { id }) = deed {
        if !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Trouble { code: exit::USAGE, message: format!("'{id}' stands for no session") });
        }
        return told(client.order(Method::DELETE, &format!("/sessions/{id}")).await?);
    }
    if remote.json {
        print(&format!("{}\n", client.text(Method::GET, "/sessions").await?));
        return Ok(exit::OK);
    }
    let all: Sessions = client.get("/sessions").await?;
    match all.sessions.is_empty() {
        true => say("no session is in memory\n"),
        false => print(&in_table(&all.sessions)),
    }
    rest(all.total, all.sessions.len());
    Ok(exit::OK)
}

/// Lists the streams, or closes one.
pub async fn streams(client: &Client, remote: &Remote, deed: Option<StreamDeed>) -> Result<u8, Trouble> {
    if let Some(StreamDeed::Close { id }) = deed {
        return told(client.order(Method::DELETE, &format!("/streams/{id}")).await?);
    }
    if remote.json {
        print(&format!("{}\n", client.text(Method::GET, "/streams").await?));
        return Ok(exit::OK);
    }
    let all: Streams = client.get("/streams").await?;
    let row = |stream: &Stream| {
        let (endpoint, wants) = (stream.endpoint.clone(), stream.wants.join(" "));
        vec![stream.id.to_string(), stream.era.clone(), endpoint, wants, stream.watched.to_string()]
    };
    match all.streams.is_empty() {
        true => say("no stream is open\n"),
        false => print(&table(
            &["ID", "ERA", "ENDPOINT", "HEARS OF", "WATCHED"],
            &all.streams.iter().map(row).collect::<Vec<_>>(),
        )),
    }
    rest(all.total, all.streams.len());
    Ok(exit::OK)
}

fn told(done: Done) -> Result<u8, Trouble> {
    say(&format!("{}\n", done.done));
    Ok(exit::OK)
}

fn rest(total: usize, shown: usize) {
    if total > shown {
        say(&format!("and {} more\n", total - shown));
    }
}

fn in_table(sessions: &[Session]) -> String {
    let row = |session: &Session| {
        vec![
            session.id.clone(),
            cut(&session.client, CELL),
            cut(&session.principal, CELL),
            session.endpoint.clone(),
            session.version.clone(),
            length(session.age_seconds * 1_000),
            length(session.idle_seconds * 1_000),
            session.calls.to_string(),
            if session.stream { "yes" } else { "no" }.to_owned(),
        ]
    };
    let heading = ["ID", "CLIENT", "PRINCIPAL", "ENDPOINT", "VERSION", "AGE", "IDLE", "CALLS", "STREAM"];
    table(&heading, &sessions.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_told_in_a_table() {
        let session = Session {
            id: "0011aabb".to_owned(),
            client: "vs-code 1.2".to_owned(),
            principal: "key:ada".to_owned(),
            endpoint: "/mcp".to_owned(),
            version: "2025-11-25".to_owned(),
            age_seconds: 3_600,
            idle_seconds: 61,
            calls: 1,
            stream: true,
            watched: 0,
        };
        let expected = "\
ID        CLIENT       PRINCIPAL  ENDPOINT  VERSION     AGE  IDLE     CALLS  STREAM
0011aabb  vs-code 1.2  key:ada    /mcp      2025-11-25  1 h  1 m 1 s  1      yes
";
        assert_eq!(in_table(&[session]), expected);
    }
}
