//! `trunkline calls`.

use clap::Subcommand;
use http::Method;

use crate::cli::exit;
use crate::cli::words::{print, say};
use crate::http::api::shape::{Call, Calls, Done};

use super::client::{Client, Remote, Trouble};
use super::table::{cut, length, or_dash, table};

/// Characters of a cell that a client wrote.
const CELL: usize = 48;

/// What to do with a call.
#[derive(Debug, Subcommand)]
pub enum Deed {
    /// Cancel a call: it is withdrawn at its server, and its client is told.
    Cancel {
        /// The number of the call.
        id: u64,
    },
}

/// Lists the calls, or cancels one.
pub async fn calls(client: &Client, remote: &Remote, deed: Option<Deed>) -> Result<u8, Trouble> {
    if let Some(Deed::Cancel { id }) = deed {
        let done: Done = client.order(Method::DELETE, &format!("/calls/{id}")).await?;
        say(&format!("{}\n", done.done));
        return Ok(exit::OK);
    }
    if remote.json {
        print(&format!("{}\n", client.text(Method::GET, "/calls").await?));
        return Ok(exit::OK);
    }
    let all: Calls = client.get("/calls").await?;
    match all.calls.is_empty() {
        true => say("nothing is in flight\n"),
        false => print(&in_table(&all.calls)),
    }
    Ok(exit::OK)
}

fn in_table(calls: &[Call]) -> String {
    let row = |call: &Call| {
        vec![
            call.id.to_string(),
            length(call.age_ms),
            or_dash(call.server.as_ref()),
            cut(&call.method, CELL),
            or_dash(call.name.as_ref().map(|name| cut(name, CELL))),
            or_dash(call.client.as_ref().map(|name| cut(name, CELL))),
            cut(&call.principal, CELL),
        ]
    };
    let rows: Vec<Vec<String>> = calls.iter().map(row).collect();
    table(&["ID", "AGE", "SERVER", "METHOD", "NAME", "CLIENT", "PRINCIPAL"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_in_a_table() {
        let call = Call {
            id: 17,
            age_ms: 1_500,
            method: "tools/call".to_owned(),
            name: Some("files__read".to_owned()),
            server: Some("files".to_owned()),
            client: None,
            principal: "anonymous".to_owned(),
            era: Some("modern".to_owned()),
            endpoint: "/mcp".to_owned(),
            request_id: Some("1".to_owned()),
        };
        let expected = "\
ID  AGE    SERVER  METHOD      NAME         CLIENT  PRINCIPAL
17  1.5 s  files   tools/call  files__read  -       anonymous
";
        assert_eq!(in_table(&[call]), expected);
    }
}
