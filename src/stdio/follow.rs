//! What a gateway says to a legacy client outside of any call: the GET stream, for as long as the client is there.

use std::time::Duration;

use http::StatusCode;
use tracing::debug;

use crate::base::backoff::Backoff;
use crate::base::random;
use crate::protocol::{Message, write};

use super::bridge::Bridge;
use super::stream::{Events, Place, is_stream};

/// Waits between attempts to open the stream again: as fast as a gateway restarts, as slow as a probe a minute.
const REOPEN: Backoff = Backoff { base: Duration::from_millis(200), cap: Duration::from_secs(60) };

/// Follows the stream until the gateway says that it has none. One that breaks is taken up where it was left; where
/// that cannot be, the client is told that the lists may have changed.
pub(super) async fn follow(bridge: &Bridge) {
    let mut place = Place::default();
    let mut failures = 0;
    let mut missed = false;
    while let Some(session) = bridge.session.current() {
        match bridge.gateway.events(place.last.as_deref(), &session.headers()).await {
            Ok(response) if response.status() == StatusCode::NOT_FOUND => {
                place = Place::default();
                match bridge.session.reopen(&bridge.gateway, &session).await {
                    // At once, on the stream of the new session.
                    Ok(()) => continue,
                    Err(error) => debug!(%error, "the session is lost"),
                }
                failures += 1;
            }
            Ok(response) if response.status().is_success() && is_stream(&response) => {
                if std::mem::take(&mut missed) {
                    for method in bridge.session.announced() {
                        bridge.output.send(write::notification(method, None)).await;
                    }
                }
                let mut events = Events::new(response.into_body(), place);
                while let Some(data) = events.next().await {
                    failures = 0;
                    if Message::parse(data.clone()).is_ok() {
                        bridge.output.send(data).await;
                    }
                }
                place = events.into_place();
                missed = place.last.is_none();
            }
            Ok(response) if response.status().is_server_error() => failures += 1,
            Ok(response) => {
                return debug!(status = %response.status(), "the gateway offers no event stream");
            }
            Err(error) => {
                debug!(%error, "no event stream");
                failures += 1;
            }
        }
        let pause = REOPEN.delay(failures, random::next_u64());
        tokio::time::sleep(
            place.retry.filter(|_| failures == 0).map_or(pause, |retry| retry.min(REOPEN.cap)),
        )
        .await;
        failures = failures.saturating_add(1);
    }
}
