//! Which arguments of a server's tools are prompts, which a model makes better before the tool is called.

use crate::base::glob;

use super::reader::{Reader, path};
use super::tool_results::by_exactness;

/// The table of patterns below a server.
const TABLE: [&str; 2] = ["tools", "enhance"];
/// The word for the first argument that usually holds a prompt.
const AUTO: &str = "auto";
/// The word for no argument.
const NONE: &str = "none";

/// Which arguments of a server's tools are prompts. By default none are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToolPrompts(Vec<(String, PromptArgument)>);

/// Which argument of a tool is a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PromptArgument {
    /// The first of those that usually are.
    Usual,
    /// The one of this name.
    Named(String),
    /// None, also if a client asks for it.
    None,
}

impl ToolPrompts {
    /// What holds for the tool of this name (the server's own name for it); nothing if the operator has said nothing.
    pub fn of(&self, tool: &str) -> Option<&PromptArgument> {
        self.0.iter().find(|(pattern, _)| glob::matches(pattern, tool)).map(|(_, argument)| argument)
    }
}

pub(super) fn tool_prompts(reader: &mut Reader<'_>, server: &str) -> ToolPrompts {
    let table = path(&[&["servers", server], &TABLE[..]].concat());
    let mut prompts = Vec::new();
    for leaf in reader.stack.below(&table) {
        let pattern = leaf.path.last().map_or("", String::as_str);
        let Some((_, text)) = reader.text(&[&["servers", server], &TABLE[..], &[pattern]].concat()) else {
            continue;
        };
        let argument = match text.as_str() {
            AUTO => PromptArgument::Usual,
            NONE => PromptArgument::None,
            "" => {
                let help =
                    "write the argument's name, \"auto\" for the first that usually is one, or \"none\"";
                reader.wrong(leaf, "names no argument", help);
                continue;
            }
            name => PromptArgument::Named(name.to_owned()),
        };
        prompts.push((pattern.to_owned(), argument));
    }
    by_exactness(&mut prompts);
    ToolPrompts(prompts)
}

/// Refuses prompts that nobody would make better.
pub(super) fn refuse_without_service(reader: &mut Reader<'_>, servers: &[&str]) {
    for server in servers {
        for leaf in reader.stack.below(&path(&[&["servers", *server], &TABLE[..]].concat())) {
            let message = format!("`{}` has no effect without a service that has models", leaf.key);
            let help = "set enhance.service to the service of Ollama, or remove the key";
            reader.faults.fault(leaf.place.key(), message, help);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_exact_pattern_says_which_argument() {
        let mut prompts = vec![
            ("*".to_owned(), PromptArgument::Usual),
            ("ask_*".to_owned(), PromptArgument::Named("question".to_owned())),
            ("ask_raw".to_owned(), PromptArgument::None),
        ];
        by_exactness(&mut prompts);
        let prompts = ToolPrompts(prompts);
        assert_eq!(prompts.of("draw"), Some(&PromptArgument::Usual));
        assert_eq!(prompts.of("ask_me"), Some(&PromptArgument::Named("question".to_owned())));
        assert_eq!(prompts.of("ask_raw"), Some(&PromptArgument::None));
        assert_eq!(ToolPrompts::default().of("draw"), None);
    }
}
