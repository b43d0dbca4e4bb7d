//! Monthly call quotas of plans and keys, granted in blocks that are stored before they are used, never after. So a
//! quota holds across crashes. A crash costs the unused rest of a block; an orderly stop gives that rest back. A
//! call is taken from all quotas that apply to it, or from none.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use foldhash::fast::RandomState;
use tokio::sync::Mutex as AsyncMutex;

use super::aggregates::Grant;
use super::calendar::{day_of, first_of_month, next_month, start_of_day};
use super::error::{Error, QuotaOf};
use super::writer::UsageHandle;
use crate::access::{KeyRing, MAX_SUBJECTS, Plan, Principal};
use crate::clock;

/// Id of the organization among the quota holders. A member's holder has the member's id; an id with a slash is no
/// member's id.
const ORGANIZATION: &str = "organization";
const MEMBERS: &str = "member/";
const KEYS: &str = "key/";

/// Number of holders from which those of keys that no longer exist are looked for.
const MANY: usize = 1_024;

/// Number of holders from which those of members that no longer exist are looked for: more than there can be at once.
const MANY_MEMBERS: usize = 2 * MAX_SUBJECTS;

/// State of a monthly quota. Pure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct MonthlyQuota {
    /// Month, as the number of its first day since 1970.
    month: u32,
    /// First second after the month, since 1970.
    until: u64,
    used: u64,
    granted: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Take {
    Taken,
    /// The granted calls are used up; this grant must be stored first.
    Ask(Grant),
    /// The calls of the month are used up.
    UsedUp,
}

impl MonthlyQuota {
    fn new(known: Grant) -> MonthlyQuota {
        // The number of calls used of the last grant before this start is unknown; assume all, to be safe.
        let until = start_of_day(next_month(known.month));
        MonthlyQuota { month: known.month, until, used: known.granted, granted: known.granted }
    }

    /// Takes one call of at most `limit` a month at `now`, in seconds since 1970. The limit may differ from call to
    /// call.
    fn take(&mut self, now: u64, limit: u64) -> Take {
        if now >= self.until {
            let month = first_of_month(day_of(now));
            (self.month, self.until) = (month, start_of_day(next_month(month)));
            (self.used, self.granted) = (0, 0);
        }
        if self.used >= limit {
            return Take::UsedUp;
        }
        if self.used < self.granted {
            self.used += 1;
            return Take::Taken;
        }
        // A small block keeps the cost of a crash low, and still lasts for a while.
        let block = (limit / 100).max(1);
        Take::Ask(Grant { month: self.month, granted: (self.granted + block).min(limit) })
    }

    fn grant(&mut self, grant: Grant) {
        if grant.month == self.month {
            self.granted = self.granted.max(grant.granted);
        }
    }
}

struct QuotaPool {
    id: Arc<str>,
    /// State of the quota; `None` until the grants before this start have been read.
    account: Mutex<Option<MonthlyQuota>>,
    /// Lock held while a further block is stored, so that other calls wait for it.
    asking: AsyncMutex<()>,
}

impl QuotaPool {
    fn new(id: Arc<str>) -> QuotaPool {
        QuotaPool { id, account: Mutex::default(), asking: AsyncMutex::default() }
    }

    fn account(&self) -> MutexGuard<'_, Option<MonthlyQuota>> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the number of calls granted before this start.
    async fn load(&self, usage: &UsageHandle) -> Result<(), Error> {
        let known = usage.grant(self.id.clone()).await?;
        self.account().get_or_insert_with(|| MonthlyQuota::new(known));
        Ok(())
    }

    /// Takes one call of at most `limit` a month.
    async fn take(&self, usage: &UsageHandle, limit: u64, of: QuotaOf) -> Result<(), Error> {
        loop {
            let now = clock::believed();
            let taken = self.account().as_mut().map(|account| account.take(now, limit));
            match taken {
                Some(Take::Taken) => return Ok(()),
                Some(Take::UsedUp) => return Err(used_up(limit, of)),
                // Boxed, because it is rare and its state is large.
                Some(Take::Ask(_)) | None => {
                    if Box::pin(self.take_after_asking(usage, now, limit, of)).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Takes one call if another call has had a grant stored meanwhile, and returns `true`. Otherwise has a grant stored, or
    /// the account loaded, and returns `false`.
    async fn take_after_asking(
        &self,
        usage: &UsageHandle,
        now: u64,
        limit: u64,
        of: QuotaOf,
    ) -> Result<bool, Error> {
        let _turn = self.asking.lock().await;
        // The previous lock holder may have stored a grant already.
        let ask = self.account().as_mut().map(|account| account.take(now, limit));
        match ask {
            Some(Take::Taken) => return Ok(true),
            Some(Take::UsedUp) => return Err(used_up(limit, of)),
            Some(Take::Ask(grant)) => {
                usage.put_grant(self.id.clone(), grant).await?;
                if let Some(account) = &mut *self.account() {
                    account.grant(grant);
                }
            }
            None => self.load(usage).await?,
        }
        Ok(false)
    }

    fn give_back(&self) {
        if let Some(account) = &mut *self.account() {
            account.used = account.used.saturating_sub(1);
        }
    }
}

fn used_up(limit: u64, of: QuotaOf) -> Error {
    let now = clock::believed();
    let next = start_of_day(next_month(day_of(now)));
    let retry_after = Duration::from_secs(next.saturating_sub(now));
    Error::QuotaExceeded { of, limit, retry_after }
}

/// Guard of a call that was taken: gives it back when dropped, unless it is kept.
struct Taken<'a>(Option<&'a QuotaPool>);

impl Taken<'_> {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(holder) = self.0 {
            holder.give_back();
        }
    }
}

