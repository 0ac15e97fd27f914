//! What the doctor finds.

use std::fmt;

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gravity {
    /// As it should be.
    Good,
    /// It works, and may bring trouble.
    Warning,
    /// Something does not work.
    Fault,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How grave it is.
    pub gravity: Gravity,
    /// What was looked at: `configuration`, `server docs`.
    pub about: String,
    /// What was found, in one sentence without a full stop.
    pub what: String,
    /// How to put it right; empty for what is good.
    pub cure: String,
}

impl Finding {
    /// All is well.
    pub(super) fn good(about: impl Into<String>, what: impl Into<String>) -> Finding {
        Finding { gravity: Gravity::Good, about: about.into(), what: what.into(), cure: String::new() }
    }

    /// It works, and may bring trouble.
    pub(super) fn warning(
        about: impl Into<String>,
        what: impl Into<String>,
        cure: impl Into<String>,
    ) -> Finding {
        Finding { gravity: Gravity::Warning, about: about.into(), what: what.into(), cure: cure.into() }
    }

    /// It does not work.
    pub(super) fn fault(
        about: impl Into<String>,
        what: impl Into<String>,
        cure: impl Into<String>,
    ) -> Finding {
        Finding { gravity: Gravity::Fault, about: about.into(), what: what.into(), cure: cure.into() }
    }
}

impl Gravity {
    /// The word for it, for people and programs.
    pub fn word(self) -> &'static str {
        match self {
            Gravity::Good => "ok",
            Gravity::Warning => "warning",
            Gravity::Fault => "error",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>7}  {}: {}", self.gravity.word(), self.about, self.what)?;
        if self.cure.is_empty() { Ok(()) } else { write!(f, "\n         help: {}", self.cure) }
    }
}
