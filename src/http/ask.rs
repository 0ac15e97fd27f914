//! A legacy server's question on its way to a legacy client and back, beside the call that goes on meanwhile.

use std::sync::Arc;

use bytes::Bytes;

use crate::base::{Error, ErrorKind};
use crate::protocol::{Kind, Message, Params, Splice, method, skim, write};
use crate::router::Asking;
use crate::session::{Asked, Heard, Session};

use super::outlet::Outlet;

/// Puts a question on the stream of the call that caused it and brings back what the client says to it: its answer or
/// its error, and what it reports of its progress. A question that the server takes back is taken back from the client.
/// It is on the stream when this returns, before the reply to a call that may end while another waits for the answer.
pub fn put(
    asking: Box<Asking>,
    session: &Arc<Session>,
    outlet: Outlet,
) -> impl Future<Output = ()> + Send + use<> {
    let waiting = session.ask();
    let (params, token) = with_our_token(asking.inquiry.params(), waiting.number());
    let request = write::request(waiting.number(), asking.inquiry.method(), &params);
    let is_put = outlet.ask(&request).is_ok();
    // Also one that is dropped before it has run takes its question back.
    let open = is_put.then(|| Open { number: waiting.number(), outlet: Some(outlet) });
    async move {
        match open {
            Some(open) => answered(asking, waiting, token, open).await,
            None => asking.inquiry.refuse(&gone("its client has gone")),
        }
    }
}

fn gone(what: &str) -> Error {
    Error::new(ErrorKind::Cancelled, format!("the question was not answered: {what}"))
}

async fn answered(asking: Box<Asking>, mut waiting: Asked, token: Option<Bytes>, mut open: Open) {
    let Asking { inquiry, limit, .. } = &*asking;
    let overdue = tokio::time::sleep(*limit);
    tokio::pin!(overdue);
    loop {
        tokio::select! {
            heard = waiting.next() => match heard {
                Some(Heard::Answer(answer)) => {
                    open.outlet = None;
                    return match answer.kind() {
                        Kind::Result => asking.inquiry.answer(answer.payload().as_bytes()),
                        _ => asking.inquiry.fail(answer.payload()),
                    };
                }
                Some(Heard::Progress(note)) => {
                    if let Some(note) = token.as_ref().and_then(|token| with_token(&note, token)) {
                        inquiry.note(note);
                    }
                }
                None => return asking.inquiry.refuse(&gone("its client's session has ended")),
            },
            () = inquiry.withdrawn() => return,
            () = &mut overdue => {
                let text = format!("the client took more than {limit:?} (answer_timeout)");
                return asking.inquiry.refuse(&gone(&text));
            }
        }
    }
}

/// A question that the client has been asked. Dropping it tells the client that nobody wants the answer any more.
struct Open {
    number: u64,
    /// None once it has answered.
    outlet: Option<Outlet>,
}

impl Drop for Open {
    fn drop(&mut self) {
        let Some(outlet) = &self.outlet else { return };
        let params =
            format!(r#"{{"requestId":{},"reason":"the server does not ask any more"}}"#, self.number);
        outlet.say(&write::notification(method::CANCELLED, Some(&params)));
    }
}

/// The parameters with our number for the server's progress token, and that token as it stood.
fn with_our_token(params: &str, number: u64) -> (String, Option<Bytes>) {
    let found = skim::field(params, "_meta").and_then(|meta| {
        let token = skim::field(&params[meta.clone()], "progressToken")?;
        Some(meta.start + token.start..meta.start + token.end)
    });
    let Some(span) = found else { return (params.to_owned(), None) };
    let token = Bytes::copy_from_slice(params[span.clone()].as_bytes());
    let mut changed = params.to_owned();
    changed.replace_range(span, &number.to_string());
    (changed, Some(token))
}

/// A progress notification of the client under the server's token.
fn with_token(note: &Message, token: &Bytes) -> Option<Bytes> {
    let span = Params::read(note).ok()?.progress_token?;
    let mut splice = Splice::new(note.text().clone());
    splice.replace(span, token.clone());
    Some(splice.to_bytes(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_progress_token_is_ours_on_the_way_out_and_its_own_on_the_way_back() {
        let (params, token) = with_our_token(r#"{"_meta":{"x":1,"progressToken":"t"},"message":"?"}"#, 7);
        assert_eq!(params, r#"{"_meta":{"x":1,"progressToken":7},"message":"?"}"#);
        let note = write::notification(method::PROGRESS, Some(r#"{"progressToken":7,"progress":1}"#));
        let back = with_token(&Message::parse(note).unwrap(), &token.unwrap()).unwrap();
        let expected = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":1}}"#;
        assert_eq!(back, expected);
        assert_eq!(with_our_token("{}", 7), ("{}".to_owned(), None));
    }
}
