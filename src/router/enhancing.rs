//! Prompts in the arguments of tools, made better before the tool is called: where the operator says so, or the client.
//!
//! No call fails for it: whatever goes wrong, the tool gets the argument as the client wrote it. The caller sees in the
//! result what was done, or why it was not.

use std::borrow::Cow;

use bytes::Bytes;

use crate::config::{Hints, ItemKind, PromptArgument};
use crate::enhance::{Ask, Enhanced, Enhancer};
use crate::protocol::{Span, method, skim};

use super::mark;
use super::request::Request;
use super::resolve::{Rewritten, Target};

/// Arguments that usually hold a prompt, the most likely first; as in the router that many users come from.
const USUAL: [&str; 4] = ["prompt", "input", "message", "text"];

/// Makes the prompt in a call better, if it has one that is to be.
pub(super) async fn enhance(enhancer: &Enhancer, request: &Request, target: &mut Target) {
    if request.message.method() != method::TOOLS_CALL {
        return;
    }
    let Some(tool) = target.name.as_deref() else { return };
    let configured = target.server.config().tools.prompts.of(tool);
    let wished = request.wishes.as_deref().and_then(|wishes| wishes.argument.as_ref());
    let Some(argument) = chosen(configured, wished) else { return };
    let Some((name, span, prompt)) = find(request, argument) else { return };
    let ask = Ask {
        prompt,
        client: request.client_name().map(Cow::into_owned),
        privacy: request.wishes.as_deref().and_then(|wishes| wishes.privacy),
        bypass_cache: false,
    };
    // Who may not use the service gets on as if there were none.
    let may_use = enhancer.service().is_none_or(|service| {
        request.access.allows(ItemKind::Service, service.name().as_str(), "", Hints::UNKNOWN)
    });
    // The server has seen the first round in these words, or in the client's own.
    let done = match request.params.request_state.is_some() || request.params.input_responses.is_some() {
        true => match enhancer.known(&ask).filter(|_| may_use) {
            Some(known) => known,
            None => return,
        },
        false if may_use => Box::pin(enhancer.enhance(ask)).await,
        false => enhancer.leave(&ask),
    };
    target.mark = Some(told(&name, &done));
    if done.model.is_some() {
        let text = Bytes::from(skim::quote(&done.prompt));
        target.rewritten = Some(Rewritten { span, text });
    }
}

/// Which argument is meant. What the operator has ruled out stays so; apart from that the client's word counts.
fn chosen<'a>(
    configured: Option<&'a PromptArgument>,
    wished: Option<&'a PromptArgument>,
) -> Option<&'a PromptArgument> {
    match (configured, wished) {
        (Some(PromptArgument::None), _) | (_, Some(PromptArgument::None)) => None,
        // "Yes" of a client means the argument that the operator has named.
        (Some(named), Some(PromptArgument::Usual)) => Some(named),
        (configured, wished) => wished.or(configured),
    }
}

/// The prompt: the argument's name, its place in the message, and what it says.
fn find(request: &Request, argument: &PromptArgument) -> Option<(String, Span, String)> {
    let start = request.params.arguments.as_ref()?.start;
    let arguments = request.arguments();
    let read = |name: &str| {
        let span = skim::field(arguments, name)?;
        let prompt = skim::string(&arguments[span.clone()])?;
        let filled = !prompt.trim().is_empty();
        filled.then(|| (name.to_owned(), start + span.start..start + span.end, prompt.into_owned()))
    };
    match argument {
        PromptArgument::Usual => USUAL.iter().find_map(|name| read(name)),
        PromptArgument::Named(name) => read(name),
        PromptArgument::None => None,
    }
}

/// What the caller is told, a field for `_meta`.
fn told(argument: &str, done: &Enhanced) -> String {
    let argument = skim::quote(argument);
    let what = match (&done.model, &done.reason) {
        (Some(model), _) => format!(
            r#""enhanced":true,"prompt":{},"model":{},"cached":{}"#,
            skim::quote(&done.prompt),
            skim::quote(model),
            done.cached
        ),
        (None, reason) => {
            format!(r#""enhanced":false,"reason":{}"#, skim::quote(reason.as_deref().unwrap_or_default()))
        }
    };
    format!(r#""{}":{{"argument":{argument},{what}}}"#, mark::ENHANCED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_rules_out_and_the_client_chooses() {
        let (usual, none) = (PromptArgument::Usual, PromptArgument::None);
        let (own, other) = (PromptArgument::Named("own".into()), PromptArgument::Named("other".into()));
        for (configured, wished, expected) in [
            (None, None, None),
            (Some(&usual), None, Some(&usual)),
            (None, Some(&usual), Some(&usual)),
            (Some(&own), Some(&usual), Some(&own)),
            (Some(&own), Some(&other), Some(&other)),
            (Some(&own), Some(&none), None),
            (Some(&none), Some(&own), None),
        ] {
            assert_eq!(chosen(configured, wished), expected, "{configured:?} {wished:?}");
        }
    }
}
