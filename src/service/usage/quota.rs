//! How many calls a month: granted in blocks that are written down before they are used, never after.
//! So a plan's number holds across crashes, which cost what was left of a block; an orderly end gives
//! that back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex as AsyncMutex;

use super::calendar::{day_of, first_of_month, next_month, start_of_day};
use super::ledger::Grant;
use super::writer::UsageHandle;
use crate::access::{Charter, Member, Principal};
use crate::service::{Error, clock};

/// Stands for the organization among the holders of plans.
const ORGANIZATION: &str = "organization";

/// What is left of a month. Pure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Account {
    limit: u64,
    /// The number of the month's first day.
    month: u32,
    /// The first second after the month, since 1970.
    until: u64,
    used: u64,
    granted: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Take {
    Taken,
    /// Nothing is left of what was granted; this is to be granted first.
    Ask(Grant),
    /// The month's calls are used up.
    UsedUp,
}

impl Account {
    fn new(limit: u64, known: Grant) -> Account {
        // What of the last grant was used before this start is not known; all of it, to be safe.
        let until = start_of_day(next_month(known.month));
        Account { limit, month: known.month, until, used: known.granted, granted: known.granted }
    }

    /// Takes a call at this moment, in seconds since 1970.
    fn take(&mut self, now: u64) -> Take {
        if now >= self.until {
            let month = first_of_month(day_of(now));
            (self.month, self.until) = (month, start_of_day(next_month(month)));
            (self.used, self.granted) = (0, 0);
        }
        if self.used < self.granted {
            self.used += 1;
            return Take::Taken;
        }
        if self.granted >= self.limit {
            return Take::UsedUp;
        }
        // So that what a crash costs is small, and a block lasts.
        let block = (self.limit / 100).max(1);
        Take::Ask(Grant { month: self.month, granted: (self.granted + block).min(self.limit) })
    }

    fn grant(&mut self, grant: Grant) {
        if grant.month == self.month {
            self.granted = self.granted.max(grant.granted);
        }
    }
}

struct Holder {
    id: Arc<str>,
    limit: u64,
    /// Nothing as long as it could not be read what was granted before this start.
    account: Mutex<Option<Account>>,
    /// Held while a further block is written down, so that the others wait for it.
    asking: AsyncMutex<()>,
}

impl Holder {
    fn account(&self) -> MutexGuard<'_, Option<Account>> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what was granted before this start.
    async fn load(&self, usage: &UsageHandle) -> Result<(), Error> {
        let known = usage.grant(self.id.clone()).await?;
        self.account().get_or_insert_with(|| Account::new(self.limit, known));
        Ok(())
    }

    async fn take(&self, usage: &UsageHandle) -> Result<(), Error> {
        loop {
            let now = clock::believed();
            let taken = self.account().as_mut().map(|account| account.take(now));
            match taken {
                Some(Take::Taken) => return Ok(()),
                Some(Take::UsedUp) => return Err(self.used_up()),
                Some(Take::Ask(_)) | None => {}
            }
            let _turn = self.asking.lock().await;
            // Whoever had the turn before may have seen to it.
            let ask = self.account().as_mut().map(|account| account.take(now));
            match ask {
                Some(Take::Taken) => return Ok(()),
                Some(Take::UsedUp) => return Err(self.used_up()),
                Some(Take::Ask(grant)) => {
                    usage.put_grant(self.id.clone(), grant).await?;
                    if let Some(account) = &mut *self.account() {
                        account.grant(grant);
                    }
                }
                None => self.load(usage).await?,
            }
        }
    }

    fn used_up(&self) -> Error {
        let now = clock::believed();
        let next = start_of_day(next_month(day_of(now)));
        let retry_after = Duration::from_secs(next.saturating_sub(now));
        Error::QuotaExceeded { limit: self.limit, retry_after }
    }
}

/// The plans with a number of calls a month.
pub(in crate::service) struct Quotas {
    usage: UsageHandle,
    organization: Option<Arc<Holder>>,
    members: HashMap<Arc<str>, Arc<Holder>>,
}

