//! The daemon under test: the real binary in a process of its own, with its own directory, its own
//! port and an environment of its own.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::canaries::{self, Place};
use super::http::{Connection, Reply};
use super::processes::{self, Process};
use super::{DEADLINE, wait_until};

/// The variable that every server of a test carries, by which the harness finds what is left.
const TEST_ID: &str = "MCPVISOR_TEST_ID";
/// So many lines of the daemon's output are kept for the message of a failing test.
const KEPT_LINES: usize = 2000;
/// The same where each step of a call is a line.
const KEPT_LINES_OF_TRACE: usize = 200_000;
/// Says how much every daemon is to log that is not told by its test.
const TEST_LOG: &str = "MCPVISOR_TEST_LOG";
/// What is looked at once more when a test ends.
const LAST_LOOK: [&str; 8] = [
    "/metrics",
    "/v1/mcps",
    "/v1/usage",
    "/v1/usage/history",
    "/v1/audit/export",
    "/v1/api-keys",
    "/api/status",
    "/api/servers",
];

/// The definition of a scripted server with these flags.
pub(crate) fn fake(flags: &[&str]) -> Value {
    json!({"command": env!("CARGO_BIN_EXE_fake-mcp"), "args": flags})
}

/// A definition with settings of ours, for example `{"start_timeout": "2s"}`.
pub(crate) fn with(mut definition: Value, settings: Value) -> Value {
    definition["mcpvisor"] = settings;
    definition
}

/// How the daemon is to be started.
#[derive(Clone)]
pub(crate) struct TestGateway {
    servers: Map<String, Value>,
    config: Option<String>,
    host: &'static str,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    before: Option<fn(&Path)>,
    user: Option<u32>,
    data: Option<PathBuf>,
}

impl TestGateway {
    /// A daemon without servers.
    pub(crate) fn new() -> TestGateway {
        TestGateway {
            servers: Map::new(),
            config: None,
            host: "127.0.0.1",
            arguments: Vec::new(),
            variables: Vec::new(),
            before: None,
            user: None,
            data: None,
        }
    }

    /// Adds a server to the servers file.
    pub(crate) fn server(mut self, name: &str, definition: Value) -> TestGateway {
        self.servers.insert(name.to_owned(), definition);
        self
    }

    /// Adds the demo server under the name `demo`.
    pub(crate) fn demo(self) -> TestGateway {
        self.server("demo", json!({"command": env!("CARGO_BIN_EXE_mcpvisor"), "args": ["demo-server"]}))
    }

    /// Gives the daemon a configuration file.
    pub(crate) fn config_toml(mut self, text: &str) -> TestGateway {
        self.config = Some(text.to_owned());
        self
    }

    /// Has the daemon listen on this address instead of 127.0.0.1.
    pub(crate) fn host(mut self, address: &'static str) -> TestGateway {
        self.host = address;
        self
    }

