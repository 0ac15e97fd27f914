//! `[metrics]`: what is counted apart.

/// `[metrics]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metrics {
    /// The most tools with metrics of their own.
    pub tools: usize,
}
