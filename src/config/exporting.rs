//! From settings to `[traces]`.

use http::Uri;

use super::decimal::Decimal;
use super::reader::Reader;
use super::remote;
use super::traces::Traces;

const SECTION: &str = "traces";

/// Headers that the exporter writes itself, or that belong to one hop.
const OWN_HEADERS: [&str; 8] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "te",
    "transfer-encoding",
    "user-agent",
];

/// Where traces go at a collector whose address has no path (specification of OTLP, "OTLP/HTTP Request").
const USUAL_PATH: &str = "/v1/traces";

/// Attributes that the gateway sets itself, or that have a key of their own.
const OWN_ATTRIBUTES: [&str; 2] = ["service.name", "service.version"];

/// Reads the section; nothing comes back where no traces are made.
pub(super) fn traces(reader: &mut Reader<'_>) -> Option<Traces> {
    let key = |key: &'static str| [SECTION, key];
    let resolve = reader.resolve;
    // References of what is off are left as written, as those of a server are that does not run.
    reader.resolve = resolve && reader.leaf(&key("endpoint")).is_some();
    let endpoint = endpoint(reader);
    let headers = remote::headers_below(reader, &[SECTION, "headers"], &OWN_HEADERS);
    let ca_file = reader.path(&key("ca_file"));
    let service_name = service_name(reader);
    let resource = resource(reader);
    reader.resolve = resolve;
    let traces = Traces {
        headers,
        ca_file,
        sample_ratio: Decimal::new(reader.decimal(&key("sample_ratio"))).unwrap_or(Decimal::ZERO),
        service_name,
        resource,
        queue: reader.count(&key("queue")),
        delay: reader.duration(&key("delay")),
        timeout: reader.duration(&key("timeout")),
        // Last, so that all other faults are told without it.
        endpoint: endpoint?,
    };
    Some(traces)
}

fn endpoint(reader: &mut Reader<'_>) -> Option<Uri> {
    let url = remote::url_at(reader, &[SECTION, "endpoint"])?;
    let mut parts = url.uri().clone().into_parts();
    if matches!(url.uri().path(), "" | "/") && url.uri().query().is_none() {
        parts.path_and_query = Some(http::uri::PathAndQuery::from_static(USUAL_PATH));
    }
    Uri::from_parts(parts).ok()
}

fn service_name(reader: &mut Reader<'_>) -> String {
    let Some((leaf, name)) = reader.text(&[SECTION, "service_name"]) else { return String::new() };
    if name.trim().is_empty() {
        reader.wrong(leaf, "names nothing", "write the name under which traces show the gateway");
    }
    name
}

fn resource(reader: &mut Reader<'_>) -> Vec<(String, String)> {
    let at = [SECTION, "resource"];
    let Some(leaf) = reader.leaf(&at) else { return Vec::new() };
    let mut attributes: Vec<(String, String)> = Vec::new();
    for text in reader.texts(&at) {
        let (name, value) = text.split_once('=').unwrap_or((&text, ""));
        let (name, value) = (name.trim(), value.trim());
        let (problem, help) = match name {
            _ if name.is_empty() || value.is_empty() => (
                "is no attribute",
                "write name and value, such as \"deployment.environment.name=production\"",
            ),
            "service.name" => ("has a key of its own", "set traces.service_name instead"),
            _ if OWN_ATTRIBUTES.contains(&name) => ("is set by the gateway", "remove it"),
            _ if attributes.iter().any(|(other, _)| other == name) => {
                ("is there twice", "keep one of the two")
            }
            _ => {
                attributes.push((name.to_owned(), value.to_owned()));
                continue;
            }
        };
        // The value may come from a reference.
        let shown = if name.is_empty() { "an attribute without a name" } else { name };
        let message = format!("`{}` has {shown}, which {problem}", leaf.key);
        reader.faults.fault(leaf.place.value(), message, help);
    }
    attributes
}
