//! The few fields of `params` that the gateway routes on, as places in the message.

use std::borrow::Cow;

use crate::base::Level;

use super::message::Message;
use super::method;
use super::skim::{self, SkimError, Span};

/// Keys of `_meta` (specification 2026-07-28, `basic/index`, "Reserved keys").
pub mod key {
    /// The version of one modern request.
    pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
    /// The capabilities that a modern client declares for one request.
    pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
    /// Name and version of a modern client.
    pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
    /// Lowest log level that a modern request wants to see.
    pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
    /// The listen request that a notification belongs to.
    pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
    /// Name and version of the server, on modern results.
    pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
    /// The task that a message belongs to.
    pub const RELATED_TASK: &str = "io.modelcontextprotocol/related-task";
    /// Opts a request into progress notifications.
    pub const PROGRESS_TOKEN: &str = "progressToken";
}

/// Places of the routed fields, relative to the message's text. Read into a box, because there are many of them, and they
/// go with their message through every step of a call.
#[derive(Clone, Debug, Default)]
pub struct Params {
    /// The whole object, absent if the message has no `params`.
    pub span: Option<Span>,
    /// `name` (tools, prompts).
    pub name: Option<Span>,
    /// `uri` (resources).
    pub uri: Option<Span>,
    /// `ref` (completion).
    pub reference: Option<Span>,
    /// `cursor` (lists).
    pub cursor: Option<Span>,
    /// `requestId` (cancellation).
    pub request_id: Option<Span>,
    /// `progressToken` of a progress notification.
    pub progress_token: Option<Span>,
    /// `level` (logging).
    pub level: Option<Span>,
    /// `notifications` (subscriptions).
    pub notifications: Option<Span>,
    /// `requestState` (multi round-trip requests).
    pub request_state: Option<Span>,
    /// `inputResponses` (multi round-trip requests).
    pub input_responses: Option<Span>,
    /// `arguments` (tools, prompts).
    pub arguments: Option<Span>,
    /// `taskId` (the tasks extension).
    pub task_id: Option<Span>,
    /// `_meta`.
    pub meta: Option<Meta>,
}

/// Places of the routed fields of `_meta`, relative to the message's text.
#[derive(Clone, Debug, Default)]
pub struct Meta {
    /// The whole object.
    pub span: Span,
    /// [`key::PROTOCOL_VERSION`].
    pub protocol_version: Option<Span>,
    /// [`key::CLIENT_CAPABILITIES`].
    pub client_capabilities: Option<Span>,
    /// [`key::CLIENT_INFO`].
    pub client_info: Option<Span>,
    /// [`key::LOG_LEVEL`].
    pub log_level: Option<Span>,
    /// [`key::PROGRESS_TOKEN`].
    pub progress_token: Option<Span>,
    /// [`key::SUBSCRIPTION_ID`].
    pub subscription_id: Option<Span>,
    /// `traceparent`.
    pub traceparent: Option<Span>,
    /// `tracestate`.
    pub tracestate: Option<Span>,
    /// `baggage`.
    pub baggage: Option<Span>,
}

impl Meta {
    /// Whether there is anything of a trace.
    pub fn is_traced(&self) -> bool {
        self.traceparent.is_some() || self.tracestate.is_some() || self.baggage.is_some()
    }

    /// Whether any of the fields stands here that only modern requests carry.
    pub fn is_modern(&self) -> bool {
        self.protocol_version.is_some() || self.client_capabilities.is_some()
    }
}

/// A routed field that stands twice would be routed by one value and executed by another.
const TWICE: &str = "a field of \"params\" stands twice";

