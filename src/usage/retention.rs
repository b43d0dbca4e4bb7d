//! How long usage is kept, by the length of its sums.

/// Number of minutes that the sums of minutes are kept: they are for looking at what goes on, and many.
pub(super) const MINUTES_KEPT: u32 = 180;

/// Periods that usage is kept for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Number of days that the sums of hours are kept.
    pub hours: u32,
    /// Number of days that the sums of days are kept.
    pub days: u32,
}

impl Default for Retention {
    fn default() -> Retention {
        Retention { hours: 30, days: 400 }
    }
}
