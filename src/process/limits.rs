//! Resource limits of a child: enforced by its leaf where the kernel does so, by rlimits otherwise. Limits that neither
//! can enforce are reported.
#![allow(unsafe_code)]

use std::{fmt, io};

use nix::sys::resource::{Resource, setrlimit};

use super::spawn::Command;

/// Controllers the kernel provides for a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Controllers {
    /// `true` if `memory.max` is enforced.
    pub memory: bool,
    /// `true` if `pids.max` is enforced.
    pub pids: bool,
    /// `true` if `cpu.max` is enforced.
    pub cpu: bool,
}

impl fmt::Display for Controllers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |has: bool| if has { "yes" } else { "no" };
        write!(
            f,
            "memory limits {}, process limits {}, CPU limits {}",
            word(self.memory),
            word(self.pids),
            word(self.cpu)
        )
    }
}

/// Resource limits of a child and whatever it starts; `None` means no limit beyond our own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// Memory, in bytes: of the whole tree with a leaf; otherwise of the private data of each process.
    pub memory: Option<u64>,
    /// Processes and threads: of the whole tree with a leaf; otherwise of our user.
    pub processes: Option<u64>,
    /// CPU time, in thousandths of a core. Needs a leaf.
    pub cpu_thousandths: Option<u32>,
    /// Open files of each process.
    pub open_files: Option<u64>,
    /// Longest file that a process may write, in bytes.
    pub file_size: Option<u64>,
}

impl fmt::Display for Limits {
    /// Writes the limits that are set, as in a definition; nothing if there is none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| format!("{}MiB", bytes.div_ceil(1 << 20));
        let set = [
            ("memory", self.memory.map(mib)),
            ("pids", self.processes.map(|count| count.to_string())),
            ("cpu", self.cpu_thousandths.map(|cores| (f64::from(cores) / 1000.0).to_string())),
            ("open_files", self.open_files.map(|count| count.to_string())),
            ("file_size", self.file_size.map(mib)),
        ];
        let set: Vec<String> =
            set.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?))).collect();
        f.write_str(&set.join(", "))
    }
}

impl Limits {
    /// Returns one sentence for the operator for each limit that is not, or not fully, enforced.
    pub(super) fn unenforced(&self, kept: Controllers, is_root: bool) -> Vec<String> {
        let mut out = Vec::new();
        if self.memory.is_some() && !kept.memory {
            out.push("memory: held for each process by itself, not for all together, since no memory controller is delegated".to_owned());
        }
        if self.processes.is_some() && !kept.pids {
            out.push(match is_root {
                true => "pids: not held, since no pids controller is delegated and root has no such limit"
                    .to_owned(),
                false => {
                    "pids: counts all processes of the daemon's user, since no pids controller is delegated"
                        .to_owned()
                }
            });
        }
        if self.cpu_thousandths.is_some() && !kept.cpu {
            out.push("cpu: not held, since no cpu controller is delegated".to_owned());
        }
        out
    }

    /// Sets the limits that the leaf does not enforce as rlimits of the child.
    pub(super) fn put_on(&self, command: &mut Command, kept: Controllers) {
        let limits = [
            (Resource::RLIMIT_DATA, self.memory.filter(|_| !kept.memory)),
            (Resource::RLIMIT_NPROC, self.processes.filter(|_| !kept.pids)),
            (Resource::RLIMIT_NOFILE, self.open_files),
            (Resource::RLIMIT_FSIZE, self.file_size),
        ];
        // SAFETY: between fork and exec only async-signal-safe calls are allowed. `setrlimit` is a
        // plain system call; the array is moved in whole, nothing here allocates, locks or panics.
        unsafe {
            command.before_exec(move || {
                for (resource, limit) in limits {
                    if let Some(limit) = limit {
                        setrlimit(resource, limit, limit).map_err(io::Error::from)?;
                    }
                }
                Ok(())
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_held_is_said() {
        let limits = Limits {
            memory: Some(1),
            processes: Some(1),
            cpu_thousandths: Some(1),
            open_files: Some(1),
            file_size: Some(1),
        };
        assert_eq!(limits.to_string(), "memory 1MiB, pids 1, cpu 0.001, open_files 1, file_size 1MiB");
        assert_eq!(Limits::default().to_string(), "");
        let all = Controllers { memory: true, pids: true, cpu: true };
        assert!(limits.unenforced(all, true).is_empty());
        let told = limits.unenforced(Controllers::default(), true);
        assert_eq!(told.len(), 3);
        assert!(told[1].contains("root"));
        assert!(Limits::default().unenforced(Controllers::default(), false).is_empty());
    }
}
