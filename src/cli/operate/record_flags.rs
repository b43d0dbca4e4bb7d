//! Flags of the commands about keys, usage, the audit and pins.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::activity::ActivityQuery;
use super::audit::AuditQuery;
use super::common_flags::Common;
use super::keys::{Keys, NewKey};
use super::pins::Pins;
use super::usage::{By, UsageQuery};
use super::words::read_length;
use super::{Action, Operate};

/// Commands about the keys of a running daemon.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum KeyCommands {
    /// Make a key; it is shown this once
    Create(CreateLine),
    /// The keys that there are
    #[command(visible_alias = "ls")]
    List {
        /// Only those: active, revoked or expired
        #[arg(long, default_value = "all", value_parser = ["all", "active", "revoked", "expired"], value_name = "STATUS")]
        status: String,
        #[command(flatten)]
        common: Common,
    },
    /// Give a key another text; it is shown this once
    Rotate {
        /// The key: its id, its name, or the 11 characters that its text begins with
        #[arg(value_name = "KEY")]
        target: String,
        /// The text before is good for so long: 1h; refused at once otherwise
        #[arg(long, value_parser = read_length, value_name = "TIME")]
        grace: Option<Duration>,
        /// Write the key's text and nothing else
        #[arg(long, short)]
        quiet: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Revoke keys, at once
    #[command(alias = "revoke", alias = "remove")]
    Rm {
        /// The keys: the id, the name, or the 11 characters that the text begins with
        #[arg(value_name = "KEY", required = true)]
        targets: Vec<String>,
        /// What they have made as well
        #[arg(long)]
        descendants: bool,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Args)]
#[command(
    after_help = "Without --servers and --tools a key may use everything that its owner may, and without --expires for ever."
)]
pub(in crate::cli) struct CreateLine {
    /// Name of the key, for people
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Servers that it may use: a,b
    #[arg(long, value_delimiter = ',', value_name = "SERVERS")]
    servers: Vec<String>,
    /// Tools that it may use, with * for any characters: read_*,list
    #[arg(long, value_delimiter = ',', value_name = "TOOLS")]
    tools: Vec<String>,
    /// Requests a second
    #[arg(long, value_name = "N")]
    rate: Option<u64>,
    /// Calls a month
    #[arg(long, value_name = "N")]
    monthly: Option<u64>,
    /// Calls at once
    #[arg(long, value_name = "N")]
    at_once: Option<u64>,
    /// It ends after so long, or then: 30d, 2027-01-31
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// Id of the member that owns it; yours otherwise
    #[arg(long, conflicts_with = "member", value_name = "ID")]
    owner: Option<String>,
    /// Id of a new member that owns it, and may call tools and no more unless --role says otherwise
    #[arg(long, value_name = "ID")]
    member: Option<String>,
    /// What the new member may: look, call tools, administer, or everything
    #[arg(long, requires = "member", value_parser = ["viewer", "member", "admin", "owner"], value_name = "ROLE")]
    role: Option<String>,
    /// Write the key's text and nothing else
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    common: Common,
}

impl KeyCommands {
    /// Returns the command that the line asks for.
    pub(in crate::cli) fn into_operate(self) -> Operate {
        let (common, keys) = match self {
            KeyCommands::Create(line) => {
                let CreateLine {
                    name,
                    servers,
                    tools,
                    rate,
                    monthly,
                    at_once,
                    expires,
                    owner,
                    member,
                    role,
                    quiet,
                    common,
                } = line;
                let new = NewKey {
                    name,
                    servers,
                    tools,
                    rate,
                    monthly,
                    at_once,
                    expires,
                    owner,
                    member,
                    role,
                    quiet,
                };
                (common, Keys::Create(new))
            }
            KeyCommands::List { status, common } => (common, Keys::List(status)),
            KeyCommands::Rotate { target, grace, quiet, common } => {
                (common, Keys::Rotate(target, grace, quiet))
            }
            KeyCommands::Rm { targets, descendants, common } => (common, Keys::Remove(targets, descendants)),
        };
        common.with(Action::Keys(keys))
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "The daemon remembers the newest calls, 100,000 unless it is configured otherwise (activity.calls), and forgets them\n\
                        when it is stopped; sums of them are kept, see `mcpvisor usage`. Arguments and results are never kept."
)]
pub(in crate::cli) struct ActivityLine {
    /// Go on with the calls to come
    #[arg(long, short)]
    follow: bool,
    /// The newest N calls
    #[arg(long, short = 'n', default_value_t = 20, value_name = "N")]
    lines: usize,
    /// No calls older than this: 10m, 2026-11-30, or 2026-11-30T08:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// No calls newer than this
    #[arg(long, value_name = "TIME", conflicts_with = "follow")]
    until: Option<String>,
    /// Only calls with this key: its id or name
    #[arg(long = "by-key", value_name = "KEY")]
    by_key: Option<String>,
    /// Only calls of this server
    #[arg(long, value_name = "SERVER")]
    server: Option<String>,
    /// Only calls of this tool
    #[arg(long, value_name = "TOOL")]
    tool: Option<String>,
    /// Only what ended so: ok, failed for all but ok, or a word of docs/errors.md such as timed_out
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<String>,
    #[command(flatten)]
    common: Common,
}

