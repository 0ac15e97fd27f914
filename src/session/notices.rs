//! What is said under a subscription of a modern client.

use bytes::Bytes;

use crate::base::Level;
use crate::protocol::params::{self, key};
use crate::protocol::{Message, Params, RawId, Splice, method, skim, sse, translate, write};

use super::watched::Watched;

/// Which changes a listener wants to hear of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// Of tools.
    pub tools: bool,
    /// Of prompts.
    pub prompts: bool,
    /// Of resources and templates.
    pub resources: bool,
}

impl Wants {
    /// All of them, as every legacy client does.
    pub const ALL: Wants = Wants { tools: true, prompts: true, resources: true };
}

/// The field of `_meta` by which a modern client knows its subscription.
pub(super) fn subscription_meta(id: &RawId) -> String {
    format!(r#""_meta":{{"{}":{}}}"#, key::SUBSCRIPTION_ID, String::from_utf8_lossy(id.as_bytes()))
}

/// The level of a log line; none for anything else.
pub(super) fn level_of(note: &Message) -> Option<Level> {
    let read = Params::read(note).ok().filter(|_| note.method() == method::LOG_MESSAGE)?;
    params::level(note, &read)
}

/// A server's notification under the subscription of the client that hears it.
pub(super) fn under(subscription: &RawId, note: &Bytes) -> Bytes {
    let Ok(message) = Message::parse(note.clone()) else { return note.clone() };
    let Ok(params) = Params::read(&message) else { return note.clone() };
    let mut splice = Splice::new(note.clone());
    match params.meta.as_ref().and_then(|meta| meta.subscription_id.clone()) {
        Some(theirs) => splice.replace(theirs, subscription.as_bytes().clone()),
        None => {
            let fields =
                format!(r#""{}":{}"#, key::SUBSCRIPTION_ID, String::from_utf8_lossy(subscription.as_bytes()));
            let behind = message.method_span().map_or(0, |span| span.end + 1);
            translate::meta(&mut splice, message.as_str(), &params, behind, (&fields, None), |_| false);
        }
    }
    splice.to_bytes(0)
}

/// The first word on a modern client's stream.
pub(super) fn acknowledgement(id: &RawId, wants: Wants, watched: &Watched) -> Bytes {
    let mut accepted: Vec<String> = [
        (wants.tools, r#""toolsListChanged":true"#),
        (wants.prompts, r#""promptsListChanged":true"#),
        (wants.resources, r#""resourcesListChanged":true"#),
    ]
    .into_iter()
    .filter(|(wanted, _)| *wanted)
    .map(|(_, field)| field.to_owned())
    .collect();
    for (field, names) in [("resourceSubscriptions", watched.uris()), ("taskIds", watched.tasks())] {
        if !names.is_empty() {
            let names: Vec<String> = names.iter().map(|name| skim::quote(name)).collect();
            accepted.push(format!(r#""{field}":[{}]"#, names.join(",")));
        }
    }
    let params = format!(r#"{{{},"notifications":{{{}}}}}"#, subscription_meta(id), accepted.join(","));
    sse::event(None, &[&write::notification(method::ACKNOWLEDGED, Some(&params))])
}