    /// Sets a variable of the daemon's environment.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> TestGateway {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds arguments to the command line.
    pub(crate) fn arguments(mut self, arguments: &[&str]) -> TestGateway {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Has the daemon run as this user; only root can do that.
    pub(crate) fn user(mut self, uid: u32) -> TestGateway {
        self.user = Some(uid);
        self
    }

    /// Does something to the data directory before the daemon is started.
    pub(crate) fn prepare(mut self, before: fn(&Path)) -> TestGateway {
        self.before = Some(before);
        self
    }

    /// Gives the daemon a data directory that is there already.
    pub(crate) fn data_in(mut self, directory: &Path) -> TestGateway {
        self.data = Some(directory.to_owned());
        self
    }

    /// Starts the daemon and waits until it listens.
    pub(crate) async fn start(self) -> Gateway {
        let mut gateway = self.launch();
        gateway.learn_address().await;
        gateway
    }

    /// Starts a daemon that is to refuse; returns how it ended and what it wrote.
    pub(crate) async fn start_refused(self) -> (ExitStatus, String) {
        let mut gateway = self.launch();
        let status = gateway.wait_exit("the daemon refuses to start").await;
        // It has ended, so its last words are on the way: the readers end with them.
        for reader in gateway.readers.drain(..) {
            reader.join().expect("a reader does not panic");
        }
        let output = gateway.output();
        gateway.stop().await;
        (status, output)
    }

    fn launch(self) -> Gateway {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let id = uuid::Uuid::new_v4().to_string();
        let servers: Map<String, Value> =
            self.servers.into_iter().map(|(name, definition)| (name, marked(definition, &id))).collect();
        let data = self.data.unwrap_or_else(|| {
            let data = directory.path().join("data");
            fs::create_dir(&data).expect("a data directory");
            data
        });
        if let Some(before) = self.before {
            before(&data);
        }
        write(&directory.path().join("servers.json"), &json!({"mcpServers": servers}).to_string());
        let mut arguments: Vec<String> =
            ["serve", "--host", self.host, "--port", "0"].map(str::to_owned).to_vec();
        let mut file = |flag: &str, path: PathBuf| {
            arguments.extend([flag.to_owned(), path.to_str().expect("a UTF-8 path").to_owned()]);
        };
        file("--data-dir", data.clone());
        file("--servers", directory.path().join("servers.json"));
        let config = self.config.unwrap_or_default();
        write(&directory.path().join("mcpvisor.toml"), &without_rate(&config));
        file("--config", directory.path().join("mcpvisor.toml"));
        arguments.extend(self.arguments);
        let mut variables = self.variables;
        variables.extend(log_level(&config, &arguments, &variables));
        let runner = self.user.map_or_else(Runner::own, |uid| Runner::of_user(directory.path(), uid));
        let (output, leaks) = (Arc::default(), Arc::default());
        let (process, readers) = spawn(&runner, None, &data, &arguments, &variables, &output, &leaks);
        Gateway {
            directory: Some(directory),
            data,
            arguments,
            variables,
            runner,
            id,
            shell: None,
            process: Some(process),
            output,
            leaks,
            readers,
            address: None,
            key: String::new(),
            idle: Mutex::default(),
        }
    }
}

/// A configuration that limits no caller, unless it says what it is to be: tests send as much
/// as they like.
fn without_rate(config: &str) -> String {
    let mut config = config.to_owned();
    if !config.contains("[organization]") {
        config.push_str("\n[organization]\nplan = \"unlimited\"\n");
    }
    if !config.contains("[limits]") {
        config.push_str("\n[limits]\ncalls_per_key = 100000\n");
    }
    config
}

/// The level at which the whole suite is to log, unless a test has chosen one.
fn log_level(config: &str, arguments: &[String], variables: &[(String, String)]) -> Option<(String, String)> {
    let level = std::env::var(TEST_LOG).ok().filter(|level| !level.is_empty())?;
    let chosen = config.contains("[log]")
        || arguments.iter().any(|argument| argument == "--debug")
        || variables.iter().any(|(name, _)| name == "MCPVISOR_LOG");
    (!chosen).then(|| ("MCPVISOR_LOG".to_owned(), level))
}

/// A daemon, running or ended.
pub(crate) struct Gateway {
    directory: Option<TempDir>,
    data: PathBuf,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    runner: Runner,
    id: String,
    /// What starts the daemon, where it is not started itself.
    shell: Option<&'static str>,
    process: Option<Child>,
    output: Arc<Mutex<Vec<String>>>,
    /// Secrets that the daemon wrote.
    leaks: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
    address: Option<SocketAddr>,
    key: String,
    idle: Mutex<Vec<Connection>>,
}

impl Gateway {
    /// The data directory, which is the daemon's working directory too.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// The daemon's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().expect("the daemon runs").id()
    }

    /// Everything the daemon wrote, as far as it is kept.
    pub(crate) fn output(&self) -> String {
        lock(&self.output).join("\n")
    }

    /// The owner's key.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// A definition that the harness will find again, for servers made through the API.
    pub(crate) fn marked(&self, definition: Value) -> Value {
        marked(definition, &self.id)
    }

    /// A new connection that carries the owner's key.
    pub(crate) async fn connect(&self) -> Connection {
        self.connect_with(&[]).await
    }

    /// A new connection that carries the owner's key and further headers.
    pub(crate) async fn connect_with(&self, headers: &[(&str, &str)]) -> Connection {
        let authorization = format!("Bearer {}", self.key);
        let all: Vec<(&str, &str)> = std::iter::once(("authorization", authorization.as_str()))
            .chain(headers.iter().copied())
            .collect();
        Connection::open(self.address(), &all).await.expect("the daemon accepts connections")
    }

    /// A bare socket, for requests that no client would send.
    pub(crate) async fn raw_socket(&self) -> TcpStream {
        TcpStream::connect(self.address()).await.expect("the daemon accepts connections")
    }

