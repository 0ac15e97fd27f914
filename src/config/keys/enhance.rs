//! Keys of `[enhance]`: how prompts are made better before they are used.

use super::*;

/// The levels of privacy, the least strict first.
const PRIVACY: &[&str] = &["any", "local", "none"];
/// Hotter than this, models answer at random (Ollama's own range).
const HOTTEST: u32 = 2;

pub(super) const ROWS: &[KeyDoc] = &[
    key(
        "enhance.service",
        Text,
        Nothing,
        "The service that has the models (Ollama); without, nothing is enhanced.",
    ),
    // Loading a model takes 30 to 45 seconds.
    key("enhance.timeout", ANY_WAIT, Value("2m"), "How long an enhancement may take."),
    key("enhance.cache_entries", Count(0, MANY), Value("500"), "The most enhanced prompts that are kept."),
    key("enhance.cache_ttl", ANY_WAIT, Value("2h"), "How long they are kept."),
    key("enhance.default.enabled", Bool, Value("true"), "Whether prompts are enhanced."),
    key("enhance.default.model", Text, Value("llama3.2:3b"), "The model that is asked."),
    key(
        "enhance.default.fallback",
        TextList,
        Value("[]"),
        "Models that are asked in turn when that one fails.",
    ),
    key(
        "enhance.default.system_prompt",
        Text,
        Value("Improve clarity and structure. Preserve intent. Return only the enhanced prompt."),
        "What the model is told to do.",
    ),
    key("enhance.default.temperature", Kind::Decimal(HOTTEST), Value("0.3"), "How freely it answers."),
    key("enhance.default.max_tokens", SOME, Value("500"), "The most tokens of its answer."),
    key(
        "enhance.default.privacy",
        Choice(PRIVACY),
        Value("any"),
        "Who may see a prompt; a request may only be stricter.",
    ),
    key("enhance.clients.*.enabled", Bool, Inherited, "Whether this client's prompts are enhanced."),
    key("enhance.clients.*.model", Text, Inherited, "The model that is asked for it."),
    key("enhance.clients.*.fallback", TextList, Inherited, "Models that are asked when that one fails."),
    key("enhance.clients.*.system_prompt", Text, Inherited, "What the model is told to do for it."),
    key(
        "enhance.clients.*.temperature",
        Kind::Decimal(HOTTEST),
        Inherited,
        "How freely the model answers it.",
    ),
    key("enhance.clients.*.max_tokens", SOME, Inherited, "The most tokens of an answer to it."),
    key("enhance.clients.*.privacy", Choice(PRIVACY), Inherited, "Who may see its prompts."),
];
