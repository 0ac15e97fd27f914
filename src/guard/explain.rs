//! Why somebody may use something, or may not: the setting that decides, for people.

use crate::config::{Hints, ItemKind, Setting};

use super::caller::Caller;
use super::policy::{Decision, Policy};

/// What is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// What it is.
    pub kind: ItemKind,
    /// Whose it is; a service's own name.
    pub server: &'a str,
    /// Its own name there, or its URI; empty for a service.
    pub name: &'a str,
    /// What it says of itself.
    pub hints: Hints,
}

/// What the rules say of something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// Whether it may be used.
    pub allowed: bool,
    /// The key that decides.
    pub key: String,
    /// Its pattern that covers the thing, if it is a rule's.
    pub pattern: Option<String>,
    /// Where the key was set, if anybody set it.
    pub place: Option<String>,
    /// All of it in one sentence without an end.
    pub reason: String,
    /// Whether the answer is another for a thing that says other things of itself.
    pub by_hints: bool,
}

/// What the rules say of a caller and a thing; the settings are those that the rules come from.
pub fn explain(policy: &Policy, caller: &Caller, item: Item<'_>, settings: &[Setting]) -> Explained {
    let access = policy.access(caller);
    let with = |hints| access.decide(item.kind, item.server, item.name, hints);
    let decision = with(item.hints);
    let (key, pattern) = match decision {
        Decision::Denied(rule, pattern) => (format!("policy.rules.{}.deny", rule.name), Some(pattern)),
        Decision::Allowed(rule, pattern) => (format!("policy.rules.{}.allow", rule.name), Some(pattern)),
        Decision::Default(_) => ("policy.default".to_owned(), None),
    };
    let pattern = pattern.map(ToString::to_string);
    let place = settings.iter().find(|setting| setting.key == key).map(|setting| setting.origin.clone());
    let reason = match (&pattern, &place) {
        (Some(pattern), Some(place)) => format!("{key} has \"{pattern}\" ({place})"),
        (Some(pattern), None) => format!("{key} has \"{pattern}\""),
        (None, Some(place)) => format!("no rule speaks of it, and {key} decides ({place})"),
        (None, None) => format!("no rule speaks of it, and {key} decides"),
    };
    let by_hints = with(Hints::UNKNOWN).allows() != with(Hints::new(Some(true), None)).allows();
    Explained { allowed: decision.allows(), key, pattern, place, reason, by_hints }
}