    /// Sends a request over a connection that is kept alive for the next one.
    pub(crate) async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        let kept = lock(&self.idle).pop().filter(Connection::is_usable);
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.connect().await,
        };
        let reply = connection.send(method, path, body).await;
        let reply = reply.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        lock(&self.idle).push(connection);
        reply
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send("POST", path, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Reply {
        self.send("PUT", path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, None).await
    }

    /// Calls a tool through `/v1`.
    pub(crate) async fn v1_invoke(&self, server: &str, tool: &str, arguments: Value) -> Reply {
        self.post(INVOKE, &json!({"mcp_id": server, "tool": tool, "arguments": arguments})).await
    }

    /// Calls a tool that is to succeed and returns `data.result`.
    pub(crate) async fn call(&self, server: &str, tool: &str, arguments: Value) -> Value {
        self.v1_invoke(server, tool, arguments).await.expect(200)["data"]["result"].clone()
    }

    /// The process that a server's calls go to, as it says itself.
    pub(crate) async fn child(&self, server: &str) -> Process {
        Process::of(self.call(server, "pid", json!({})).await["pid"].as_i64().expect("a number"))
    }

    /// `GET /v1/mcps/{server}`, the `data` of it.
    pub(crate) async fn server(&self, server: &str) -> Value {
        self.get(&format!("/v1/mcps/{server}")).await.expect(200)["data"].clone()
    }

    /// Waits until a server is in a state, and returns what `/v1/mcps` says then.
    pub(crate) async fn wait_state(&self, server: &str, state: &str) -> Value {
        let what = format!("server {server} in state {state}");
        wait_until(&what, DEADLINE, || async {
            let seen = self.server(server).await;
            (seen["state"] == state).then_some(seen)
        })
        .await
    }

    /// Waits until the daemon takes no more work: refused connections, or 503.
    pub(crate) async fn wait_draining(&self) {
        wait_until("the daemon takes no more work", DEADLINE, || async {
            let Ok(mut connection) = Connection::open(self.address(), &[]).await else { return Some(()) };
            match connection.send("GET", "/readyz", None).await {
                Ok(reply) if reply.status != 503 => None,
                _ => Some(()),
            }
        })
        .await;
    }

    /// Sends a signal to the daemon.
    pub(crate) fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("the daemon runs");
        let pid = Pid::from_raw(i32::try_from(process.id()).expect("a process id"));
        kill(pid, signal).expect("the daemon is there");
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait_exit("the daemon ends after SIGTERM").await
    }

    /// Kills the daemon without any warning. Its children are left to the next start.
    pub(crate) async fn kill_9(&mut self) {
        self.signal(Signal::SIGKILL);
        self.wait_exit("the daemon is killed").await;
    }

    /// Waits for the end of a daemon that somebody else kills.
    pub(crate) async fn kill_9_done(&mut self) {
        self.wait_exit("the daemon is killed").await;
    }

    /// Waits until the daemon has ended by itself.
    pub(crate) async fn wait_exit(&mut self, what: &str) -> ExitStatus {
        let mut process = self.process.take().expect("the daemon runs");
        lock(&self.idle).clear();
        let end = tokio::time::Instant::now() + DEADLINE;
        loop {
            match process.try_wait().expect("our own child") {
                Some(status) => return status,
                None if tokio::time::Instant::now() < end => {
                    tokio::time::sleep(Duration::from_millis(10)).await
                }
                None => {
                    self.process = Some(process);
                    panic!("waited {DEADLINE:?} in vain: {what}");
                }
            }
        }
    }

    /// Starts the ended daemon again, on the same data directory and with the same files.
    pub(crate) async fn restart(&mut self) {
        self.start_again();
        self.learn_address().await;
    }

    /// The same, by a shell that does something before it becomes the daemon, which it is given as its
    /// `$0` and `$@`.
    pub(crate) async fn restart_through(&mut self, script: &'static str) {
        self.shell = Some(script);
        self.restart().await;
        self.shell = None;
    }

    /// The same, where the daemon is to refuse.
    pub(crate) async fn refused_through(&mut self, script: &'static str) -> (ExitStatus, String) {
        self.shell = Some(script);
        let refused = self.restart_refused().await;
        self.shell = None;
        refused
    }

    /// Starts the ended daemon again, which is to refuse; returns how it ended and what it wrote.
    pub(crate) async fn restart_refused(&mut self) -> (ExitStatus, String) {
        self.start_again();
        let status = self.wait_exit("the daemon refuses to start").await;
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader does not panic");
        }
        (status, self.output())
    }

    /// Starts the ended daemon again on files that may be damaged: `None` when it serves, or else how
    /// it ended. The owner's key is given, since its file may be one of them.
    pub(crate) async fn restart_or_refused(&mut self, key: &[u8]) -> Option<ExitStatus> {
        lock(&self.output).clear();
        self.start_again();
        let process = Mutex::new(self.process.as_mut().expect("started"));
        let output = Arc::clone(&self.output);
        let ended = wait_until("the daemon serves or refuses", DEADLINE, || async {
            let ended = lock(&process).try_wait().expect("our own child");
            let address = lock(&output).iter().find_map(|line| address_in(line));
            match (address, ended) {
                (Some(address), None) => Some(Ok(address)),
                (_, Some(status)) => Some(Err(status)),
                (None, None) => None,
            }
        })
        .await;
        match ended {
            Ok(address) => {
                self.address = Some(address);
                self.key = String::from_utf8_lossy(key).trim().to_owned();
                None
            }
            Err(status) => {
                self.process = None;
                for reader in self.readers.drain(..) {
                    reader.join().expect("a reader does not panic");
                }
                Some(status)
            }
        }
    }

    fn start_again(&mut self) {
        assert!(self.process.is_none(), "the daemon has ended");
        lock(&self.output).push("--- restart ---".to_owned());
        let (process, readers) = spawn(
            &self.runner,
            self.shell,
            &self.data,
            &self.arguments,
            &self.variables,
            &self.output,
            &self.leaks,
        );
        self.process = Some(process);
        self.readers = readers;
    }

    /// Ends the test: the daemon leaves with code 0 if it still runs, and leaves nothing behind,
    /// neither a process nor a zombie, nor a secret where it must not be. Every test ends with this.
    pub(crate) async fn stop(mut self) {
        if let Some(process) = &self.process {
            let parent = process.id();
            self.last_look().await;
            wait_until("no zombie among the daemon's children", DEADLINE, || async {
                processes::zombies_of(parent).is_empty().then_some(())
            })
            .await;
            let status = self.terminate().await;
            assert!(status.success(), "the daemon left with {status}");
        }
        let left = self.left_behind();
        assert!(left.is_empty(), "processes were left behind: {left:?}");
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader does not panic");
        }
        let mut leaks = self.take_leaks();
        leaks.extend(self.directory.iter().flat_map(|directory| canaries::leaks_below(directory.path())));
        assert!(leaks.is_empty(), "{leaks:#?}");
        let directory = self.directory.take().expect("stopped once");
        directory.close().expect("the temporary directory can be removed");
    }

    /// The secrets that were seen where they must not be and not yet told, answers and files not included.
    pub(crate) fn take_leaks(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.leaks))
    }

    /// Looks once more at what can be asked for and at the processes. A daemon that does not answer
    /// (it speaks TLS, or has no place for another connection) is not asked.
    async fn last_look(&self) {
        let asking = async {
            let address = self.address?;
            let bearer = format!("Bearer {}", self.key);
            let mut connection = Connection::open(address, &[("authorization", &bearer)]).await.ok()?;
            for path in LAST_LOOK {
                connection.send("GET", path, None).await.ok()?;
            }
            Some(())
        };
        // Whether there was an answer is no matter: each one that comes is looked at.
        let _ = tokio::time::timeout(Duration::from_secs(5), asking).await;
        let daemon = i32::try_from(self.pid()).expect("a process id");
        let mut leaks = canaries::leaks_of_process(daemon, false);
        for (pid, _) in self.left_behind() {
            leaks.extend(canaries::leaks_of_process(pid, true));
        }
        lock(&self.leaks).extend(leaks);
    }

    /// The processes of this test's servers that are alive.
    pub(crate) fn left_behind(&self) -> Vec<(i32, String)> {
        processes::with_environment(&format!("{TEST_ID}={}", self.id))
    }

    /// Where the daemon listens, as it says.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address.expect("the daemon has said where it listens")
    }

    /// Reads the address out of the first line that names one, and the owner's key.
    async fn learn_address(&mut self) {
        let process = Mutex::new(self.process.as_mut().expect("started"));
        let output = Arc::clone(&self.output);
        let address = wait_until("the daemon says where it listens", DEADLINE, || async {
            let exited = lock(&process).try_wait().expect("our own child");
            let lines = lock(&output);
            let latest = lines.iter().rposition(|line| line == "--- restart ---").map_or(0, |n| n + 1);
            let address = lines[latest..].iter().find_map(|line| address_in(line));
            assert!(address.is_some() || exited.is_none(), "the daemon did not start: {exited:?}");
            address
        })
        .await;
        self.address = Some(address);
        let path = self.data.join("owner.key");
        let key = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.key = key.trim().to_owned();
    }
}

