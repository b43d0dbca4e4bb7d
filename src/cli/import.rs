//! `mcpvisor import`: makes one servers file of this gateway from other clients' files. Shows the servers that
//! it takes and the differences, writes the file, and lists the values that a person has to fill in. The
//! clients' files stay unchanged.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::Exit;
use crate::config::{DEFAULT_SERVERS_FILE, Environment, Plan, look, plan};
use crate::store::write_private;
use crate::text::count_of;

/// Options of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Clients or files to import from; empty for all clients.
    pub from: Vec<String>,
    /// File to write. `None` for the one that the daemon reads by default.
    pub to: Option<PathBuf>,
    /// `true` if nothing is to be written.
    pub dry_run: bool,
    /// `true` if an existing file is to be replaced.
    pub replace: bool,
}

/// Carries out an import. The report goes to `out`, errors go to `err`.
pub fn run(import: &Import, env: &dyn Environment, out: &mut dyn Write, err: &mut dyn Write) -> Exit {
    let found = match look(&import.from, env) {
        Ok(found) => found,
        Err(reason) => {
            let _ = writeln!(err, "mcpvisor: {reason}");
            return Exit::Usage;
        }
    };
    let plan = plan(&found);
    let target = import.to.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_SERVERS_FILE));
    let written = match &plan.text {
        Some(text) if !import.dry_run => {
            write_file(&env.working_dir().join(&target), text, import.replace).map(Some)
        }
        _ => Ok(None),
    };
    if let Err(error) = &written {
        let _ = out.write_all(plan.report.as_bytes());
        let _ = writeln!(err, "mcpvisor: '{}' was not written: {error}", target.display());
        return Exit::Io;
    }
    let said = out.write_all(told(&plan, &target, import.dry_run).as_bytes());
    match said {
        Err(_) => Exit::Io,
        Ok(()) if plan.incomplete && !import.from.is_empty() => Exit::Config,
        Ok(()) => Exit::Graceful,
    }
}

fn told(plan: &Plan, target: &Path, dry_run: bool) -> String {
    let mut text = plan.report.clone();
    let servers = count_of(plan.count as u64, "server");
    let target = target.display();
    text.push_str(&match (plan.count, dry_run) {
        (0, _) => "no servers were found, and nothing is written\n".to_owned(),
        (_, true) => format!("would write {servers} to '{target}'\n"),
        (_, false) => {
            format!("wrote {servers} to '{target}', for you alone to read; start with: mcpvisor serve --servers {target}\n")
        }
    });
    if !plan.open.is_empty() {
        text.push_str("needs somebody to fill it in, and is failed until then:\n");
    }
    for line in &plan.open {
        text.push_str(&format!("  {line}\n"));
    }
    text
}

/// Writes a file that only its owner may read, since it may contain secrets. An existing file is kept unless
/// `replace` is set, and then it is replaced as a whole.
fn write_file(path: &Path, text: &str, replace: bool) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    if replace {
        return write_private(path, text.as_bytes());
    }
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = created.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            io::Error::other("it is there already; name another file with --to, or say --replace")
        }
        _ => error,
    })?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::test_support::MapEnvironment;
    use std::os::unix::fs::PermissionsExt as _;

    fn import(from: &str) -> Import {
        Import { from: vec![from.to_owned()], to: None, dry_run: false, replace: false }
    }

    fn ran(import: &Import, directory: &Path) -> (Exit, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = run(import, &MapEnvironment::within(directory, &[]), &mut out, &mut err);
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (exit, text(out), text(err))
    }

    #[test]
    fn a_servers_file_is_written_once_and_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(
            dir.path().join("a.json"),
            r#"{"servers": {"a": {"command": "x", "env": {"K": "${input:k}"}}}}"#,
        )
        .unwrap();
        let target = dir.path().join(DEFAULT_SERVERS_FILE);
        let dry = Import { dry_run: true, ..import("a.json") };
        let (exit, out, err) = ran(&dry, dir.path());
        assert_eq!((exit, err.as_str()), (Exit::Graceful, ""));
        assert!(out.contains("would write 1 server to 'config/servers.json'") && !target.exists(), "{out}");

        let (exit, out, _) = ran(&import("a.json"), dir.path());
        assert_eq!(exit, Exit::Graceful);
        assert!(out.contains("wrote 1 server") && out.contains("needs somebody to fill it in"), "{out}");
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(fs::read_to_string(&target).unwrap().contains("\"mcpServers\""));

        fs::write(&target, "mine").unwrap();
        let (exit, _, err) = ran(&import("a.json"), dir.path());
        assert_eq!((exit, fs::read_to_string(&target).unwrap().as_str()), (Exit::Io, "mine"));
        assert!(err.contains("it is there already; name another file with --to"), "{err}");
        let (exit, ..) = ran(&Import { replace: true, ..import("a.json") }, dir.path());
        assert_eq!(exit, Exit::Graceful);
        assert!(fs::read_to_string(&target).unwrap().contains("\"mcpServers\""));
        assert_eq!(fs::read_dir(dir.path().join("config")).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn what_cannot_be_imported_is_said_and_writes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("b.json"), "{").unwrap();
        let (exit, _, err) = ran(&import("nobody"), dir.path());
        assert_eq!(exit, Exit::Usage);
        assert!(err.contains("names neither a file nor a client"), "{err}");
        let (exit, out, _) = ran(&import("b.json"), dir.path());
        assert_eq!(exit, Exit::Config);
        assert!(out.contains("is not valid JSON") && out.contains("no servers were found"), "{out}");
        assert!(!dir.path().join("config").exists());
    }
}
