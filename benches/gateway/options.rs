//! What can be asked of the bench on its command line or by environment.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

/// Which program answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// The daemon.
    Gateway,
    /// The daemon that `--beside` names.
    #[value(skip)]
    Beside,
    /// The daemon, called by a modern MCP client at the endpoint of one server.
    Modern,
    /// The daemon with 100 servers and 2,000 tools, called by a modern MCP client at the endpoint of all.
    Aggregate,
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
            Kind::Modern => "modern",
            Kind::Aggregate => "aggregate",
            Kind::Pipe => "pipe",
            Kind::Constant => "constant",
        }
    }

    /// Reports whether it is a daemon, with a key and servers.
    pub(crate) fn is_daemon(self) -> bool {
        !matches!(self, Kind::Pipe | Kind::Constant)
    }
}

/// What this process is for: the bench runs itself again for the baselines and the child.
pub(crate) enum Mode {
    Measure,
    EchoChild,
    BaselineConstant,
    BaselinePipe,
}

/// Calls through the daemon next to two baselines.
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
    #[arg(long, hide = true)]
    baseline_constant: bool,
    #[arg(long, hide = true)]
    baseline_pipe: bool,
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
        } else {
            Mode::Measure
        }
    }

    /// What to measure, in order: the other daemon comes right after this one.
    pub(crate) fn variants(&self) -> Vec<Kind> {
        let mut variants = self.variants.clone();
        if self.beside.is_some() {
            let after = variants.iter().position(|kind| *kind == Kind::Gateway).map_or(0, |at| at + 1);
            variants.insert(after, Kind::Beside);
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
