//! What a rule of the policy speaks of: `[kind:]server/name[hint]`.

use std::fmt;

use crate::base::glob;

/// Tools, prompts or resources of servers, by patterns in which `*` stands for any run of characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// Of this kind only.
    pub kind: Option<ItemKind>,
    server: String,
    name: String,
    /// Tools that say this of themselves only.
    pub hint: Option<Hint>,
}

/// What a server offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ItemKind {
    /// A tool.
    Tool,
    /// A prompt.
    Prompt,
    /// A resource, by its URI, or a template, by its text.
    Resource,
    /// A plain HTTP service, as a whole.
    Service,
}

/// What a tool says of itself in its annotations. It is the server's word, and worth as much as the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Hints {
    /// It changes nothing.
    pub read_only: bool,
    /// What it changes may be lost.
    pub destructive: bool,
}

/// A condition on [`Hints`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// `readOnlyHint` is this.
    ReadOnly(bool),
    /// `destructiveHint` is this.
    Destructive(bool),
}

const KINDS: [(&str, ItemKind); 4] = [
    ("tool:", ItemKind::Tool),
    ("prompt:", ItemKind::Prompt),
    ("resource:", ItemKind::Resource),
    ("service:", ItemKind::Service),
];

const HINTS: [(&str, Hint); 4] = [
    ("[readOnlyHint]", Hint::ReadOnly(true)),
    ("[!readOnlyHint]", Hint::ReadOnly(false)),
    ("[destructiveHint]", Hint::Destructive(true)),
    ("[!destructiveHint]", Hint::Destructive(false)),
];

impl Hints {
    /// What is assumed of a tool that says nothing (MCP, `schema`, `ToolAnnotations`: not read-only, destructive).
    pub const UNKNOWN: Hints = Hints { read_only: false, destructive: true };

    /// From the annotations, where there are any. What is read-only destroys nothing.
    pub fn new(read_only: Option<bool>, destructive: Option<bool>) -> Hints {
        let read_only = read_only.unwrap_or(Hints::UNKNOWN.read_only);
        Hints { read_only, destructive: !read_only && destructive.unwrap_or(Hints::UNKNOWN.destructive) }
    }
}

impl Pattern {
    /// Reads a pattern. The error is the end of a sentence that begins with the value.
    pub fn parse(text: &str) -> Result<Pattern, &'static str> {
        let text = text.trim();
        let kind = KINDS.into_iter().find_map(|(word, kind)| Some((text.strip_prefix(word)?, kind)));
        let (rest, kind) = kind.map_or((text, None), |(rest, kind)| (rest, Some(kind)));
        let hint = HINTS.into_iter().find_map(|(word, hint)| Some((rest.strip_suffix(word)?, hint)));
        let (rest, hint) = hint.map_or((rest, None), |(rest, hint)| (rest, Some(hint)));
        let (server, name) = rest.split_once('/').ok_or("names no server and what it offers")?;
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-*".contains(&byte);
        if server.is_empty() || name.is_empty() {
            return Err("names no server and what it offers");
        }
        if !server.bytes().all(legal) {
            return Err("has what is no name of a server before the first `/`");
        }
        match (kind, hint) {
            (Some(ItemKind::Service), _) if name != "*" => {
                Err("speaks of a part of a service, which is allowed or denied as a whole")
            }
            (Some(ItemKind::Prompt | ItemKind::Resource | ItemKind::Service), Some(_)) => {
                Err("asks for what only tools say")
            }
            // Only tools have annotations, so a pattern with a hint is about tools.
            (kind, hint) => Ok(Pattern {
                kind: if hint.is_some() { Some(ItemKind::Tool) } else { kind },
                server: server.to_owned(),
                name: name.to_owned(),
                hint,
            }),
        }
    }

    /// Whether it speaks of this; a service has the name "", which only `*` covers.
    pub fn covers(&self, kind: ItemKind, server: &str, name: &str, hints: Hints) -> bool {
        self.kind.is_none_or(|own| own == kind)
            && match self.hint {
                None => true,
                Some(Hint::ReadOnly(wanted)) => hints.read_only == wanted,
                Some(Hint::Destructive(wanted)) => hints.destructive == wanted,
            }
            && glob::matches(&self.server, server)
            && glob::matches(&self.name, name)
    }

    /// Whether it speaks of anything of a server.
    pub fn touches(&self, server: &str) -> bool {
        glob::matches(&self.server, server)
    }

    /// Whether it speaks of everything that a server has.
    pub fn covers_all_of(&self, server: &str) -> bool {
        self.kind.is_none() && self.hint.is_none() && self.name == "*" && self.touches(server)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = KINDS.iter().find(|(_, kind)| Some(*kind) == self.kind).map_or("", |(word, _)| word);
        let hint = HINTS.iter().find(|(_, hint)| Some(*hint) == self.hint).map_or("", |(word, _)| word);
        write!(f, "{kind}{}/{}{hint}", self.server, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_kind_server_name_and_hint() {
        let quiet = Hints::new(Some(true), None);
        let loud = Hints::new(None, None);
        let careful = Hints::new(Some(false), Some(false));
        let covers = |text: &str, kind, server: &str, name: &str, hints| {
            Pattern::parse(text).unwrap().covers(kind, server, name, hints)
        };
        use ItemKind::{Prompt, Resource, Tool};
        assert!(
            covers("github/*", Tool, "github", "x", loud) && covers("github/*", Prompt, "github", "x", loud)
        );
        assert!(
            !covers("github/*", Tool, "gitlab", "x", loud) && covers("git*/x", Tool, "gitlab", "x", loud)
        );
        assert!(!covers("prompt:*/*", Tool, "a", "x", loud) && covers("tool:*/*", Tool, "a", "x", loud));
        assert!(covers("resource:files/file:///etc/*", Resource, "files", "file:///etc/passwd", loud));
        assert!(!covers("resource:files/file:///etc/*", Resource, "files", "file:///home", loud));
        use ItemKind::Service;
        assert!(covers("a/*", Service, "a", "", loud) && covers("service:*/*", Service, "a", "", loud));
        assert!(!covers("*/delete_*", Service, "a", "", loud) && !covers("tool:a/*", Service, "a", "", loud));
        for (text, expected) in [
            ("a/*[readOnlyHint]", [true, false, false]),
            ("a/*[!readOnlyHint]", [false, true, true]),
            ("a/*[destructiveHint]", [false, true, false]),
            ("tool:a/*[!destructiveHint]", [true, false, true]),
        ] {
            assert_eq!(
                [quiet, loud, careful].map(|hints| covers(text, Tool, "a", "x", hints)),
                expected,
                "{text}"
            );
            assert!(
                !covers(text, Resource, "a", "x", quiet) && !covers(text, Resource, "a", "x", loud),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in [
            "",
            "github",
            "/x",
            "github/",
            "tool:",
            "Git Hub/x",
            "a.b/x",
            "prompt:a/x[readOnlyHint]",
            "service:a/x",
        ] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
        for text in ["github/*", "tool:a/b[!readOnlyHint]", "resource:a/file:///x"] {
            assert_eq!(Pattern::parse(text).unwrap().to_string(), text);
        }
    }
}
