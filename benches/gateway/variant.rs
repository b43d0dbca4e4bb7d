//! The programs under measurement: started, found, stopped. Each has a directory of its own for
//! its data and its stderr, removed at the end.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::load::Target;
use crate::options::{ANSWER, Kind, Options, PeerOptions};
use crate::page::Page;
use crate::upstream::Upstream;

const ANNOUNCED_WITHIN: Duration = Duration::from_secs(30);
const STOPPED_WITHIN: Duration = Duration::from_secs(30);
/// How much of a variant's stderr is shown when something is wrong.
const STDERR_LINES: usize = 20;

/// One variant's process. Dropped without `stop`, it is killed.
pub(crate) struct Running {
    kind: Kind,
    /// None of a peer, which somebody else has started.
    process: Option<Child>,
    pids: Vec<u32>,
    /// The remote server that it stands before.
    _upstream: Option<Upstream>,
    target: Target,
    /// The page of the dashboard that is open meanwhile.
    page: Option<Page>,
    directory: TempDir,
}

impl Running {
    /// Starts the program and waits until it says where it listens.
    pub(crate) fn start(kind: Kind, options: &Options) -> Result<Running> {
        let directory = tempfile::tempdir().context("making a directory")?;
        if kind == Kind::Peer {
            return Running::peer(&options.peer, directory);
        }
        let upstream = Upstream::start(kind, directory.path())?;
        let url = upstream.as_ref().map(Upstream::url);
        let mut command = command(kind, url.as_deref(), options, directory.path())?;
        let stderr = File::create(stderr_path(directory.path())).context("making a file for stderr")?;
        let mut process = command
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .with_context(|| format!("running {command:?}"))?;
        let stdout = process.stdout.take();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let target = Target::new(nowhere, None, kind, options.answer);
        let pids = vec![process.id()];
        let mut running = Running {
            kind,
            process: Some(process),
            pids,
            _upstream: upstream,
            target,
            page: None,
            directory,
        };
        let address = stdout
            .context("no stdout")
            .and_then(announced_address)
            .with_context(|| running.complain("it did not say where it listens"))?;
        let key = if kind.is_daemon() { Some(running.owner_key()?) } else { None };
        running.target = Target::new(address, key.as_deref(), kind, options.answer);
        if let (Kind::Watched, Some(key)) = (kind, &key) {
            running.page = Some(Page::open(address, key).with_context(|| running.complain("its dashboard"))?);
        }
        Ok(running)
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    fn peer(peer: &PeerOptions, directory: TempDir) -> Result<Running> {
        let url = peer.peer_url.as_ref().context("the variant peer needs --peer-url")?;
        let authority = url.authority().context("--peer-url has no host")?.as_str();
        let address = authority.parse().context("--peer-url needs a host and a port as numbers")?;
        let (target, pids) = (Target::of_peer(address, peer), peer.peer_pids.clone());
        Ok(Running { kind: Kind::Peer, process: None, pids, _upstream: None, target, page: None, directory })
    }

    /// The processes that are measured.
    pub(crate) fn pids(&self) -> &[u32] {
        &self.pids
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// `what` went wrong, and what the program has said about it.
    pub(crate) fn complain(&self, what: &str) -> String {
        let text = std::fs::read_to_string(stderr_path(self.directory.path())).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(STDERR_LINES)..).unwrap_or_default().join("\n");
        format!("{}: {what}; the end of its stderr:\n{tail}\n", self.kind.name())
    }

    /// Fails if its page was open for so long and was told of nothing: changes come once a second while there are calls.
    pub(crate) fn check_watched(&self, open: Duration) -> Result<()> {
        let Some(page) = &self.page else { return Ok(()) };
        let (events, least) = (page.events(), 1 + usize::try_from(open.as_secs() / 10)?);
        ensure!(events >= least, "the page that watched had {events} events in {open:?}");
        Ok(())
    }

    /// Ends the program as its operator would and fails if it does not end, or not well.
    pub(crate) fn stop(mut self) -> Result<()> {
        drop(self.page.take());
        let Some(mut process) = self.process.take() else { return Ok(()) };
        match self.kind.is_daemon() {
            true => kill(Pid::from_raw(i32::try_from(process.id())?), Signal::SIGTERM)?,
            false => drop(process.stdin.take()),
        }
        let deadline = Instant::now() + STOPPED_WITHIN;
        loop {
            match process.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!(self.complain(&format!("it ended with {status}"))),
                None if Instant::now() > deadline => {
                    self.process = Some(process);
                    bail!(self.complain("it did not end when asked to"))
                }
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    fn owner_key(&self) -> Result<String> {
        let path = self.directory.path().join("data/owner.key");
        let key = std::fs::read_to_string(&path)
            .with_context(|| self.complain(&format!("no key in {}", path.display())))?;
        Ok(key.trim().to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        if let Some(mut process) = self.process.take() {
            process.kill().ok();
            process.wait().ok();
        }
    }
}

fn stderr_path(directory: &Path) -> std::path::PathBuf {
    directory.join("stderr.log")
}

/// The program of a variant; `url` is that of its remote server.
fn command(kind: Kind, url: Option<&str>, options: &Options, directory: &Path) -> Result<Command> {
    let program = match kind.is_beside() {
        true => options.beside.as_deref().context("no other daemon")?,
        false => own_daemon(),
    };
    match (kind, url) {
        (Kind::Pipe, _) => {
            let mut command = baseline("--baseline-pipe")?;
            command.env(ANSWER, options.answer.to_string());
            Ok(command)
        }
        (Kind::Constant, _) => baseline("--baseline-constant"),
        (Kind::Proxy, Some(url)) => {
            let mut command = baseline("--baseline-proxy")?;
            command.arg(url);
            Ok(command)
        }
        (_, Some(url)) => gateway(kind, directory, program, &[("echo".to_owned(), json!({"url": url}))]),
        (Kind::Aggregate, None) => {
            gateway(kind, directory, program, &children(MANY_SERVERS, options.answer)?)
        }
        (_, None) => gateway(kind, directory, program, &children(ONE_SERVER, options.answer)?),
    }
}

fn baseline(mode: &str) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("finding this program")?);
    command.arg(mode).stdin(Stdio::piped());
    Ok(command)
}

fn own_daemon() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_mcpvisor"))
}

/// Servers of a daemon, and tools of each.
type World = (usize, usize);

const ONE_SERVER: World = (1, 1);
/// The catalogue that the cost of the endpoint of all servers is told for.
const MANY_SERVERS: World = (100, 20);

/// A server's name and its entry.
type Entry = (String, Value);

/// So many echo servers as children; the first is `echo`.
fn children((servers, tools): World, answer: usize) -> Result<Vec<Entry>> {
    let child = std::env::current_exe().context("finding this program")?;
    let numbers = [tools.to_string(), answer.to_string()];
    let args = ["--echo-child", "--tools", &numbers[0], "--answer", &numbers[1]];
    let definition = json!({"command": child, "args": args});
    let name = |number| if number == 0 { "echo".to_owned() } else { format!("server{number}") };
    Ok((0..servers).map(|number| (name(number), definition.clone())).collect())
}

/// The daemon with these servers, of which calls go to `echo`, and its defaults otherwise, but for what a variant is about.
fn gateway(kind: Kind, directory: &Path, program: &Path, entries: &[Entry]) -> Result<Command> {
    let all: Map<String, Value> = entries.iter().cloned().collect();
    let servers = directory.join("servers.json");
    std::fs::write(&servers, json!({"mcpServers": all}).to_string()).context("writing the servers file")?;
    // A rate that is counted for every call and never reached.
    let config = directory.join("mcpvisor.toml");
    let activity = if kind == Kind::Unrecorded { "[activity]\ncalls = 0\n" } else { "" };
    let limits = "[organization]\nplan = \"bench\"\n[plans.bench]\nrequests_per_second = 1000000\nmonthly_requests = 1000000000000\n[limits]\ncalls_per_key = 100000\n";
    std::fs::write(&config, format!("{limits}{activity}")).context("writing the configuration")?;
    let command = || {
        let mut command = Command::new(program);
        command.args(["serve", "--host", "127.0.0.1", "--port", "0", "--data-dir"]);
        command.arg(directory.join("data")).arg("--servers").arg(&servers).stdin(Stdio::null());
        command
    };
    // A daemon of before there were limits does not take such a configuration, and needs none.
    let mut check = command();
    check.arg("--config").arg(&config).arg("--check").stdout(Stdio::null()).stderr(Stdio::null());
    let knows_limits = check.status().with_context(|| format!("running {check:?}"))?.success();
    let mut command = command();
    if knows_limits {
        command.arg("--config").arg(config);
    }
    Ok(command)
}

/// The first `http://ADDRESS` that the program prints. What it prints later is read and dropped,
/// so that it never waits for a reader.
pub(crate) fn announced_address(stdout: ChildStdout) -> Result<SocketAddr> {
    let (sender, lines) = mpsc::sync_channel(16);
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            sender.try_send(line).ok();
        }
    });
    let deadline = Instant::now() + ANNOUNCED_WITHIN;
    loop {
        let line = lines
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            .context("no address on its stdout")?;
        if let Some(address) = address_in(&line) {
            return Ok(address);
        }
    }
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("http://")?;
    let end = rest.find(|letter: char| !(letter.is_ascii_digit() || letter == '.' || letter == ':'));
    rest.get(..end.unwrap_or(rest.len()))?.trim_end_matches(['.', ':']).parse().ok()
}
