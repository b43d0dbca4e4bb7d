//! The composition root: builds all parts, starts them in order, and stops them in order.

mod banner;
mod certificate;
mod descriptors;
mod directory;
mod examining;
mod file_watcher;
mod keeping;
mod openness;
mod owner;
mod places;
mod reload;
mod session_key;
mod systemd;
mod trimming;

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use self::banner::ListenAddresses;
use self::certificate::Watching;
use self::reload::Reloader;
use crate::access::{KeyRing, SUBJECT_PREFIX};
use crate::activity::Activity;
use crate::audit;
use crate::cli::{self, Command, Exit, Program};
use crate::clock;
use crate::config::{self, Config, ConfigProblem, Environment, Flags, ProcessEnvironment};
use crate::doctor::Doctor;
use crate::gateway::{Gateway, LOGIN_OWNER, Parts, State};
use crate::http::{HttpServer, Tls};
use crate::pins::PinBook;
use crate::process::{self, Footprint, Host};
use crate::query::Agent;
use crate::registry::{Applied, OpenError, Registry, Settings};
use crate::secrets::SecretBook;
use crate::signals::{DaemonRequest, Signals, Stop};
use crate::store::{ClockFile, DurableStore, Store, StoreError};
use crate::supervisor::Supervisor;
use crate::telemetry::logging;
use crate::telemetry::metrics::{Metrics, ProcessSample};
use crate::telemetry::traces::Tracer;
use crate::usage::Accounting;