/// The route of tool calls.
pub(crate) const INVOKE: &str = "/v1/mcp/invoke";

impl Drop for Gateway {
    /// Nothing survives a test, however it ends; a test that forgot `stop` fails here.
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        for (pid, _) in self.left_behind() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        if thread::panicking() {
            eprintln!("--- the daemon's output ---\n{}\n--- end of it ---", self.output());
        } else {
            assert!(self.directory.is_none(), "a test must end with stop()");
        }
    }
}

/// Which program is run, and as whom; as the tests' own user for `None`.
struct Runner {
    program: PathBuf,
    user: Option<u32>,
    /// Where a copy of the program is.
    _place: Option<TempDir>,
}

impl Runner {
    fn own() -> Runner {
        Runner { program: env!("CARGO_BIN_EXE_mcpvisor").into(), user: None, _place: None }
    }

    /// Gives a user the directory of a test, and a copy of the program: where it was built, others may not
    /// be let in.
    fn of_user(directory: &Path, uid: u32) -> Runner {
        let place = tempfile::tempdir().expect("a temporary directory");
        let program = place.path().join("mcpvisor");
        // Not by our own process: what another test starts just then would hold it open for writing, and what is
        // held so cannot be run.
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_mcpvisor")).arg(&program).status();
        assert!(copied.expect("cp can be run").success(), "the program can be copied");
        let mut all = vec![place.path().to_owned(), program.clone(), directory.to_owned()];
        while let Some(path) = all.pop() {
            std::os::unix::fs::chown(&path, Some(uid), Some(uid)).expect("only root can play other users");
            if path.is_dir() {
                all.extend(
                    fs::read_dir(&path).expect("readable").map(|entry| entry.expect("readable").path()),
                );
            }
        }
        Runner { program, user: Some(uid), _place: Some(place) }
    }
}

