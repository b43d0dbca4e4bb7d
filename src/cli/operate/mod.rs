//! The commands of an operator, against a running daemon (`docs/cli.md`).

mod activity;
mod arguments;
mod audit;
mod call;
mod catalog;
mod change;
mod common_flags;
pub mod config;
mod console;
pub mod doctor;
mod edit;
mod export;
mod flags;
mod follow;
mod json;
mod keys;
mod list;
mod logs;
mod open;
mod pins;
mod record_flags;
mod screen;
mod status;
mod table;
mod top;
mod usage;
mod wait;
mod words;
mod yaml;

use std::time::Duration;

use time::OffsetDateTime;

pub use activity::ActivityQuery;
pub use audit::AuditQuery;
pub use call::Call;
pub use change::Switch;
pub(super) use common_flags::Common;
pub use config::{ConfigAction, SchemaOf};
pub use doctor::Doctor;
pub use edit::{Edit, Editor};
pub use export::Export;
pub(super) use flags::OperateCommands;
pub use keys::{Keys, NewKey};
pub use logs::Logs;
pub use open::{Browser, Open};
pub use pins::Pins;
pub(super) use record_flags::KeyCommands;
pub use screen::Format;
pub use top::{Top, TopKey};
pub use usage::{By, UsageQuery};
pub use wait::Wait;

use self::console::Console;
use self::screen::Screen;
use super::Exit;
use super::client::{self, Access, Daemon, Problem};

/// A command, the daemon that it is for, and the form of its output.
#[derive(Debug, Clone, PartialEq)]
pub struct Operate {
    /// The daemon.
    pub access: Access,
    /// Form of the output.
    pub format: Format,
    /// The command.
    pub action: Action,
}

/// A command of an operator.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Shows the daemon, or a server, at once or again and again after this time.
    Status(Option<String>, Option<Duration>),
    /// Lists the servers, at once or again and again after this time.
    List(Option<Duration>),
    /// Shows a server's log.
    Logs(Logs),
    /// Lists tools: of a server, or all; or shows one of a server.
    Tools(Option<String>, Option<String>),
    /// Lists resources: of a server, or all; or reads one of a server.
    Resources(Option<String>, Option<String>),
    /// Lists prompts: of a server, or all.
    Prompts(Option<String>),
    /// Calls a tool.
    Call(Call),
    /// Restarts servers.
    Restart(Vec<String>),
    /// Starts, stops, enables or disables servers, and waits so long for that, if it is to be waited for.
    Switch(Switch, Vec<String>, Option<Duration>),
    /// Removes servers.
    Remove(Vec<String>),
    /// Has a server's definition edited.
    Edit(Edit),
    /// Writes the servers as a servers file.
    Export(Export),
    /// Opens the dashboard.
    Open(Open),
    /// Shows what servers do, again and again.
    Top(Top),
    /// Waits for servers.
    Wait(Wait),
    /// Makes, lists, replaces and revokes keys.
    Keys(Keys),
    /// Shows calls, one by one.
    Activity(ActivityQuery),
    /// Sums calls up.
    Usage(UsageQuery),
    /// Shows the audit.
    Audit(AuditQuery),
    /// Shows how tools differ, or approves them.
    Pins(Pins),
}

/// Carries a command out. `now` is the clock, `editor` has a person edit a file, `browser` opens an address.
pub fn run(operate: &Operate, now: fn() -> OffsetDateTime, editor: &Editor, browser: &Browser) -> Exit {
    client::run(async {
        let daemon = Daemon::find(&operate.access)?;
        let console = Console { daemon, screen: Screen::of_stdout(operate.format), now };
        carry_out(&console, &operate.action, editor, browser).await
    })
}

async fn carry_out(
    console: &Console,
    action: &Action,
    editor: &Editor,
    browser: &Browser,
) -> Result<(), Problem> {
    match action {
        Action::Status(None, every) => console.watch(*every, async || list::summary(console).await).await,
        Action::Status(Some(server), every) => {
            console.watch(*every, async || status::picture(console, server).await).await
        }
        Action::List(every) => console.watch(*every, async || list::list(console).await).await,
        Action::Logs(logs) => logs::run(console, logs).await,
        Action::Tools(server, tool) => catalog::tools(console, server.as_deref(), tool.as_deref()).await,
        Action::Resources(Some(server), Some(uri)) => catalog::read(console, server, uri).await,
        Action::Resources(server, _) => catalog::resources(console, server.as_deref()).await,
        Action::Prompts(server) => catalog::prompts(console, server.as_deref()).await,
        Action::Call(call) => call::run(console, call).await,
        Action::Restart(servers) => change::restart(console, servers).await,
        Action::Switch(switch, servers, wait) => change::switch(console, *switch, servers, *wait).await,
        Action::Remove(servers) => change::remove(console, servers).await,
        Action::Edit(edit) => edit::run(console, edit, editor).await,
        Action::Export(export) => export::run(console, export).await,
        Action::Open(open) => open::run(console, open, browser).await,
        Action::Top(top) => top::run(console, top).await,
        Action::Wait(wait) => wait::run(console, wait).await,
        Action::Keys(keys) => keys::run(console, keys).await,
        Action::Activity(query) => activity::run(console, query).await,
        Action::Usage(query) => usage::run(console, query).await,
        Action::Audit(query) => audit::run(console, query).await,
        Action::Pins(pins) => pins::run(console, pins).await,
    }
}
