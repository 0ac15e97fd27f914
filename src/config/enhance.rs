//! `[enhance]`: how prompts are made better before they are used.

use std::time::Duration;

use super::decimal::Decimal;
use super::model::Breaker;

/// How prompts are made better.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enhance {
    /// The service that has the models; without one nothing is enhanced.
    pub service: Option<String>,
    /// How long an enhancement may take, all models that are tried included.
    pub timeout: Duration,
    /// The most enhanced prompts that are kept.
    pub cache_entries: usize,
    /// How long they are kept.
    pub cache_ttl: Duration,
    /// When no model is asked because those asked before did not answer.
    pub breaker: Breaker,
    /// What holds for a client without a rule of its own.
    pub default: EnhanceRule,
    /// Rules of clients, by name.
    pub clients: Vec<(String, EnhanceRule)>,
}

/// What becomes of the prompts of one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnhanceRule {
    /// Whether they are enhanced.
    pub enabled: bool,
    /// The model that is asked.
    pub model: String,
    /// Models that are asked in turn when that one fails.
    pub fallback: Vec<String>,
    /// What the model is told to do.
    pub system_prompt: String,
    /// How freely it answers.
    pub temperature: Decimal,
    /// The most tokens of its answer.
    pub max_tokens: usize,
    /// Who may see the prompt.
    pub privacy: Privacy,
}

/// Who may see a prompt. The later, the fewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Privacy {
    /// Whatever service is configured.
    Any,
    /// A service on this machine only.
    Local,
    /// No model.
    None,
}

impl Privacy {
    /// All of them, the least strict first.
    pub const ALL: [Privacy; 3] = [Privacy::Any, Privacy::Local, Privacy::None];

    /// The word in configuration and requests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Privacy::Any => "any",
            Privacy::Local => "local",
            Privacy::None => "none",
        }
    }

    /// The level of this name.
    pub fn parse(word: &str) -> Option<Privacy> {
        Privacy::ALL.into_iter().find(|level| level.as_str() == word)
    }
}

impl Enhance {
    /// The rule for a client and the name that the rule goes by; the default's is empty.
    pub fn rule(&self, client: Option<&str>) -> (&str, &EnhanceRule) {
        let own = client.and_then(|client| self.clients.iter().find(|(name, _)| name == client));
        own.map_or(("", &self.default), |(name, rule)| (name, rule))
    }
}