impl Params {
    /// Reads the routed fields of `message`.
    pub fn read(message: &Message) -> Result<Box<Params>, SkimError> {
        let Some(span) = message.params_span() else { return Ok(Box::default()) };
        let base = span.start;
        let text = &message.as_str()[span.clone()];
        let mut params = Box::new(Params { span: Some(span), ..Params::default() });
        let mut meta = None;
        skim::each_field(text, |key, found| {
            let slot = match key {
                "name" => &mut params.name,
                "uri" => &mut params.uri,
                "ref" => &mut params.reference,
                "cursor" => &mut params.cursor,
                "requestId" => &mut params.request_id,
                "progressToken" => &mut params.progress_token,
                "level" => &mut params.level,
                "notifications" => &mut params.notifications,
                "arguments" => &mut params.arguments,
                "taskId" => &mut params.task_id,
                "requestState" => &mut params.request_state,
                "inputResponses" => &mut params.input_responses,
                "_meta" => &mut meta,
                _ => return Ok(()),
            };
            put(slot, base, found)
        })?;
        if let Some(span) = meta {
            params.meta = Some(Meta::read(message, span)?);
        }
        Ok(params)
    }
}

impl Meta {
    fn read(message: &Message, span: Span) -> Result<Meta, SkimError> {
        let base = span.start;
        let text = &message.as_str()[span.clone()];
        let mut meta = Meta { span, ..Meta::default() };
        skim::each_field(text, |key, found| {
            let slot = match key {
                key::PROTOCOL_VERSION => &mut meta.protocol_version,
                key::CLIENT_CAPABILITIES => &mut meta.client_capabilities,
                key::CLIENT_INFO => &mut meta.client_info,
                key::LOG_LEVEL => &mut meta.log_level,
                key::PROGRESS_TOKEN => &mut meta.progress_token,
                key::SUBSCRIPTION_ID => &mut meta.subscription_id,
                "traceparent" => &mut meta.traceparent,
                "tracestate" => &mut meta.tracestate,
                "baggage" => &mut meta.baggage,
                _ => return Ok(()),
            };
            put(slot, base, found)
        })?;
        Ok(meta)
    }
}

/// The string at `span` of `message`, if a string stands there.
pub fn string_at<'m>(message: &'m Message, span: &Option<Span>) -> Option<Cow<'m, str>> {
    span.clone().and_then(|span| skim::string(&message.as_str()[span]))
}

/// The log level that `params.level` names, if it names one.
pub fn level(message: &Message, params: &Params) -> Option<Level> {
    string_at(message, &params.level).and_then(|name| Level::parse(&name))
}

/// What `Mcp-Name` mirrors, for the methods that have it.
pub fn mirrored_name<'m>(message: &'m Message, params: &Params) -> Option<Cow<'m, str>> {
    match message.method() {
        method::TOOLS_CALL | method::PROMPTS_GET => string_at(message, &params.name),
        method::RESOURCES_READ => string_at(message, &params.uri),
        task if method::is_task(task) => string_at(message, &params.task_id),
        _ => None,
    }
}

fn put(slot: &mut Option<Span>, base: usize, found: Span) -> Result<(), &'static str> {
    match slot.replace(base + found.start..base + found.end) {
        None => Ok(()),
        Some(_) => Err(TWICE),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn message(text: &'static str) -> Message {
        Message::parse(Bytes::from_static(text.as_bytes())).unwrap()
    }

    #[test]
    fn the_places_are_those_of_the_message() {
        let text = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","_meta":{"progressToken":7}}}"#;
        let message = message(text);
        let params = Params::read(&message).unwrap();
        assert_eq!(string_at(&message, &params.name).as_deref(), Some("echo"));
        assert_eq!(&text[params.meta.unwrap().progress_token.unwrap()], "7");
    }

    #[test]
    fn a_routed_field_that_stands_twice_is_refused_and_any_other_is_not() {
        let twice = r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"name":"a","name":"b"}}"#;
        assert!(Params::read(&message(twice)).is_err());
        let other = r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"x":"a","x":"b"}}"#;
        assert!(Params::read(&message(other)).is_ok());
    }

    #[test]
    fn a_message_without_params_has_no_places() {
        let params = Params::read(&message(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#)).unwrap();
        assert!(params.span.is_none() && params.meta.is_none());
    }
}
