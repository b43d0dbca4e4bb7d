//! What can be asked of the bench on its command line or by environment.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, ValueEnum};
use hyper::Uri;

/// Which program answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// The daemon.
    Gateway,
    /// The daemon that `--beside` names.
    #[value(skip)]
    Beside,
    /// The daemon without a record of single calls (`[activity] calls = 0`).
    Unrecorded,
    /// The daemon with a page of the dashboard open.
    Watched,
    /// The daemon, called by a modern MCP client at the endpoint of one server.
    Modern,
    /// The daemon with 100 servers and 2,000 tools, called by a modern MCP client at the endpoint of all.
    Aggregate,
    /// The daemon with a remote server of 2026-07-28.
    Remote,
    /// The same of the daemon that `--beside` names.
    #[value(skip)]
    RemoteBeside,
    /// The daemon with a remote server, called by a modern MCP client at the endpoint of that server.
    RemoteMcp,
    /// The daemon with a remote server of 2025-11-25 that has sessions.
    RemoteLegacy,
    /// A bare reverse proxy before the same remote server.
    Proxy,
    /// Another gateway before such a server, which `--peer-url` and its neighbours describe and which runs already.
    Peer,
    /// HTTP to one child and back, nothing else.
    Pipe,
    /// The HTTP stack with a constant answer.
    Constant,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Gateway => "gateway",
            Kind::Beside => "beside",
            Kind::Unrecorded => "unrecorded",
            Kind::Watched => "watched",
            Kind::Modern => "modern",
            Kind::Aggregate => "aggregate",
            Kind::Remote => "remote",
            Kind::RemoteBeside => "remote-beside",
            Kind::RemoteMcp => "remote-mcp",
            Kind::RemoteLegacy => "remote-legacy",
            Kind::Proxy => "proxy",
            Kind::Peer => "peer",
            Kind::Pipe => "pipe",
            Kind::Constant => "constant",
        }
    }

    /// Reports whether it is a daemon, with a key and servers.
    pub(crate) fn is_daemon(self) -> bool {
        !matches!(self, Kind::Pipe | Kind::Constant | Kind::Proxy | Kind::Peer)
    }

    /// Reports whether it is another build of the daemon.
    pub(crate) fn is_beside(self) -> bool {
        matches!(self, Kind::Beside | Kind::RemoteBeside)
    }

    /// Reports whether the echo server is a remote one.
    pub(crate) fn is_remote(self) -> bool {
        matches!(
            self,
            Kind::Remote
                | Kind::RemoteBeside
                | Kind::RemoteMcp
                | Kind::RemoteLegacy
                | Kind::Proxy
                | Kind::Peer
        )
    }

    /// What its rate is told as a share of.
    pub(crate) fn baseline(self) -> Kind {
        if self.is_remote() { Kind::Proxy } else { Kind::Pipe }
    }
}

/// What this process is for: the bench runs itself again for the baselines and the child.
pub(crate) enum Mode {
    Measure,
    EchoChild,
    BaselineConstant,
    BaselinePipe,
    BaselineProxy(Uri),
    /// A remote echo server, of 2026-07-28 or not.
    RemoteEcho(bool),
}