/// Variables of our environment that every child gets. Besides these, only those named in `server.pass_env` are
/// passed.
pub const BASE_ENV: [&str; 8] = ["HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "USER"];
/// Command of a server that stands for the daemon's own executable.
const OWN_COMMAND: &str = "mcpvisor";
/// Name of the subcommand that both programs have.
const DEMO_SERVER: &str = "demo-server";
/// Time after the drain that children may take to end on the stop ladder before they are killed.
const LADDER_LIMIT: Duration = Duration::from_secs(10);
/// Interval of the search for adopted processes that carry no mark by which they could be recognized.
const LOOK_FOR_STRAYS: Duration = Duration::from_secs(10);
/// Longest time that connections may take to send their last answers when everything else has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Runs one of the two programs: parses its command line and carries out the command.
pub fn main(program: Program) -> ExitCode {
    let ignored = process::take_signals();
    // A child that is the running executable, the demo server or the store's probe, behaves the same under both
    // names.
    let own = |first: OsString| first == DEMO_SERVER || first == keeping::STORE;
    let program = if std::env::args_os().nth(1).is_some_and(own) { Program::Mcpvisor } else { program };
    match cli::parse(program, std::env::args_os()) {
        Ok(Command::Serve(flags)) => serve(&flags, &ignored).into(),
        Ok(Command::Check(flags)) => {
            let (out, err) = (&mut io::stdout(), &mut io::stderr());
            cli::check(&flags, &ProcessEnvironment, &places::problems, out, err).into()
        }
        Ok(Command::DemoServer) => demo_server().into(),
        Ok(Command::Operate(operate)) => {
            let editor = &process::run_in_foreground;
            let browser = &process::open_in_browser;
            cli::operate::run(&operate, time::OffsetDateTime::now_utc, editor, browser).into()
        }
        Ok(Command::Doctor(doctor)) => {
            cli::operate::doctor::run(&doctor, &|| examining::beforehand(&ProcessEnvironment)).into()
        }
        Ok(Command::Config(action)) => cli::operate::config::run(&action, &ProcessEnvironment).into(),
        Ok(Command::Add(add)) => cli::add::run(&add).into(),
        Ok(Command::Ask(ask)) => cli::ask::run(&ask).into(),
        Ok(Command::Login(login)) => cli::login::run(&login).into(),
        Ok(Command::Stdio(stdio)) => cli::stdio::run(&stdio, &ProcessEnvironment, &start_daemon).into(),
        Ok(Command::Connect(connect)) => {
            let (out, err) = (&mut io::stdout(), &mut io::stderr());
            let own = std::env::current_exe().unwrap_or_else(|_| OWN_COMMAND.into());
            cli::connect::run(&connect, &own, &ProcessEnvironment, out, err).into()
        }
        Ok(Command::Import(import)) => {
            let (out, err) = (&mut io::stdout(), &mut io::stderr());
            cli::import::run(&import, &ProcessEnvironment, out, err).into()
        }
        Ok(Command::Documents(documents)) => {
            cli::documents::run(&documents, &mut io::stdout(), &mut io::stderr()).into()
        }
        Ok(Command::NewOwnerKey(flags)) => owner::renew(&flags, &ProcessEnvironment).into(),
        Ok(Command::Backup(backup, place)) => {
            let of_stopped = |to: &Path| {
                let action = cli::StoreAction::Backup { to: Some(to.to_owned()) };
                keeping::run(&place, &action, &ProcessEnvironment)
            };
            process::hold_too_large();
            cli::backup::run(&backup, time::OffsetDateTime::now_utc, &of_stopped).into()
        }
        Ok(Command::Store(flags, action)) => keeping::run(&flags, &action, &ProcessEnvironment).into(),
        Err(refused) => refused.report().into(),
    }
}

fn demo_server() -> Exit {
    match cli::demo_server::run(io::stdin().lock(), io::stdout(), time::OffsetDateTime::now_utc) {
        Ok(()) => Exit::Graceful,
        Err(_) => Exit::Io,
    }
}

/// Starts a daemon in this directory that outlives this process, with the settings of the environment. What is meant for
/// a command that talks to a daemon is no setting of one.
fn start_daemon(directory: &Path, log: File) -> io::Result<Child> {
    let own = std::env::current_exe()?;
    let of_commands = ["MCPVISOR_KEY", "MCPVISOR_URL", "MCPVISOR_SOCKET"];
    process::start_detached(&own, &["serve"], directory, &of_commands, log)
}

/// Exit code and message of a failure that kept the daemon from serving.
struct StartupError(Exit, String);

impl StartupError {
    fn io(error: impl std::fmt::Display) -> StartupError {
        StartupError(Exit::Io, error.to_string())
    }

    /// Makes a refusal of an error of the store. A lasting one stays until a person repairs the disk, so its
    /// exit code tells the service manager not to try again.
    fn store(error: &StoreError) -> StartupError {
        StartupError(if error.is_lasting() { Exit::Config } else { Exit::Io }, error.to_string())
    }
}

fn serve(flags: &Flags, ignored: &[i32]) -> Exit {
    let env = ProcessEnvironment;
    let config = match config::load(flags, &env) {
        Ok(config) => match config::group_problems(&config, |_| false) {
            problems if problems.is_empty() => config,
            problems => return refused(&problems),
        },
        Err(problems) => return refused(&problems),
    };
    match prepare_and_run(config, flags, &env, ignored) {
        Ok(exit) => exit,
        Err(StartupError(exit, reason)) => {
            let _ = writeln!(io::stderr(), "mcpvisor: {reason}");
            exit
        }
    }
}

/// Returns what to do about an address that is taken, and by whom it is, if that can be seen.
fn about_taken(port: u16) -> String {
    let holder = process::listener_of(port).map(|holder| format!(" (by {holder})")).unwrap_or_default();
    format!("{holder}\n  end it, or choose another port by --port, MCPVISOR_PORT or server.port")
}

fn refused(problems: &[ConfigProblem]) -> Exit {
    let _ = io::stderr().write_all(config::list_problems(problems).as_bytes());
    Exit::Config
}

fn prepare_and_run(
    config: Config,
    flags: &Flags,
    env: &dyn Environment,
    ignored: &[i32],
) -> Result<Exit, StartupError> {
    logging::init(&config.log).map_err(|error| StartupError(Exit::Internal, error.to_string()))?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    process::hold_too_large();
    let opened = open(&config)?;
    let mark = directory::mark(&config.data_dir, opened.registry.instance_id()).map_err(StartupError::io)?;
    let settings = examining::host_settings(&config, mark, env);
    let doctor = examining::doctor(settings.clone());
    let host = Host::new(settings).map_err(StartupError::io)?;
    let swept = host.sweep_leftovers();
    if swept > 0 {
        tracing::warn!(processes = swept, "ended what an earlier run had left behind");
    }
    let runtime = build_runtime(config.workers).map_err(StartupError::io)?;
    let exit = runtime.block_on(async {
        let signals = Signals::install(ignored).map_err(StartupError::io)?;
        run(&config, flags, (opened, doctor), host.clone(), signals).await
    });
    // Tasks that still run are dropped with the runtime, and every process tree with its owner.
    runtime.shutdown_timeout(Duration::from_millis(200));
    host.kill_strays();
    exit
}

fn build_runtime(workers: usize) -> io::Result<tokio::runtime::Runtime> {
    // One thread serves more calls per second than two on a small machine, and uses less CPU per call: the
    // parts of a call hand over to each other all the time. See docs/performance.md.
    if workers <= 1 {
        tokio::runtime::Builder::new_current_thread().enable_all().build()
    } else {
        tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()
    }
}

/// Parts that are opened before there is a runtime.
struct Opened {
    registry: Registry,
    keys: KeyRing,
    pins: PinBook,
    /// Store of the registry, for usage.
    store: Arc<dyn Store>,
    /// Changes by the servers files, for the audit, each with the file's path.
    applied: Vec<(String, Applied)>,
}

fn open(config: &Config) -> Result<Opened, StartupError> {
    let data_dir = directory::open(&config.data_dir)?;
    clock::begin(Arc::new(ClockFile::of(data_dir.path())));
    let durable =
        DurableStore::open(&data_dir, keeping::probe_store).map_err(|error| StartupError::store(&error))?;
    let (store, keys, pins) =
        (durable.store().clone(), KeyRing::new(config.tenancy.clone()), PinBook::default());
    let settings = Settings {
        data_dir: config.data_dir.clone(),
        config_root: Some(config.config_root.clone()),
        allowed: config.allowed.clone(),
    };
    let mut registry = Registry::open(durable, settings, &keys, &pins).map_err(|error| match &error {
        OpenError::Store(error) => StartupError::store(error),
        OpenError::OwnerKey { .. } => StartupError::io(error),
    })?;
    let applied = apply_servers_files(config, &mut registry)?;
    reserve_groups(config, &mut registry)?;
    Ok(Opened { registry, keys, pins, store, applied })
}

/// Keeps the names of groups from servers. Servers that were made over the API have theirs already.
fn reserve_groups(config: &Config, registry: &mut Registry) -> Result<(), StartupError> {
    let list = registry.list();
    let taken = |name: &str| list.get(name).map(|entry| format!("'{}' ({})", entry.name, entry.id));
    let problems = config::clashing_groups(config, taken);
    if !problems.is_empty() {
        return Err(StartupError(Exit::Config, config::list_problems(&problems).trim_end().to_owned()));
    }
    let names = config.groups.by_name.keys().cloned().collect();
    registry.reserve(names).map_err(|error| StartupError(Exit::Config, error.to_string()))
}

/// Applies the servers files, and returns what each has changed, if anything.
fn apply_servers_files(
    config: &Config,
    registry: &mut Registry,
) -> Result<Vec<(String, Applied)>, StartupError> {
    let mut changes = Vec::new();
    for file in &config.servers {
        let content = file.content().seen(file.version.clone());
        let path = file.path.to_string_lossy();
        match registry.apply_file(&path, &content) {
            Ok(applied) if applied == Applied::default() => {}
            Ok(applied) => {
                log_applied(&path, &applied);
                changes.push((path.into_owned(), applied));
            }
            // Its content takes effect when there is space on the disk again and the file is read again.
            Err(error) if registry.stands_in() => {
                tracing::error!(file = %path, %error, "the servers file could not be applied");
            }
            Err(error) => return Err(StartupError::io(error)),
        }
    }
    Ok(changes)
}

fn log_applied(path: &str, applied: &Applied) {
    let Applied { added, changed, taken_over, removed } = applied;
    // A field without a value is left out of the line.
    let names = |list: &[String]| (!list.is_empty()).then(|| list.join(", "));
    tracing::info!(
        file = path,
        added = names(added),
        changed = names(changed),
        taken_over = names(taken_over),
        removed = names(removed),
        "applied the servers file"
    );
}

async fn run(
    config: &Config,
    flags: &Flags,
    (opened, doctor): (Opened, Doctor),
    host: Host,
    mut signals: Signals,
) -> Result<Exit, StartupError> {
    let started = Instant::now();
    let tls =
        config.http.tls.as_ref().map(Tls::load).transpose().map_err(|error| {
            StartupError(Exit::Config, format!("{} {error}", certificate::setting(&error)))
        })?;
    let watching = match (&config.http.tls, &tls) {
        (Some(files), Some(tls)) => {
            Some(Watching::begin(files.clone(), tls.clone()).map_err(StartupError::io)?)
        }
        _ => None,
    };
    let mut http = descriptors::fitted(&config.http, &opened.registry.list());
    http.mcp.session_key = session_key::load(&config.data_dir);
    http.told = config::effective_of(config, flags, &ProcessEnvironment).into();
    let port = http.port;
    let front = HttpServer::bind(http, tls).await.map_err(|error| match error.is_taken() {
        true => StartupError::io(format!("{error}{}", about_taken(port))),
        false => StartupError::io(error),
    })?;
    let address = front.local_addr();
    let url = format!("{}://{address}", if watching.is_some() { "https" } else { "http" });
    let doors = ListenAddresses {
        address,
        operations: front.operations_addr(),
        socket: front.socket().map(Path::to_owned),
    };
    openness::say(&config.http, address.ip(), doors.socket.as_deref());
    let own = std::iter::once(address).chain(doors.operations).collect();
    let (gateway, mut supervised) = start_gateway(config, (opened, doctor), &host, own).await?;
    let reaper = tokio::spawn(reap_adopted(host, gateway.clone()));
    let (stop, stopped) = watch::channel(false);
    let queries = Agent::new(config.llm.clone());
    let mut serving = tokio::spawn(front.serve(gateway.clone(), queries, stopped));
    let mut told = HashSet::new();
    reload::tell(&config.servers, &mut told);
    systemd::ready(&url);
    let watchdog = tokio::spawn(systemd::watchdog());
    let trimmer = tokio::spawn(trimming::give_back_unused());
    let status = tokio::spawn(systemd::status(url.clone(), gateway.clone()));
    let greeting = tokio::spawn(banner::show(config.clone(), doors, url, gateway.clone(), started));
    let reload = Arc::new(Notify::new());
    let reloader =
        Reloader::new(flags.clone(), config.clone(), gateway.clone(), reload.clone(), watching, told);
    let reloader = tokio::spawn(reloader.run());
    let first = tokio::select! {
        signal = next_stop(&mut signals, &reload) => signal,
        _ = &mut supervised => {
            tracing::error!("the supervisor has ended; ending the daemon");
            return Ok(Exit::Internal);
        }
        () = gateway.failed() => {
            tracing::error!("the registry has ended; ending the daemon");
            return Ok(Exit::Internal);
        }
    };
    greeting.abort();
    reloader.abort();
    status.abort();
    let exit = tokio::select! {
        exit = drain(config.drain, first, &gateway, &stop, &mut serving) => exit,
        again = next_stop(&mut signals, &reload) => {
            tracing::warn!(signal = name(again), "second signal: ending at once");
            Exit::Forced
        }
    };
    watchdog.abort();
    reaper.abort();
    trimmer.abort();
    Ok(exit)
}

/// Starts the supervisor, usage, the audit and the gateway that they serve; `own` are the addresses that are listened on. Also returns what ends with the supervisor.
async fn start_gateway(
    config: &Config,
    (opened, doctor): (Opened, Doctor),
    host: &Host,
    own: Vec<SocketAddr>,
) -> Result<(Gateway, JoinHandle<()>), StartupError> {
    let internal = |error: &dyn std::fmt::Display| StartupError(Exit::Internal, error.to_string());
    let Opened { mut registry, keys, pins, store, applied } = opened;
    let secrets = SecretBook::open(&config.data_dir);
    // A backup that stands in for the store may lack members.
    if !registry.stands_in() {
        let tenancy = keys.tenancy();
        let servers: HashSet<Arc<str>> = registry
            .list()
            .entries()
            .iter()
            .map(|entry| format!("{LOGIN_OWNER}{}", entry.id).into())
            .collect();
        secrets.keep_only(|owner| {
            tenancy.member(owner).is_some() || owner.starts_with(SUBJECT_PREFIX) || servers.contains(owner)
        });
    }
    let (supervisor, supervised) =
        Supervisor::start(host.clone(), config.starts).await.map_err(|error| internal(&error))?;
    supervisor.directory().set_remote_rules(config.remotes.rules(own));
    let metrics = Metrics::new(env!("CARGO_PKG_VERSION"), &State::NAMES, process_sample)
        .map_err(|error| internal(&error))?;
    let backups = Some(config.data_dir.clone());
    let accounting = Accounting::open(store, keys.clone(), config.retention, backups)
        .await
        .map_err(|error| internal(&error))?
        .noting(Activity::new(config.activity_calls));
    let audit = audit::open(&config.data_dir, config.audit).map_err(|error| internal(&error))?;
    let groups = config.groups.clone();
    let tracer = Tracer::start(&config.traces)
        .map_err(|reason| StartupError(Exit::Config, format!("telemetry.otlp: {reason}")))?;
    let parts = Parts {
        registry,
        applied,
        groups,
        pins,
        keys,
        secrets,
        accounting,
        audit,
        supervisor,
        metrics,
        doctor,
        tracer,
    };
    let gateway = Gateway::start(parts, config.gateway).map_err(|error| internal(&error))?;
    gateway.tell_of_missing(&config.groups);
    Ok((gateway, supervised))
}

/// Returns what the daemon's own process takes, for the metrics.
fn process_sample() -> Option<ProcessSample> {
    let own = Footprint::own()?;
    Some(ProcessSample {
        cpu_seconds: own.cpu.as_secs_f64(),
        open_fds: own.open_files as f64,
        max_fds: own.max_files.map_or(f64::INFINITY, |most| most as f64),
        virtual_bytes: own.virtual_bytes as f64,
        resident_bytes: own.resident_bytes as f64,
        start_seconds: own.started as f64,
        threads: own.threads as f64,
    })
}

/// Waits until the daemon is asked to stop. Until then notifies `reload` on every request to apply the servers
/// files.
async fn next_stop(signals: &mut Signals, reload: &Notify) -> Stop {
    loop {
        match signals.next().await {
            DaemonRequest::Stop(stop) => return stop,
            DaemonRequest::Reload => reload.notify_one(),
        }
    }
}

fn name(stop: Stop) -> &'static str {
    match stop {
        Stop::Drain { signal } | Stop::Force { signal } => signal,
    }
}

