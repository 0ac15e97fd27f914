//! Numbers with decimals.

/// A number that may have decimals; never one of those that are no number, so that each equals itself.
#[derive(Clone, Copy, PartialEq)]
pub struct Decimal(f64);

impl Eq for Decimal {}

impl Decimal {
    /// Nothing.
    pub const ZERO: Decimal = Decimal(0.0);

    /// The number; nothing for what is none.
    pub fn new(number: f64) -> Option<Decimal> {
        number.is_finite().then_some(Decimal(number))
    }

    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl std::fmt::Debug for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
