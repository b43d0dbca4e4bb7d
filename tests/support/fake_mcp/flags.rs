//! The command line: which server to play and which faults to have.

use std::path::PathBuf;
use std::time::Duration;

use crate::grandchild::Role;

/// The text of `--help`: the reference of every flag and tool.
pub(crate) const HELP: &str = "\
fake-mcp: a scripted MCP server on stdin/stdout

usage: fake-mcp [FLAGS]

which server
  --era legacy|modern|both|pinned|settles   legacy (default): initialize; modern: server/discover and _meta;
                    both: decided by each message; pinned: decided by the first message for ever;
                    settles: both are answered, and it is legacy for ever once initialize was
  --probe reply-method-not-found|reply-invalid|silent|exit|reply-exit|reply-refuse|reply-deaf
                    what a legacy server does with server/discover (default reply-method-not-found);
                    the last three reply, and then end, refuse initialize or never answer it
  --protocol V      the version to name, whatever was asked (initialize), or the only one (discover)
  --tools N         N further tools, tool_0 to tool_N-1, which answer like echo
  --tools-file P    the entries of the JSON array in P, read anew each time: they come in place of
                    those of the same name, or after the others, and answer like echo
  --no-resources    no resources: not declared, and the methods are unknown
  --pages N         tools/list in N pages; the first cursor is the empty string
  --page-loop       tools/list never ends: every page names a next one
  --count-file P    append one byte to P for each tools/call, before it is carried out
  --ask-on-init     send roots/list right after notifications/initialized (legacy)
  --converse        log messages, updates of resources and changes of all lists are announced, and there
                    are the tools of conversation

start and end
  --exit CODE       exit at once
  --hang-init       never answer initialize (nor, in the modern era, server/discover)
  --slow-init MS    answer initialize or server/discover MS late
  --crash-after MS  exit with code 1, MS after the handshake
  --ignore-eof      stay when stdin is closed
  --ignore-term     block SIGTERM, SIGINT and SIGHUP

faults on the wire
  --noise           banners, ANSI colours, bad UTF-8 and blank lines between frames; frames end in CRLF
  --badline         a broken line and the reply in one write, for every reply
  --noeol BYTES     the first tools/call is answered by BYTES bytes without a newline
  --id-last         the id of a tool reply is its last member
  --id-hidden       the id of a tool reply is between two long members
  --deep N          tool results nested N levels deep
  --weird-ids       around each tool reply: unknown ids, wrong id types, and the reply a second time
  --deaf            never read again once the first tools/call has arrived
  --ignore-cancel   answer cancelled calls all the same
  --stderr-flood N  write N bytes of lines to stderr, beginning at the start
  --notify-flood N  send N notifications/message as fast as possible after the handshake
  --storm           send notifications/tools/list_changed every millisecond after the handshake

tools
  echo {nonce?, text?}    the arguments as structuredContent; text, else nonce, as text
  sleep {ms}              answers after ms; any number at once, in the order they end
  progress {ms, every_ms} like sleep, with notifications/progress when a token was given
  gather {count}          answers once so many gather calls are waiting, then all of them
  big {bytes}             a text of so many bytes
  fail {message?}         a result with isError
  empty                   a result without content
  reply {result}          the given result, in the legacy era whatever it is
  error {code?, message?, data?}
                          a JSON-RPC error
  crash {code?, signal?}  ends the process, without an answer
  env, fds, pid           the environment, the open descriptors and the id of this process
  meta                    the _meta of the call
  stats                   executions, in_flight, max_in_flight (of sleep, progress, gather and ask),
                          cancelled, notifications, client (the params of initialize), lists
                          (how often tools/list was asked)
  ask                     sends roots/list, sampling/createMessage, elicitation/create and an unknown
                          request to the client and reports the four answers (legacy)
  spawn_child {mode, clear_env?, hold_stdout?}
                          a grandchild that ignores SIGTERM; mode same-group, or escape (double fork
                          and setsid); answers its pid
  change_tools            adds a tool and sends notifications/tools/list_changed
  log_stderr {bytes}      writes so many bytes of lines to stderr, then answers

tools of conversation
  interview {rounds}      asks its client, round by round, what the lists of {method, params} say, and
                          reports the answers of each round by q0, q1, ...; in the modern era by
                          input_required, with what was answered so far as the state
  report {file, level?}   sends a progress notification and a log message, answers when there is a file
  touch {uri}             tells who follows this resource that it was updated
  change {list}           tells that this list (tools, prompts, resources) has changed
  followed                the resources that are followed and the level of log messages that was set
";

/// Which protocol era is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Era {
    #[default]
    Legacy,
    Modern,
    Both,
    Pinned,
    Settles,
}

/// What a legacy server does with `server/discover`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Probe {
    #[default]
    MethodNotFound,
    Invalid,
    Silent,
    Exit,
    ReplyExit,
    ReplyRefuse,
    ReplyDeaf,
}