impl Quotas {
    /// What is left of this month for each holder of a plan that has a limit.
    pub(in crate::service) async fn load(charter: &Charter, usage: UsageHandle) -> Result<Quotas, Error> {
        let mut organization = None;
        if let Some(limit) = charter.organization.plan.monthly_requests {
            organization = Some(holder(ORGANIZATION.into(), limit, &usage).await?);
        }
        let mut members = HashMap::new();
        let own = |member: &Arc<Member>| Some((member.id.clone(), member.plan.as_ref()?.monthly_requests?));
        for (id, limit) in charter.members.iter().filter_map(own) {
            members.insert(id.clone(), holder(id, limit, &usage).await?);
        }
        Ok(Quotas { usage, organization, members })
    }

    /// Takes a call from the caller's plan, which is its member's own or the organization's.
    pub(in crate::service) async fn take(&self, caller: &Principal) -> Result<(), Error> {
        match self.holder(caller) {
            Some(holder) => holder.take(&self.usage).await,
            None => Ok(()),
        }
    }

    /// Gives back a call that was not made.
    pub(in crate::service) fn give_back(&self, caller: &Principal) {
        if let Some(holder) = self.holder(caller)
            && let Some(account) = &mut *holder.account()
        {
            account.used = account.used.saturating_sub(1);
        }
    }

    fn holder(&self, caller: &Principal) -> Option<&Arc<Holder>> {
        if caller.member().plan.is_some() {
            return self.members.get(&caller.member().id);
        }
        self.organization.as_ref()
    }

    /// Writes down what was really used.
    pub(in crate::service) async fn close(&self) -> Result<(), Error> {
        for holder in self.organization.iter().chain(self.members.values()) {
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

/// A store that cannot be read yet is no reason not to start: calls are refused until it is known what
/// of the month is used.
async fn holder(id: Arc<str>, limit: u64, usage: &UsageHandle) -> Result<Arc<Holder>, Error> {
    let holder = Holder { id, limit, account: Mutex::default(), asking: AsyncMutex::default() };
    match holder.load(usage).await {
        Err(error @ Error::Store { .. }) => {
            tracing::error!(%error, holder = %holder.id, "what is left of this month's calls is not known yet");
        }
        loaded => loaded?,
    }
    Ok(Arc::new(holder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_new_month_begins_anew() {
        // Day 0 begins January 1970, day 31 February.
        let mut account = Account::new(1, Grant { month: 0, granted: 1 });
        assert_eq!(account.take(31 * 86_400 - 1), Take::UsedUp);
        let february = 31 * 86_400;
        assert_eq!(account.take(february), Take::Ask(Grant { month: 31, granted: 1 }));
        account.grant(Grant { month: 31, granted: 1 });
        assert_eq!((account.take(february), account.take(february)), (Take::Taken, Take::UsedUp));
    }

    proptest! {
        /// Whatever the wall clock does, and however often the daemon is started anew, no month is granted
        /// more than the plan has, and no month is begun that the clock is not believed about.
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
            let mut account = Account::new(limit, stored);
            let mut watch = clock::Watch::new(Some(began), Duration::ZERO);
            let (mut steady, mut made) = (Duration::ZERO, HashMap::<u32, u64>::new());
            for (anew, wait, wall) in steps {
                steady += Duration::from_secs(wait);
                if anew {
                    // What is kept is the time that was believed.
                    watch = clock::Watch::new(watch.expected(steady), steady);
                    account = Account::new(limit, stored);
                }
                for _ in 0..20 {
                    watch.look(wall, steady);
                    match account.take(watch.believed(wall, steady)) {
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

        /// Whatever crashes there are, no more calls are made than the plan has, and without crashes
        /// exactly as many.
        #[test]
        fn no_more_than_the_limit_whatever_happens(limit in 1u64..2_000, crashes in prop::collection::vec(1usize..400, 0..6)) {
            let (mut stored, mut made) = (Grant { month: 0, granted: 0 }, 0);
            let mut account = Account::new(limit, stored);
            let mut runs = crashes.iter();
            let mut until_crash = runs.next().copied();
            loop {
                match account.take(86_400) {
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
                        account = Account::new(limit, stored);
                        until_crash = runs.next().copied();
                    }
                }
            }
            prop_assert!(made <= limit);
            prop_assert!(!crashes.is_empty() || made == limit);
        }
    }
}
