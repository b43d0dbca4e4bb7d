//! Processes and their trees: the only code that touches `tokio::process` and `/proc`, and the only one that touches
//! `nix`, but for the flags with which `files.rs` opens a file.
//!
//! This module provides facts, no policy: what to start, how it ended, and the processes of its tree that remain. A
//! stopped child means an empty tree, not a dead leader: wrappers such as `npx` put two processes between us and the
//! server, and grandchildren may leave the process group.

mod cgroup;
mod detached;
mod disk;
mod dispositions;
mod error;
mod examine;
mod footprint;
mod foreground;
mod harden;
mod holders;
mod host;
mod inherited;
mod leaders;
mod limits;
mod memory;
mod orphans;
mod own;
mod peer;
mod pidfd;
mod proc_fs;
mod reference;
mod resolve;
mod sandbox;
mod secondary_mark;
mod secret;
mod spawn;
mod stop_sequence;
mod too_large;
mod tree;
mod user;

pub use detached::start_detached;
pub use disk::{free_bytes, set_aside};
pub use dispositions::take_signals;
pub use error::{Searched, SpawnError};
pub use examine::{Examination, examine};
pub use footprint::Footprint;
pub use foreground::{open_in_browser, run_in_foreground};
pub use holders::{LockHolder, end_leftover_holders};
pub use host::{Host, HostSettings, Spec, open_files};
pub use limits::{Controllers, Limits};
pub use memory::{HeldMemory, give_back_memory};
pub use orphans::OrphanReading;
pub use own::{OwnChild, spawn_own};
pub use peer::{Holder, PeerSocket, holder_by_credentials, listener_of, peer_socket};
pub use reference::{Malformed, Reference, check_references, is_variable, references, sole_reference};
pub use secret::{Secret, read_secret_file, resolve_text, unresolved};
pub use spawn::{Pipes, unread};
pub use stop_sequence::{Exit, ExitReport, Process, StopSequence};
pub use too_large::hold_too_large;
pub use tree::{MARK_VARIABLE, TreeGuard, TreeView, Usage};
pub use user::{check_writable, is_root, user};

#[cfg(test)]
pub(crate) mod marked_tests;
