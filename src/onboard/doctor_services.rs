//! Plain HTTP services: whether they answer, and whether they have the models that prompts are made better by.

use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt, Limited};
use serde_json::Value;
use tokio::sync::broadcast;
use tokio::time::timeout;

use crate::config::{Config, Enhance};
use crate::supervisor::{ServiceHandle, Services, ServicesOptions, State, whole};

use super::finding::Finding;

/// A service that is well says so within this time.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// The most that is read of a list of models; each takes some hundred bytes.
const MAX_LIST: usize = 1 << 20;
/// Where Ollama lists its models.
const TAGS: &str = "/api/tags";
/// What Ollama reads behind the name of a model that says no more.
const LATEST: &str = ":latest";

/// Asks every service for its health path, and the one that has models for those.
pub(super) async fn services(config: &Config, tell: &mut impl FnMut(Finding)) {
    let services = Services::start(ServicesOptions {
        services: config.services.clone(),
        max_connections: config.gateway.max_service_connections,
        // Nobody listens.
        events: broadcast::channel(1).0,
    });
    for service in services.all().iter() {
        let well = look(service).await;
        let is_well = well.is_ok();
        tell(well.unwrap_or_else(|finding| finding));
        if is_well && config.enhance.service.as_deref() == Some(service.name().as_str()) {
            models(service, &config.enhance, tell).await;
        }
    }
    services.shutdown().await;
}

async fn look(service: &ServiceHandle) -> Result<Finding, Finding> {
    let about = format!("service {}", service.name());
    let mut status = service.status();
    let settled = status.wait_for(|status| !matches!(status.state, State::Starting));
    let state = match timeout(ANSWER_WAIT, settled).await {
        Ok(Ok(status)) => status.state.clone(),
        _ => State::Starting,
    };
    match (state, &service.config().health_path) {
        (State::Ready { .. }, Some(path)) => Ok(Finding::good(about, format!("{path} answers"))),
        (State::Ready { .. }, None) => {
            Ok(Finding::good(about, "it has no health path (`health`), so it was not asked"))
        }
        (State::Failed { reason, .. }, _) => Err(Finding::fault(about, &*reason, cure(service, &reason))),
        _ => Err(Finding::fault(about, "it did not answer in time", cure(service, ""))),
    }
}

fn cure(service: &ServiceHandle, error: &str) -> String {
    let name = service.name();
    let says = |words: &[&str]| words.iter().any(|word| error.contains(word));
    let host = service.config().url.uri().authority().map(ToString::to_string).unwrap_or_default();
    if says(&["certificate", "UnknownIssuer"]) {
        format!("name the authority that signed its certificate in `services.{name}.ca_file`")
    } else if says(&["401", "403"]) {
        format!("put its credential into `services.{name}.headers`")
    } else if says(&["answers its health check"]) {
        format!(
            "`services.{name}.health` must be a path that answers while it is well; Ollama's is \"/api/version\""
        )
    } else {
        format!("look whether {host} runs (Ollama: `ollama serve`); the address is `services.{name}.url`")
    }
}

/// Tells which models of the rules are not there.
async fn models(service: &ServiceHandle, rules: &Enhance, tell: &mut impl FnMut(Finding)) {
    let about = "enhance";
    let Some(there) = list(service).await else {
        let what = format!("service '{}' does not list its models as Ollama does ({TAGS})", service.name());
        return tell(Finding::warning(about, what, "name the service of Ollama in enhance.service"));
    };
    let of_clients = rules.clients.iter().map(|(_, rule)| rule);
    let mut missing: Vec<&str> = Vec::new();
    for rule in std::iter::once(&rules.default).chain(of_clients).filter(|rule| rule.enabled) {
        for model in std::iter::once(&rule.model).chain(&rule.fallback) {
            let is_there = there.iter().any(|one| one == model || one.strip_suffix(LATEST) == Some(model));
            if !is_there && !missing.contains(&model.as_str()) {
                missing.push(model);
            }
        }
    }
    for model in &missing {
        let what = format!("the model '{model}' is not at service '{}'", service.name());
        tell(Finding::warning(about, what, format!("ollama pull {model}")));
    }
    if missing.is_empty() {
        tell(Finding::good(about, "every model of its rules is there"));
    }
}

/// The names of the models.
async fn list(service: &ServiceHandle) -> Option<Vec<String>> {
    let answer = service.send(TAGS, None, Request::new(whole(bytes::Bytes::new()))).await.ok()?;
    let body = Limited::new(answer.into_body(), MAX_LIST).collect();
    let body = timeout(ANSWER_WAIT, body).await.ok()?.ok()?.to_bytes();
    let list: Value = serde_json::from_slice(&body).ok()?;
    let names = list["models"].as_array()?.iter().filter_map(|model| model["name"].as_str());
    Some(names.map(str::to_owned).collect())
}
