//! Secret values of variables and arguments, and the resolution of their references at a spawn.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::Path;

use super::SpawnError;
use super::reference::{Piece, Reference, pieces};
use crate::files::{self, Unreadable};

/// Longest file that a reference may stand for, in bytes.
const MAX_FILE: u64 = 64 * 1024;
/// Longest value, in bytes: the kernel takes no longer variable.
const MAX_VALUE: usize = 128 * 1024;

/// A text that must not be shown. It cannot be serialized, and prints as `[redacted]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Makes a secret of a text.
    pub fn new(text: String) -> Secret {
        Secret(text)
    }

    /// Returns the text itself, for its intended recipient only.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Replaces every reference in a text of a definition. `place` names the text: `env.TOKEN`, `args[1]`. `variables`
/// looks up our own environment, `secrets` what the child's principal has stored.
///
/// # Errors
/// If a reference cannot be replaced: names the place and the reference, never a value.
pub(super) fn resolve(
    place: &str,
    value: &str,
    variables: impl Fn(&str) -> Option<OsString>,
    secrets: impl Fn(&str) -> Option<String>,
) -> Result<Secret, SpawnError> {
    let mut resolved = String::with_capacity(value.len());
    for piece in pieces(value) {
        let piece = piece.map_err(|malformed| SpawnError::refused(format!("{place} {malformed}")))?;
        match piece {
            Piece::Literal(text) => resolved.push_str(text),
            Piece::Reference(reference) => {
                let found = match reference {
                    Reference::Variable { name, default } => variable_text(variables(name), default),
                    Reference::File(path) => file_text(Path::new(path)),
                    Reference::Principal(name) => {
                        let missing = "is not stored for the principal of this child".to_owned();
                        secrets(name).ok_or(Unusable::Because(missing))
                    }
                };
                let text = found.map_err(|unusable| unusable.told(place, reference))?;
                resolved.push_str(&text);
                if resolved.len() > MAX_VALUE {
                    let most = MAX_VALUE >> 10;
                    let what = format!("{place} is longer than {most} KiB with {reference} in its place");
                    return Err(SpawnError::refused(what));
                }
            }
        }
    }
    Ok(Secret(resolved))
}

/// Returns a sentence about the first reference of a text that cannot be replaced now, without any value; `None` if all
/// can. `place` as for an error of a start: `env.TOKEN`.
pub fn unresolved(place: &str, value: &str, variables: impl Fn(&str) -> Option<OsString>) -> Option<String> {
    // What a principal has stored is known for each of its children only.
    resolve(place, value, variables, |_| Some(String::new())).err().map(|error| error.to_string())
}

/// Replaces every reference in a text that no process gets, such as the value of a header. `own` looks up variables before
/// the daemon's environment does, `secrets` what the principal has stored.
///
/// # Errors
/// As at a spawn: names the place and the reference, never a value.
pub fn resolve_text(
    place: &str,
    value: &str,
    own: impl Fn(&str) -> Option<String>,
    secrets: &[(String, Secret)],
) -> Result<Secret, SpawnError> {
    let variables = |name: &str| own(name).map(OsString::from).or_else(|| std::env::var_os(name));
    let stored = |name: &str| {
        let found = secrets.iter().find(|(known, _)| known == name);
        found.map(|(_, secret)| secret.expose().to_owned())
    };
    resolve(place, value, variables, stored)
}

/// Reason that a reference cannot be replaced.
enum Unusable {
    /// Rule that the variable or file breaks, as the end of a sentence.
    Because(String),
    /// Error of the operating system for its file.
    Io(io::Error),
}

impl Unusable {
    fn told(self, place: &str, reference: Reference<'_>) -> SpawnError {
        match self {
            Unusable::Because(reason) => {
                SpawnError::refused(format!("{place} refers to {reference}, which {reason}"))
            }
            Unusable::Io(error) => {
                SpawnError::new(format!("{place} refers to {reference}, which cannot be read"), &error)
            }
        }
    }
}

/// Returns a variable's text. As shells read `${NAME:-default}`, an empty variable counts as unset if there is a
/// default.
fn variable_text(value: Option<OsString>, default: Option<&str>) -> Result<String, Unusable> {
    if let Some(default) = default
        && value.as_ref().is_none_or(|value| value.is_empty())
    {
        return Ok(default.to_owned());
    }
    let value = value.ok_or_else(|| Unusable::Because("is not set".to_owned()))?;
    value.into_string().map_err(|_| Unusable::Because("is not UTF-8 text".to_owned()))
}

/// Reads a file that a reference may stand for: a regular one, UTF-8, at most 64 KiB, without one newline at its end.
/// Blocks on the disk, for a few seconds at most.
///
/// # Errors
/// As the operating system reports it, or with the rule that the file breaks.
pub fn read_secret_file(path: &Path) -> io::Result<String> {
    file_text(path).map_err(|unusable| match unusable {
        Unusable::Because(reason) => io::Error::other(reason),
        Unusable::Io(error) => error,
    })
}

