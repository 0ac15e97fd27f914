//! Whether the answer to a request may be kept, and what it is kept under: everything that decides what the server says.

use std::sync::Arc;
use std::time::Duration;

use crate::base::{Era, FINGERPRINT, ServerName, fingerprint};
use crate::catalog::CatalogHandle;
use crate::protocol::params::{self, key};
use crate::protocol::trace::is_trace_field;
use crate::protocol::{canonical, method, skim, translate};
use crate::supervisor::{ServerHandle, State};
use crate::upstream::Peer;

use super::prepare::USUAL_LEVEL;
use super::request::Request;
use super::resolve::Target;

type Print = [u8; FINGERPRINT];

/// Arguments larger than this are not compared: such a call is not made twice.
const MAX_ARGUMENTS: usize = 64 * 1024;
/// How long a reader waits for another who reads the same resource: longer than that, and it asks by itself.
const READ_WAIT: Duration = Duration::from_secs(10);

/// What a request wants that may be known.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// What decides about the answer, but for who asks.
    pub what: Print,
    /// Who asks.
    pub reader: Print,
    pub age: Age,
    /// How long to wait for somebody else who asks the same.
    pub patience: Duration,
    pub server: ServerName,
    /// The tool; none for a resource.
    pub tool: Option<Arc<str>>,
    /// Whether it must not come from memory.
    pub fresh: bool,
    /// Which server of that name.
    pub instance: u64,
    /// The generation that may have answered; any while there is none.
    pub generation: Option<u64>,
}

/// For how long an answer is kept, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// As the answer itself says.
    AsTold,
    /// As the operator says.
    For { age: Duration, public: bool },
}

/// What `request` wants; none if its answer is not to be kept.
pub(super) fn wanted(request: &Request, target: &Target, catalog: &CatalogHandle) -> Option<Wanted> {
    let server = &target.server;
    let (what, age, patience) = match request.message.method() {
        method::RESOURCES_READ => {
            if peer(server)?.era() == Era::Legacy || !has_only(request.message.params(), &["uri", "_meta"]) {
                return None;
            }
            let uri = params::string_at(&request.message, &request.params.uri)?;
            (print_of(server.name(), &uri), Age::AsTold, READ_WAIT)
        }
        method::TOOLS_CALL => {
            let tool = target.name.as_deref()?;
            let results = &server.config().tools.results;
            if results.is_nothing() {
                return None;
            }
            let repeatable = || {
                let current = catalog.current();
                let view = current.servers.get(server.name());
                view.and_then(|view| view.tool(tool)).is_some_and(|route| route.repeatable)
            };
            let age = Age::For { age: results.age(tool, repeatable)?, public: results.is_public(tool) };
            (call_print(request, target, tool, peer(server)?.era())?, age, server.config().tool_timeout(tool))
        }
        _ => return None,
    };
    // What an operator has stopped says nothing more.
    if matches!(server.status().borrow().state, State::Stopped) {
        return None;
    }
    Some(Wanted {
        what,
        reader: fingerprint(request.principal.as_str().as_bytes()),
        age,
        patience,
        server: server.name().clone(),
        tool: target
            .name
            .as_deref()
            .filter(|_| request.message.method() == method::TOOLS_CALL)
            .map(Arc::from),
        fresh: request.wishes.as_deref().is_some_and(|wishes| wishes.fresh),
        instance: server.instance(),
        generation: server.live().map(|live| live.generation),
    })
}

/// What a resource is kept under.
pub(super) fn print_of(server: &ServerName, uri: &str) -> Print {
    fingerprint(format!("{server}\0{uri}").as_bytes())
}

/// Who answers, or answered last.
fn peer(server: &ServerHandle) -> Option<Arc<Peer>> {
    server.live().map(|live| Arc::clone(&live.peer)).or_else(|| server.offer().peer.clone())
}

/// What a tool's result is kept under: the tool, its arguments in one spelling, and what else its server is told. Traces,
/// progress tokens and names of clients do not count; a request that names anything else is not kept.
fn call_print(request: &Request, target: &Target, tool: &str, era: Era) -> Option<Print> {
    if !has_only(request.message.params(), &["name", "arguments", "_meta"]) {
        return None;
    }
    let arguments = target.arguments(request);
    if arguments.len() > MAX_ARGUMENTS {
        return None;
    }
    let mut text = String::new();
    // The parts are told apart by their lengths.
    let mut add = |part: &str| text.push_str(&format!("{}:{part}", part.len()));
    add("tool");
    add(target.server.name().as_str());
    add(tool);
    add(&canonical(&arguments)?);
    add(&own_meta(request)?);
    for (name, value) in request.headers.iter().flatten() {
        add(name.as_str());
        add(value.to_str().ok()?);
    }
    // A server of this era is told with each request what the client can do and wants to hear.
    if era == Era::Modern {
        let declared = request.params.meta.as_ref().and_then(|meta| meta.client_capabilities.clone());
        let declared = match declared {
            Some(span) if request.era == Era::Modern => canonical(&request.message.as_str()[span])?,
            _ => request.capabilities.to_json(),
        };
        add(&declared);
        let usual = (request.era == Era::Legacy).then_some(USUAL_LEVEL);
        add(request.log_level.or(usual).map_or("", |level| level.as_str()));
    }
    Some(fingerprint(text.as_bytes()))
}

/// What stands in `_meta` beside what belongs to the exchange, in one spelling.
fn own_meta(request: &Request) -> Option<String> {
    let Some(meta) = &request.params.meta else { return Some(String::new()) };
    let text = &request.message.as_str()[meta.span.clone()];
    let mut own = Vec::new();
    skim::each_field(text, |name, span| {
        let exchange =
            name == key::PROGRESS_TOKEN || is_trace_field(name) || translate::is_modern_field(name);
        if !exchange {
            own.push(format!("{}:{}", skim::quote(name), &text[span]));
        }
        Ok(())
    })
    .ok()?;
    if own.is_empty() { Some(String::new()) } else { canonical(&format!("{{{}}}", own.join(","))) }
}

/// Whether an object has no fields but these.
fn has_only(object: &str, names: &[&str]) -> bool {
    let mut plain = true;
    let walked = skim::each_field(object, |name, _| {
        plain &= names.contains(&name);
        Ok(())
    });
    plain && walked.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_to_questions_and_tasks_are_no_part_of_what_a_result_is_kept_under() {
        let names = ["uri", "_meta"];
        assert!(has_only(r#"{"uri":"a","_meta":{}}"#, &names));
        for other in [r#"{"uri":"a","inputResponses":{}}"#, r#"{"uri":"a","requestState":"x"}"#, "[]"] {
            assert!(!has_only(other, &names), "{other}");
        }
    }
}
