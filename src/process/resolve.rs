//! From a command as people write it to the file that is run. No shell ever looks at it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::SpawnError;

/// The absolute path of `command`: a path as it is, a bare name looked up in `search_path`.
pub(super) fn resolve(command: &str, search_path: Option<&OsStr>) -> Result<PathBuf, SpawnError> {
    if command.contains('/') {
        let path = std::path::absolute(command)
            .map_err(|error| SpawnError::new(format!("command '{command}' has no absolute path"), &error))?;
        return check(command, path);
    }
    let search_path = search_path.unwrap_or_default();
    let mut refused = None;
    for directory in search_path.as_bytes().split(|&byte| byte == b':').filter(|part| !part.is_empty()) {
        let candidate = Path::new(OsStr::from_bytes(directory)).join(command);
        if candidate.is_file() {
            match check(command, candidate) {
                Ok(path) => return Ok(path),
                Err(error) => refused = Some(error),
            }
        }
    }
    let not_found = || SpawnError::not_found(format!("command '{command}' was not found in PATH"));
    Err(refused.unwrap_or_else(not_found))
}

fn check(command: &str, path: PathBuf) -> Result<PathBuf, SpawnError> {
    let shown = path.display();
    let metadata = std::fs::metadata(&path).map_err(|error| {
        SpawnError::new(format!("command '{command}' does not exist at '{shown}'"), &error)
    })?;
    if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 {
        return Ok(path);
    }
    let what = if metadata.is_file() { "is not executable" } else { "is not a file" };
    Err(SpawnError { what: format!("'{shown}' {what}"), errno: "EACCES".to_owned(), permanent: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_bare_name_in_the_given_path_only() {
        assert!(resolve("sh", Some(OsStr::new("/nowhere:/bin"))).unwrap().ends_with("sh"));
        let error = resolve("sh", Some(OsStr::new("/nowhere"))).unwrap_err();
        assert!(
            error.permanent && error.to_string().contains("'sh'") && error.to_string().contains("ENOENT")
        );
        assert!(resolve("sh", None).is_err());
    }

    #[test]
    fn names_what_is_wrong_with_a_path() {
        assert_eq!(resolve("/no/such", None).unwrap_err().errno, "ENOENT");
        assert_eq!(resolve("/etc/passwd", None).unwrap_err().errno, "EACCES");
        assert_eq!(resolve("/etc", None).unwrap_err().errno, "EACCES");
    }
}
