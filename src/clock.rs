//! The current time, as far as the machine's clock can be believed. A dead battery, a restored image or a typing
//! error can set a clock wrong by months or decades, for minutes or for ever. What is deleted or granted by such a
//! clock cannot be taken back.
//!
//! The latest time that was believed is kept in the data directory, and advances with the steady clock, which nobody
//! sets. The wall clock is believed while it agrees with that time. There are three times to ask for:
//!
//! * [`now`], for what ends: never before the time that was believed, so that an expired key stays so;
//! * [`believed`], for what is counted and granted: the wall clock where it is believed, else the time that was
//!   believed, advanced since;
//! * [`settled`], for what is deleted: the same, but only after the clock was believed for a while.
//!
//! [`wall_clock`] is the machine's clock as it is, for what is shown and for what only names a moment.
//!
//! A process has one clock, so these are functions; before [`begin`] the clock is not doubted. A test may set the
//! clock of its thread, and a simulation counts as a process of its own here, with its own wall clock and its own
//! steady clock (`simulated`).

#[cfg(test)]
pub(crate) mod simulated;

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use sha2::{Digest, Sha256};

use crate::unix_time;

/// Earliest time that is believed: 2025-01-01, before which no machine runs this program.
const EARLIEST: u64 = 1_735_689_600;
/// Time from which the clock is not believed: 2037-01-01. This version is not used for that long, and clocks that
/// overflow end up in 2038.
const LATEST: u64 = 2_114_380_800;
/// Number of seconds that the clock may go back without being doubted, because clocks are corrected at times.
const BACK: u64 = 300;
/// Number of seconds that the clock may leap forward, because machines sleep and daemons are stopped.
const LEAP: u64 = 31 * 86_400;
/// Time that a longer leap must stay unchanged before it is believed.
const MIN_LEAP_AGE: Duration = Duration::from_secs(3600);
/// Time that the clock must have been believed before anything is deleted by it.
const SETTLE: Duration = Duration::from_secs(600);
/// Interval between writes of the time to where it is kept.
const KEEP_EVERY: Duration = Duration::from_secs(60);

/// Reason that the clock is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// The clock is before 2025, when no version of this program existed.
    TooEarly,
    /// The clock is after 2036, long after this version is of use.
    TooLate,
    /// The clock is this number of seconds behind the time that was believed.
    Behind(u64),
    /// The clock is this number of seconds ahead of the time that was believed.
    Ahead(u64),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let long = |seconds: u64| match seconds {
            0..7_200 => format!("{} minutes", seconds / 60),
            7_200..172_800 => format!("{} hours", seconds / 3_600),
            _ => format!("{} days", seconds / 86_400),
        };
        match self {
            Doubt::TooEarly => f.write_str("it is before 2025"),
            Doubt::TooLate => f.write_str("it is after 2036"),
            Doubt::Behind(by) => write!(f, "it is {} behind the latest time that was seen", long(*by)),
            Doubt::Ahead(by) => write!(f, "it is {} ahead of the latest time that was seen", long(*by)),
        }
    }
}

/// State of the judgement. Pure: the caller passes times, in seconds since 1970 and since any fixed moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Watch {
    /// Latest time that was believed, and the steady clock then; `None` before the first.
    mark: Option<(u64, Duration)>,
    /// Leap that may be believed later: its size in seconds, and the steady clock when it was first seen.
    leap: Option<(u64, Duration)>,
    doubt: Option<Doubt>,
    /// Steady clock since which there has been no doubt.
    settled_since: Duration,
}

impl Watch {
    pub(crate) fn new(mark: Option<u64>, steady: Duration) -> Watch {
        Watch { mark: mark.map(|mark| (mark, steady)), leap: None, doubt: None, settled_since: steady }
    }

    /// Returns the time that was believed, advanced by the steady clock; `None` if there is none.
    pub(crate) fn expected(&self, steady: Duration) -> Option<u64> {
        self.mark.map(|(mark, at)| mark.saturating_add(steady.saturating_sub(at).as_secs()))
    }

    /// Judges a reading of the wall clock.
    pub(crate) fn look(&mut self, wall: u64, steady: Duration) {
        self.doubt = self.judge(wall, steady);
        if self.doubt.is_some() {
            self.settled_since = steady;
        } else if self.expected(steady).is_none_or(|expected| expected <= wall) {
            self.mark = Some((wall, steady));
        }
    }

