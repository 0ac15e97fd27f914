//! Why there is no token.

/// Why there is no token: a clause that follows the server's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Somebody has to do something: log in, or mend the configuration.
    #[error("{0}")]
    Needed(String),
    /// It may be better in a moment.
    #[error("{0}")]
    Passing(String),
}

impl Trouble {
    /// The clause.
    pub fn text(&self) -> &str {
        match self {
            Trouble::Needed(text) | Trouble::Passing(text) => text,
        }
    }
}

/// The longest text of somebody else that goes into one of ours.
const QUOTED: usize = 200;

/// What somebody else said, fit for a line of ours.
pub(super) fn quoted(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(QUOTED).collect()
}
