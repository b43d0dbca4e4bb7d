//! Start of a daemon where none runs. Several commands that find none at once end with one daemon: it locks its data
//! directory, and the others that were started end by themselves.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::cli::Exit;
use crate::cli::daemon::Place;
use crate::config::{DaemonPlace, Environment};

/// Time that a daemon has to answer once it was started.
const STARTED_WITHIN: Duration = Duration::from_secs(10);
/// Time between two looks whether it answers: the kernel tells nobody that a socket is listened on.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Name of the log of a daemon that was started, in its data directory.
const LOG: &str = "daemon.log";
/// Length of a log, in bytes, from which the next start begins another one and keeps this one beside it.
const MAX_LOG: u64 = 8 * 1024 * 1024;
/// Number of lines of the log that an error shows.
const SHOWN: usize = 8;
/// Number of bytes of the log that are looked at for them.
const LOOKED_AT: usize = 16 * 1024;

/// What starts a daemon: it gets the directory to start it in, and the file for its output.
pub type Starter<'a> = &'a dyn Fn(&Path, File) -> io::Result<Child>;

/// The environment of this process as a daemon that is started in another directory sees it.
pub(super) struct StartedIn<'e> {
    pub(super) env: &'e dyn Environment,
    /// The directory: the home directory, and not whatever project a client was opened in, since a daemon reads the servers
    /// file of its directory.
    pub(super) directory: PathBuf,
}

impl Environment for StartedIn<'_> {
    fn var(&self, name: &str) -> Option<std::ffi::OsString> {
        self.env.var(name)
    }

    fn working_dir(&self) -> PathBuf {
        self.directory.clone()
    }
}

/// Daemon that was started, or found when it was to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Started {
    /// Process that was started. `None` if another one's daemon answers.
    pub(super) pid: Option<u32>,
    /// Its log.
    pub(super) log: PathBuf,
}

/// Starts a daemon, and waits until it answers.
///
/// # Errors
/// Why it does not, with the last lines of its log.
pub(super) async fn start(
    start: Starter<'_>,
    directory: &Path,
    found: &DaemonPlace,
    place: &Place,
) -> Result<Started, String> {
    let path = found.data_dir.join(LOG);
    let failed = |what: &str, error: &io::Error| format!("a daemon cannot be started: {what}: {error}");
    let begun = DirBuilder::new().recursive(true).mode(0o700).create(&found.data_dir);
    let log = begun.and_then(|()| open_log(&path));
    let log = log.map_err(|error| failed(&path.display().to_string(), &error))?;
    let began = log.metadata().map_or(0, |log| log.len());
    let mut child = start(directory, log).map_err(|error| failed("the program", &error))?;
    let deadline = Instant::now() + STARTED_WITHIN;
    loop {
        let ended = child.try_wait().ok().flatten();
        if place.is_answered() {
            let pid = ended.is_none().then(|| child.id());
            return Ok(Started { pid, log: path });
        }
        // Another one's daemon may be on its way; with such a configuration none is.
        let is_wrong = ended.and_then(|status| status.code()) == Some(Exit::Config.code().into());
        if is_wrong || Instant::now() >= deadline {
            let what = match ended {
                Some(status) => format!("the daemon that was started has ended with {status}"),
                None => format!("the daemon that was started does not answer at {} yet", place.shown()),
            };
            return Err(format!("{what}; the end of its log, {}:{}", path.display(), end_of(&path, began)));
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Opens the log for appending, readable for its user alone.
fn open_log(path: &Path) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|log| log.len() > MAX_LOG) {
        fs::rename(path, path.with_extension("log.1"))?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// Returns the last lines that a log has had since it was so long.
fn end_of(path: &Path, began: u64) -> String {
    let log = fs::read(path).unwrap_or_default();
    let new = log.get(usize::try_from(began).unwrap_or(usize::MAX)..).unwrap_or_default();
    let text = String::from_utf8_lossy(&new[new.len().saturating_sub(LOOKED_AT)..]).into_owned();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(SHOWN)..];
    match last.is_empty() {
        true => " (nothing)".to_owned(),
        false => last.iter().map(|line| format!("\n  {line}")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn found(dir: &Path) -> (DaemonPlace, Place) {
        let (data_dir, socket) = (dir.join("data"), dir.join("s.sock"));
        let place = Place { socket: Some(socket.clone()), url: "http://h".to_owned() };
        (DaemonPlace { data_dir, socket: Some(socket), port: 0, tls: false }, place)
    }

    fn shell(script: &'static str) -> impl Fn(&Path, File) -> io::Result<Child> {
        move |directory, log| {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", script]).current_dir(directory).stdin(Stdio::null());
            command.stdout(log.try_clone()?).stderr(log).spawn()
        }
    }

    #[tokio::test]
    async fn a_daemon_with_a_wrong_configuration_is_told_at_once_with_its_words() {
        let dir = tempfile::tempdir().expect("a directory");
        let (found, place) = found(dir.path());
        fs::create_dir(&found.data_dir).expect("made");
        fs::write(found.data_dir.join(LOG), "of an earlier one\n").expect("written");
        let refuse = shell("echo the port is wrong; exit 78");
        let told = start(&refuse, dir.path(), &found, &place).await.expect_err("it does not run");
        assert!(told.ends_with(":\n  the port is wrong"), "{told}");
    }

    #[tokio::test]
    async fn what_another_one_has_started_meanwhile_is_good_enough() {
        let dir = tempfile::tempdir().expect("a directory");
        let (found, place) = found(dir.path());
        let socket = place.socket.clone().expect("one");
        let listener = std::sync::Mutex::new(None);
        let other = |directory: &Path, log: File| {
            let bound = std::os::unix::net::UnixListener::bind(&socket)?;
            *listener.lock().expect("whole") = Some(bound);
            let mut child = shell("exit 74")(directory, log)?;
            child.wait()?;
            Ok(child)
        };
        let started = start(&other, dir.path(), &found, &place).await.expect("one answers");
        assert_eq!(started.pid, None);
    }
}
