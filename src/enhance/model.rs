//! One question to a model, in the way of Ollama's `POST /api/generate`.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};

use crate::base::ErrorKind;
use crate::config::EnhanceRule;
use crate::guard::{Limits, Wait};
use crate::supervisor::{ServiceHandle, whole};

/// The most of an answer that is read. A token is some four bytes, so this is far above any `max_tokens` in use.
const MAX_ANSWER: usize = 1 << 20;

/// Where the question goes.
const GENERATE: &str = "/api/generate";

/// Why there is no better prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// This model failed; another may not.
    Model(String),
    /// The service failed, and no other model of it will do better.
    Service(String),
    /// The service is as busy as it may be, which says nothing about how it is.
    Busy(String),
    /// The service has had as many requests as its rate allows.
    Limited(Wait),
}

/// Asks the rule's model and then its fallbacks, each question one of those that the service's rate allows. The better prompt,
/// and the model that made it.
pub(super) async fn ask_in_turn(
    (service, limits): (&ServiceHandle, &Limits),
    rule: &EnhanceRule,
    prompt: &str,
) -> Result<(String, String), Failure> {
    let mut first = None;
    for model in std::iter::once(&rule.model).chain(&rule.fallback) {
        limits.call(service.name(), None).map_err(Failure::Limited)?;
        match ask(service, rule, model, prompt).await {
            Ok(better) => return Ok((better, model.clone())),
            Err(Failure::Model(reason)) => first = first.or(Some(reason)),
            Err(failure) => return Err(failure),
        }
    }
    Err(Failure::Model(first.unwrap_or_default()))
}

async fn ask(
    service: &ServiceHandle,
    rule: &EnhanceRule,
    model: &str,
    prompt: &str,
) -> Result<String, Failure> {
    let question = json!({
        "model": model,
        "prompt": prompt,
        "system": rule.system_prompt,
        "stream": false,
        "options": { "temperature": rule.temperature.get(), "num_predict": rule.max_tokens },
    });
    let mut request = Request::new(whole(Bytes::from(question.to_string())));
    *request.method_mut() = Method::POST;
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let response = match service.send(GENERATE, None, request).await {
        Ok(response) => response,
        Err(error) if error.kind == ErrorKind::Overloaded => {
            return Err(Failure::Busy(error.message.into_owned()));
        }
        Err(error) => return Err(Failure::Service(error.message.into_owned())),
    };
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
    let body =
        body.map_err(|error| Failure::Model(format!("model '{model}' broke off: {error}")))?.to_bytes();
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    if status != StatusCode::OK {
        let said = answer["error"].as_str().map(|said| format!(": {said}")).unwrap_or_default();
        return Err(Failure::Model(format!("model '{model}' answered {status}{said}")));
    }
    let better = without_thoughts(answer["response"].as_str().unwrap_or_default());
    match better.is_empty() {
        true => Err(Failure::Model(format!("model '{model}' answered nothing"))),
        false => Ok(better.to_owned()),
    }
}

/// What a reasoning model says in the end, without its thoughts before.
fn without_thoughts(answer: &str) -> &str {
    let answer = answer.trim();
    match answer.strip_prefix("<think>") {
        // Thoughts that have no end have used up the tokens of the answer.
        Some(thoughts) => thoughts.split_once("</think>").map_or("", |(_, said)| said.trim()),
        None => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thoughts_of_a_model_are_no_prompt() {
        for (answer, prompt) in [
            (" better \n", "better"),
            ("<think>\nhm\n</think>\n\nbetter", "better"),
            ("<think>hm, and on and on", ""),
            ("say <think> aloud", "say <think> aloud"),
        ] {
            assert_eq!(without_thoughts(answer), prompt, "{answer}");
        }
    }
}
