//! The calls of late as callers may see them: all for those who administer, else those of the caller's own member; by
//! pages, as an export, and as they come.

use std::time::Duration;

use tokio::sync::watch;

use super::follow::{Follow, FollowEnd, Followed};
use super::standing::{present, refused};
use super::stop::Stage;
use super::{Error, Gateway, Principal};
use crate::activity::{Activity, ActivityFilter, Batch, Direction, Kept};

/// Number of steps of a long search after which others have their turn.
const STEPS: usize = 16;
/// Most calls that a follower gets at once.
const BATCH: usize = 64;
/// Shortest time between two looks of a follower that has seen everything: with many calls a second it is not woken by each.
const PACE: Duration = Duration::from_millis(50);

/// Calls of a page, newest first.
pub struct ActivityPage {
    /// The calls with their numbers, at most as many as were asked for.
    pub calls: Vec<(u64, super::ActivityCall)>,
    /// Number before which the next page begins; `None` if there are no further calls.
    pub next: Option<u64>,
    /// Which calls there are, matching or not.
    pub kept: Kept,
}

/// Reader of calls, whose caller is asked again before each step.
pub struct ActivityReader {
    caller: Principal,
    activity: Activity,
    filter: ActivityFilter,
    at: u64,
    direction: Direction,
}

impl ActivityReader {
    /// Returns the next calls, at most `most`.
    pub fn step(&mut self, most: usize) -> Result<Batch, Error> {
        let caller = present(&self.caller)?;
        let member = (!caller.role().may_administer()).then(|| caller.member().id.clone());
        self.filter.member = member;
        let batch = self.activity.step(&self.filter, self.at, self.direction, most);
        self.at = batch.next;
        Ok(batch)
    }

    /// Returns the number that the next step goes on from.
    pub fn at(&self) -> u64 {
        self.at
    }
}

impl Gateway {
    fn reader(
        &self,
        caller: &Principal,
        filter: ActivityFilter,
        at: u64,
        direction: Direction,
    ) -> ActivityReader {
        let activity = self.0.accounting.activity().clone();
        ActivityReader { caller: caller.clone(), activity, filter, at, direction }
    }

    /// Returns which calls there are; with room for none they are not kept at all.
    pub fn activity_kept(&self) -> Kept {
        self.0.accounting.activity().kept()
    }

    /// Returns the newest calls that match and have a number below `before`, at most `most`.
    pub async fn activity(
        &self,
        caller: &Principal,
        filter: ActivityFilter,
        before: Option<u64>,
        most: usize,
    ) -> Result<ActivityPage, Error> {
        let mut reader = self.reader(caller, filter, before.unwrap_or(u64::MAX), Direction::NewestFirst);
        let (mut calls, mut is_over, mut steps) = (Vec::new(), false, 0);
        while !is_over && calls.len() < most {
            let batch = reader.step(most - calls.len())?;
            calls.extend(batch.calls);
            is_over = batch.is_over;
            steps += 1;
            if steps % STEPS == 0 {
                tokio::task::yield_now().await;
            }
        }
        let next = (!is_over).then_some(reader.at());
        Ok(ActivityPage { calls, next, kept: self.activity_kept() })
    }

    /// Returns a reader of all calls that match, oldest first.
    pub fn export_activity(
        &self,
        caller: &Principal,
        filter: ActivityFilter,
    ) -> Result<ActivityReader, Error> {
        present(caller)?;
        Ok(self.reader(caller, filter, 0, Direction::OldestFirst))
    }

    /// Follows the calls that match: first those after number `after`, or else the last `tail`, then each new one.
    pub async fn follow_activity(
        &self,
        caller: &Principal,
        filter: ActivityFilter,
        after: Option<u64>,
        tail: usize,
    ) -> Result<ActivityFollower, Error> {
        // A number beyond the newest is of an earlier run.
        let newest = self.activity_kept().newest;
        let after = match after.filter(|after| *after <= newest) {
            Some(after) => after,
            None if tail == 0 => newest,
            None => {
                let page = self.activity(caller, filter.clone(), Some(newest + 1), tail).await?;
                page.calls.last().map_or(newest, |(number, _)| number - 1)
            }
        };
        let reader = self.reader(caller, filter, after, Direction::OldestFirst);
        present(caller)?;
        Ok(ActivityFollower { reader, stopping: self.0.stop.subscribe() })
    }
}

/// Follower of the calls, until the daemon stops or the caller's key ends.
pub struct ActivityFollower {
    reader: ActivityReader,
    stopping: watch::Receiver<Stage>,
}

impl ActivityFollower {
    async fn news(&mut self) -> Followed<(u64, super::ActivityCall)> {
        let activity = self.reader.activity.clone();
        loop {
            if *self.stopping.borrow_and_update() > Stage::Serving {
                return Followed::End(FollowEnd::Stopping);
            }
            // Made before the look, so that no call is missed between the two.
            let changed = activity.changed();
            let batch = match self.reader.step(BATCH) {
                Ok(batch) => batch,
                Err(error) => return Followed::End(FollowEnd::Refused(error)),
            };
            if batch.lost > 0 || !batch.calls.is_empty() {
                return Followed::Items(batch.lost, batch.calls);
            }
            if !batch.is_over {
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                () = changed => tokio::time::sleep(PACE).await,
                // The sender lives as long as the gateway.
                stopping = self.stopping.changed() => if stopping.is_err() {
                    return Followed::End(FollowEnd::Stopping);
                },
            }
        }
    }
}

impl Follow for ActivityFollower {
    type Item = (u64, super::ActivityCall);

    fn guard(&self) -> impl Fn() -> Option<FollowEnd> + Send + 'static {
        let caller = self.reader.caller.clone();
        move || present(&caller).err().map(FollowEnd::Refused)
    }

    async fn refused(&self) -> Error {
        refused(&self.reader.caller, |_| Ok(())).await
    }

    async fn next(&mut self) -> Followed<(u64, super::ActivityCall)> {
        let caller = self.reader.caller.clone();
        tokio::select! {
            biased;
            error = refused(&caller, |_| Ok(())) => Followed::End(FollowEnd::Refused(error)),
            news = self.news() => news,
        }
    }
}