/// Stops in order: new work is refused, calls in flight finish, children end, the store is flushed.
async fn drain(
    limit: Duration,
    signal: Stop,
    gateway: &Gateway,
    stop: &watch::Sender<bool>,
    serving: &mut JoinHandle<()>,
) -> Exit {
    let deadline = Instant::now() + limit;
    tracing::info!(signal = name(signal), drain_s = limit.as_secs(), "stopping");
    systemd::stopping(limit + LADDER_LIMIT + LAST_ANSWERS);
    gateway.begin_stop();
    stop.send_replace(true);
    let served = tokio::time::timeout_at(deadline.into(), &mut *serving).await.is_ok();
    if !served {
        tracing::warn!("calls are still in flight at the drain deadline; ending them");
        gateway.end_drain();
    }
    let left = deadline.saturating_duration_since(Instant::now());
    let ended = tokio::time::timeout(left + LADDER_LIMIT, gateway.stop(left)).await;
    if !served {
        let _ = tokio::time::timeout(LAST_ANSWERS, serving).await;
    }
    match ended {
        Ok(Ok(())) if served => {
            tracing::info!(calls = gateway.calls(), "stopped");
            Exit::Graceful
        }
        Ok(Ok(())) => Exit::Forced,
        Ok(Err(error)) => {
            tracing::error!(%error, "the store could not be flushed");
            Exit::Io
        }
        Err(_) => {
            tracing::error!("children did not end in time and are killed");
            Exit::Forced
        }
    }
}

/// Reaps orphans that we adopt, whenever one of our children has ended. Also searches at an interval for those
/// that have lost every mark of the server they belong to.
async fn reap_adopted(host: Host, gateway: Gateway) {
    let Ok(mut ended) = signal(SignalKind::child()) else { return };
    let mut beat = tokio::time::interval(LOOK_FOR_STRAYS);
    loop {
        let asked = host.clone();
        tokio::select! {
            child = ended.recv() => {
                if child.is_none() {
                    return;
                }
                let _ = tokio::task::spawn_blocking(move || asked.reap_adopted()).await;
            }
            _ = beat.tick() => {
                if let Ok(seen) = tokio::task::spawn_blocking(move || asked.sweep_strays()).await {
                    gateway.set_strays(seen.left, seen.ended);
                }
            }
        }
    }
}
