//! `trunkline events`.

use http_body_util::BodyExt;

use crate::cli::exit;
use crate::cli::words::print;
use crate::http::api::shape::Event;
use crate::protocol::sse::Decoder;

use super::client::{Client, Remote, Trouble};
use super::table::cut;

/// The longest event: a state and a reason.
const MAX_EVENT: usize = 1024 * 1024;
/// Characters of a reason.
const REASON: usize = 240;

/// Follows what changes until the gateway ends the stream.
pub async fn follow(client: &Client, remote: &Remote) -> Result<u8, Trouble> {
    let mut body = client.stream("/events").await?;
    let mut decoder = Decoder::new(MAX_EVENT);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Trouble::failure(format!("the stream broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        decoder.push(&data);
        while let Some(event) = decoder.next_event().map_err(|error| Trouble::failure(error.to_string()))? {
            let text = String::from_utf8_lossy(&event.data);
            if remote.json {
                print(&format!("{text}\n"));
            } else if let Ok(event) = serde_json::from_str::<Event>(&text) {
                print(&told(&event));
            }
        }
    }
    Err(Trouble { code: exit::NOT_RUNNING, message: "the gateway has ended the stream".to_owned() })
}

fn told(event: &Event) -> String {
    let second = event.at_ms / 1_000;
    let clock = format!("{:02}:{:02}:{:02}Z", second / 3_600 % 24, second / 60 % 60, second % 60);
    let server = event.server.as_deref().unwrap_or("-");
    let state = event.state.as_deref().unwrap_or("");
    let start = event.generation.map(|start| format!(" (start {start})")).unwrap_or_default();
    let reason = event.reason.as_ref().map(|reason| format!(": {}", cut(reason, REASON))).unwrap_or_default();
    format!("{clock}  {:<8} {server:<24} {state}{start}{reason}\n", event.kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let event = Event {
            kind: "server".to_owned(),
            at_ms: 1_785_231_000_000,
            server: Some("files".to_owned()),
            state: Some("backoff".to_owned()),
            generation: Some(3),
            reason: Some("exited with\nstatus 1".to_owned()),
        };
        let expected =
            "09:30:00Z  server   files                    backoff (start 3): exited with status 1\n";
        assert_eq!(told(&event), expected);
    }
}
