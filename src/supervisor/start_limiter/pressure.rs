//! Whether anything on this machine waits for a processor, memory or a disk (Linux, Documentation/accounting/psi.rst).

use std::fs;
use std::time::Instant;

/// Files of the kernel that say so.
const FILES: [&str; 3] = ["/proc/pressure/cpu", "/proc/pressure/memory", "/proc/pressure/io"];
/// Share of the time for which something waited from which a machine counts as busy.
const BUSY: f64 = 0.2;

/// For how long something has waited for each of the three so far, in microseconds.
type Stalled = [u64; FILES.len()];

/// Returns for how long something has waited since the machine started; `None` on a kernel that does not say.
pub(super) fn stalled() -> Option<Stalled> {
    let mut all = Stalled::default();
    for (file, of_file) in FILES.iter().zip(&mut all) {
        *of_file = total(&fs::read_to_string(file).ok()?)?;
    }
    Some(all)
}

/// Reads the total of the line `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`.
fn total(text: &str) -> Option<u64> {
    let some = text.lines().find(|line| line.starts_with("some "))?;
    some.rsplit_once("total=")?.1.trim().parse().ok()
}

/// Comparison of each look with the one before. Pure.
#[derive(Debug, Default)]
pub(super) struct Pressure(Option<(Instant, Stalled)>);

impl Pressure {
    /// Reports whether next to nothing has waited since the last look. At the first one, and where the kernel does not say,
    /// that is not known, and `false`.
    pub(super) fn is_low(&mut self, now: Instant, stalled: Option<Stalled>) -> bool {
        let before = std::mem::replace(&mut self.0, stalled.map(|stalled| (now, stalled)));
        let (Some((since, before)), Some(stalled)) = (before, stalled) else { return false };
        let passed = now.duration_since(since).as_secs_f64() * 1e6;
        let most = before.iter().zip(stalled).map(|(before, now)| now.saturating_sub(*before)).max();
        #[allow(clippy::cast_precision_loss, reason = "microseconds between two looks")]
        let most = most.unwrap_or_default() as f64;
        passed > 0.0 && most < passed * BUSY
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_total_is_read_of_the_line_that_counts_and_of_no_other() {
        let text = "some avg10=1.00 avg60=0.00 avg300=0.00 total=4711\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=9\n";
        assert_eq!(total(text), Some(4711));
        for other in ["", "full avg10=0 total=9", "some total=x", "some avg10=0"] {
            assert_eq!(total(other), None, "{other}");
        }
    }

    #[test]
    fn a_machine_is_idle_if_nothing_waited_for_long_since_the_last_look() {
        let (mut pressure, start) = (Pressure::default(), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        assert!(!pressure.is_low(at(0), Some([1_000_000, 5, 5])), "one look alone says nothing");
        assert!(pressure.is_low(at(50), Some([1_000_100, 5, 5])));
        assert!(!pressure.is_low(at(100), Some([1_010_100, 5, 5])), "a fifth of the time");
        assert!(!pressure.is_low(at(150), Some([1_010_100, 20_005, 5])));
        assert!(!pressure.is_low(at(200), Some([1_010_100, 20_005, 30_005])));
        assert!(!pressure.is_low(at(250), None) && !pressure.is_low(at(300), Some([0; 3])), "not known");
        assert!(pressure.is_low(at(350), Some([0; 3])));
    }
}
