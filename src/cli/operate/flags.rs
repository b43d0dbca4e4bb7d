//! Flags of the commands of an operator.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::call::Call;
use super::change::Switch;
use super::common_flags::Common;
use super::edit::Edit;
use super::export::Export;
use super::logs::Logs;
use super::open::Open;
use super::record_flags::{ActivityLine, AuditLine, PinCommands, UsageLine};
use super::screen::Format;
use super::top::{Top, TopKey};
use super::wait::Wait;
use super::words::read_length;
use super::{Action, Operate};
use crate::cli::client_flags::AccessLine;

/// Something that may be looked at again and again.
#[derive(Debug, Args)]
pub(in crate::cli) struct Watch {
    /// Show it again after so long, 2s unless it is said: --watch=10s
    #[arg(long, short, value_parser = read_length, num_args = 0..=1, require_equals = true, default_missing_value = "2s", value_name = "TIME")]
    watch: Option<Duration>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum OperateCommands {
    /// How the daemon is, or a server: state, since when, why, its last lines
    Status {
        /// The server; the daemon and a summary of all servers otherwise
        #[arg(value_name = "SERVER")]
        server: Option<String>,
        #[command(flatten)]
        watch: Watch,
        #[command(flatten)]
        common: Common,
    },
    /// All servers, a line each
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        watch: Watch,
        #[command(flatten)]
        common: Common,
    },
    /// What a server writes beside messages
    Logs(LogsLine),
    /// Tools of a server, or of all; or one tool, with its schema
    Tools {
        /// The server; all otherwise
        #[arg(value_name = "SERVER")]
        server: Option<String>,
        /// One of its tools
        #[arg(value_name = "TOOL")]
        tool: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Resources of a server, or of all; or the text of one
    Resources {
        /// The server; all otherwise
        #[arg(value_name = "SERVER")]
        server: Option<String>,
        /// One of its resources, to read it
        #[arg(value_name = "URI")]
        uri: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Prompts of a server, or of all
    Prompts {
        /// The server; all otherwise
        #[arg(value_name = "SERVER")]
        server: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Call a tool, and show what it answers
    Call(CallLine),
    /// Restart servers: a child that serves is replaced when its successor is ready
    Restart {
        /// The servers
        #[arg(value_name = "SERVER", required = true)]
        servers: Vec<String>,
        #[command(flatten)]
        access: AccessLine,
    },
    /// Start servers: those that were stopped, and those that rest until their first call
    Start(SwitchLine),
    /// Stop servers until they are started, or the daemon is: their calls are refused meanwhile
    Stop(SwitchLine),
    /// Switch servers on in their definition
    Enable(SwitchLine),
    /// Switch servers off in their definition, so that they stay off when the daemon is started anew
    Disable(SwitchLine),
    /// Remove servers
    #[command(visible_alias = "remove")]
    Rm {
        /// The servers
        #[arg(value_name = "SERVER", required = true)]
        servers: Vec<String>,
        #[command(flatten)]
        access: AccessLine,
    },
    /// Change a server's definition, as JSON, in your editor (VISUAL, EDITOR, or vi)
    #[command(
        after_help = "It can have command, args, env, url, type, headers and mcpvisor. What the daemon shows as [REDACTED] stays as it is\n\
                            stored; `mcpvisor`, the way in which the server is treated, is never shown, and replaced as a whole where it is given."
    )]
    Edit {
        /// The server
        #[arg(value_name = "SERVER")]
        server: String,
        /// Take the definition from this file, - for stdin, and start no editor
        #[arg(long, value_name = "FILE|-")]
        file: Option<PathBuf>,
        #[command(flatten)]
        access: AccessLine,
    },
    /// Write the servers as a servers file, which `serve --servers`, `import` and other clients take
    #[command(
        after_help = "References such as ${env:TOKEN} stay as they are; values that are written into definitions are in it as well, and named.\n\
                      It takes an owner's key without limits."
    )]
    Export {
        /// The servers; all otherwise
        #[arg(value_name = "SERVER")]
        servers: Vec<String>,
        /// Write to this file, for you alone to read
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
        #[command(flatten)]
        common: Common,
    },
    /// Open the dashboard in a browser, and say where it is
    Open {
        /// Say where it is, and open nothing
        #[arg(long)]
        print: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Watch what the servers do: calls, times, errors, queues, CPU, memory, restarts
    #[command(
        after_help = "On a terminal it is shown anew each second; keys: n c e p m u r s sort, i turns the order around, q ends.\n\
                      --once measures for two seconds. Memory is RSS, and CPU is of one core, both of all processes of a server."
    )]
    Top {
        /// Show it once, as text
        #[arg(long)]
        once: bool,
        /// Column to sort by
        #[arg(long, value_enum, default_value_t, value_name = "COLUMN")]
        sort: TopKey,
        #[command(flatten)]
        common: Common,
    },
    /// Wait until servers are ready, or in another state
    Wait(WaitLine),
    /// Who called what, when, how long and how it ended
    Activity(ActivityLine),
    /// Who called what, as sums
    Usage(UsageLine),
    /// Who did what, and what was refused
    Audit(AuditLine),
    /// Tools that are not as they were approved: look at them, and approve them
    Pins {
        #[command(subcommand)]
        command: PinCommands,
    },
}

