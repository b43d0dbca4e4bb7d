use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::store::MemoryStore;
use crate::usage::buffer::Counted;

/// 2026-11-30, midnight.
const DAY: u64 = 1_795_996_800;

/// Sums of calls, each a second since [`DAY`] with the number of its key, its server and its tool.
fn counted(calls: &[(u64, u8, u8, u8)]) -> UsageAggregates {
    let mut sums = UsageAggregates::load(Arc::new(MemoryStore::default())).expect("memory");
    for (second, key, server, tool) in calls {
        let mut tally = CallStats::default();
        tally.record("ok", Duration::from_millis(4), (1, 1));
        let minute = u32::try_from((DAY + second) / 60).expect("small");
        let counted =
            Counted { minute, key: format!("k{key}").into(), tool: format!("t{tool}").into(), tally };
        let server = format!("s{server}");
        sums.add(&server.as_str().into(), &format!("name of {server}").into(), &counted).expect("memory");
    }
    sums
}

fn range(since: u64, until: u64, by: &[GroupedBy], step: Option<u64>) -> RangeQuery {
    RangeQuery {
        since: DAY + since,
        until: DAY + until,
        coarsest: Resolution::Minute,
        grouping: Grouping { by: by.to_vec(), step },
        of: UsageOf::default(),
    }
}

fn asked(sums: &UsageAggregates, query: &RangeQuery, now: u64) -> RangeSums {
    super::sums(sums, query, DAY + now, Retention::default()).expect("memory")
}

#[test]
fn a_range_of_late_is_counted_by_the_minute_an_earlier_one_as_kept() {
    let sums = counted(&[(30, 1, 1, 1), (3_700, 1, 1, 1), (3_750, 1, 1, 1), (7_000, 1, 1, 1)]);
    let late = asked(&sums, &range(3_725, 3_779, &[], None), 7_200);
    assert_eq!((late.resolution, late.usage.total.calls()), (Resolution::Minute, 1));
    assert_eq!((late.since - DAY, late.until - DAY), (3_720, 3_779));
    let early = asked(&sums, &range(3_725, 3_779, &[], None), 20_000);
    assert_eq!((early.resolution, early.usage.total.calls()), (Resolution::Hour, 3));
    assert_eq!((early.since - DAY, early.until - DAY), (3_600, 7_199));
    let old = asked(&sums, &range(3_725, 3_779, &[], None), 40 * 86_400);
    assert_eq!((old.resolution, old.usage.total.calls()), (Resolution::Day, 4));
    assert_eq!(old.usage.by_day, [(DAY, old.usage.total.clone())]);
}

#[test]
fn calls_are_summed_across_keys_servers_and_tools_and_by_steps() {
    use GroupedBy::{Key, Server, Tool};
    let sums = counted(&[(10, 1, 1, 1), (70, 1, 1, 1), (80, 2, 1, 1), (700, 1, 2, 1)]);
    let of = |by: &[GroupedBy], step| {
        let told = asked(&sums, &range(0, 1_199, by, step), 1_200);
        let name = |group: &GroupSum| {
            let server = group.server.as_ref().map(|(_, name)| name.clone().expect("known"));
            format!(
                "{}{}{}{}={}",
                group.start.map(|start| format!("+{} ", start - DAY)).unwrap_or_default(),
                group.key.as_deref().unwrap_or_default(),
                server.as_deref().unwrap_or_default(),
                group.tool.as_deref().unwrap_or_default(),
                group.tally.calls()
            )
        };
        told.groups.iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(of(&[Key], None), ["k1=3", "k2=1"]);
    assert_eq!(of(&[Key, Server, Tool], None), ["k1name of s1t1=2", "k1name of s2t1=1", "k2name of s1t1=1"]);
    assert_eq!(of(&[], Some(600)), ["+0 =3", "+600 =1"]);
    assert_eq!(of(&[Key], Some(60)), ["+0 k1=1", "+60 k1=1", "+60 k2=1", "+660 k1=1"]);
    assert!(of(&[], None).is_empty());
    let coarse = RangeQuery { coarsest: Resolution::Day, ..range(0, 1, &[], Some(60)) };
    let coarse = asked(&sums, &coarse, 1_200);
    assert_eq!(
        (coarse.step, coarse.usage.total.calls()),
        (Some(86_400), 4),
        "no step is finer than the sums"
    );
}

proptest! {
    #[test]
    fn every_way_to_group_a_range_adds_up_to_the_whole(
        calls in prop::collection::vec((0u64..9_000, 0u8..3, 0u8..3, 0u8..3), 0..60),
        since in 0u64..9_000, length in 0u64..9_000, now in 9_000u64..200_000, step in 1u64..90,
        by in prop::collection::vec(prop_oneof![Just(GroupedBy::Key), Just(GroupedBy::Server), Just(GroupedBy::Tool)], 0..3),
    ) {
        let sums = counted(&calls);
        let told = asked(&sums, &range(since, since + length, &by, Some(step * 60)), now);
        let within = |second: u64| (told.since..=told.until).contains(&(DAY + second));
        let expected = calls.iter().filter(|(second, ..)| within(*second)).count() as u64;
        prop_assert!(told.since <= DAY + since && told.until >= DAY + since + length);
        prop_assert_eq!(told.usage.total.calls(), expected);
        prop_assert_eq!(told.groups.iter().map(|group| group.tally.calls()).sum::<u64>(), expected);
        prop_assert_eq!(told.usage.by_day.iter().map(|(_, tally)| tally.calls()).sum::<u64>(), expected);
    }
}