fn spawn(
    runner: &Runner,
    shell: Option<&str>,
    data: &Path,
    arguments: &[String],
    variables: &[(String, String)],
    output: &Arc<Mutex<Vec<String>>>,
    leaks: &Arc<Mutex<Vec<String>>>,
) -> (Child, Vec<JoinHandle<()>>) {
    let daemon = runner.program.as_path();
    let mut command = Command::new(if shell.is_some() { Path::new("/bin/sh") } else { daemon });
    if let Some(script) = shell {
        command.args(["-c", script]).arg(daemon);
    }
    if let Some(uid) = runner.user {
        command.uid(uid).gid(uid);
    }
    command.args(arguments).current_dir(data).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", data);
    command.envs(canaries::variables());
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("the daemon can be started");
    let out = capture("out", process.stdout.take().expect("piped"), output, leaks);
    let err = capture("err", process.stderr.take().expect("piped"), output, leaks);
    (process, vec![out, err])
}

/// Keeps the last lines of a stream and looks for secrets in each. A thread, so that it goes on while a test blocks or fails.
fn capture(
    stream: &'static str,
    from: impl Read + Send + 'static,
    output: &Arc<Mutex<Vec<String>>>,
    leaks: &Arc<Mutex<Vec<String>>>,
) -> JoinHandle<()> {
    let (output, leaks) = (Arc::clone(output), Arc::clone(leaks));
    let most = if std::env::var_os(TEST_LOG).is_some() { KEPT_LINES_OF_TRACE } else { KEPT_LINES };
    thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n') {
            let Ok(line) = line else { return };
            lock(&leaks).extend(canaries::leaks(Place::Log, &line));
            let mut kept = lock(&output);
            if kept.len() >= most {
                // The start is worth keeping: it says where the daemon listens.
                kept.remove(KEPT_LINES / 4);
            }
            kept.push(format!("{stream}: {}", String::from_utf8_lossy(&line)));
        }
    })
}

/// The address in a line such as `out: listening on http://127.0.0.1:4711/`.
fn address_in(line: &str) -> Option<SocketAddr> {
    let line = line.strip_prefix("out: ")?;
    let rest = line.split_once("http://").or_else(|| line.split_once("https://"))?.1;
    let end = rest.find(|c: char| !(c.is_ascii_digit() || ".:".contains(c))).unwrap_or(rest.len());
    rest[..end].trim_end_matches(['.', ':']).parse().ok()
}

/// Adds the test's variable and secrets to a definition's environment.
fn marked(mut definition: Value, id: &str) -> Value {
    canaries::into_environment(&mut definition);
    definition["env"][TEST_ID] = id.into();
    definition
}

/// Takes a lock also after a panic: a failing test still wants its output.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
