//! Making prompts better before they are used, by a model behind a plain HTTP service (Ollama).
//!
//! The room promises that nobody fails for want of a better prompt: whatever goes wrong, the original comes back with the
//! reason. Equal prompts that come at once are one question to the model, an answer is kept for a while, and a model that
//! does not answer is left alone by a breaker of its own. A request may be stricter about who sees its prompt than the
//! configuration, never laxer. Prompts are never logged.
//!
//! `live` is what others hold, `enhancer` the way of one prompt, `model` asks the models, `statistics` counts.

mod enhancer;
mod live;
mod model;
mod statistics;

pub use enhancer::{Ask, Enhanced};
pub use live::Enhancer;
pub use statistics::Statistics;