/// All flags; the default is a correct legacy server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flags {
    pub(crate) era: Era,
    pub(crate) probe: Probe,
    pub(crate) protocol: Option<String>,
    pub(crate) tools: usize,
    pub(crate) tools_file: Option<PathBuf>,
    pub(crate) no_resources: bool,
    pub(crate) pages: usize,
    pub(crate) page_loop: bool,
    pub(crate) count_file: Option<PathBuf>,
    pub(crate) ask_on_init: bool,
    pub(crate) converse: bool,
    pub(crate) exit: Option<u8>,
    pub(crate) hang_init: bool,
    pub(crate) slow_init: Duration,
    pub(crate) crash_after: Option<Duration>,
    pub(crate) ignore_eof: bool,
    pub(crate) ignore_term: bool,
    pub(crate) noise: bool,
    pub(crate) badline: bool,
    pub(crate) noeol: usize,
    pub(crate) id_last: bool,
    pub(crate) id_hidden: bool,
    pub(crate) deep: usize,
    pub(crate) weird_ids: bool,
    pub(crate) deaf: bool,
    pub(crate) ignore_cancel: bool,
    pub(crate) stderr_flood: usize,
    pub(crate) notify_flood: usize,
    pub(crate) storm: bool,
}

/// What the command line asks for.
pub(crate) enum Command {
    Serve(Box<Flags>),
    Help,
    /// Not for people: `spawn_child` starts this program again in this role.
    Grandchild(Role),
}

/// Reads the command line; the error says what is wrong with it.
pub(crate) fn parse(arguments: &[String]) -> Result<Command, String> {
    let mut flags = Flags::default();
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        let mut value = || rest.next().ok_or_else(|| format!("{flag} needs a value"));
        match flag.as_str() {
            "--help" | "-h" => return Ok(Command::Help),
            "--grandchild" => return Ok(Command::Grandchild(Role::Sleeper)),
            "--grandchild-escape" => return Ok(Command::Grandchild(Role::Escape)),
            "--era" => flags.era = era(value()?)?,
            "--probe" => flags.probe = probe(value()?)?,
            "--protocol" => flags.protocol = Some(value()?.clone()),
            "--tools" => flags.tools = number(flag, value()?)?,
            "--tools-file" => flags.tools_file = Some(value()?.into()),
            "--no-resources" => flags.no_resources = true,
            "--pages" => flags.pages = number(flag, value()?)?,
            "--page-loop" => flags.page_loop = true,
            "--count-file" => flags.count_file = Some(value()?.into()),
            "--ask-on-init" => flags.ask_on_init = true,
            "--converse" => flags.converse = true,
            "--exit" => flags.exit = Some(number(flag, value()?)?),
            "--hang-init" => flags.hang_init = true,
            "--slow-init" => flags.slow_init = Duration::from_millis(number(flag, value()?)?),
            "--crash-after" => flags.crash_after = Some(Duration::from_millis(number(flag, value()?)?)),
            "--ignore-eof" => flags.ignore_eof = true,
            "--ignore-term" => flags.ignore_term = true,
            "--noise" => flags.noise = true,
            "--badline" => flags.badline = true,
            "--noeol" => flags.noeol = number(flag, value()?)?,
            "--id-last" => flags.id_last = true,
            "--id-hidden" => flags.id_hidden = true,
            "--deep" => flags.deep = number(flag, value()?)?,
            "--weird-ids" => flags.weird_ids = true,
            "--deaf" => flags.deaf = true,
            "--ignore-cancel" => flags.ignore_cancel = true,
            "--stderr-flood" => flags.stderr_flood = number(flag, value()?)?,
            "--notify-flood" => flags.notify_flood = number(flag, value()?)?,
            "--storm" => flags.storm = true,
            _ => return Err(format!("unknown flag {flag}")),
        }
    }
    Ok(Command::Serve(Box::new(flags)))
}

fn number<T: std::str::FromStr>(flag: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{flag} needs a whole number, not {text:?}"))
}

fn era(text: &str) -> Result<Era, String> {
    match text {
        "legacy" => Ok(Era::Legacy),
        "modern" => Ok(Era::Modern),
        "both" => Ok(Era::Both),
        "pinned" => Ok(Era::Pinned),
        "settles" => Ok(Era::Settles),
        _ => Err(format!("--era does not know {text:?}")),
    }
}

fn probe(text: &str) -> Result<Probe, String> {
    match text {
        "reply-method-not-found" => Ok(Probe::MethodNotFound),
        "reply-invalid" => Ok(Probe::Invalid),
        "silent" => Ok(Probe::Silent),
        "exit" => Ok(Probe::Exit),
        "reply-exit" => Ok(Probe::ReplyExit),
        "reply-refuse" => Ok(Probe::ReplyRefuse),
        "reply-deaf" => Ok(Probe::ReplyDeaf),
        _ => Err(format!("--probe does not know {text:?}")),
    }
}
