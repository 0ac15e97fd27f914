//! Which results of a server's tools are kept, for how long and for whom.

use std::time::Duration;

use crate::base::glob;

use super::reader::{Reader, path};

/// Which results of a server's tools are kept. By default none are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToolResults {
    /// Patterns of tools and how long their results are kept, or not at all; the most exact first.
    pub ages: Vec<(String, Option<Duration>)>,
    /// How long those of tools are kept that say of themselves that they may be, and that no pattern speaks of.
    pub hinted: Option<Duration>,
    /// Patterns of the tools whose kept results are for everybody; those of others are for whoever asked.
    pub public: Vec<String>,
}

impl ToolResults {
    /// Whether nothing is kept, whatever the tool.
    pub fn is_nothing(&self) -> bool {
        self.ages.is_empty() && self.hinted.is_none()
    }

    /// How long results of the tool of this name (the server's own name for it) are kept. `repeatable` is asked only
    /// where it matters: whether the tool says that it changes nothing and may be called again.
    pub fn age(&self, tool: &str, repeatable: impl FnOnce() -> bool) -> Option<Duration> {
        match self.ages.iter().find(|(pattern, _)| glob::matches(pattern, tool)) {
            Some((_, age)) => *age,
            None => self.hinted.filter(|_| repeatable()),
        }
    }

    /// Whether what one caller was told is told to others.
    pub fn is_public(&self, tool: &str) -> bool {
        self.public.iter().any(|pattern| glob::matches(pattern, tool))
    }
}

pub(super) fn tool_results(reader: &mut Reader<'_>, server: &str, public: Vec<String>) -> ToolResults {
    let mut ages = Vec::new();
    for leaf in reader.stack.below(&path(&["servers", server, "tools", "cache"])) {
        let pattern = leaf.path.last().map_or("", String::as_str);
        ages.push((pattern.to_owned(), reader.length_or_none(leaf)));
    }
    by_exactness(&mut ages);
    ToolResults {
        ages,
        hinted: reader.duration_or_none(&["servers", server, "tools", "cache_hinted"]),
        public,
    }
}

/// Puts the most exact pattern first, the one with the most characters that stand for themselves: a table has no order.
pub(super) fn by_exactness<T>(patterns: &mut [(String, T)]) {
    patterns
        .sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.bytes().filter(|byte| *byte != b'*').count()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_exact_pattern_rules_and_hints_fill_the_gaps() {
        let second = Duration::from_secs(1);
        let mut results = ToolResults {
            ages: vec![("get_*".to_owned(), Some(second)), ("get_time".to_owned(), None)],
            hinted: Some(2 * second),
            public: vec!["get_a".to_owned()],
        };
        by_exactness(&mut results.ages);
        assert_eq!(results.age("get_a", || panic!("a pattern speaks of it")), Some(second));
        assert_eq!(results.age("get_time", || true), None, "a hint does not overrule the operator");
        assert_eq!((results.age("set", || true), results.age("set", || false)), (Some(2 * second), None));
        assert!(results.is_public("get_a") && !results.is_public("get_time"));
        assert!(!results.is_nothing() && ToolResults::default().is_nothing());
    }
}
