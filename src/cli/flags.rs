//! Flags of the command line, declared once for both programs.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use super::Exit;
use super::add::Add;
use super::ask::Ask;
use super::backup::Backup;
use super::client_flags::{AccessLine, AddLine, AskLine, LoginLine};
use super::connect::Connect;
use super::documents::{self, Documents, Shell};
use super::import::Import;
use super::login::Login;
use super::operate::{Common, ConfigAction, Doctor, Format, KeyCommands, Operate, OperateCommands, SchemaOf};
use super::stdio::Stdio;
use crate::config::{self, Flags};

/// Program that was started, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `mcpvisor`, with subcommands; listens on 127.0.0.1:5000.
    Mcpvisor,
    /// `mcp-server`, without subcommands; listens on 0.0.0.0:5000.
    McpServer,
}

/// Action that the command line asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Run the daemon with these flags.
    Serve(Flags),
    /// Check the configuration, describe what would run, and end.
    Check(Flags),
    /// Run the built-in MCP server on stdin and stdout.
    DemoServer,
    /// Operate a running daemon.
    Operate(Operate),
    /// Show what is wrong with servers.
    Doctor(Doctor),
    /// Tell of the configuration.
    Config(ConfigAction),
    /// Give a running daemon a server.
    Add(Add),
    /// Ask a running daemon a question.
    Ask(Ask),
    /// Log in at a remote server of a running daemon.
    Login(Login),
    /// Be an MCP server on stdin and stdout, by a running daemon.
    Stdio(Stdio),
    /// Put this gateway into the configuration file of a client.
    Connect(Connect),
    /// Make a servers file from other clients' files.
    Import(Import),
    /// Write completions of a shell, or man pages.
    Documents(Documents),
    /// Replace the owner's key. Only the flags that locate it are set.
    NewOwnerKey(Flags),
    /// Write a backup: of a running daemon, or of the data directory that these flags locate.
    Backup(Backup, Flags),
    /// Check or replace the stored data. Only the flags that locate it are set.
    Store(Flags, StoreAction),
}

/// Action on the stored data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreAction {
    /// Report the state of every part.
    Check,
    /// Check the database only, for a daemon that is starting and holds the lock.
    Probe,
    /// Write a backup of the stored data.
    Backup {
        /// File to write. `None` for a new one in the data directory.
        to: Option<PathBuf>,
    },
    /// Replace the content by that of a backup.
    Restore {
        /// File of the backup. `None` for the newest good one of the data directory.
        from: Option<PathBuf>,
        /// `true` if what is there may be replaced.
        replace: bool,
    },
}

/// Result of a command line that runs nothing: it is wrong, or asked for help or the version.
#[derive(Debug)]
pub struct EarlyExit(Box<clap::Error>);

impl EarlyExit {
    /// Prints the text where it belongs (help and version to stdout, an error to stderr) and returns the exit
    /// code.
    pub fn report(self) -> Exit {
        let exit = match self.0.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Graceful,
            _ => Exit::Usage,
        };
        if self.0.print().is_err() { Exit::Io } else { exit }
    }
}

/// Parses a command line; the first of `args` is the program's own name.
///
/// # Errors
/// A text to show instead of running.
pub fn parse<I, A>(program: Program, args: I) -> Result<Command, EarlyExit>
where
    I: IntoIterator<Item = A>,
    A: Into<OsString> + Clone,
{
    let command = match program {
        Program::Mcpvisor => read::<Mcpvisor, _, _>(args).map(|line| match line.command {
            Subcommands::Serve(flags) => flags.into_command(None),
            Subcommands::DemoServer => Command::DemoServer,
            Subcommands::Operate(line) => Command::Operate(line.into_operate()),
            Subcommands::Doctor(line) => Command::Doctor(line.common.examining(line.server)),
            Subcommands::Config(line) => line.command.into_command(),
            Subcommands::Add(line) => Command::Add(line.into()),
            Subcommands::Ask(line) => Command::Ask(line.into()),
            Subcommands::Login(line) => Command::Login(line.into()),
            Subcommands::Stdio(line) => line.into_command(),
            Subcommands::Connect(line) => line.into_command(),
            Subcommands::Import(line) => line.into_command(),
            Subcommands::Completions { shell } => {
                Command::Documents(documents::completions(shell, &mut Mcpvisor::command()))
            }
            Subcommands::Man { dir: None } => {
                Command::Documents(documents::man(vec![Mcpvisor::command()], None))
            }
            Subcommands::Man { dir } => {
                Command::Documents(documents::man(vec![Mcpvisor::command(), McpServer::command()], dir))
            }
            Subcommands::Backup(line) => line.into_command(),
            Subcommands::Restore(line) => line.into_command(),
            Subcommands::Store(store) => store.command.into_command(),
            Subcommands::Keys(keys) => keys.command.into_command(),
        }),
        Program::McpServer => {
            read::<McpServer, _, _>(args).map(|line| line.flags.into_command(Some("0.0.0.0")))
        }
    };
    command.map_err(|error| EarlyExit(Box::new(error)))
}

