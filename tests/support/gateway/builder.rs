//! How a daemon under test is to be started: its servers, its settings, its place.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};

use super::process::{Runner, spawn};
use super::{Gateway, TEST_LOG, marked};

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
        let output = Arc::default();
        let (process, readers) = spawn(&runner, None, &data, &arguments, &variables, &output);
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

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
