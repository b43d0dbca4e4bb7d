//! Reverse proxies that others wrote, run as their packages run them: each with the user that its package gives
//! it, in a directory of its own, on an address of the loopback network that nobody else uses.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, User};
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::elsewhere::{PYTHON, can_play_users};
use super::recording::{self, Socket};
use super::{DEADLINE, wait_until};

/// What Debian has no package of is installed from PyPI.
const FROM_PYPI: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real/venv/bin");
/// A forwarder that neither reads nor adds anything, as `ssh -L` is one.
const FORWARDER: &str = include_str!("../gateway/proxies/forwarder.py");
/// Modules of Apache that are on where Debian's package was asked for a proxy and nothing else.
const APACHE_MODULES: [&str; 7] =
    ["mpm_event", "authz_core", "env", "filter", "deflate", "proxy", "proxy_http"];

/// Something that passes requests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    /// Its workers are `www-data`, as Debian has it.
    Nginx,
    /// Its worker is `haproxy`, as Debian has it, in a root directory of its own.
    Haproxy,
    /// The user `caddy`, as Debian has it.
    Caddy,
    /// Its workers are `www-data`, as Debian has it.
    Apache,
    /// The tests' own user.
    Traefik,
    /// The tests' own user.
    Envoy,
    /// Whatever comes goes on as it is; by this user, or the tests' own.
    Forwarder(Option<u32>),
}

impl Program {
    fn path(self) -> PathBuf {
        match self {
            Program::Nginx => "/usr/sbin/nginx".into(),
            Program::Haproxy => "/usr/sbin/haproxy".into(),
            Program::Caddy => "/usr/bin/caddy".into(),
            Program::Apache => "/usr/sbin/apache2".into(),
            Program::Traefik => Path::new(FROM_PYPI).join("traefik"),
            Program::Envoy => Path::new(FROM_PYPI).join("envoy"),
            Program::Forwarder(_) => PYTHON.into(),
        }
    }

    /// Whether it can stand before a daemon of another user here. Says so loudly where not.
    pub(crate) fn can_stand_before(self, test: &str) -> bool {
        if !can_play_users(test) {
            return false;
        }
        let path = self.path();
        if !path.exists() {
            let ci = std::env::var_os("CI").is_some();
            assert!(!ci, "{test}: needs {}, which .ci/run has", path.display());
            eprintln!("SKIPPED: {test}: needs {}; `make real-servers` installs it for root", path.display());
            return false;
        }
        true
    }

    /// The whole configuration, made of what an administrator writes and what the package has around it.
    fn configuration(self, site: &str, place: &Path, listen: SocketAddr) -> String {
        let place = place.display();
        match self {
            Program::Nginx => {
                let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                    .map(|name| format!("{name}_temp_path {place}/{name};"))
                    .concat();
                format!(
                    "user www-data;\nworker_processes 2;\ndaemon off;\npid {place}/pid;\nerror_log stderr;\n\
                     events {{}}\nhttp {{\naccess_log off;\ngzip on;\n{temporary}\n{site}\n}}\n"
                )
            }
            Program::Haproxy => {
                format!("global\n chroot /var/lib/haproxy\n user haproxy\n group haproxy\n\n{site}")
            }
            Program::Caddy => format!("{{\n admin off\n}}\n{site}"),
            Program::Apache => {
                let modules: String = APACHE_MODULES
                    .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
                    .concat();
                format!(
                    "ServerRoot {place}\nServerName localhost\nDefaultRuntimeDir {place}\nMutex file:{place}\n\
                     PidFile {place}/pid\nErrorLog /dev/stderr\nUser www-data\nGroup www-data\n\
                     Listen {listen}\n{modules}\n{site}"
                )
            }
            Program::Traefik | Program::Envoy | Program::Forwarder(_) => site.to_owned(),
        }
    }

    fn command(self, place: &Path, listen: SocketAddr, daemon: SocketAddr) -> Command {
        let file = place.join("configuration.yaml");
        let mut command = Command::new(self.path());
        match self {
            Program::Nginx => command.args(["-e", "stderr", "-c"]).arg(file),
            Program::Haproxy => command.args(["-W", "-f"]).arg(file),
            Program::Caddy => command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file),
            Program::Apache => command.args(["-DFOREGROUND", "-f"]).arg(file),
            Program::Traefik => command.arg(format!("--configFile={}", file.display())),
            Program::Envoy => command
                .args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "warn", "-c"])
                .arg(file),
            Program::Forwarder(_) => {
                let ends = [listen, daemon].map(|end| [end.ip().to_string(), end.port().to_string()]);
                command.args(["-c", FORWARDER]).args(ends.concat())
            }
        };
        command.current_dir(place).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HOME", place).env("XDG_DATA_HOME", place).env("XDG_CONFIG_HOME", place);
        if let Some((uid, gid)) = self.user() {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Whose it is from its start on, where it does not change that itself.
    fn user(self) -> Option<(u32, u32)> {
        match self {
            Program::Caddy => {
                let user = User::from_name("caddy").expect("users can be read");
                let user = user.expect("the package makes this user");
                Some((user.uid.as_raw(), user.gid.as_raw()))
            }
            Program::Forwarder(uid) => uid.map(|uid| (uid, uid)),
            _ => None,
        }
    }
}

