//! One request, and where what is said about it goes.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::protocol::{Server, locked};
use crate::stdio::Output;

/// Where messages for one client go.
#[derive(Clone)]
pub(crate) enum Sink {
    Stdio(Arc<Output>),
    Http(mpsc::Sender<Sent>),
}

/// A message on its way out.
pub(crate) enum Sent {
    /// Anything before the reply.
    Note(Vec<u8>),
    /// The response to the client's request.
    Reply(Vec<u8>),
}

/// One request and what belongs to it.
pub(crate) struct Call {
    pub(crate) id: Value,
    pub(crate) session: String,
    pub(crate) sink: Sink,
    pub(crate) cancelled: CancellationToken,
    pub(crate) modern: bool,
    /// The HTTP request's headers.
    pub(crate) headers: Value,
}

/// How a request is answered.
pub(crate) enum Reply {
    Result(Value),
    Error(i64, String),
    /// Not at all.
    Silence,
}

impl Sink {
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self, Self::Http(sender) if sender.is_closed())
    }

    pub(crate) async fn note(&self, message: &Value) {
        self.raw(message.to_string().into_bytes()).await;
    }

    /// Sends bytes as if they were a message.
    pub(crate) async fn raw(&self, bytes: Vec<u8>) {
        match self {
            Self::Stdio(output) => output.line(bytes).await,
            Self::Http(sender) => drop(sender.send(Sent::Note(bytes)).await),
        }
    }

    pub(crate) async fn reply(&self, id: &Value, reply: Reply) {
        let message = match reply {
            Reply::Result(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
            Reply::Error(code, message) => {
                json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
            }
            Reply::Silence => return,
        };
        let bytes = message.to_string().into_bytes();
        match self {
            Self::Stdio(output) => output.line(bytes).await,
            Self::Http(sender) => drop(sender.send(Sent::Reply(bytes)).await),
        }
    }
}

impl Call {
    /// As `ended`, and counts it.
    pub(crate) async fn abandoned(&self, server: &Server) {
        self.ended().await;
        // Otherwise a notification said so, and was counted when it came.
        if self.ends_with_stream() {
            locked(&server.stats).cancellations += 1;
        }
    }

    /// Ends when the client does not want the answer any more.
    pub(crate) async fn ended(&self) {
        match &self.sink {
            Sink::Http(sender) if self.ends_with_stream() => sender.closed().await,
            _ => self.cancelled.cancelled().await,
        }
    }

    /// Whether closing the stream is how this call is cancelled.
    fn ends_with_stream(&self) -> bool {
        self.modern && matches!(self.sink, Sink::Http(_))
    }
}
