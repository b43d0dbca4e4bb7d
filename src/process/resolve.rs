//! The lookup of a command: from its text to the file that is run. No shell is involved.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::SpawnError;
use super::error::Searched;
use crate::nearest::closest;

/// Returns the absolute path of `command`: a path is taken as it is, a bare name is looked up in `search_path`.
/// Relative ones, of both, are relative to `cwd`, as for `execvp` after `chdir` (exec(3)); without one, to our own
/// directory.
pub(super) fn resolve(
    command: &str,
    search_path: Option<&OsStr>,
    cwd: Option<&Path>,
) -> Result<PathBuf, SpawnError> {
    let within = |path: &Path| match cwd {
        Some(cwd) => std::path::absolute(cwd.join(path)),
        None => std::path::absolute(path),
    };
    if command.contains('/') {
        let path = within(Path::new(command))
            .map_err(|error| SpawnError::new(format!("command '{command}' has no absolute path"), &error))?;
        return check(command, path);
    }
    let search_path = search_path.unwrap_or_default();
    let mut refused = None;
    for directory in search_path.as_bytes().split(|&byte| byte == b':').filter(|part| !part.is_empty()) {
        let Ok(candidate) = within(&Path::new(OsStr::from_bytes(directory)).join(command)) else { continue };
        if candidate.is_file() {
            match check(command, candidate) {
                Ok(path) => return Ok(path),
                Err(error) => refused = Some(error),
            }
        }
    }
    Err(refused.unwrap_or_else(|| {
        let searched = Searched {
            path: search_path.to_string_lossy().into_owned(),
            near: near(command, search_path, &within),
        };
        SpawnError::not_found(format!("command '{command}' was not found in PATH{}", hint(command)), searched)
    }))
}

/// Most files of PATH whose names are compared.
const MAX_COMPARED: usize = 20_000;

/// Returns the name of a file in PATH that is close to a command.
fn near(
    command: &str,
    search_path: &OsStr,
    within: &dyn Fn(&Path) -> std::io::Result<PathBuf>,
) -> Option<String> {
    let directories = search_path.as_bytes().split(|&byte| byte == b':').filter(|part| !part.is_empty());
    let directories = directories.filter_map(|part| within(Path::new(OsStr::from_bytes(part))).ok());
    let files = directories.filter_map(|directory| std::fs::read_dir(directory).ok()).flatten().flatten();
    let names: Vec<String> =
        files.take(MAX_COMPARED).filter_map(|file| file.file_name().into_string().ok()).collect();
    closest(command, names.iter().map(String::as_str)).map(str::to_owned)
}

/// Returns the interpreter that the first line of a script names, and its first argument; `None` if it names none.
pub(super) fn interpreter(program: &Path) -> Option<(String, Option<String>)> {
    let mut begin = [0u8; 256];
    let read = std::fs::File::open(program).ok()?.read(&mut begin).ok()?;
    let line = begin[..read].strip_prefix(b"#!")?.split(|&byte| byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
    let name = words.next()?.escape_debug().to_string();
    Some((name, words.next().map(|word| word.escape_debug().to_string())))
}

/// Returns a hint on the likely mistake in a command that was not found; empty if there is none.
fn hint(command: &str) -> String {
    match command.split_once(char::is_whitespace) {
        Some((program, _)) if !program.is_empty() => {
            format!(" (a program of that name, blanks included; arguments of '{program}' belong into args)")
        }
        _ => String::new(),
    }
}

fn check(command: &str, path: PathBuf) -> Result<PathBuf, SpawnError> {
    let shown = path.display();
    let metadata = std::fs::metadata(&path).map_err(|error| {
        SpawnError::new(format!("command '{command}' does not exist at '{shown}'{}", hint(command)), &error)
    })?;
    if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 {
        return Ok(path);
    }
    let what = if metadata.is_file() { "is not executable" } else { "is not a file" };
    Err(SpawnError {
        what: format!("'{shown}' {what}"),
        errno: "EACCES".to_owned(),
        permanent: true,
        searched: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_bare_name_in_the_given_path_only() {
        assert!(resolve("sh", Some(OsStr::new("/nowhere:/bin")), None).unwrap().ends_with("sh"));
        let error = resolve("sh", Some(OsStr::new("/nowhere")), None).unwrap_err();
        assert!(
            error.permanent && error.to_string().contains("'sh'") && error.to_string().contains("ENOENT")
        );
        assert!(resolve("sh", None, None).is_err());
    }

    #[test]
    fn names_what_is_wrong_with_a_path() {
        assert_eq!(resolve("/no/such", None, None).unwrap_err().errno, "ENOENT");
        assert_eq!(resolve("/etc/passwd", None, None).unwrap_err().errno, "EACCES");
        assert_eq!(resolve("/etc", None, None).unwrap_err().errno, "EACCES");
    }

    #[test]
    fn what_is_relative_is_so_to_the_servers_directory() {
        let bin = || Some(Path::new("/bin"));
        assert_eq!(resolve("./sh", None, bin()).unwrap(), Path::new("/bin/sh"));
        assert_eq!(resolve("bin/sh", None, Some(Path::new("/"))).unwrap(), Path::new("/bin/sh"));
        assert_eq!(resolve("sh", Some(OsStr::new("nowhere:.")), bin()).unwrap(), Path::new("/bin/sh"));
        assert!(resolve("./sh", None, Some(Path::new("/nowhere"))).is_err());
        assert_eq!(resolve("/bin/sh", None, Some(Path::new("/nowhere"))).unwrap(), Path::new("/bin/sh"));
    }

    #[test]
    fn a_command_line_in_place_of_a_command_is_told_where_its_arguments_belong() {
        for command in ["npx -y something", "./nowhere --stdio"] {
            let told = resolve(command, Some(OsStr::new("/bin")), None).unwrap_err().to_string();
            assert!(told.contains("belong into args"), "{told}");
        }
        assert!(!resolve("nowhere", None, None).unwrap_err().to_string().contains("args"));
    }
}
