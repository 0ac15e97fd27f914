//! From requests that have ended to the bytes of an export, and what an answer says.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource as Attributes;
use opentelemetry_proto::tonic::trace::v1::span::{Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;

use crate::base::random;
use crate::config;
use crate::protocol::traceparent::SpanContext;
use crate::protocol::{method, skim};
use crate::telemetry::{MethodLabel, Outcome};

use super::convention as name;
use super::ended::{Asked, Ended, Text, nanos};

/// Who made the spans.
const SCOPE: &str = "trunkline";
/// Whether the parent is elsewhere is known (`SpanFlags` of the protocol): bit 8, and bit 9 if it is.
const KNOWS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// What the gateway says of itself in each export.
pub(super) struct Resource(Attributes);

impl Resource {
    /// The gateway as the configuration names it, and as this one of perhaps several.
    pub fn new(options: &config::Traces) -> Resource {
        let mut attributes = vec![
            text("service.name", &options.service_name),
            text("service.version", env!("CARGO_PKG_VERSION")),
            text("telemetry.sdk.language", "rust"),
            text("telemetry.sdk.name", SCOPE),
            text("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
        ];
        if !options.resource.iter().any(|(name, _)| name == INSTANCE) {
            attributes.push(text(INSTANCE, &instance()));
        }
        attributes.extend(options.resource.iter().map(|(name, value)| text(name, value)));
        Resource(Attributes { attributes, ..Attributes::default() })
    }

    /// The body of one export.
    pub fn export(&self, batch: &[Ended]) -> Bytes {
        let spans = batch.iter().flat_map(|ended| {
            std::iter::once(served(ended)).chain(ended.asked_of.as_ref().map(|asked| sent(ended, asked)))
        });
        let scope = InstrumentationScope {
            name: SCOPE.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let scoped =
            ScopeSpans { scope: Some(scope), spans: spans.collect(), schema_url: name::SCHEMA.to_owned() };
        let all = ResourceSpans {
            resource: Some(self.0.clone()),
            scope_spans: vec![scoped],
            schema_url: name::SCHEMA.to_owned(),
        };
        ExportTraceServiceRequest { resource_spans: vec![all] }.encode_to_vec().into()
    }
}

/// Which of several gateways of the same name it is.
const INSTANCE: &str = "service.instance.id";

/// A UUID of version 4, as the conventions want it; another at each start.
fn instance() -> String {
    let mut bytes = [0; 16];
    random::fill(&mut bytes);
    let number = u128::from_be_bytes(bytes) & !(0xf << 76) & !(0x3 << 62) | 4 << 76 | 2 << 62;
    let digits = format!("{number:032x}");
    format!("{}-{}-{}-{}-{}", &digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..])
}

/// What the answer to an export that was taken has to say: how many spans were rejected, and why.
pub(super) fn partly(answer: Bytes) -> Option<(u64, String)> {
    let partly = ExportTraceServiceResponse::decode(answer).ok()?.partial_success?;
    let rejected = u64::try_from(partly.rejected_spans).unwrap_or(0);
    (rejected > 0 || !partly.error_message.is_empty()).then_some((rejected, partly.error_message))
}

/// The span of what a client asked.
fn served(ended: &Ended) -> Span {
    let asked = ended.text(Text::Asked);
    let mut attributes = about(ended, asked);
    let id = ended.text(Text::Id);
    if !id.is_empty() {
        attributes.push(text(name::ID, &skim::string(id).unwrap_or(id.into())));
    }
    attributes.extend(ended.version.map(|version| text(name::VERSION, version.as_str())));
    attributes.extend(transport(ended.piped));
    if !ended.cache.is_empty() {
        attributes.push(text(name::CACHE, ended.cache));
    }
    if !ended.by.is_empty() {
        attributes.push(text(name::CANCELLED_BY, ended.by));
    }
    // A client that is gone was answered nothing.
    let answered = !matches!(ended.outcome, Outcome::Failed(_)) || ended.by != GONE;
    let status = status(ended, answered, &mut attributes);
    Span {
        trace_id: ended.trace.bytes().to_vec(),
        span_id: ended.server.bytes().to_vec(),
        parent_span_id: ended.parent.map_or(Vec::new(), |parent| parent.bytes().to_vec()),
        trace_state: ended.text(Text::State).to_owned(),
        flags: u32::from(ended.flags) | KNOWS_REMOTE | if ended.parent.is_some() { IS_REMOTE } else { 0 },
        name: title(ended, if ended.known { asked } else { "" }),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: ended.started,
        end_time_unix_nano: ended.started.saturating_add(nanos(ended.total)),
        attributes,
        links: ended.links.iter().flatten().map(link).collect(),
        status,
        ..Span::default()
    }
}

/// Who has ended a call whose client went away.
const GONE: &str = "disconnect";

/// The span of what a server was asked for it.
fn sent(ended: &Ended, asked: &Asked) -> Span {
    let own = ended.text(Text::Name);
    let mut attributes = about(ended, own);
    attributes.push(text(name::ID, &asked.id.to_string()));
    attributes.push(text(name::VERSION, asked.version.as_str()));
    attributes.extend(transport(asked.piped));
    let address = ended.text(Text::Address);
    if !address.is_empty() {
        attributes.push(text(name::ADDRESS, address));
    }
    attributes.extend(asked.port.map(|port| number(name::PORT, i64::from(port))));
    let answered = !matches!(ended.outcome, Outcome::Failed(_));
    let status = status(ended, answered, &mut attributes);
    let start = ended.started.saturating_add(nanos(asked.after));
    Span {
        trace_id: ended.trace.bytes().to_vec(),
        span_id: asked.span.bytes().to_vec(),
        parent_span_id: ended.server.bytes().to_vec(),
        trace_state: ended.text(Text::State).to_owned(),
        flags: u32::from(ended.flags) | KNOWS_REMOTE,
        name: title(ended, own),
        kind: SpanKind::Client.into(),
        start_time_unix_nano: start,
        end_time_unix_nano: start.saturating_add(nanos(asked.took)),
        attributes,
        links: ended.links[1].iter().map(link).collect(),
        status,
        ..Span::default()
    }
}

/// Method and target; a client can make up neither.
fn title(ended: &Ended, target: &str) -> String {
    let method = ended.text(Text::Method);
    let label = MethodLabel::of(method).as_str();
    match method {
        method::TOOLS_CALL | method::PROMPTS_GET if !target.is_empty() => format!("{label} {target}"),
        _ => label.to_owned(),
    }
}

/// What both spans say: the method, what it is about, the server.
fn about(ended: &Ended, target: &str) -> Vec<KeyValue> {
    let method = ended.text(Text::Method);
    let mut attributes = Vec::with_capacity(14);
    attributes.push(text(name::METHOD, method));
    let (key, target) = match method {
        method::TOOLS_CALL => {
            attributes.push(text(name::OPERATION, name::EXECUTE_TOOL));
            (name::TOOL, target)
        }
        method::PROMPTS_GET => (name::PROMPT, target),
        method::RESOURCES_READ | method::SUBSCRIBE | method::UNSUBSCRIBE => (name::RESOURCE, target),
        _ => (name::RESOURCE, ""),
    };
    if !target.is_empty() {
        attributes.push(text(key, target));
    }
    let server = ended.text(Text::Server);
    if !server.is_empty() {
        attributes.push(text(name::SERVER, server));
    }
    attributes.push(text(name::OUTCOME, ended.outcome.as_str()));
    attributes
}

fn transport(piped: bool) -> Vec<KeyValue> {
    match piped {
        true => vec![text(name::TRANSPORT, "pipe")],
        false => vec![text(name::TRANSPORT, "tcp"), text(name::PROTOCOL, "http")],
    }
}

/// The status, and what the attributes say of an error: its code where one was answered, else our word for it.
fn status(ended: &Ended, answered: bool, attributes: &mut Vec<KeyValue>) -> Option<Status> {
    let error = match ended.outcome {
        Outcome::Ok if ended.tool_failed => name::TOOL_ERROR.to_owned(),
        Outcome::Ok => return None,
        _ if answered => {
            let code = ended.code.to_string();
            attributes.push(text(name::STATUS_CODE, &code));
            code
        }
        outcome => outcome.as_str().to_owned(),
    };
    attributes.push(text(name::ERROR, &error));
    Some(Status { code: StatusCode::Error.into(), message: ended.text(Text::Said).to_owned() })
}

fn link(to: &SpanContext) -> Link {
    Link {
        trace_id: to.trace.bytes().to_vec(),
        span_id: to.span.bytes().to_vec(),
        flags: u32::from(to.flags),
        ..Link::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, any_value::Value::IntValue(value))
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