fn read<P, I, A>(args: I) -> Result<P, clap::Error>
where
    P: CommandFactory + FromArgMatches,
    I: IntoIterator<Item = A>,
    A: Into<OsString> + Clone,
{
    let matches = P::command().try_get_matches_from(args)?;
    P::from_arg_matches(&matches).map_err(|error| error.format(&mut P::command()))
}

/// Supervises MCP servers as child processes and serves them over HTTP.
#[derive(Debug, Parser)]
#[command(name = "mcpvisor", version)]
struct Mcpvisor {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Run the daemon (listens on 127.0.0.1:5000 unless told otherwise)
    Serve(ServeFlags),
    #[command(flatten)]
    Operate(OperateCommands),
    /// What is wrong with servers, and what to do: of a running daemon, or before one is started
    Doctor(DoctorLine),
    /// JSON Schemas of the files for editors, and the settings that are in force with where each comes from
    Config(ConfigLine),
    /// Add a server to a running daemon: a package, an address, or a command behind --
    Add(AddLine),
    /// Ask a question of a running daemon; a model answers it with the servers' tools
    Ask(AskLine),
    /// Log in at a remote server, in a browser, for a running daemon
    Login(LoginLine),
    /// Be the MCP server of a running daemon on stdin and stdout, for clients that only start commands
    Stdio(StdioLine),
    /// Put this gateway into the configuration file of an MCP client; shows the change, and writes it with --write
    Connect(ConnectLine),
    /// Make a servers file out of those of other clients, which stay as they are
    Import(ImportLine),
    /// Be a small MCP server on stdin and stdout, to try the gateway with
    DemoServer,
    /// Write a backup of everything into one file: of a running daemon, or of its data directory where none runs
    Backup(BackupLine),
    /// Restore a backup into a data directory, which is made if it is not there, while no daemon runs on it
    Restore(RestoreLine),
    /// Check, back up or restore what is kept on disk, while no daemon runs on it
    Store(StoreLine),
    /// Make, list, rotate and revoke keys of a running daemon; replace the owner's while none runs
    Keys(KeysLine),
    /// Write the script by which a shell completes the words of this command
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the man page of this program, as `man -l -` reads it
    Man {
        /// Write a page for each command into this directory instead
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
#[command(
    after_help = "Where no daemon runs, the configuration that one would be started with here is looked at: commands, interpreters,\n\
                  directories, references, variables. Exit codes: 0 nothing is wrong, 1 something is, 69 the daemon that was named does not answer."
)]
struct DoctorLine {
    /// The server; all of them otherwise
    #[arg(value_name = "SERVER")]
    server: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct ConfigLine {
    #[command(subcommand)]
    command: ConfigCommands,
}

#[derive(Debug, Subcommand)]
enum ConfigCommands {
    /// The JSON Schema of the configuration file, or of servers files
    Schema {
        /// The file
        #[arg(value_enum, default_value_t)]
        of: SchemaOf,
    },
    /// The settings that a daemon started here would have, and where each comes from
    Show {
        #[command(flatten)]
        place: Place,
        /// Form of the output
        #[arg(long, short, value_enum, default_value_t, value_name = "FORM")]
        output: Format,
    },
}

impl ConfigCommands {
    fn into_command(self) -> Command {
        Command::Config(match self {
            ConfigCommands::Schema { of } => ConfigAction::Schema(of),
            ConfigCommands::Show { place, output } => ConfigAction::Show(place.into_flags(), output),
        })
    }
}

#[derive(Debug, Args)]
struct KeysLine {
    #[command(subcommand)]
    command: KeysCommands,
}

#[derive(Debug, Subcommand)]
enum KeysCommands {
    #[command(flatten)]
    Running(Box<KeyCommands>),
    /// The key in owner.key: of the first start, and of whoever lost it
    Owner {
        #[command(flatten)]
        place: Place,
        /// Revoke it and leave another one in owner.key
        #[arg(long = "new", required = true)]
        renew: bool,
    },
}

impl KeysCommands {
    fn into_command(self) -> Command {
        match self {
            KeysCommands::Running(line) => Command::Operate(line.into_operate()),
            KeysCommands::Owner { place, renew: _ } => Command::NewOwnerKey(place.into_flags()),
        }
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "Speaks MCP of either era. Where no daemon runs, one is started and stays; what it writes is in daemon.log of its data\n\
                  directory. stdout has nothing but MCP, stderr says what it is connected to and what goes wrong."
)]
struct StdioLine {
    /// Servers to offer, or a group; all servers otherwise
    #[arg(value_name = "SERVER")]
    servers: Vec<String>,
    /// The address of a daemon that runs already
    #[arg(long, env = "MCPVISOR_URL", value_name = "URL")]
    url: Option<String>,
    /// The Unix socket of a daemon that runs already, which needs no key
    #[arg(long, env = "MCPVISOR_SOCKET", value_name = "FILE")]
    socket: Option<PathBuf>,
    /// A key of the daemon, where it wants one; better given as MCPVISOR_KEY, since others may see a command line
    #[arg(long, env = "MCPVISOR_KEY", hide_env_values = true, value_name = "KEY")]
    key: Option<String>,
    /// Start no daemon where none runs
    #[arg(long)]
    no_start: bool,
}

impl StdioLine {
    fn into_command(self) -> Command {
        let StdioLine { servers, url, socket, key, no_start } = self;
        // As an address names several.
        let server = Some(servers.join(",")).filter(|_| !servers.is_empty());
        Command::Stdio(Stdio { server, url, socket, key, no_start })
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "Clients: claude-desktop, claude-code, vscode, cursor, windsurf, zed, codex, gemini, opencode, goose.\n\
                  Comments, order and everything else in the file stay as they are; what it had is kept beside it."
)]
struct ConnectLine {
    /// The client
    #[arg(value_name = "CLIENT")]
    client: String,
    /// Server or group to offer; all servers otherwise
    #[arg(value_name = "SERVER")]
    server: Option<String>,
    /// Write the file
    #[arg(long)]
    write: bool,
    /// Take back what was written last, if nobody has changed the file since
    #[arg(long, conflicts_with_all = ["write", "server"])]
    undo: bool,
    /// The file of the project in the working directory, for all who work on it
    #[arg(long)]
    project: bool,
    /// Have the client start `mcpvisor stdio`, also where it speaks HTTP
    #[arg(long)]
    stdio: bool,
    /// The daemon's address, if it is not this user's usual one
    #[arg(long, env = "MCPVISOR_URL", value_name = "URL")]
    url: Option<String>,
    /// Environment variable that the client finds the key in; MCPVISOR_KEY for a daemon of another machine
    #[arg(long, value_name = "NAME")]
    key_variable: Option<String>,
}

impl ConnectLine {
    fn into_command(self) -> Command {
        let ConnectLine { client, server, write, undo, project, stdio, url, key_variable } = self;
        Command::Connect(Connect { client, server, write, undo, project, stdio, url, key_variable })
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "Shows what is taken, what is otherwise than it was written, and what somebody has to fill in."
)]
struct ImportLine {
    /// Client (claude-code, cursor, vscode, …) or file, may be given several times; all clients otherwise
    #[arg(long, value_name = "CLIENT|FILE")]
    from: Vec<String>,
    /// File to write, for you alone to read; config/servers.json otherwise
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Show what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Replace the file if it is there
    #[arg(long)]
    replace: bool,
}

impl ImportLine {
    fn into_command(self) -> Command {
        let ImportLine { from, to, dry_run, replace } = self;
        Command::Import(Import { from, to, dry_run, replace })
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "The file has servers, keys, members, plans, approvals and what was counted, of one moment. It is readable for you alone,\n\
                  as secrets that are written into definitions are in it; keys are in it as SHA-256 only, owner.key not at all.\n\
                  A running daemon gives it to an owner's key without limits."
)]
struct BackupLine {
    /// File to write, or a directory to write it into, or - for stdout; a new file in this directory otherwise
    #[arg(value_name = "FILE")]
    to: Option<PathBuf>,
    #[command(flatten)]
    access: AccessLine,
    #[command(flatten)]
    place: Place,
}

impl BackupLine {
    fn into_command(self) -> Command {
        let BackupLine { to, access, place } = self;
        let place = place.into_flags();
        let here = place.config.is_some() || place.data_dir.is_some();
        Command::Backup(Backup { to, access: access.into(), here }, place)
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "The file is checked before anything is touched. A directory that has something in it is refused without --replace.\n\
                  If it is interrupted, the next start finds the directory as it was, or goes on restoring."
)]
struct RestoreLine {
    /// The backup's file, or `latest` for the newest good one of the data directory
    #[arg(value_name = "FILE|latest")]
    from: PathBuf,
    /// Restore also into a directory that has something in it; its store is kept in quarantine
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    place: Place,
}

impl RestoreLine {
    fn into_command(self) -> Command {
        let RestoreLine { from, replace, place } = self;
        Command::Store(place.into_flags(), StoreAction::Restore { from: named(from), replace })
    }
}

/// Returns the file that is named; `None` for the newest of the data directory.
fn named(from: PathBuf) -> Option<PathBuf> {
    Some(from).filter(|from| from.as_os_str() != "latest")
}

#[derive(Debug, Args)]
struct StoreLine {
    #[command(subcommand)]
    command: StoreCommands,
}

#[derive(Debug, Subcommand)]
enum StoreCommands {
    /// Look at every record, the journal and all backups, and say how they are
    Check {
        #[command(flatten)]
        place: Place,
        #[arg(long, hide = true)]
        probe: bool,
    },
    /// Write a backup: into the data directory, or to a file
    Backup {
        #[command(flatten)]
        place: Place,
        /// Write to this file instead
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// Replace the content by that of a backup; what was there is kept in quarantine
    Restore {
        #[command(flatten)]
        place: Place,
        /// The backup's file, or `latest` for the newest good one of the data directory
        #[arg(value_name = "FILE|latest")]
        from: PathBuf,
    },
}

/// The flags that lead to the data directory.
#[derive(Debug, Args)]
struct Place {
    /// Configuration file, TOML [env: MCPVISOR_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the store [env: MCPVISOR_DATA_DIR]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Place {
    fn into_flags(self) -> Flags {
        Flags { config: self.config, data_dir: self.data_dir, ..Flags::default() }
    }
}

impl StoreCommands {
    fn into_command(self) -> Command {
        let (place, action) = match self {
            StoreCommands::Check { place, probe: false } => (place, StoreAction::Check),
            StoreCommands::Check { place, probe: true } => (place, StoreAction::Probe),
            StoreCommands::Backup { place, to } => (place, StoreAction::Backup { to }),
            StoreCommands::Restore { place, from } => {
                (place, StoreAction::Restore { from: named(from), replace: true })
            }
        };
        Command::Store(place.into_flags(), action)
    }
}

/// Supervises MCP servers and serves them over HTTP: `mcpvisor serve`, but listening on
/// 0.0.0.0:5000 unless told otherwise.
#[derive(Debug, Parser)]
#[command(name = "mcp-server", version)]
struct McpServer {
    #[command(flatten)]
    flags: ServeFlags,
}

#[derive(Debug, Args)]
#[command(after_help = "A flag wins over its environment variable, that over the configuration file.\n\
                  Exit codes: 0 stopped in order, 1 defect, 2 usage, 3 forced stop, 74 input or output, 78 configuration.")]
struct ServeFlags {
    /// Configuration file, TOML [env: MCPVISOR_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Servers file of this or another client, may be given several times [env: MCPVISOR_SERVERS, separated by ':']
    #[arg(long, value_name = "FILE")]
    servers: Vec<PathBuf>,
    /// Address or name to listen on [env: MCPVISOR_HOST]
    #[arg(long, value_parser = host)]
    host: Option<String>,
    /// Port to listen on, 0 for any free one [env: MCPVISOR_PORT]
    #[arg(long)]
    port: Option<u16>,
    /// Directory of the store [env: MCPVISOR_DATA_DIR]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Verbose log and error texts [env: MCPVISOR_DEBUG]
    #[arg(long)]
    debug: bool,
    /// Check the configuration, say what would run, and end
    #[arg(long)]
    check: bool,
}

impl ServeFlags {
    fn into_command(self, default_host: Option<&'static str>) -> Command {
        let flags = Flags {
            config: self.config,
            servers: self.servers,
            host: self.host,
            port: self.port,
            data_dir: self.data_dir,
            debug: self.debug.then_some(true),
            default_host,
        };
        if self.check { Command::Check(flags) } else { Command::Serve(flags) }
    }
}

fn host(text: &str) -> Result<String, &'static str> {
    config::read_host(text).ok_or("must be an IP address or a host name")
}

#[cfg(test)]
#[path = "reference_tests.rs"]
mod reference;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Access;