    fn judge(&mut self, wall: u64, steady: Duration) -> Option<Doubt> {
        let leap = self.leap.take();
        if wall < EARLIEST {
            return Some(Doubt::TooEarly);
        }
        if wall >= LATEST {
            return Some(Doubt::TooLate);
        }
        let expected = self.expected(steady)?;
        if wall.saturating_add(BACK) < expected {
            return Some(Doubt::Behind(expected - wall));
        }
        let ahead = wall.saturating_sub(expected);
        if ahead <= LEAP {
            return None;
        }
        // A leap of another size begins its time anew.
        let since = leap.filter(|(far, _)| far.abs_diff(ahead) <= BACK).map_or(steady, |(_, since)| since);
        if steady.saturating_sub(since) >= MIN_LEAP_AGE {
            return None;
        }
        self.leap = Some((ahead, since));
        Some(Doubt::Ahead(ahead))
    }

    pub(crate) fn believed(&self, wall: u64, steady: Duration) -> u64 {
        match self.expected(steady) {
            Some(expected) if self.doubt.is_some() => expected,
            Some(expected) => expected.max(wall),
            None => wall.clamp(EARLIEST, LATEST),
        }
    }

    fn settled(&self, wall: u64, steady: Duration) -> Option<u64> {
        let long_enough = steady.saturating_sub(self.settled_since) >= SETTLE;
        (self.doubt.is_none() && long_enough).then(|| self.believed(wall, steady))
    }
}

/// Text that outlives the process, in which the latest time that was believed is kept.
pub trait Keep: fmt::Display + Send + Sync {
    /// Reads the text; an error of [`io::ErrorKind::NotFound`] if none was ever written.
    fn read(&self) -> io::Result<Vec<u8>>;
    /// Writes the text, durably and as a whole. Blocks on the disk.
    fn write(&self, text: &[u8]) -> io::Result<()>;
}

struct Running {
    watch: Watch,
    /// Steady clock at the beginning.
    began: Duration,
    place: Arc<dyn Keep>,
    kept_at: Option<Duration>,
    /// Set while writes of the time fail, so that only the first failure is logged.
    keeping_fails: bool,
}

/// State of the clock of a process.
struct Known {
    running: Mutex<Option<Running>>,
    /// Time that was believed at the last look; 0 before [`begin`]. Read by every request.
    floor: AtomicU64,
}

impl Known {
    const fn nothing() -> Known {
        Known { running: Mutex::new(None), floor: AtomicU64::new(0) }
    }
}

static KNOWN: Known = Known::nothing();

fn known() -> &'static Known {
    #[cfg(test)]
    if let Some(of_simulation) = simulated::known() {
        return of_simulation;
    }
    &KNOWN
}

fn running() -> MutexGuard<'static, Option<Running>> {
    known().running.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the machine's clock, believed or not: for what is shown.
pub fn wall_clock() -> SystemTime {
    #[cfg(test)]
    if simulated::wall() > 0 {
        return unix_time::from_seconds(simulated::wall());
    }
    SystemTime::now()
}

/// Returns the clock that nobody sets, since any fixed moment.
fn steady_clock() -> Duration {
    #[cfg(test)]
    if let Some(simulated) = simulated::steady() {
        return simulated;
    }
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    BEGAN.elapsed()
}

fn wall() -> u64 {
    unix_time::seconds(wall_clock())
}

impl Running {
    /// Reads the wall clock, and logs a change of the doubt.
    fn look(&mut self) -> (u64, Duration) {
        let (wall, steady) = (wall(), steady_clock().saturating_sub(self.began));
        let before = self.watch.doubt;
        self.watch.look(wall, steady);
        let doubted = |doubt: &Option<Doubt>| doubt.as_ref().map(std::mem::discriminant);
        match self.watch.doubt {
            Some(doubt) if doubted(&before) != doubted(&self.watch.doubt) => tracing::error!(
                "THE CLOCK IS NOT BELIEVED: {doubt}. Nothing is deleted for its age and no month's calls are granted anew until it is right"
            ),
            None if before.is_some() => tracing::info!("the clock is believed again"),
            _ => {}
        }
        known().floor.store(self.watch.believed(wall, steady), Ordering::Relaxed);
        (wall, steady)
    }

    /// Returns the time to keep and where; `None` if there is no time yet.
    fn due(&mut self, steady: Duration) -> Option<(Arc<dyn Keep>, u64)> {
        self.kept_at = Some(steady_clock());
        Some((self.place.clone(), self.watch.expected(steady)?))
    }
}

