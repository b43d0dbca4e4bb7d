//! Checks what a start needs of the machine besides a valid configuration: a data directory that can be used
//! and an address that can be listened on. Changes nothing, for `--check`.
//!
//! Two conditions are left to the start itself, because they say nothing about the configuration: another
//! process that listens there or holds the data directory (most likely the daemon that the check is made for),
//! and the content of the store, which `mcpvisor store check` looks at.

use std::fs::{self, Metadata};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::config::{Config, ConfigProblem};
use crate::http::bind;
use crate::process;

/// Returns the problems with these places that would keep the daemon from starting.
pub(super) fn problems(config: &Config) -> Vec<ConfigProblem> {
    let data_dir = data_dir(&config.data_dir).map(|reason| problem("server.data_dir", reason));
    let address =
        address(&config.http.host, config.http.port).map(|(setting, reason)| problem(setting, reason));
    data_dir.into_iter().chain(address).collect()
}

fn problem(path: &str, reason: String) -> ConfigProblem {
    let (source, path) = ("this machine".to_owned(), path.to_owned());
    ConfigProblem { source, position: None, path, reason, count: 1 }
}

/// Returns the problem with a data directory, or with the place where it would be created. `None` if it can be
/// used.
fn data_dir(path: &Path) -> Option<String> {
    let shown = path.display();
    match path.metadata() {
        Ok(metadata) if !metadata.is_dir() => Some(format!("names '{shown}', which is not a directory")),
        Ok(metadata) if !is_ours(&metadata) => {
            Some(format!("names '{shown}', which belongs to another user: it cannot be made private"))
        }
        Ok(_) => writable(path, &format!("'{shown}'")),
        Err(_) if path.is_symlink() => Some(format!("names '{shown}', which is a link that leads nowhere")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match nearest_existing(path) {
            Some((above, metadata)) if !metadata.is_dir() => {
                Some(format!("names '{shown}', and '{}' is not a directory", above.display()))
            }
            Some((above, _)) => writable(
                above,
                &format!("'{shown}' (it is not there, and would be made in '{}')", above.display()),
            ),
            None => Some(format!("names '{shown}', which cannot be made")),
        },
        Err(error) => Some(format!("names '{shown}', which cannot be looked at: {error}")),
    }
}

fn is_ours(metadata: &Metadata) -> bool {
    process::is_root() || metadata.uid() == process::user()
}

/// Returns the closest ancestor that exists, which is where missing directories would be created.
fn nearest_existing(path: &Path) -> Option<(&Path, Metadata)> {
    path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()).find_map(|above| {
        // A dangling link exists and is not a directory.
        let found = fs::metadata(above).or_else(|_| fs::symlink_metadata(above));
        found.ok().map(|metadata| (above, metadata))
    })
}

fn writable(path: &Path, shown: &str) -> Option<String> {
    // Root may write everywhere, but nobody can create files in the kernel's own file systems.
    let device = |path: &Path| path.metadata().ok().map(|metadata| metadata.dev());
    let made_up = ["/proc", "/sys"].iter().any(|made_up| device(path) == device(Path::new(made_up)));
    if made_up && device(path) != device(Path::new("/")) {
        return Some(format!("names {shown}, where the kernel has no files made"));
    }
    process::check_writable(path)
        .err()
        .map(|error| format!("names {shown}, which cannot be written to: {error}"))
}

/// Tests whether the daemon could listen on an address, and returns the setting and the reason if not. The
/// address is bound briefly and not listened on, so that nobody can connect.
fn address(host: &str, port: u16) -> Option<(&'static str, String)> {
    let found: Vec<SocketAddr> = match (host, port).to_socket_addrs() {
        Ok(found) => found.collect(),
        Err(error) => return Some(("server.host", format!("names '{host}', which is no address: {error}"))),
    };
    // As for the daemon, the first address that works counts.
    let mut failed = None;
    for address in found {
        match bind(address) {
            Ok(_) => return None,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return None,
            Err(error) => failed = Some(error),
        }
    }
    let error = failed.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into());
    let setting = if error.kind() == io::ErrorKind::PermissionDenied { "server.port" } else { "server.host" };
    Some((setting, format!("cannot be listened on: {host}:{port}: {error}")))
}
