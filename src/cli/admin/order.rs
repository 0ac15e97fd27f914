//! Orders that are given, and of which there is no more to say than what came of them; `trunkline reload` is one.

use http::Method;

use crate::cli::exit;
use crate::cli::words::{print, say};
use crate::http::api::shape::Done;

use super::client::{Client, Remote, Trouble};

/// Gives an order that has no more to say, and tells what came of it.
pub async fn order(client: &Client, remote: &Remote, path: &str) -> Result<u8, Trouble> {
    let text = client.text(Method::POST, path).await?;
    if remote.json {
        print(&format!("{text}\n"));
        return Ok(exit::OK);
    }
    let done: Done = serde_json::from_str(&text).map_err(|error| Trouble::failure(error.to_string()))?;
    say(&format!("{}\n", done.done));
    Ok(exit::OK)
}
