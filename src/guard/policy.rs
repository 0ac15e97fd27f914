//! Who may use what: the rules of the configuration, compiled once.
//!
//! A caller's rules are a number with a bit for each, its class; callers of one class see and may do the same. Deciding
//! takes no allocation. Deny wins over allow, and what no rule speaks of is as the default says.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::base::glob;
use crate::config::{Hints, ItemKind, Pattern, PolicyRule, PolicyRules};

use super::caller::Caller;

/// The rules in force. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Policy(Arc<ArcSwap<Rules>>);

#[derive(Debug)]
struct Rules {
    rules: PolicyRules,
    /// How often they have been replaced.
    generation: u64,
}

/// What callers have in common who may do the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Class {
    generation: u64,
    rules: u128,
    default_allow: bool,
}

/// What one caller may use. Cloning is cheap.
#[derive(Clone)]
pub struct Access {
    rules: Arc<Rules>,
    class: Class,
}

/// What decided, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision<'p> {
    /// A pattern among the `deny` of a rule.
    Denied(&'p PolicyRule, &'p Pattern),
    /// A pattern among the `allow` of a rule.
    Allowed(&'p PolicyRule, &'p Pattern),
    /// No rule speaks of it: this is the default.
    Default(bool),
}

impl Decision<'_> {
    /// Whether it may be used.
    pub fn allows(self) -> bool {
        matches!(self, Decision::Allowed(..) | Decision::Default(true))
    }
}

impl Policy {
    /// Takes the rules of a configuration.
    pub fn new(rules: PolicyRules) -> Policy {
        Policy(Arc::new(ArcSwap::from_pointee(Rules { rules, generation: 0 })))
    }

    /// Takes other rules, from the next request on. Answers whether they are other ones.
    pub fn replace(&self, rules: PolicyRules) -> bool {
        let before = self.0.load();
        if before.rules == rules {
            return false;
        }
        self.0.store(Arc::new(Rules { rules, generation: before.generation + 1 }));
        true
    }

    /// What a caller may use. What no rule speaks of, whoever has started this process may use: it is their own.
    pub fn access(&self, caller: &Caller) -> Access {
        let compiled = self.0.load_full();
        let mut rules = 0;
        for (index, rule) in compiled.rules.rules.iter().enumerate() {
            if concerns(rule, caller) {
                rules |= 1 << index;
            }
        }
        let default_allow = compiled.rules.default_allow || caller.is_starter();
        Access { class: Class { generation: compiled.generation, rules, default_allow }, rules: compiled }
    }
}

/// Whether a rule is for a caller.
fn concerns(rule: &PolicyRule, caller: &Caller) -> bool {
    let principal = caller.principal().as_str();
    let by_name =
        rule.principals.is_empty() || rule.principals.iter().any(|one| glob::matches(one, principal));
    let by_scope = rule.scopes.is_empty() || rule.scopes.iter().any(|scope| caller.has_scope(scope));
    by_name && by_scope
}

impl Access {
    /// Access to everything, for the gateway's own use.
    pub fn full() -> Access {
        let rules = PolicyRules { default_allow: true, rules: Vec::new() };
        Policy::new(rules).access(&Caller::anonymous(false))
    }

    /// Who has the same class may do the same.
    pub fn class(&self) -> Class {
        self.class
    }

    /// Whether everything is allowed.
    pub fn is_full(&self) -> bool {
        self.class.default_allow && self.rules().all(|rule| rule.deny.is_empty())
    }

    /// Whether this may be used.
    pub fn allows(&self, kind: ItemKind, server: &str, name: &str, hints: Hints) -> bool {
        self.decide(kind, server, name, hints).allows()
    }