    fn words(program: Program, line: &str) -> Result<Command, EarlyExit> {
        parse(program, line.split(' '))
    }

    #[test]
    fn the_declarations_are_sound() {
        Mcpvisor::command().debug_assert();
        McpServer::command().debug_assert();
    }

    #[test]
    fn every_flag_arrives() {
        let expected = Flags {
            config: Some("c.toml".into()),
            servers: vec!["a.json".into(), "b.json".into()],
            host: Some("::1".into()),
            port: Some(0),
            data_dir: Some("d".into()),
            debug: Some(true),
            default_host: None,
        };
        let flags =
            "--config c.toml --servers a.json --servers b.json --host [::1] --port 0 --data-dir d --debug";
        let serve = words(Program::Mcpvisor, &format!("mcpvisor serve {flags}")).expect("understood");
        assert_eq!(serve, Command::Serve(expected.clone()));
        let check = words(Program::Mcpvisor, &format!("mcpvisor serve --check {flags}")).expect("understood");
        assert_eq!(check, Command::Check(expected.clone()));
        let twin = words(Program::McpServer, &format!("mcp-server {flags}")).expect("understood");
        assert_eq!(twin, Command::Serve(Flags { default_host: Some("0.0.0.0"), ..expected }));
    }

    #[test]
    fn without_flags_everything_is_left_open() {
        let serve = words(Program::Mcpvisor, "mcpvisor serve").expect("understood");
        assert_eq!(serve, Command::Serve(Flags::default()));
        let twin = words(Program::McpServer, "mcp-server").expect("understood");
        assert_eq!(twin, Command::Serve(Flags { default_host: Some("0.0.0.0"), ..Flags::default() }));
        assert_eq!(
            words(Program::Mcpvisor, "mcpvisor demo-server").expect("understood"),
            Command::DemoServer
        );
    }