/// What an administrator writes for a proxy, with its addresses still to be known.
pub(crate) struct Site<'a> {
    /// Makes the main text out of where the proxy listens.
    pub(crate) text: &'a dyn Fn(SocketAddr) -> String,
    /// Another file beside it.
    pub(crate) beside: Option<(&'static str, String)>,
}

/// A proxy that runs. It ends with `stop`.
pub(crate) struct Proxy {
    process: Option<Child>,
    listen: SocketAddr,
    place: TempDir,
}

impl Proxy {
    /// Starts it before a daemon and waits until it accepts connections.
    pub(crate) async fn start(program: Program, daemon: SocketAddr, site: &Site<'_>) -> Proxy {
        for _ in 0..3 {
            let mut proxy = Proxy::launch(program, daemon, site);
            if proxy.listens().await {
                recording::listens(proxy.listen);
                return proxy;
            }
            // Somebody may have taken the port since it was found free.
            proxy.process = None;
            eprintln!("{program:?} ended instead of listening: {}", proxy.output());
        }
        panic!("{program:?} does not start");
    }

    fn launch(program: Program, daemon: SocketAddr, site: &Site<'_>) -> Proxy {
        let place = tempfile::tempdir().expect("a temporary directory");
        let listen = free_address();
        let text = program.configuration(&(site.text)(listen), place.path(), listen);
        write(&place.path().join("configuration.yaml"), &text);
        if let Some((name, text)) = &site.beside {
            write(&place.path().join(name), text);
        }
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).expect("its mode can be set");
        if let Some((uid, gid)) = program.user() {
            std::os::unix::fs::chown(place.path(), Some(uid), Some(gid)).expect("only root can play users");
        }
        let output = fs::File::create(place.path().join("output")).expect("a file");
        let mut command = program.command(place.path(), listen, daemon);
        command.stdin(Stdio::null()).stdout(output.try_clone().expect("the same")).stderr(output);
        let process = command.process_group(0).spawn().unwrap_or_else(|error| panic!("{program:?}: {error}"));
        Proxy { process: Some(process), listen, place }
    }

    /// Whether it accepts connections; not when it has ended.
    async fn listens(&mut self) -> bool {
        let listen = self.listen;
        let process = Mutex::new(self.process.as_mut().expect("started"));
        let locked = || process.lock().unwrap_or_else(PoisonError::into_inner);
        wait_until("the proxy listens", DEADLINE, || async {
            let ended = locked().try_wait().expect("our own child").is_some();
            match ended {
                true => Some(false),
                false => TcpStream::connect(listen).await.ok().map(|_| true),
            }
        })
        .await
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.listen
    }

    /// Opens a connection to it.
    pub(crate) async fn connect(&self) -> Socket {
        let stream = TcpStream::connect(self.listen).await.expect("the proxy accepts connections");
        Socket::new(stream, self.listen)
    }

    fn output(&self) -> String {
        fs::read_to_string(self.place.path().join("output")).unwrap_or_default()
    }

    /// Ends it and everything that it has started.
    pub(crate) async fn stop(mut self) {
        let process = Mutex::new(self.process.take().expect("stopped once"));
        let locked = || process.lock().unwrap_or_else(PoisonError::into_inner);
        let group = group_of(&locked());
        kill(group, Signal::SIGTERM).expect("a child of ours that was not waited for");
        wait_until("the proxy ends", DEADLINE, || async { locked().try_wait().expect("our own child") })
            .await;
        wait_until("nothing of the proxy is left", DEADLINE, || async {
            (killpg(group, Signal::SIGKILL) == Err(Errno::ESRCH)).then_some(())
        })
        .await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        // Gone already, or ended by this.
        let _ = killpg(group_of(&process), Signal::SIGKILL);
        let _ = process.wait();
        assert!(thread::panicking(), "a test must end its proxies with stop()");
        eprintln!("--- the proxy's output ---\n{}\n--- end of it ---", self.output());
    }
}

/// Each proxy leads a group of its own.
fn group_of(process: &Child) -> Pid {
    Pid::from_raw(i32::try_from(process.id()).expect("a process id"))
}

/// An address that no other test uses, with a port that is free there.
fn free_address() -> SocketAddr {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = std::process::id().wrapping_mul(64).wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed));
    let [_, a, b, c] = number.to_be_bytes();
    let ip = IpAddr::V4(Ipv4Addr::new(127, a.max(1), b, c.clamp(1, 254)));
    let found = TcpListener::bind((ip, 0)).expect("loopback has free ports");
    found.local_addr().expect("bound")
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("its mode can be set");
}