/// Writes the time. The lock is not held meanwhile: the disk may be slow, and calls need the time.
fn write((place, mark): (Arc<dyn Keep>, u64)) {
    let kept = place.write(render(mark).as_bytes());
    let Some(running) = &mut *running() else { return };
    if let Err(error) = &kept
        && !running.keeping_fails
    {
        tracing::warn!(%error, "the latest time that was seen cannot be kept");
    }
    running.keeping_fails = kept.is_err();
}

/// Begins to watch the clock of this process, from the latest time that was kept.
pub fn begin(place: Arc<dyn Keep>) {
    let mark = match place.read() {
        Ok(bytes) => std::str::from_utf8(&bytes).ok().and_then(parse).or_else(|| {
            tracing::error!(path = %place, "the latest time that was seen is damaged; it begins anew");
            None
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::error!(%error, path = %place, "the latest time that was seen cannot be read");
            None
        }
    };
    let watch = Watch::new(mark, Duration::ZERO);
    let mut begun = Running { watch, began: steady_clock(), place, kept_at: None, keeping_fails: false };
    begun.look();
    *running() = Some(begun);
}

/// Looks at the clock, and writes the time at intervals of [`KEEP_EVERY`]. To be called about once a second. Blocks
/// on the disk.
pub(crate) fn beat() {
    look_and_keep(|running| running.kept_at.is_none_or(|at| steady_clock().saturating_sub(at) >= KEEP_EVERY));
}

/// Writes the time, for the end of the daemon.
pub(crate) fn keep() {
    look_and_keep(|_| true);
}

fn look_and_keep(is_due: impl FnOnce(&Running) -> bool) {
    let due = running().as_mut().and_then(|running| {
        let (_, steady) = running.look();
        if is_due(running) { running.due(steady) } else { None }
    });
    if let Some(due) = due {
        write(due);
    }
}

/// Returns seconds since 1970, never before a time that was believed: for what ends.
pub fn now() -> u64 {
    not_before(wall())
}

/// Returns `moment`, or the time that was believed if that is later.
pub(crate) fn not_before(moment: u64) -> u64 {
    moment.max(known().floor.load(Ordering::Relaxed))
}

/// Returns seconds since 1970 as far as the clock is believed: for what is counted and granted.
pub fn believed() -> u64 {
    believed_at(wall())
}

/// Does the same with a wall clock that was just read.
pub(crate) fn believed_at(wall: u64) -> u64 {
    let floor = known().floor.load(Ordering::Relaxed);
    // Nearly always true: the last look was a second ago.
    if floor == 0 || (floor..=floor.saturating_add(2)).contains(&wall) {
        return wall;
    }
    match &mut *running() {
        Some(running) => {
            let (wall, steady) = running.look();
            running.watch.believed(wall, steady)
        }
        None => wall,
    }
}

/// Returns the same once the clock was believed for ten minutes, and `None` until then: for what is deleted.
pub fn settled() -> Option<u64> {
    match &mut *running() {
        Some(running) => {
            let (wall, steady) = running.look();
            running.watch.settled(wall, steady)
        }
        None => Some(wall()),
    }
}

/// Returns the reason that the clock is not believed; `None` if it is.
pub fn doubt() -> Option<Doubt> {
    running().as_mut().and_then(|running| {
        running.look();
        running.watch.doubt
    })
}

fn render(mark: u64) -> String {
    format!("{mark} {}\n", sum(mark))
}

/// Returns the time in a file that is whole and plausible; `None` otherwise.
fn parse(text: &str) -> Option<u64> {
    let (mark, given) = text.trim_end().split_once(' ')?;
    let mark = mark.parse().ok()?;
    (given == sum(mark) && (EARLIEST..LATEST).contains(&mark)).then_some(mark)
}

fn sum(mark: u64) -> String {
    let digest = Sha256::digest(mark.to_string().as_bytes());
    digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Start of 2026-11-28, in seconds since 1970.
    const TODAY: u64 = 1_795_824_000;
    const DAY: u64 = 86_400;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Returns a watch started at a wall clock and run for `after` seconds.
    fn started(mark: Option<u64>, wall: u64, after: u64) -> Watch {
        let mut watch = Watch::new(mark, Duration::ZERO);
        for second in 0..=after {
            watch.look(wall + second, seconds(second));
        }
        watch
    }

    #[test]
    fn a_start_with_a_wrong_clock_deletes_nothing_and_the_time_goes_on() {
        for wrong in [
            0,
            5,
            978_307_200,
            1_735_689_599,
            TODAY - 60 * DAY,
            TODAY - 301,
            2_145_916_800,
            4_291_747_200,
            u64::MAX / 2,
        ] {
            let watch = started(Some(TODAY), wrong, 7_200);
            assert!(watch.doubt.is_some(), "{wrong}");
            assert_eq!(watch.settled(wrong + 7_200, seconds(7_200)), None, "{wrong}");
            assert_eq!(watch.believed(wrong + 7_200, seconds(7_200)), TODAY + 7_200, "{wrong}");
        }
        // A leap of ten years, as of a machine that was stored, is not believed within the hour.
        let watch = started(Some(TODAY), LATEST - DAY, 3_599);
        assert_eq!(watch.settled(LATEST, seconds(3_599)), None);
        assert_eq!(watch.believed(LATEST, seconds(3_599)), TODAY + 3_599);
    }

    #[test]
    fn a_right_clock_is_believed_at_once_and_deletes_after_ten_minutes() {
        for wall in [TODAY, TODAY - 200, TODAY + 30 * DAY] {
            let watch = started(Some(TODAY), wall, 599);
            assert_eq!((watch.doubt, watch.settled(wall + 599, seconds(599))), (None, None), "{wall}");
            let watch = started(Some(TODAY), wall, 600);
            assert_eq!(watch.settled(wall + 600, seconds(600)), Some(wall.max(TODAY) + 600));
        }
        assert_eq!(started(None, TODAY, 0).doubt, None, "the first start has only the clock to believe");
    }

    #[test]
    fn a_long_absence_is_believed_after_an_hour() {
        let later = TODAY + 200 * DAY;
        assert_eq!(started(Some(TODAY), later, 3_599).doubt, Some(Doubt::Ahead(200 * DAY)));
        let watch = started(Some(TODAY), later, 3_600);
        assert_eq!((watch.doubt, watch.believed(later, seconds(3_600))), (None, later + 3_600));
        // One that does not stay as it is begins its hour anew.
        let mut watch = started(Some(TODAY), later, 3_000);
        watch.look(later + 100 * DAY, seconds(3_001));
        watch.look(later + 100 * DAY + 1_000, seconds(4_001));
        assert!(watch.doubt.is_some());
    }

    #[test]
    fn a_clock_that_is_set_right_ends_the_doubt_and_the_ten_minutes_begin() {
        let mut watch = started(Some(TODAY), 0, 100);
        watch.look(TODAY + 500, seconds(101));
        assert_eq!((watch.doubt, watch.believed(TODAY + 500, seconds(101))), (None, TODAY + 500));
        assert_eq!(watch.settled(TODAY + 999, seconds(600)), None);
        assert_eq!(watch.settled(TODAY + 1_100, seconds(701)), Some(TODAY + 1_100));
    }

    #[test]
    fn the_time_that_was_kept_is_read_again_or_not_at_all() {
        assert_eq!(parse(&render(TODAY)), Some(TODAY));
        let good = render(TODAY);
        for bad in ["", "\n", "1795824000", "1795824000 00000000", &good[1..], &render(5), &render(LATEST)] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    proptest! {
        /// For any readings of the wall clock: the believed time never goes back, and is never more than a month
        /// ahead of the steady clock in less than an hour.
        #[test]
        fn what_is_believed_never_goes_back_and_leaps_only_so_far(
            looks in prop::collection::vec((1u64..600, prop_oneof![
                (0u64..LATEST + 10), (TODAY - 90 * DAY..TODAY + 90 * DAY), Just(TODAY), Just(0), Just(u64::MAX)
            ]), 1..60)
        ) {
            let mut watch = Watch::new(Some(TODAY), Duration::ZERO);
            let (mut steady, mut last, mut granted) = (0, TODAY, Vec::new());
            for (after, wall) in looks {
                steady += after;
                watch.look(wall, seconds(steady));
                let believed = watch.believed(wall, seconds(steady));
                prop_assert!(believed >= last);
                let leap = believed - last - after.min(believed - last);
                granted.push((steady, leap));
                last = believed;
                let in_doubt = watch.doubt.is_some();
                prop_assert!(!in_doubt || leap == 0, "a doubted clock moves nothing");
                prop_assert!(leap <= LEAP || steady >= MIN_LEAP_AGE.as_secs(), "{leap}");
            }
        }
    }
}