    #[test]
    fn a_question_arrives_with_everything_that_was_said_of_it() {
        let line = "mcpvisor ask why --server a --server b --url http://h:1 --key k --model m --tool t --max-turns 3 -q";
        let expected = Ask {
            question: "why".into(),
            servers: vec!["a".into(), "b".into()],
            access: Access { url: Some("http://h:1".into()), socket: None, key: Some("k".into()) },
            model: Some("m".into()),
            tools: vec!["t".into()],
            max_turns: Some(3),
            quiet: true,
        };
        assert_eq!(words(Program::Mcpvisor, line).expect("understood"), Command::Ask(expected));
        let Ok(Command::Ask(ask)) = words(Program::Mcpvisor, "mcpvisor ask why --server a") else {
            panic!("understood")
        };
        assert_eq!((ask.access.url, ask.access.socket), (None, None));
        assert!(words(Program::Mcpvisor, "mcpvisor ask why").is_err(), "a server must be named");
    }

    #[test]
    fn a_bridge_has_the_servers_that_are_named_or_all_of_them() {
        let Ok(Command::Stdio(all)) = words(Program::Mcpvisor, "mcpvisor stdio") else {
            panic!("understood")
        };
        assert_eq!((all.server, all.no_start), (None, false));
        let line = "mcpvisor stdio a --url http://h:1 --socket s --key k --no-start";
        let expected = Stdio {
            server: Some("a".into()),
            url: Some("http://h:1".into()),
            socket: Some("s".into()),
            key: Some("k".into()),
            no_start: true,
        };
        assert_eq!(words(Program::Mcpvisor, line).expect("understood"), Command::Stdio(expected));
        let Ok(Command::Stdio(two)) = words(Program::Mcpvisor, "mcpvisor stdio a b") else {
            panic!("understood")
        };
        assert_eq!(two.server.as_deref(), Some("a,b"));
    }