/// Calls through the daemon next to its baselines.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// Seconds measured per turn (after the warm-up)
    #[arg(long, env = "BENCH_SECONDS", default_value_t = 1.4, value_parser = seconds)]
    seconds: f64,
    /// Seconds of warm-up before each turn
    #[arg(long, env = "BENCH_WARM_UP", default_value_t = 0.2, value_parser = seconds)]
    warm_up: f64,
    /// Turns that each variant has per level
    #[arg(long, env = "BENCH_ROUNDS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Calls in flight, a list; each is one connection
    #[arg(long, env = "BENCH_LEVELS", value_delimiter = ',', default_values_t = [1, 16, 64, 256], value_parser = level)]
    pub(crate) levels: Vec<usize>,
    /// What to measure, in this order within a round
    #[arg(long, env = "BENCH_VARIANTS", value_delimiter = ',', default_values_t = [Kind::Gateway, Kind::Pipe, Kind::Constant], value_enum)]
    variants: Vec<Kind>,
    /// Another daemon's program, for example of an older commit, measured in the same rounds
    #[arg(long, env = "BENCH_BESIDE")]
    pub(crate) beside: Option<PathBuf>,
    /// Print a line of JSON for each variant and level instead of the table
    #[arg(long)]
    pub(crate) json: bool,
    /// Print the table as Markdown
    #[arg(long)]
    pub(crate) markdown: bool,
    /// Given by `cargo bench`; without it one short round only shows that everything works
    #[arg(long, hide = true)]
    bench: bool,
    /// Given by `cargo bench` to benches of the standard harness; means nothing here
    #[arg(hide = true)]
    _filter: Option<String>,
    #[arg(long, hide = true)]
    echo_child: bool,
    /// Tools that the child has
    #[arg(long, hide = true, default_value_t = 1)]
    pub(crate) tools: usize,
    /// Bytes that each answer of the child has beside the nonce
    #[arg(long, env = ANSWER, default_value_t = 0, value_parser = answer)]
    pub(crate) answer: usize,
    #[arg(long, hide = true)]
    baseline_constant: bool,
    #[arg(long, hide = true)]
    baseline_pipe: bool,
    /// Where the bare proxy passes everything on to
    #[arg(long, hide = true)]
    baseline_proxy: Option<Uri>,
    #[arg(long, hide = true)]
    remote_echo: bool,
    #[arg(long, hide = true)]
    remote_echo_legacy: bool,
    #[command(flatten)]
    pub(crate) peer: PeerOptions,
    /// Fail if a bar does not hold: of a remote server's call against the bare proxy's rate and CPU time, and of what the record of
    /// single calls and an open page of the dashboard may cost
    #[arg(long)]
    pub(crate) bars: bool,
}

/// Another gateway with the same remote server behind it, for the variant `peer`: it is called with `tools/call` of 2025-11-25.
#[derive(Debug, Clone, Args)]
pub(crate) struct PeerOptions {
    /// Its address, with the path: `http://127.0.0.1:PORT/PATH`
    #[arg(long, requires = "peer_pids")]
    pub(crate) peer_url: Option<Uri>,
    /// A header of each call, `name: value`; may be repeated
    #[arg(long)]
    pub(crate) peer_header: Vec<String>,
    /// What it calls the tool
    #[arg(long, default_value = "echo")]
    pub(crate) peer_tool: String,
    /// Its processes, a list
    #[arg(long, value_delimiter = ',')]
    pub(crate) peer_pids: Vec<u32>,
}

/// How the bare pipe tells its child how long answers are.
pub(crate) const ANSWER: &str = "BENCH_ANSWER";

fn answer(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        // The daemon takes no longer line of a child with its defaults.
        Ok(value) if value < 16 << 20 => Ok(value),
        _ => Err("must be a whole number below 16777216".to_owned()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 600.0 => Ok(value),
        _ => Err("must be a number of seconds above 0 and at most 600".to_owned()),
    }
}

fn level(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(value @ 1..=10_000) => Ok(value),
        _ => Err("must be a whole number from 1 to 10000".to_owned()),
    }
}

impl Options {
    pub(crate) fn mode(&self) -> Mode {
        if self.echo_child {
            Mode::EchoChild
        } else if self.baseline_constant {
            Mode::BaselineConstant
        } else if self.baseline_pipe {
            Mode::BaselinePipe
        } else if let Some(upstream) = &self.baseline_proxy {
            Mode::BaselineProxy(upstream.clone())
        } else if self.remote_echo || self.remote_echo_legacy {
            Mode::RemoteEcho(!self.remote_echo_legacy)
        } else {
            Mode::Measure
        }
    }

    /// What to measure, in order: the other daemon comes right after this one.
    pub(crate) fn variants(&self) -> Vec<Kind> {
        let mut variants = self.variants.clone();
        if self.beside.is_some() {
            for (own, other) in [(Kind::Gateway, Kind::Beside), (Kind::Remote, Kind::RemoteBeside)] {
                if let Some(at) = variants.iter().position(|kind| *kind == own) {
                    variants.insert(at + 1, other);
                }
            }
        }
        variants
    }

    pub(crate) fn rounds(&self) -> u32 {
        if self.bench { self.rounds } else { 1 }
    }

    pub(crate) fn warm_up(&self) -> Duration {
        Duration::from_secs_f64(if self.bench { self.warm_up } else { 0.05 })
    }

    /// How long each turn is measured.
    pub(crate) fn window(&self) -> Duration {
        Duration::from_secs_f64(if self.bench { self.seconds } else { 0.2 })
    }
}