impl ActivityLine {
    /// Returns the command that the line asks for.
    pub(in crate::cli) fn into_operate(self) -> Operate {
        let ActivityLine { follow, lines, since, until, by_key, server, tool, outcome, common } = self;
        let filters = [("key", by_key), ("server", server), ("tool", tool), ("outcome", outcome)];
        let filters = filters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        common.with(Action::Activity(ActivityQuery { lines, follow, since, until, filters }))
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "Calls of the last three hours are counted by the minute, those of the last 30 days by the hour and others by the day\n\
                  (UTC): a span begins with the whole one that it begins in."
)]
pub(in crate::cli) struct UsageLine {
    /// Calls since then: 1h, 7d, 2026-11-30, or 2026-11-30T08:00:00Z
    #[arg(long, conflicts_with = "period", value_name = "TIME")]
    since: Option<String>,
    /// Calls until then; now otherwise
    #[arg(long, requires = "since", value_name = "TIME")]
    until: Option<String>,
    /// Calls of this hour, day, week or month
    #[arg(long, default_value = "month", value_parser = ["hour", "day", "week", "month"], value_name = "PERIOD")]
    period: String,
    /// What they are summed by, key, server and tool also across each other: key,server,tool
    #[arg(long, value_enum, value_delimiter = ',', default_value = "server", value_name = "WHAT")]
    by: Vec<By>,
    /// Each step of time alone: 5m, 1h, 1d
    #[arg(long, value_name = "TIME")]
    step: Option<String>,
    #[command(flatten)]
    common: Common,
}

impl UsageLine {
    /// Returns the command that the line asks for.
    pub(in crate::cli) fn into_operate(self) -> Operate {
        let UsageLine { since, until, period, by, step, common } = self;
        common.with(Action::Usage(UsageQuery { since, until, period, by, step }))
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct AuditLine {
    /// The newest N lines
    #[arg(long, short = 'n', default_value_t = 20, value_name = "N")]
    lines: usize,
    /// Only this action, such as key.create, or all that begin so, such as key
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// Only what ended so
    #[arg(long, value_parser = ["done", "refused", "failed", "unknown"], value_name = "OUTCOME")]
    outcome: Option<String>,
    /// Only what this member did
    #[arg(long, value_name = "ID")]
    member: Option<String>,
    /// Only what was done with the key of this id
    #[arg(long = "by-key", value_name = "ID")]
    by_key: Option<String>,
    /// Nothing older than this: 10m, 2026-11-30, or 2026-11-30T08:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Nothing newer than this
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    #[command(flatten)]
    common: Common,
}

impl AuditLine {
    /// Returns the command that the line asks for.
    pub(in crate::cli) fn into_operate(self) -> Operate {
        let AuditLine { lines, action, outcome, member, by_key: key, since, until, common } = self;
        common.with(Action::Audit(AuditQuery { lines, action, outcome, member, key, since, until }))
    }
}

/// Commands about tools that are not as they were approved.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum PinCommands {
    /// How tools differ from what was approved, of a server or of all
    Diff {
        /// The server; all otherwise
        #[arg(value_name = "SERVER")]
        server: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Approve tools of a server as they are now
    Approve {
        /// The server
        #[arg(value_name = "SERVER")]
        server: String,
        /// Its tools; all otherwise
        #[arg(value_name = "TOOL")]
        tools: Vec<String>,
        /// What was looked at, as `pins diff` says it; you are shown it and asked otherwise
        #[arg(long, value_name = "DIGEST")]
        digest: Option<String>,
        #[command(flatten)]
        common: Common,
    },
}

impl PinCommands {
    /// Returns the command that the line asks for.
    pub(in crate::cli) fn into_operate(self) -> Operate {
        match self {
            PinCommands::Diff { server, common } => common.with(Action::Pins(Pins::Diff(server))),
            PinCommands::Approve { server, tools, digest, common } => {
                common.with(Action::Pins(Pins::Approve { server, tools, digest }))
            }
        }
    }
}