    #[test]
    fn a_connection_arrives_with_everything_that_was_said_of_it() {
        let line = "mcpvisor connect cursor a --write --project --stdio --url http://h:1 --key-variable K";
        let expected = Connect {
            client: "cursor".into(),
            server: Some("a".into()),
            write: true,
            undo: false,
            project: true,
            stdio: true,
            url: Some("http://h:1".into()),
            key_variable: Some("K".into()),
        };
        assert_eq!(words(Program::Mcpvisor, line).expect("understood"), Command::Connect(expected));
        for line in
            ["mcpvisor connect", "mcpvisor connect cursor --undo --write", "mcpvisor connect zed a --undo"]
        {
            assert_eq!(words(Program::Mcpvisor, line).expect_err(line).0.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn an_import_arrives_with_everything_that_was_said_of_it() {
        let none = Import { from: Vec::new(), to: None, dry_run: false, replace: false };
        assert_eq!(words(Program::Mcpvisor, "mcpvisor import").expect("understood"), Command::Import(none));
        let line = "mcpvisor import --from cursor --from a.json --to b.json --dry-run --replace";
        let from = vec!["cursor".into(), "a.json".into()];
        let all = Import { from, to: Some("b.json".into()), dry_run: true, replace: true };
        assert_eq!(words(Program::Mcpvisor, line).expect("understood"), Command::Import(all));
    }

    #[test]
    fn the_actions_on_the_store_arrive() {
        let flags = || Flags { data_dir: Some("d".into()), ..Flags::default() };
        for (line, action) in [
            ("check", StoreAction::Check),
            ("check --probe", StoreAction::Probe),
            ("backup", StoreAction::Backup { to: None }),
            ("backup --to f", StoreAction::Backup { to: Some("f".into()) }),
            ("restore latest", StoreAction::Restore { from: None, replace: true }),
            ("restore ./latest", StoreAction::Restore { from: Some("./latest".into()), replace: true }),
        ] {
            let command = words(Program::Mcpvisor, &format!("mcpvisor store {line} --data-dir d"));
            assert_eq!(command.expect("understood"), Command::Store(flags(), action), "{line}");
        }
        for (line, from, replace) in [
            ("f", Some("f".into()), false),
            ("latest --replace", None, true),
            ("f --replace", Some("f".into()), true),
        ] {
            let command = words(Program::Mcpvisor, &format!("mcpvisor restore {line} --data-dir d"));
            let action = StoreAction::Restore { from, replace };
            assert_eq!(command.expect("understood"), Command::Store(flags(), action), "{line}");
        }
        let line = "mcpvisor backup f --socket s";
        let Ok(Command::Backup(backup, place)) = words(Program::Mcpvisor, line) else { panic!("understood") };
        assert_eq!(
            (backup.to, backup.access.socket, backup.here),
            (Some("f".into()), Some("s".into()), false)
        );
        assert_eq!(place, Flags::default());
        let line = "mcpvisor backup --data-dir d";
        let Ok(Command::Backup(backup, place)) = words(Program::Mcpvisor, line) else { panic!("understood") };
        assert_eq!((backup.to, backup.here, place), (None, true, flags()));
    }

    #[test]
    fn the_owner_s_key_is_replaced_only_when_that_is_said() {
        let flags = Flags { data_dir: Some("d".into()), ..Flags::default() };
        let line = "mcpvisor keys owner --new --data-dir d";
        assert_eq!(words(Program::Mcpvisor, line).expect("understood"), Command::NewOwnerKey(flags));
    }

    #[test]
    fn what_cannot_be_understood_is_a_usage_error() {
        for line in [
            "mcpvisor keys",
            "mcpvisor keys owner",
            "mcpvisor store",
            "mcpvisor store restore",
            "mcpvisor store check --port 1",
            "mcpvisor",
            "mcpvisor run",
            "mcpvisor serve extra",
            "mcpvisor serve --port 65536",
            "mcpvisor serve --port -1",
            "mcpvisor serve --host a/b",
            "mcpvisor serve --prot 1",
            "mcpvisor serve --config",
        ] {
            let refused = words(Program::Mcpvisor, line).expect_err(line);
            assert_eq!(refused.0.exit_code(), 2, "{line}");
        }
        assert_eq!(
            words(Program::McpServer, "mcp-server serve").expect_err("no subcommands").0.exit_code(),
            2
        );
        for line in ["mcpvisor --help", "mcpvisor --version", "mcpvisor serve --help"] {
            assert_eq!(words(Program::Mcpvisor, line).expect_err(line).0.exit_code(), 0, "{line}");
        }
    }
}
