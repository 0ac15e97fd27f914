//! `[compat]`: answering as others did whose users come here.

/// `[compat]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compat {
    /// Whether AgentHub's paths of administration are answered.
    pub agenthub: bool,
}
