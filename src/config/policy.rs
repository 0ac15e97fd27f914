//! `[policy]`: who may use what.

use super::auth::is_scope;
use super::faults::quoted;
use super::layers::Leaf;
use super::policy_pattern::Pattern;
use super::reader::{Reader, path};

/// `[policy]`: who may use what.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicyRules {
    /// Whether what no rule speaks of is allowed.
    pub default_allow: bool,
    /// The rules, by name.
    pub rules: Vec<PolicyRule>,
}

/// `[policy.rules.<name>]`: a rule.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicyRule {
    /// Its name.
    pub name: String,
    /// Patterns of the principals for whom it is; empty means all.
    pub principals: Vec<String>,
    /// It is for those who have one of these scopes; empty means all.
    pub scopes: Vec<String>,
    /// What they may use.
    pub allow: Vec<Pattern>,
    /// What they may not use, whatever any rule allows.
    pub deny: Vec<Pattern>,
}

/// Rules that can be told apart: a caller's are one bit each of a number.
pub const MOST_RULES: usize = 128;

pub(super) fn policy(reader: &mut Reader<'_>) -> PolicyRules {
    let mut names: Vec<String> = Vec::new();
    for leaf in reader.stack.below(&path(&["policy", "rules"])) {
        if let Some(name) = leaf.path.get(2)
            && !names.contains(name)
        {
            names.push(name.clone());
        }
    }
    let at = ["policy", "default"];
    let default_allow = match reader.leaf(&at) {
        Some(_) => reader.choice(&at) == 0,
        // Whoever writes rules wants what they leave out to be closed; whoever writes none wants no policy.
        None => names.is_empty(),
    };
    let rules: Vec<PolicyRule> = names.iter().map(|name| rule(reader, name, default_allow)).collect();
    if rules.len() > MOST_RULES
        && let Some(leaf) = reader.stack.below(&path(&["policy", "rules"])).first()
    {
        let message = format!("`policy.rules` has {} rules, more than {MOST_RULES}", rules.len());
        reader.faults.fault(leaf.place.key(), message, "join rules that are for the same callers");
    }
    PolicyRules { default_allow, rules }
}

fn rule(reader: &mut Reader<'_>, name: &str, default_allow: bool) -> PolicyRule {
    let key = |key: &'static str| ["policy", "rules", name, key];
    let principals = reader.list(&key("principals"), |item| match item.trim() {
        "" => Err(("names nobody", "write a principal such as \"key:ci\", a pattern, or \"anonymous\"")),
        _ => Ok(item.to_owned()),
    });
    let scopes = reader.list(&key("scopes"), |item| match is_scope(item) {
        true => Ok(item.to_owned()),
        false => Err(("is not a scope", "write one word of visible characters, without quotes")),
    });
    let rule = PolicyRule {
        name: name.to_owned(),
        principals,
        scopes,
        allow: patterns(reader, &key("allow")),
        deny: patterns(reader, &key("deny")),
    };
    let set: Option<&Leaf> = reader.stack.below(&path(&["policy", "rules", name])).into_iter().next();
    let Some(leaf) = set else { return rule };
    if rule.allow.is_empty() && rule.deny.is_empty() && reader.faults.is_empty() {
        let message = format!("the rule `policy.rules.{name}` says nothing");
        reader.faults.fault(leaf.place.key(), message, "add `allow` or `deny`, or remove the rule");
    } else if default_allow && !rule.allow.is_empty() {
        let at = reader.leaf(&key("allow")).map_or_else(|| leaf.place.key(), |leaf| leaf.place.key());
        let message = format!("`policy.rules.{name}.allow` has no effect while policy.default is \"allow\"");
        let help = "set policy.default = \"deny\", or say what is not allowed with `deny`";
        reader.faults.fault(at, message, help);
    }
    rule
}

fn patterns(reader: &mut Reader<'_>, at: &[&str]) -> Vec<Pattern> {
    let texts = reader.list(at, |item| Ok(item.to_owned()));
    let mut patterns = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match Pattern::parse(text) {
            Ok(pattern) => patterns.push(pattern),
            Err(problem) => {
                let Some(leaf) = reader.leaf(at) else { continue };
                let message = format!("`{}` has {}, which {problem}", leaf.key, quoted(text));
                let help = "write <server>/<name>, such as \"github/*\", perhaps with tool:, prompt:, resource: or service: before \
                            it and [readOnlyHint] after it";
                reader.faults.fault(leaf.place.item(index), message, help);
            }
        }
    }
    patterns
}
