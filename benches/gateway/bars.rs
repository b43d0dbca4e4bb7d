//! What a call may cost beside another in the same round, and whether that holds: one to a remote server beside a bare reverse proxy,
//! one that is recorded beside one that is not, one that is watched beside one that is not.

use crate::options::Kind;
use crate::report::{Level, median};

/// Calls in flight that the bars are for: with fewer, the time between two processes counts more than what they do.
const AT: usize = 64;
/// Least share of the proxy's calls a second.
const LEAST_RATE: f64 = 0.8;
/// Most CPU time for a call, of the proxy's.
const MOST_CPU: f64 = 1.6;
/// Most CPU time for a call that is recorded, of one that is not (issue 16).
const MOST_RECORDED: f64 = 1.02;
/// Most CPU time for a call while a page of the dashboard is open, of one while none is (issue 16).
const MOST_WATCHED: f64 = 1.01;
/// Least multiple of another gateway's calls a second.
const LEAST_OF_PEER: f64 = 3.0;

/// How many bars were measured, and how many of them do not hold.
#[derive(Default)]
pub(crate) struct Bars {
    pub(crate) measured: usize,
    pub(crate) broken: usize,
}

impl Bars {
    fn take(&mut self, told: &str, holds: bool) {
        self.measured += 1;
        self.broken += usize::from(!holds);
        println!("bar: {told}: {}", if holds { "holds" } else { "DOES NOT HOLD" });
    }
}

/// Prints each bar with what was measured, and nothing of what was not.
pub(crate) fn print(levels: &[Level]) -> Bars {
    let mut bars = Bars::default();
    for level in levels.iter().filter(|level| level.in_flight() == AT) {
        for (what, kind, base, most) in [
            ("recorded", Kind::Gateway, Kind::Unrecorded, MOST_RECORDED),
            ("watched", Kind::Watched, Kind::Gateway, MOST_WATCHED),
        ] {
            let Some(mut costs) = level.cpu_ratios(kind, base) else { continue };
            let cost = median(&mut costs);
            let told = format!("{what}: CPU a call {cost:.3} of what it is otherwise, at most {most}");
            bars.take(&told, cost <= most);
        }
        for kind in [Kind::Remote, Kind::RemoteMcp, Kind::RemoteLegacy] {
            let measured = level.rate_ratios(kind, Kind::Proxy).zip(level.cpu_ratios(kind, Kind::Proxy));
            let Some((mut rates, mut costs)) = measured else { continue };
            let (rate, cost) = (median(&mut rates), median(&mut costs));
            let name = kind.name();
            let told = format!("{name}: calls/s {rate:.2} of the proxy's, at least {LEAST_RATE}");
            bars.take(&told, rate >= LEAST_RATE);
            let told = format!("{name}: CPU a call {cost:.2} of the proxy's, at most {MOST_CPU}");
            bars.take(&told, cost <= MOST_CPU);
            if let Some(mut rates) = level.rate_ratios(kind, Kind::Peer) {
                let rate = median(&mut rates);
                let told = format!("{name}: calls/s {rate:.1} times the peer's, at least {LEAST_OF_PEER}");
                bars.take(&told, rate >= LEAST_OF_PEER);
            }
        }
    }
    bars
}