    /// What decides, and how.
    pub fn decide(&self, kind: ItemKind, server: &str, name: &str, hints: Hints) -> Decision<'_> {
        let covers = |pattern: &&Pattern| pattern.covers(kind, server, name, hints);
        for rule in self.rules() {
            if let Some(pattern) = rule.deny.iter().find(covers) {
                return Decision::Denied(rule, pattern);
            }
        }
        for rule in self.rules() {
            if let Some(pattern) = rule.allow.iter().find(covers) {
                return Decision::Allowed(rule, pattern);
            }
        }
        Decision::Default(self.class.default_allow)
    }

    /// Whether anything at all of a server may be used.
    pub fn touches(&self, server: &str) -> bool {
        let denied = self.rules().any(|rule| rule.deny.iter().any(|pattern| pattern.covers_all_of(server)));
        let allowed = self.class.default_allow
            || self.rules().any(|rule| rule.allow.iter().any(|pattern| pattern.touches(server)));
        allowed && !denied
    }

    fn rules(&self) -> impl Iterator<Item = &PolicyRule> {
        let rules = self.rules.rules.rules.iter().enumerate();
        rules.filter(|(index, _)| self.class.rules & (1 << index) != 0).map(|(_, rule)| rule)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Access({:?})", self.class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Principal;
    use proptest::prelude::*;

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| Pattern::parse(text).unwrap()).collect()
    }

    fn rule(name: &str, principals: &[&str], scopes: &[&str], allow: &[&str], deny: &[&str]) -> PolicyRule {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        PolicyRule {
            name: name.to_owned(),
            principals: owned(principals),
            scopes: owned(scopes),
            allow: patterns(allow),
            deny: patterns(deny),
        }
    }

    fn caller(name: &str, scopes: &[&str]) -> Caller {
        Caller::known(Principal::named(name), scopes.iter().map(|scope| (*scope).to_owned()).collect())
    }

    fn tool(access: &Access, server: &str, name: &str) -> bool {
        access.allows(ItemKind::Tool, server, name, Hints::UNKNOWN)
    }

    #[test]
    fn deny_wins_whatever_the_order_and_the_rest_is_the_default() {
        for default_allow in [false, true] {
            let mut rules = vec![
                rule("all", &[], &[], &["git/*"], &[]),
                rule("ci", &["key:ci"], &[], &["db/read"], &["*/delete_*"]),
                rule("writers", &[], &["write"], &["db/*"], &[]),
            ];
            for _ in 0..2 {
                let policy = Policy::new(PolicyRules { default_allow, rules: rules.clone() });
                let (ci, writer) = (
                    policy.access(&caller("key:ci", &["write"])),
                    policy.access(&caller("key:b", &["write"])),
                );
                assert!(
                    tool(&ci, "git", "push") && tool(&ci, "db", "write") && !tool(&ci, "git", "delete_it")
                );
                assert!(tool(&writer, "git", "delete_it") && tool(&writer, "db", "write"));
                let reader = policy.access(&caller("key:b", &[]));
                assert!(tool(&reader, "git", "push"));
                assert_eq!(tool(&reader, "db", "read"), default_allow);
                rules.reverse();
            }
        }
    }

    #[test]
    fn no_rules_allow_everything_and_rules_that_are_for_others_nothing() {
        assert!(Access::full().is_full() && tool(&Access::full(), "a", "b"));
        let rules = vec![rule("ci", &["key:ci"], &[], &["*/*"], &[])];
        let policy = Policy::new(PolicyRules { default_allow: false, rules });
        let stranger = policy.access(&Caller::anonymous(true));
        assert!(!tool(&stranger, "a", "b") && !stranger.touches("a") && !stranger.is_full());
        assert!(policy.access(&caller("key:ci", &[])).touches("a"));
    }

    #[test]
    fn what_decided_is_told() {
        let rules = vec![rule("ci", &["key:ci"], &[], &["a/*"], &["a/b"])];
        let policy = Policy::new(PolicyRules { default_allow: false, rules });
        let access = policy.access(&caller("key:ci", &[]));
        let decided = |name: &str| match access.decide(ItemKind::Tool, "a", name, Hints::UNKNOWN) {
            Decision::Denied(rule, pattern) => format!("{} denies by {pattern}", rule.name),
            Decision::Allowed(rule, pattern) => format!("{} allows by {pattern}", rule.name),
            Decision::Default(allow) => format!("default {allow}"),
        };
        assert_eq!(
            (decided("b"), decided("c")),
            ("ci denies by a/b".to_owned(), "ci allows by a/*".to_owned())
        );
    }

    fn any_pattern() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "*/*",
            "a/*",
            "b/*",
            "a/x",
            "*/x",
            "tool:a/*",
            "resource:*/*",
            "a/*[readOnlyHint]",
            "*/*[destructiveHint]",
        ])
    }

    fn any_rule() -> impl Strategy<Value = PolicyRule> {
        let some = || prop::collection::vec(any_pattern(), 0..3);
        (prop::sample::select(vec!["key:*", "key:ci", "anonymous", "*"]), some(), some())
            .prop_map(|(who, allow, deny)| rule("r", &[who], &[], &allow, &deny))
    }

    proptest! {
        /// Whatever the rules: a further denial never opens anything, and a server of which something may be used
        /// is never taken for one that is closed.
        #[test]
        fn a_denial_never_opens_anything(
            rules in prop::collection::vec(any_rule(), 0..6), more in any_pattern(), default_allow: bool,
            read_only: Option<bool>, destructive: Option<bool>,
        ) {
            let hints = Hints::new(read_only, destructive);
            let stricter: Vec<_> = rules.iter().cloned().chain([rule("more", &[], &[], &[], &[more])]).collect();
            let before = Policy::new(PolicyRules { default_allow, rules });
            let after = Policy::new(PolicyRules { default_allow, rules: stricter });
            for who in [caller("key:ci", &[]), caller("key:x", &[]), Caller::anonymous(true)] {
                let (before, after) = (before.access(&who), after.access(&who));
                for kind in [ItemKind::Tool, ItemKind::Prompt, ItemKind::Resource] {
                    for (server, name) in [("a", "x"), ("a", "y"), ("b", "x"), ("c", "z")] {
                        let (was, is) =
                            (before.allows(kind, server, name, hints), after.allows(kind, server, name, hints));
                        prop_assert!(was || !is);
                        let covered = Pattern::parse(more).unwrap().covers(kind, server, name, hints);
                        prop_assert_eq!(is, was && !covered);
                        prop_assert!(!was || before.touches(server));
                        prop_assert!(was || !before.is_full());
                    }
                }
            }
        }
    }
}