impl OperateCommands {
    /// Returns the command that the line asks for.
    pub(in crate::cli) fn into_operate(self) -> Operate {
        let quiet =
            |access: AccessLine, action| Operate { access: access.into(), format: Format::Table, action };
        match self {
            OperateCommands::Status { server, watch, common } => {
                common.with(Action::Status(server, watch.watch))
            }
            OperateCommands::List { watch, common } => common.with(Action::List(watch.watch)),
            OperateCommands::Logs(line) => line.into_operate(),
            OperateCommands::Tools { server, tool, common } => common.with(Action::Tools(server, tool)),
            OperateCommands::Resources { server, uri, common } => common.with(Action::Resources(server, uri)),
            OperateCommands::Prompts { server, common } => common.with(Action::Prompts(server)),
            OperateCommands::Call(line) => line.into_operate(),
            OperateCommands::Restart { servers, access } => quiet(access, Action::Restart(servers)),
            OperateCommands::Start(line) => line.into_operate(Switch::Start),
            OperateCommands::Stop(line) => line.into_operate(Switch::Stop),
            OperateCommands::Enable(line) => line.into_operate(Switch::Enable),
            OperateCommands::Disable(line) => line.into_operate(Switch::Disable),
            OperateCommands::Activity(line) => line.into_operate(),
            OperateCommands::Rm { servers, access } => quiet(access, Action::Remove(servers)),
            OperateCommands::Edit { server, file, access } => {
                quiet(access, Action::Edit(Edit { server, file }))
            }
            OperateCommands::Usage(line) => line.into_operate(),
            OperateCommands::Audit(line) => line.into_operate(),
            OperateCommands::Pins { command } => command.into_operate(),
            OperateCommands::Export { servers, to, common } => {
                common.with(Action::Export(Export { servers, to }))
            }
            OperateCommands::Open { print, common } => common.with(Action::Open(Open { print })),
            OperateCommands::Top { once, sort, common } => common.with(Action::Top(Top { once, sort })),
            OperateCommands::Wait(WaitLine { servers, state, timeout, access }) => {
                quiet(access, Action::Wait(Wait { servers, state, timeout }))
            }
        }
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SwitchLine {
    /// The servers
    #[arg(value_name = "SERVER", required = true)]
    servers: Vec<String>,
    /// Wait until they are so; ends with 75 when the time is over, and with 4 when it cannot be
    #[arg(long)]
    wait: bool,
    /// Longest time to wait for each
    #[arg(long, default_value = "60s", value_parser = read_length, requires = "wait", value_name = "TIME")]
    timeout: Duration,
    #[command(flatten)]
    access: AccessLine,
}

impl SwitchLine {
    fn into_operate(self, switch: Switch) -> Operate {
        let SwitchLine { servers, wait, timeout, access } = self;
        let action = Action::Switch(switch, servers, wait.then_some(timeout));
        Operate { access: access.into(), format: Format::Table, action }
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct LogsLine {
    /// The server
    #[arg(value_name = "SERVER")]
    server: String,
    /// Go on with what it writes from now on
    #[arg(long, short)]
    follow: bool,
    /// The newest N lines, at most 1000; 100 unless --since or --previous is given
    #[arg(long, short = 'n', value_name = "N")]
    lines: Option<usize>,
    /// No lines older than this: 10m, or 2026-11-30T08:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only the child before the current one, or before the last one if none runs
    #[arg(long, short, conflicts_with = "follow")]
    previous: bool,
    #[command(flatten)]
    common: Common,
}

impl LogsLine {
    fn into_operate(self) -> Operate {
        let LogsLine { server, follow, lines, since, previous, common } = self;
        common.with(Action::Logs(Logs { server, follow, lines, since, previous }))
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "A VALUE has the type that the tool's schema says: text as it is, numbers, true and false; a list by NAME=VALUE\n\
                  several times. NAME:=JSON is taken as it is. A tool that answers with an error ends with exit code 5."
)]
pub(in crate::cli) struct CallLine {
    /// The tool, SERVER.TOOL
    #[arg(value_name = "SERVER.TOOL")]
    target: String,
    /// An argument: NAME=VALUE, or NAME:=JSON
    #[arg(value_name = "NAME=VALUE")]
    pairs: Vec<String>,
    /// All arguments as a JSON object, or - for one from stdin
    #[arg(long, conflicts_with = "pairs", value_name = "JSON|-")]
    json: Option<String>,
    /// Deadline of the call, the server's otherwise: 500ms, 30s, 2m
    #[arg(long, value_parser = read_length, value_name = "TIME")]
    timeout: Option<Duration>,
    #[command(flatten)]
    common: Common,
}

impl CallLine {
    fn into_operate(self) -> Operate {
        let CallLine { target, pairs, json, timeout, common } = self;
        common.with(Action::Call(Call { target, pairs, json, timeout }))
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "It ends with 0 when all are, with 75 when the time is over, and with 4 as soon as one is in a state that nothing but a\n\
                  person's act leads out of: disabled, stopped, failed, unauthorized, exited."
)]
pub(in crate::cli) struct WaitLine {
    /// The servers
    #[arg(value_name = "SERVER", required = true)]
    servers: Vec<String>,
    /// State to wait for
    #[arg(long = "for", default_value = "ready", value_name = "STATE", value_parser = [
        "disabled", "stopped", "idle", "starting", "ready", "degraded", "stopping", "backoff", "unauthorized", "failed", "exited",
    ])]
    state: String,
    /// Longest time to wait
    #[arg(long, default_value = "60s", value_parser = read_length, value_name = "TIME")]
    timeout: Duration,
    #[command(flatten)]
    access: AccessLine,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::operate::{ActivityQuery, By, Edit, Keys, Pins};
    use crate::cli::{Access, Command, Program, parse};

    fn operate(line: &str) -> Operate {
        match parse(Program::Mcpvisor, line.split(' ')) {
            Ok(Command::Operate(operate)) => operate,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn every_command_arrives_with_its_daemon_and_its_form() {
        let all = operate("mcpvisor status a --watch=5s -o yaml --url http://h:1 --key k");
        let access = Access { url: Some("http://h:1".into()), socket: None, key: Some("k".into()) };
        let action = Action::Status(Some("a".into()), Some(Duration::from_secs(5)));
        assert_eq!(all, Operate { access, format: Format::Yaml, action });
        assert_eq!(operate("mcpvisor ls --watch").action, Action::List(Some(Duration::from_secs(2))));
        let logs = Logs {
            server: "a".into(),
            follow: true,
            lines: Some(3),
            since: Some("1h".into()),
            previous: false,
        };
        assert_eq!(operate("mcpvisor logs a -f -n 3 --since 1h").action, Action::Logs(logs));
        let call =
            Call { target: "a.b".into(), pairs: vec!["x=1".into(), "y:=[2]".into()], ..Call::default() };
        assert_eq!(operate("mcpvisor call a.b x=1 y:=[2]").action, Action::Call(call));
        let wait = Wait {
            servers: vec!["a".into(), "b".into()],
            state: "idle".into(),
            timeout: Duration::from_secs(120),
        };
        assert_eq!(operate("mcpvisor wait a b --for idle --timeout 2m").action, Action::Wait(wait));
        let edit = Edit { server: "a".into(), file: Some("-".into()) };
        assert_eq!(operate("mcpvisor edit a --file -").action, Action::Edit(edit));
        assert_eq!(
            operate("mcpvisor resources a x://y").action,
            Action::Resources(Some("a".into()), Some("x://y".into()))
        );
    }

    #[test]
    fn commands_about_records_arrive() {
        let Action::Keys(Keys::Create(new)) =
            operate("mcpvisor keys create --name n --servers a,b --tools c,d* --rate 5 --expires 30d -q")
                .action
        else {
            panic!("a new key")
        };
        assert_eq!(
            (new.servers, new.tools),
            (vec!["a".to_owned(), "b".into()], vec!["c".to_owned(), "d*".into()])
        );
        assert_eq!((new.rate, new.expires.as_deref(), new.quiet), (Some(5), Some("30d"), true));
        assert_eq!(operate("mcpvisor keys list").action, Action::Keys(Keys::List("all".into())));
        let rotate = Keys::Rotate("Bob".into(), Some(Duration::from_secs(3600)), false);
        assert_eq!(operate("mcpvisor keys rotate Bob --grace 1h").action, Action::Keys(rotate));
        let Action::Usage(usage) = operate("mcpvisor usage --since 7d --by tool").action else {
            panic!("usage")
        };
        assert_eq!((usage.since.as_deref(), usage.by), (Some("7d"), vec![By::Tool]));
        let Action::Usage(usage) = operate("mcpvisor usage --since 1h --by key,server,tool --step 5m").action
        else {
            panic!("usage")
        };
        assert_eq!((usage.by, usage.step.as_deref()), (vec![By::Key, By::Server, By::Tool], Some("5m")));
        let activity = ActivityQuery {
            lines: 5,
            follow: true,
            since: Some("1h".into()),
            until: None,
            filters: vec![("server", "a".into()), ("outcome", "failed".into())],
        };
        assert_eq!(
            operate("mcpvisor activity -f -n 5 --since 1h --server a --outcome failed").action,
            Action::Activity(activity)
        );
        let stop = Action::Switch(Switch::Stop, vec!["a".into()], Some(Duration::from_secs(5)));
        assert_eq!(operate("mcpvisor stop a --wait --timeout 5s").action, stop);
        assert_eq!(
            operate("mcpvisor enable a b").action,
            Action::Switch(Switch::Enable, vec!["a".into(), "b".into()], None)
        );
        let approve = Pins::Approve { server: "a".into(), tools: vec!["t".into()], digest: Some("d".into()) };
        assert_eq!(operate("mcpvisor pins approve a t --digest d").action, Action::Pins(approve));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for line in [
            "mcpvisor call a.b x=1 --json {}",
            "mcpvisor logs a -f --previous",
            "mcpvisor wait",
            "mcpvisor usage --since 1d --period day",
            "mcpvisor keys create",
            "mcpvisor keys create --name n --owner a --member b",
            "mcpvisor list -o xml",
            "mcpvisor list --watch=soon",
        ] {
            assert!(parse(Program::Mcpvisor, line.split(' ')).is_err(), "{line}");
        }
    }
}
