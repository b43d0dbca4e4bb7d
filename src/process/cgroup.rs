//! Control groups (cgroup v2), available if a writable subtree is ours: a leaf for each child, which nothing that the
//! child starts can leave, and which is killed as a whole.
//!
//! Availability is determined by trying, once, at start. Without control groups, trees are held by their group, mark
//! and brand, and limits by rlimits.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::limits::{Controllers, Limits};
use super::pidfd;

/// Controllers that limits need.
const WANTED: [&str; 3] = ["memory", "pids", "cpu"];
/// Time killed processes of an earlier daemon get to end.
const EMPTY_LIMIT: Duration = Duration::from_secs(2);

/// The subtree of this instance.
#[derive(Debug)]
pub(super) struct Cgroups {
    base: PathBuf,
    controllers: Controllers,
}

impl Cgroups {
    /// Looks for a usable subtree for this instance, and takes it. The error is a reason for the log.
    pub(super) fn probe(instance: &str) -> Result<Cgroups, String> {
        let mounts = fs::read("/proc/self/mountinfo").unwrap_or_default();
        let mount =
            unified_mount(&String::from_utf8_lossy(&mounts)).ok_or("no cgroup v2 hierarchy is mounted")?;
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let own = own_path(&own).ok_or("this process is in no cgroup v2")?;
        let parent = if own == "/" { mount } else { mount.join(own.trim_start_matches('/')) };
        // A daemon that was restarted inside its own subtree continues in the parent.
        let parent =
            if parent.ends_with(DAEMON) { parent.parent().unwrap_or(&parent).to_owned() } else { parent };
        let base = parent.join(format!("mcpvisor-{}", instance.split('-').next().unwrap_or(instance)));
        let why = |what: &str, error: &io::Error| format!("{what} {}: {error}", parent.display());
        if let Err(error) = fs::create_dir(&base)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(why("nothing can be made in", &error));
        }
        if !base.join("cgroup.kill").exists() {
            let _ = fs::remove_dir(&base);
            return Err("the kernel has no cgroup.kill (it came with 5.14)".to_owned());
        }
        let controllers = delegate(&parent, &base, own == "/");
        let cgroups = Cgroups { base, controllers };
        // Goes the whole way once, as for a child.
        let tried = cgroups.leaf(0, &Limits::default()).and_then(|leaf| leaf.procs());
        tried.map_err(|error| why("no leaf can be used in", &error))?;
        Ok(cgroups)
    }

    /// Returns the controllers that are enforced.
    pub(super) fn controllers(&self) -> Controllers {
        self.controllers
    }

    /// Creates a leaf for a child, with its limits.
    pub(super) fn leaf(&self, number: u64, limits: &Limits) -> io::Result<ChildCgroup> {
        let path = self.base.join(number.to_string());
        let made = fs::create_dir(&path).or_else(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Ok(()),
            // Whoever cleans up control groups takes an empty one for one that nobody needs.
            io::ErrorKind::NotFound => self.make_base().and_then(|()| fs::create_dir(&path)),
            _ => Err(error),
        });
        made?;
        let leaf = ChildCgroup { path };
        if let Some(bytes) = limits.memory.filter(|_| self.controllers.memory) {
            leaf.set("memory.max", &bytes.to_string())?;
            leaf.set("memory.oom.group", "1")?;
            // The file does not exist on a machine without swap.
            let _ = leaf.set("memory.swap.max", "0");
        }
        if let Some(processes) = limits.processes.filter(|_| self.controllers.pids) {
            leaf.set("pids.max", &processes.to_string())?;
        }
        if let Some(cpu) = limits.cpu_thousandths.filter(|_| self.controllers.cpu) {
            leaf.set("cpu.max", &format!("{} 100000", u64::from(cpu) * 100))?;
        }
        Ok(leaf)
    }

    /// Makes the subtree again, with the controllers that it had.
    fn make_base(&self) -> io::Result<()> {
        fs::create_dir(&self.base)?;
        let Controllers { memory, pids, cpu } = self.controllers;
        let mut kept = WANTED.into_iter().zip([memory, pids, cpu]).filter(|(_, kept)| *kept);
        kept.try_for_each(|(name, _)| enable(&self.base, name))
    }

    /// Kills the processes an earlier daemon of this instance left, and returns their number.
    pub(super) fn sweep(&self) -> usize {
        let Ok(entries) = fs::read_dir(&self.base) else { return 0 };
        let leaves = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir());
        let mut ended = 0;
        for path in leaves {
            let left = members(&path);
            ended += left.len();
            let handles: Vec<_> = left.into_iter().filter_map(|pid| pidfd::open(pid).ok()).collect();
            let _ = fs::write(path.join("cgroup.kill"), "1");
            pidfd::await_end(&handles, EMPTY_LIMIT);
            let _ = fs::remove_dir(&path);
        }
        ended
    }

    /// Sweeps the subtree and removes it if it is empty.
    pub(super) fn remove(&self) {
        self.sweep();
        let _ = fs::remove_dir(&self.base);
    }
}

