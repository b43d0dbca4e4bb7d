//! Flags of the commands that talk to a running daemon: which one, and those of `add`, `ask` and `login`.

use std::path::PathBuf;

use clap::Args;

use super::add::Add;
use super::ask::Ask;
use super::client::Access;
use super::login::Login;

/// The daemon that a command talks to.
#[derive(Debug, Args)]
pub(super) struct AccessLine {
    /// The daemon's address; without it and without --socket, the usual socket, or http://127.0.0.1:5000
    #[arg(long, env = "MCPVISOR_URL", value_name = "URL")]
    url: Option<String>,
    /// The daemon's Unix socket, which needs no key
    #[arg(long, env = "MCPVISOR_SOCKET", value_name = "FILE")]
    socket: Option<PathBuf>,
    /// A key of the daemon, where it wants one, with the rights that the command needs; better given as MCPVISOR_KEY
    #[arg(long, env = "MCPVISOR_KEY", hide_env_values = true, value_name = "KEY")]
    key: Option<String>,
}

impl From<AccessLine> for Access {
    fn from(AccessLine { url, socket, key }: AccessLine) -> Access {
        Access { url, socket, key }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "mcpvisor add npx:@modelcontextprotocol/server-everything\n\
                  mcpvisor add npx:@modelcontextprotocol/server-filesystem -- /srv/notes\n\
                  mcpvisor add --env 'TOKEN=${env:TOKEN}' --name notes -- node dist/index.js\n\n\
                  A secret in a header or a variable is better a reference that the daemon looks up, in single quotes:\n\
                  --header 'Authorization: Bearer ${env:TOKEN}', or ${file:/run/secrets/token}. What is written out here can be\n\
                  read in the list of processes.")]
pub(super) struct AddLine {
    /// A package, npx:PACKAGE or uvx:PACKAGE, or the server's address, https://host/mcp
    #[arg(value_name = "PACKAGE|URL")]
    source: Option<String>,
    /// The command of a server and its arguments; behind a package further arguments of it
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
    /// Its name; what the package, the address or the command suggests otherwise
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Environment variable of it, NAME=VALUE, may be given several times
    #[arg(long, short, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Header to send to it, "NAME: VALUE", may be given several times
    #[arg(long = "header", short = 'H', value_name = "HEADER")]
    headers: Vec<String>,
    /// How it is spoken to, http or sse; found out otherwise
    #[arg(long = "type", value_name = "TYPE")]
    transport: Option<String>,
    /// Log in at it, in a browser on this machine
    #[arg(long)]
    login: bool,
    /// Do not wait until it is ready
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    access: AccessLine,
}

impl From<AddLine> for Add {
    fn from(line: AddLine) -> Add {
        let AddLine { source, command, name, env, headers, transport, login, no_wait, access } = line;
        let access = access.into();
        Add { source, command, name, env, headers, transport, login, no_wait, access }
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "The answer goes to stdout, the calls of tools to stderr. The daemon needs a model: section [llm] of its\n\
                  configuration, or OPENAI_API_KEY and OPENAI_BASE_URL in its environment."
)]
pub(super) struct AskLine {
    /// The question
    #[arg(value_name = "QUESTION")]
    question: String,
    /// Server whose tools may be used, may be given several times
    #[arg(long = "server", value_name = "NAME", required = true)]
    servers: Vec<String>,
    #[command(flatten)]
    access: AccessLine,
    /// Model to ask instead of the daemon's default
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Only this tool, may be given several times
    #[arg(long = "tool", value_name = "NAME")]
    tools: Vec<String>,
    /// How often the model is asked at most
    #[arg(long, value_name = "N")]
    max_turns: Option<usize>,
    /// Say nothing but the answer
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "The server's entry needs mcpvisor.auth with \"type\": \"login\". The daemon keeps the login, sealed, and renews\n\
                  its tokens by itself."
)]
pub(super) struct LoginLine {
    /// Name of the server
    #[arg(value_name = "NAME")]
    server: String,
    #[command(flatten)]
    access: AccessLine,
    /// Port of this machine that the browser comes back to, where the authorization server knows only one
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Paste the address that the browser ends at, for a browser on another machine
    #[arg(long)]
    paste: bool,
}

impl From<LoginLine> for Login {
    fn from(line: LoginLine) -> Login {
        let LoginLine { server, access, port, paste } = line;
        Login { server, access: access.into(), port, paste }
    }
}

impl From<AskLine> for Ask {
    fn from(line: AskLine) -> Ask {
        let AskLine { question, servers, access, model, tools, max_turns, quiet } = line;
        let access = access.into();
        Ask { question, servers, access, model, tools, max_turns, quiet }
    }
}