type QuotaPools = DashMap<Arc<str>, Arc<QuotaPool>, RandomState>;

/// Quotas of all plans and keys that have one. Holders are made when they are first needed; their limits may change
/// at any time.
pub(crate) struct Quotas {
    usage: UsageHandle,
    ring: KeyRing,
    organization: Arc<QuotaPool>,
    members: QuotaPools,
    keys: QuotaPools,
    /// Number of keys in `keys` at which those that no longer exist are looked for.
    most_keys: AtomicUsize,
}

impl Quotas {
    /// Loads the quotas of the plans that have a limit now.
    pub(crate) async fn load(ring: KeyRing, usage: UsageHandle) -> Result<Quotas, Error> {
        let quotas = Quotas {
            usage,
            ring,
            organization: Arc::new(QuotaPool::new(ORGANIZATION.into())),
            members: QuotaPools::default(),
            keys: QuotaPools::default(),
            most_keys: AtomicUsize::new(MANY),
        };
        let tenancy = quotas.ring.tenancy();
        let limited = |plan: &Plan| plan.monthly_requests.is_some();
        let own = tenancy.members.iter().filter(|member| member.plan.as_deref().is_some_and(limited));
        let mut holders: Vec<Arc<QuotaPool>> = own.map(|member| quotas.of_member(&member.id)).collect();
        holders.extend(limited(&tenancy.organization.plan).then(|| quotas.organization.clone()));
        for holder in holders {
            // A store that cannot be read yet does not prevent the start: calls are refused until the month's usage
            // is known.
            match holder.load(&quotas.usage).await {
                Err(error @ Error::Store { .. }) => {
                    tracing::error!(%error, holder = %holder.id, "what is left of this month's calls is not known yet");
                }
                loaded => loaded?,
            }
        }
        Ok(quotas)
    }

    /// Takes one call from the quota of the caller's key and from that of its plan, which is its member's own or the
    /// organization's; or from neither.
    pub(crate) async fn take(&self, caller: &Principal) -> Result<(), Error> {
        let (of_key, of_plan) = (caller.limits().monthly_requests, caller.plan().monthly_requests);
        if of_key.is_none() && of_plan.is_none() {
            return Ok(());
        }
        let own = of_key.map(|limit| (self.of_key(caller.key_id()), limit));
        let mut taken = Taken(None);
        if let Some((holder, limit)) = &own {
            holder.take(&self.usage, *limit, QuotaOf::Key).await?;
            taken = Taken(Some(holder));
        }
        if let Some(limit) = of_plan {
            self.of_plan(caller).take(&self.usage, limit, QuotaOf::Plan).await?;
        }
        taken.keep();
        Ok(())
    }

    /// Gives back a call that was not made.
    pub(crate) fn give_back(&self, caller: &Principal) {
        if caller.limits().monthly_requests.is_some() {
            self.of_key(caller.key_id()).give_back();
        }
        if caller.plan().monthly_requests.is_some() {
            self.of_plan(caller).give_back();
        }
    }

    fn of_plan(&self, caller: &Principal) -> Arc<QuotaPool> {
        match caller.member().plan {
            Some(_) => self.of_member(&caller.member().id),
            None => self.organization.clone(),
        }
    }

    fn of_member(&self, id: &Arc<str>) -> Arc<QuotaPool> {
        if let Some(holder) = self.members.get(id) {
            return holder.clone();
        }
        if self.members.len() >= MANY_MEMBERS {
            // Subjects of access tokens come and go; what was granted to them stays stored.
            self.members.retain(|id, _| self.ring.has_member(id));
        }
        // A member that is named like the organization is not the organization.
        let kept = if **id == *ORGANIZATION { [MEMBERS, id].concat().into() } else { id.clone() };
        self.members.entry(id.clone()).or_insert_with(|| Arc::new(QuotaPool::new(kept))).clone()
    }

    fn of_key(&self, id: &Arc<str>) -> Arc<QuotaPool> {
        if let Some(holder) = self.keys.get(id) {
            return holder.clone();
        }
        if self.keys.len() >= self.most_keys.load(Ordering::Relaxed) {
            self.forget();
        }
        let new = || Arc::new(QuotaPool::new([KEYS, id].concat().into()));
        self.keys.entry(id.clone()).or_insert_with(new).clone()
    }

