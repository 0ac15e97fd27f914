//! Answers of the gateway: one piece of JSON, or events that may break off and be taken up again.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use tracing::debug;

use crate::base::Error;
use crate::protocol::{Message, sse};

use super::gateway::{Body, Gateway};

/// The longest message taken from the gateway: the most that a list of its own may hold, and room around it.
const MAX_MESSAGE: usize = 80 * 1024 * 1024;

/// Whether the answer is a stream of events.
pub(super) fn is_stream(response: &Response<Body>) -> bool {
    let value = response.headers().get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    value.get(..STREAM.len()).is_some_and(|essence| essence.eq_ignore_ascii_case(STREAM))
}

const STREAM: &[u8] = b"text/event-stream";

/// The whole body of an answer that is no stream.
pub(super) async fn whole(gateway: &Gateway, response: Response<Body>) -> Result<Bytes, Error> {
    let mut body = response.into_body();
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| gateway.broken(&error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        if first.is_empty() && all.is_empty() {
            first = data;
            continue;
        }
        if all.is_empty() {
            all.extend_from_slice(&first);
        }
        all.extend_from_slice(&data);
        if all.len() > MAX_MESSAGE {
            return Err(gateway.broken("it answered with more than 80 MiB"));
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// The one message that answers a request of ours.
pub(super) async fn reply(gateway: &Gateway, response: Response<Body>) -> Result<Message, Error> {
    let status = response.status();
    if !is_stream(&response) {
        let body = whole(gateway, response).await?;
        return Message::parse(body).map_err(|_| refused(gateway, status));
    }
    let mut events = Events::new(response.into_body(), Place::default());
    while let Some(data) = events.next().await {
        if let Ok(message) = Message::parse(data)
            && message.method().is_empty()
        {
            return Ok(message);
        }
    }
    Err(gateway.broken("it closed its stream before it answered"))
}

fn refused(gateway: &Gateway, status: StatusCode) -> Error {
    if status.is_success() {
        gateway.broken("it answered with no MCP message")
    } else {
        gateway.refused(status)
    }
}

/// The events of one stream.
pub(super) struct Events {
    body: Body,
    decoder: sse::Decoder,
    place: Place,
}

/// Where a stream was left.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// The last event's id; without one there is no way back.
    pub last: Option<String>,
    /// How long the gateway wants to be left alone before.
    pub retry: Option<Duration>,
}

impl Events {
    pub fn new(body: Body, place: Place) -> Events {
        Events { body, decoder: sse::Decoder::new(MAX_MESSAGE), place }
    }

    /// The next event's data; `None` when the stream has ended, in whatever way.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            match self.decoder.next_event() {
                Ok(Some(event)) => {
                    if event.id.is_some() {
                        self.place.last = event.id;
                    }
                    self.place.retry = event.retry.map(Duration::from_millis).or(self.place.retry);
                    if !event.data.is_empty() {
                        return Some(event.data);
                    }
                }
                Ok(None) => match self.body.frame().await? {
                    Ok(frame) => {
                        if let Some(data) = frame.data_ref() {
                            self.decoder.push(data);
                        }
                    }
                    Err(error) => {
                        debug!(%error, "a stream of the gateway broke");
                        return None;
                    }
                },
                Err(error) => {
                    debug!(%error, "a stream of the gateway is given up");
                    return None;
                }
            }
        }
    }

    /// Where the stream was left.
    pub fn into_place(self) -> Place {
        self.place
    }
}
