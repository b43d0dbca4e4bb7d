//! The remote echo server of a variant: a process of its own, which the variant's process is told the address of.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use crate::options::Kind;
use crate::variant::announced_address;

/// The path of its one endpoint.
pub(crate) const PATH: &str = "/mcp";

/// A remote echo server. Dropped, it is ended.
pub(crate) struct Upstream {
    process: Child,
    address: SocketAddr,
}

impl Upstream {
    /// Starts the server that a variant needs, if it needs one, and waits until it says where it listens.
    pub(crate) fn start(kind: Kind, directory: &Path) -> Result<Option<Upstream>> {
        if !kind.is_remote() || kind == Kind::Peer {
            return Ok(None);
        }
        let mode = if kind == Kind::RemoteLegacy { "--remote-echo-legacy" } else { "--remote-echo" };
        let stderr = File::create(directory.join("upstream.log")).context("making a file for its stderr")?;
        let mut process = Command::new(std::env::current_exe().context("finding this program")?)
            .arg(mode)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .context("starting the remote echo server")?;
        let stdout = process.stdout.take();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        // Made before anything can fail, so that the process has an owner.
        let mut upstream = Upstream { process, address: nowhere };
        upstream.address = stdout
            .context("no stdout")
            .and_then(announced_address)
            .context("the remote echo server did not say where it listens")?;
        Ok(Some(upstream))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}{PATH}", self.address)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