    /// Drops keys that no longer exist from memory; what was granted to them stays stored.
    fn forget(&self) {
        let mut ids: HashSet<Arc<str>> = self.ring.keys(0).into_iter().map(|key| key.record.id).collect();
        ids.extend(self.ring.subject_names().into_iter().map(|(id, _)| id));
        self.keys.retain(|id, _| ids.contains(id));
        self.most_keys.store((2 * self.keys.len()).max(MANY), Ordering::Relaxed);
    }

    /// Stores the number of calls really used.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        let holders: Vec<Arc<QuotaPool>> = [&self.members, &self.keys]
            .into_iter()
            .flat_map(|holders| holders.iter().map(|holder| holder.clone()).collect::<Vec<_>>())
            .chain([self.organization.clone()])
            .collect();
        for holder in holders {
            let used = holder.account().as_mut().map(|account| {
                account.granted = account.used;
                Grant { month: account.month, granted: account.used }
            });
            let Some(grant) = used else { continue };
            self.usage.put_grant(holder.id.clone(), grant).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_new_month_begins_anew() {
        // Day 0 begins January 1970, day 31 February.
        let mut account = MonthlyQuota::new(Grant { month: 0, granted: 1 });
        assert_eq!(account.take(31 * 86_400 - 1, 1), Take::UsedUp);
        let february = 31 * 86_400;
        assert_eq!(account.take(february, 1), Take::Ask(Grant { month: 31, granted: 1 }));
        account.grant(Grant { month: 31, granted: 1 });
        assert_eq!((account.take(february, 1), account.take(february, 1)), (Take::Taken, Take::UsedUp));
    }

    #[test]
    fn another_limit_counts_from_the_next_call_and_forgets_nothing() {
        let mut account = MonthlyQuota::new(Grant { month: 0, granted: 0 });
        account.grant(Grant { month: 0, granted: 10 });
        for _ in 0..5 {
            assert_eq!(account.take(1, 1_000), Take::Taken);
        }
        assert_eq!(account.take(1, 5), Take::UsedUp, "fewer than were granted");
        assert_eq!(account.take(1, 6), Take::Taken);
        for _ in 0..4 {
            assert_eq!(account.take(1, 1_000), Take::Taken);
        }
        assert_eq!(account.take(1, 1_000), Take::Ask(Grant { month: 0, granted: 20 }));
    }

    proptest! {
        /// For any behaviour of the wall clock and any number of restarts: no month is granted more than the plan
        /// has, and no month begins by a clock that is not believed.
        #[test]
        fn whatever_the_clock_does_no_month_is_granted_twice(
            steps in prop::collection::vec((any::<bool>(), 0u64..7_200, prop_oneof![
                Just(0), Just(978_307_200), Just(4_291_747_200), (-120i64..120).prop_map(|days| {
                    1_795_824_000u64.saturating_add_signed(days * 86_400)
                })
            ]), 1..40)
        ) {
            let (limit, began) = (5, 1_795_824_000);
            let month = first_of_month(day_of(began));
            let mut stored = Grant { month, granted: 0 };
            let mut account = MonthlyQuota::new(stored);
            let mut watch = clock::Watch::new(Some(began), Duration::ZERO);
            let (mut steady, mut made) = (Duration::ZERO, HashMap::<u32, u64>::new());
            for (anew, wait, wall) in steps {
                steady += Duration::from_secs(wait);
                if anew {
                    // What is kept is the time that was believed.
                    watch = clock::Watch::new(watch.expected(steady), steady);
                    account = MonthlyQuota::new(stored);
                }
                for _ in 0..20 {
                    watch.look(wall, steady);
                    match account.take(watch.believed(wall, steady), limit) {
                        Take::Taken => *made.entry(account.month).or_default() += 1,
                        Take::Ask(grant) => {
                            prop_assert!(grant.month >= stored.month, "months only go forward");
                            stored = grant;
                            account.grant(grant);
                        }
                        Take::UsedUp => break,
                    }
                }
            }
            prop_assert!(made.values().all(|calls| *calls <= limit), "{made:?}");
        }

        /// For any crashes: no more calls are made than the plan has, and without crashes exactly as many.
        #[test]
        fn no_more_than_the_limit_whatever_happens(limit in 1u64..2_000, crashes in prop::collection::vec(1usize..400, 0..6)) {
            let (mut stored, mut made) = (Grant { month: 0, granted: 0 }, 0);
            let mut account = MonthlyQuota::new(stored);
            let mut runs = crashes.iter();
            let mut until_crash = runs.next().copied();
            loop {
                match account.take(86_400, limit) {
                    Take::Taken => {
                        made += 1;
                        prop_assert!(made <= stored.granted, "used before it was written down");
                    }
                    Take::Ask(grant) => {
                        stored = grant;
                        account.grant(grant);
                    }
                    Take::UsedUp => break,
                }
                if let Some(left) = &mut until_crash {
                    *left -= 1;
                    if *left == 0 {
                        account = MonthlyQuota::new(stored);
                        until_crash = runs.next().copied();
                    }
                }
            }
            prop_assert!(made <= limit);
            prop_assert!(!crashes.is_empty() || made == limit);
        }
    }
}
