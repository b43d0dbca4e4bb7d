//! The servers as callers may see them: what they are, what they announced, what they use and what they wrote.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::dispatch::{self, await_child, await_update, unreachable};
use super::isolation::has_pools;
use super::log_follower::{LogFollower, Reader};
use super::standing::{self, require, while_accepted};
use super::view::{KeyQueue, ServerView};
use super::{Error, Gateway, check_permitted, check_runs, not_found, scraping};
use crate::access::{Principal, Right};
use crate::registry::ServerEntry;
use crate::supervisor::{ServerHandle, Usage};
use crate::upstream::{Catalog, LogLine};

impl Gateway {
    /// Returns the servers that a caller may use, in the order they were made.
    pub fn servers(&self, caller: &Principal) -> Vec<ServerView> {
        let mut servers = self.all_servers();
        servers.retain(|server| caller.permissions().allow_mcp(&server.id));
        servers
    }

    /// Returns all servers, for the daemon itself.
    pub fn all_servers(&self) -> Vec<ServerView> {
        self.0.registry.list().entries().iter().filter_map(|entry| self.view(entry)).collect()
    }

    /// Returns the server of this id or exact name; an id takes precedence.
    pub fn server(&self, caller: &Principal, id_or_name: &str) -> Result<ServerView, Error> {
        let entry = self.entry(caller, id_or_name)?;
        self.view(&entry).ok_or_else(|| not_found(id_or_name))
    }

    /// Returns the current resource usage of a server's process trees.
    pub async fn tree_usage(&self, caller: &Principal, id_or_name: &str) -> Result<Usage, Error> {
        let handle = self.handle(&*self.entry(caller, id_or_name)?)?;
        let usage = tokio::task::spawn_blocking(move || scraping::usage_of(&handle));
        Ok(while_accepted(caller, usage).await?.unwrap_or_default())
    }

    /// Returns the keys whose calls to a server wait, the longest line first.
    pub fn queue(&self, caller: &Principal, id_or_name: &str) -> Result<Vec<KeyQueue>, Error> {
        require(caller, Right::Administer)?;
        let waiting = self.handle(&*self.entry(caller, id_or_name)?)?.waiting();
        let mut names = if waiting.is_empty() { HashMap::new() } else { self.key_names() };
        let line = |(key_id, waiting)| KeyQueue { key_name: names.remove(&key_id), key_id, waiting };
        let mut lines: Vec<KeyQueue> = waiting.into_iter().map(line).collect();
        lines.sort_by(|a, b| b.waiting.cmp(&a.waiting).then_with(|| a.key_id.cmp(&b.key_id)));
        Ok(lines)
    }

    /// Returns the last lines that a server's children wrote beside messages, at most `count`, newest last.
    pub fn logs(
        &self,
        caller: &Principal,
        id_or_name: &str,
        count: usize,
    ) -> Result<Vec<Arc<LogLine>>, Error> {
        require(caller, Right::Administer)?;
        let entry = self.entry(caller, id_or_name)?;
        Ok(self.handle(&entry)?.log().tail(count))
    }

    /// Follows the lines that a server's children write beside messages: first those after number `after`, or else
    /// the last `tail`, then each new one.
    pub fn follow_logs(
        &self,
        caller: &Principal,
        id_or_name: &str,
        tail: usize,
        after: Option<u64>,
    ) -> Result<LogFollower, Error> {
        require(caller, Right::Administer)?;
        let entry = self.entry(caller, id_or_name)?;
        let reader = Reader { caller: caller.clone(), entry: entry.clone() };
        Ok(LogFollower::new(reader, self.handle(&entry)?, tail, after, self.0.stop.subscribe()))
    }

    /// Returns the server of this exact name.
    pub fn server_named(&self, caller: &Principal, name: &str) -> Result<ServerView, Error> {
        let list = self.0.registry.list();
        let entry = list.by_name(name).ok_or_else(|| not_found(name))?;
        check_permitted(caller, entry)?;
        self.view(entry).ok_or_else(|| not_found(name))
    }

    /// Returns the server with its lists. A server without any lists yet is started if necessary and waited for, and
    /// so is one whose definition has just changed: up to `wait`, or its start deadline. An idle or crashed server
    /// has the lists that it announced last.
    pub async fn catalog(
        &self,
        caller: &Principal,
        id_or_name: &str,
        wait: Option<Duration>,
    ) -> Result<(ServerView, Arc<Catalog>), Error> {
        let entry = self.entry(caller, id_or_name)?;
        let may = |caller: &Principal| check_permitted(caller, &entry);
        tokio::select! {
            biased;
            error = standing::refused(caller, may) => Err(error),
            loaded = self.loaded_catalog(caller, &entry, id_or_name, wait) => loaded,
        }
    }

    async fn loaded_catalog(
        &self,
        caller: &Principal,
        entry: &ServerEntry,
        id_or_name: &str,
        wait: Option<Duration>,
    ) -> Result<(ServerView, Arc<Catalog>), Error> {
        check_runs(entry)?;
        let handle = self.handle_of_lists(entry, caller)?;
        let wait = wait.unwrap_or_else(|| handle.setting(&entry.definition, |policy| policy.start_timeout));
        let deadline = Instant::now() + wait;
        await_update(&handle, deadline).await;
        if !handle.catalog().is_loaded() {
            if !await_child(&handle, deadline).await? {
                let meanwhile = Some(dispatch::meanwhile(&handle));
                return Err(Error::TimedOut { after: wait, in_flight: false, meanwhile });
            }
            // A child that is ready has announced its lists.
            if !handle.catalog().is_loaded() {
                return Err(unreachable(&handle, &handle.status(), false));
            }
        }
        let mut view = self.view_with(entry, &handle).ok_or_else(|| not_found(id_or_name))?;
        // What a client is told is what the child whose lists these are said of itself.
        view.status = handle.status();
        let catalog = view.catalog.clone();
        Ok((view, catalog))
    }

    /// Returns what is to be seen of a server; `None` before it was announced to the supervisor.
    fn view(&self, entry: &ServerEntry) -> Option<ServerView> {
        let handle = self.0.supervisor.directory().get(&entry.id)?;
        self.view_with(entry, &handle)
    }

    /// Returns what is to be seen of a server, with the lists of the handle, which may be one of its pools.
    fn view_with(&self, entry: &ServerEntry, listed: &ServerHandle) -> Option<ServerView> {
        let handle = self.0.supervisor.directory().get(&entry.id)?;
        let status = handle.status();
        let traffic = self.0.meters.get(&entry.id).map(|meter| meter.calls.read());
        let traffic = traffic.unwrap_or_else(|| self.0.accounting.before(&entry.id));
        let (load, breaker) = handle.traffic();
        let pin = handle.setting(&entry.definition, |policy| policy.pin);
        let pins = self.0.pins.beside(&entry.id, pin, listed.catalog());
        Some(ServerView {
            id: entry.id.clone(),
            name: entry.name.clone(),
            definition: entry.definition.clone(),
            created_at: entry.created_at,
            updated_at: entry.updated_at,
            status,
            pools: has_pools(&handle, entry).then(|| handle.pool_sums()),
            catalog: pins.listed(),
            pins,
            traffic,
            counters: handle.counters().read(),
            in_flight: load.in_flight,
            queued: load.queued,
            breaker,
        })
    }
}
