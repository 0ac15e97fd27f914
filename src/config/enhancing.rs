//! From settings to the rules of prompt enhancement.

use super::decimal::Decimal;
use super::enhance::{Enhance, EnhanceRule, Privacy};
use super::reader::{Reader, path};
use super::remote;
use super::service::Service;

const SECTION: &str = "enhance";

/// The rules; a service that is not there is a fault.
pub(super) fn enhance(reader: &mut Reader<'_>, services: &[Service]) -> Enhance {
    let service = reader.text(&[SECTION, "service"]);
    if let Some((leaf, name)) = &service
        && !services.iter().any(|service| service.name.as_str() == name && service.enabled)
    {
        let help = format!("add [services.{name}] with the `url` of Ollama, or name a service that is there");
        reader.wrong(leaf, "is no service that is served", help);
    }
    let mut names: Vec<String> = Vec::new();
    for leaf in reader.stack.below(&path(&[SECTION, "clients"])) {
        match leaf.path.get(2) {
            Some(name) if !names.contains(name) => names.push(name.clone()),
            _ => {}
        }
    }
    Enhance {
        service: service.map(|(_, name)| name),
        timeout: reader.duration(&[SECTION, "timeout"]),
        cache_entries: reader.count(&[SECTION, "cache_entries"]),
        cache_ttl: reader.duration(&[SECTION, "cache_ttl"]),
        breaker: remote::default_breaker(reader),
        default: rule(reader, &[SECTION, "default"]),
        clients: names
            .into_iter()
            .map(|name| {
                let own = rule(reader, &[SECTION, "clients", &name]);
                (name, own)
            })
            .collect(),
    }
}

fn rule(reader: &mut Reader<'_>, table: &[&str]) -> EnhanceRule {
    let key = |key: &'static str| [table, &[key]].concat();
    EnhanceRule {
        enabled: reader.flag(&key("enabled")),
        model: reader.text(&key("model")).map(|(_, text)| text).unwrap_or_default(),
        fallback: reader.texts(&key("fallback")),
        system_prompt: reader.text(&key("system_prompt")).map(|(_, text)| text).unwrap_or_default(),
        temperature: Decimal::new(reader.decimal(&key("temperature"))).unwrap_or(Decimal::ZERO),
        max_tokens: reader.count(&key("max_tokens")),
        privacy: Privacy::ALL[reader.choice(&key("privacy"))],
    }
}
