//! What a client may wish for its call beside what it asks.

use crate::config::{Privacy, PromptArgument};

/// What a client wishes for its call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Which argument is a prompt, if the client says so.
    pub argument: Option<PromptArgument>,
    /// By which name a rule is chosen.
    pub client: Option<String>,
    /// Who may see it, if the client is stricter than the rule.
    pub privacy: Option<Privacy>,
    /// Whether the answer must come from the server, whatever is kept.
    pub fresh: bool,
}
