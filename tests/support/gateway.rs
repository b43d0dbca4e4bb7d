//! The daemon under test: the real binary in a process of its own, with its own directory, its own
//! port and an environment of its own.

mod builder;
mod output;
mod process;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;

pub(crate) use self::builder::{TestGateway, fake, with};

use self::output::Output;
use self::process::{Runner, address_in, spawn};
use super::canaries;
use super::http::{Connection, Reply};
use super::processes::{self, Process};
use super::recording::{self, Socket};
use super::{DEADLINE, wait_until};

/// The variable that every server of a test carries, by which the harness finds what is left.
const TEST_ID: &str = "MCPVISOR_TEST_ID";
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
    output: Arc<Output>,
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

    /// Everything the daemon wrote until now, as far as it is kept.
    pub(crate) fn output(&self) -> String {
        self.output.text()
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
    pub(crate) async fn raw_socket(&self) -> Socket {
        let stream = TcpStream::connect(self.address()).await.expect("the daemon accepts connections");
        Socket::new(stream, self.address())
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
        self.output.clear();
        self.start_again();
        let process = Mutex::new(self.process.as_mut().expect("started"));
        let output = Arc::clone(&self.output);
        let ended = wait_until("the daemon serves or refuses", DEADLINE, || async {
            let ended = lock(&process).try_wait().expect("our own child");
            let address = output.of_lines(|lines| lines.iter().find_map(|line| address_in(line)));
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
                recording::listens(address);
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
        self.output.mark("--- restart ---");
        let (process, readers) =
            spawn(&self.runner, self.shell, &self.data, &self.arguments, &self.variables, &self.output);
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
        self.output.take_leaks()
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
        self.output.add_leaks(leaks);
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
            let address = output.of_lines(|lines| {
                let latest = lines.iter().rposition(|line| line == "--- restart ---").map_or(0, |n| n + 1);
                lines[latest..].iter().find_map(|line| address_in(line))
            });
            assert!(address.is_some() || exited.is_none(), "the daemon did not start: {exited:?}");
            address
        })
        .await;
        self.address = Some(address);
        recording::listens(address);
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