/// Name of the leaf that the daemon itself moves to: a group whose children have limits may have no processes of its
/// own.
const DAEMON: &str = "mcpvisor-daemon";

/// Enables a controller for the children of a group.
fn enable(group: &Path, controller: &str) -> io::Result<()> {
    fs::write(group.join("cgroup.subtree_control"), format!("+{controller}"))
}

/// Enables all available controllers for the children of `base`; returns those that are enforced.
fn delegate(parent: &Path, base: &Path, is_root: bool) -> Controllers {
    let available = fs::read_to_string(parent.join("cgroup.controllers")).unwrap_or_default();
    let wanted: Vec<&str> =
        WANTED.into_iter().filter(|name| available.split_whitespace().any(|has| has == *name)).collect();
    if wanted.is_empty() {
        return Controllers::default();
    }
    if !is_root {
        let daemon = parent.join(DAEMON);
        let _ = fs::create_dir(&daemon);
        if fs::write(daemon.join("cgroup.procs"), "0").is_err() {
            return Controllers::default();
        }
    }
    let keeps =
        |name: &str| wanted.contains(&name) && enable(parent, name).is_ok() && enable(base, name).is_ok();
    Controllers { memory: keeps("memory"), pids: keeps("pids"), cpu: keeps("cpu") }
}

/// The leaf of one child. Removed on drop, if it is empty.
#[derive(Debug)]
pub(super) struct ChildCgroup {
    path: PathBuf,
}

impl Drop for ChildCgroup {
    fn drop(&mut self) {
        self.remove();
    }
}

impl ChildCgroup {
    fn set(&self, file: &str, value: &str) -> io::Result<()> {
        OpenOptions::new().write(true).open(self.path.join(file))?.write_all(value.as_bytes())
    }

    /// Opens its directory, for clone3(2) into the group.
    pub(super) fn directory(&self) -> io::Result<File> {
        File::open(&self.path)
    }

    /// Opens `cgroup.procs`: a process that writes `0` to it moves into the leaf.
    pub(super) fn procs(&self) -> io::Result<File> {
        OpenOptions::new().write(true).open(self.path.join("cgroup.procs"))
    }

    /// Returns the processes in the leaf that have not ended.
    pub(super) fn members(&self) -> Vec<i32> {
        members(&self.path)
    }

    /// Kills every process in it at once, including those started meanwhile.
    pub(super) fn kill(&self) {
        let _ = self.set("cgroup.kill", "1");
    }

    /// Returns the CPU time of all processes that ever ran in it; `None` if it cannot be read.
    pub(super) fn cpu_time(&self) -> Option<Duration> {
        let stat = fs::read_to_string(self.path.join("cpu.stat")).ok()?;
        value_of(&stat, "usage_usec").map(Duration::from_micros)
    }

    /// Reports whether the kernel killed a process in it for lack of memory.
    pub(super) fn ran_out_of_memory(&self) -> bool {
        let events = fs::read_to_string(self.path.join("memory.events")).unwrap_or_default();
        value_of(&events, "oom_kill").is_some_and(|kills| kills > 0)
    }

    /// Removes the leaf if it is empty.
    pub(super) fn remove(&self) {
        let _ = fs::remove_dir(&self.path);
    }
}

fn members(leaf: &Path) -> Vec<i32> {
    let procs = fs::read_to_string(leaf.join("cgroup.procs")).unwrap_or_default();
    procs.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Returns the value of a line `name value`; `None` if there is none.
fn value_of(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Returns the mount point of the cgroup v2 hierarchy, from `/proc/self/mountinfo` (proc(5)).
fn unified_mount(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (fields, kind) = line.split_once(" - ")?;
        kind.starts_with("cgroup2 ").then(|| fields.split(' ').nth(4).map(PathBuf::from))?
    })
}

/// Returns the path of this process in it, from `/proc/self/cgroup` (cgroups(7)).
fn own_path(cgroup: &str) -> Option<&str> {
    cgroup.lines().find_map(|line| line.strip_prefix("0::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hierarchy_and_our_place_in_it_are_found() {
        let mounts = "30 25 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      31 25 0:27 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(unified_mount(mounts), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(unified_mount("30 25 0:26 / /proc rw - proc proc rw\n"), None);
        assert_eq!(own_path("4:memory:/x\n0::/system.slice/a.service\n"), Some("/system.slice/a.service"));
        assert_eq!(own_path("4:memory:/x\n"), None);
    }

    #[test]
    fn values_are_found_by_their_whole_name() {
        let events = "low 0\noom 2\noom_kill 1\noom_group_kill 3\n";
        assert_eq!(value_of(events, "oom_kill"), Some(1));
        assert_eq!(value_of(events, "oom_k"), None);
    }
}