fn file_text(path: &Path) -> Result<String, Unusable> {
    // A spawn that waits for a file would block all others.
    let mut bytes = files::read(path, MAX_FILE).map_err(|unreadable| match unreadable {
        Unreadable::Io(error) => Unusable::Io(error),
        Unreadable::Directory => Unusable::Because(Unreadable::NotRegular.to_string()),
        other => Unusable::Because(other.to_string()),
    })?;
    bytes.pop_if(|last| *last == b'\n');
    let text = String::from_utf8(bytes).map_err(|_| Unusable::Because("is not UTF-8 text".to_owned()))?;
    if text.contains('\0') {
        return Err(Unusable::Because("contains NUL".to_owned()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::ffi::OsStringExt as _;

    fn variables(name: &str) -> Option<OsString> {
        match name {
            "TOKEN" => Some("s3cret".into()),
            "EMPTY" => Some(OsString::new()),
            "BYTES" => Some(OsString::from_vec(vec![0xff])),
            _ => None,
        }
    }

    fn secrets(name: &str) -> Option<String> {
        (name == "OWN").then(|| "own s3cret".to_owned())
    }

    #[test]
    fn what_the_principal_stored_is_replaced_once_and_what_it_did_not_is_named() {
        assert_eq!(
            resolved("a ${principal:OWN} $${principal:OWN}").as_deref(),
            Ok("a own s3cret ${principal:OWN}")
        );
        let missing = resolved("${principal:OTHER}").unwrap_err();
        assert!(missing.contains("${principal:OTHER}, which is not stored"), "{missing}");
        assert_eq!(unresolved("env.KEY", "${principal:OTHER}", variables), None, "another may have it");
    }

    fn resolved(value: &str) -> Result<String, String> {
        resolve("env.KEY", value, variables, secrets)
            .map(|secret| secret.expose().to_owned())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_secret_is_never_printed() {
        let secret = resolve("env.KEY", "${env:TOKEN}", variables, secrets).unwrap();
        assert_eq!(
            format!("{secret} {secret:?} {:?}", Some(&secret)),
            "[redacted] [redacted] Some([redacted])"
        );
        assert_eq!(secret.expose(), "s3cret");
    }

    #[test]
    fn references_are_replaced_by_variables_and_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a token");
        let reference = format!("${{file:{}}}", path.display());
        for (content, text) in
            [("x", "x"), ("x\n", "x"), ("x\n\n", "x\n"), ("\n", ""), ("x\r\n", "x\r"), ("ü", "ü")]
        {
            fs::write(&path, content).unwrap();
            assert_eq!(resolved(&reference).as_deref(), Ok(text), "{content:?}");
        }
        fs::write(&path, "from ${env:TOKEN}\n").unwrap();
        let value = format!("a:${{env:TOKEN}}:{reference}:${{env:EMPTY}}:$${{env:TOKEN}}");
        // The content of a file is not resolved again.
        assert_eq!(resolved(&value).as_deref(), Ok("a:s3cret:from ${env:TOKEN}::${env:TOKEN}"));
    }

    #[test]
    fn a_default_stands_where_the_variable_is_not_set_or_empty() {
        for (value, text) in [
            ("${env:TOKEN:-d}", "s3cret"),
            ("${env:MISSING:-d e}", "d e"),
            ("${env:EMPTY:-d}", "d"),
            ("${env:MISSING:-}", ""),
        ] {
            assert_eq!(resolved(value).as_deref(), Ok(text), "{value}");
        }
    }

    #[test]
    fn what_cannot_be_replaced_is_named_with_its_reference_and_without_a_value() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &[u8]| {
            let path = dir.path().join(name);
            fs::write(&path, content).unwrap();
            format!("${{file:{}}}", path.display())
        };
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let longest = file("longest", &[b'x'; 64 * 1024]);
        assert_eq!(resolved(&longest).map(|text| text.len()), Ok(64 * 1024));
        let cases = [
            ("${env:MISSING}".to_owned(), "is not set"),
            ("${env:BYTES}".to_owned(), "is not UTF-8 text"),
            (format!("${{file:{}}}", dir.path().join("gone").display()), "cannot be read (ENOENT)"),
            (format!("${{file:{}}}", dir.path().display()), "is not a regular file"),
            (format!("${{file:{}}}", fifo.display()), "is not a regular file"),
            (file("bytes", b"s3cret\xff"), "is not UTF-8 text"),
            (file("nul", b"s3cret\0"), "contains NUL"),
            (file("long", &[b'x'; 64 * 1024 + 1]), "is longer than 64 KiB"),
        ];
        for (reference, reason) in cases {
            let error =
                resolve("env.KEY", &format!("${{env:TOKEN}} {reference}"), variables, secrets).unwrap_err();
            assert_eq!(error.to_string(), format!("env.KEY refers to {reference}, which {reason}"));
            assert!(error.permanent);
        }
        let thrice = resolved(&longest.repeat(3)).unwrap_err();
        assert!(thrice.contains("longer than 128 KiB"), "{thrice}");
    }
}
