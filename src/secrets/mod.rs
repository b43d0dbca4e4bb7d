//! Secrets that members store for their own children: written only, sealed in a file of their own beside the store, so
//! that no backup, export or copy of the store has them. The key is in another file. Values are opened for a start of
//! a child and nothing else.

mod error;
mod seal;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

pub use self::error::Error;
use self::seal::{KEY_BYTES, Seal};
use crate::process::{Secret, is_variable};
use crate::store::{PRINCIPAL_SECRETS, PRINCIPAL_SECRETS_KEY, write_private};
use crate::text::{from_hex, hex};

/// Maximum number of secrets of one member.
const MAX_PER_MEMBER: usize = 64;
/// Maximum length of a secret, in bytes.
const MAX_VALUE: usize = 8 * 1024;
/// Maximum length of a name, in bytes.
const MAX_NAME: usize = 128;
/// Maximum size of all sealed secrets together, in bytes: the file is written whole at each change.
const MAX_TOTAL: usize = 8 * 1024 * 1024;

/// Sealed secrets by member and name.
type Sealed = BTreeMap<Arc<str>, BTreeMap<String, String>>;

/// The secrets of all members. Cheap to clone.
#[derive(Clone)]
pub struct SecretBook(Arc<Inner>);

struct Inner {
    /// Data directory; `None` for a book of tests, which is in memory only.
    directory: Option<PathBuf>,
    parts: Mutex<Parts>,
    /// Held while the file is written, so that no change is lost.
    writing: Mutex<()>,
}

#[derive(Default)]
struct Parts {
    sealed: Arc<Sealed>,
    /// Sealer; `None` as long as there is no key.
    seal: Option<Arc<Seal>>,
    /// Reason that nothing may be changed: what is there could not be read, and must not be written over.
    unreadable: Option<String>,
}

/// The file as it is written.
#[derive(Serialize, Deserialize)]
struct FileContent {
    version: u32,
    members: Sealed,
}

/// Version of the file.
const VERSION: u32 = 1;

impl SecretBook {
    /// Opens the book of a data directory. Whatever is wrong with it is logged and costs the secrets only: calls that need
    /// one are refused, and nothing is written over what cannot be read.
    pub fn open(data_dir: &Path) -> SecretBook {
        let parts = read_parts(data_dir).unwrap_or_else(|reason| {
            tracing::error!(reason, "the secrets of members cannot be used or changed");
            Parts { unreadable: Some(reason), ..Parts::default() }
        });
        SecretBook::with(Some(data_dir.to_owned()), parts)
    }

    /// Creates an empty book that is kept in memory, for tests.
    pub fn in_memory() -> SecretBook {
        SecretBook::with(None, Parts::default())
    }

    fn with(directory: Option<PathBuf>, parts: Parts) -> SecretBook {
        SecretBook(Arc::new(Inner { directory, parts: Mutex::new(parts), writing: Mutex::new(()) }))
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.0.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a member's secret, opened; `None` if it has stored none under this name, or none that can be opened.
    pub fn get(&self, member: &str, name: &str) -> Option<Secret> {
        let parts = self.parts();
        let (sealed, seal) = (parts.sealed.clone(), parts.seal.clone()?);
        drop(parts);
        seal.open(member, name, sealed.get(member)?.get(name)?).map(Secret::new)
    }

    /// Reports whether a member has stored a secret under this name.
    pub fn has(&self, member: &str, name: &str) -> bool {
        self.parts().sealed.get(member).is_some_and(|own| own.contains_key(name))
    }

    /// Returns the names of a member's secrets, in order.
    pub fn names(&self, member: &str) -> Vec<String> {
        self.parts().sealed.get(member).map(|own| own.keys().cloned().collect()).unwrap_or_default()
    }

    /// Stores a member's secret, in place of an earlier one. Durable when it returns. Blocks on the disk.
    pub fn put(&self, member: &Arc<str>, name: &str, value: &str) -> Result<(), Error> {
        check(name, value)?;
        let _writing = self.writing();
        let seal = self.seal()?;
        let sealed = seal.close(member, name, value);
        let sealed = sealed.ok_or_else(|| store("the system gives no random bytes"))?;
        let mut next = self.readable()?;
        let own = next.entry(member.clone()).or_default();
        own.insert(name.to_owned(), sealed);
        if own.len() > MAX_PER_MEMBER {
            let reason =
                format!("would be one more than the {MAX_PER_MEMBER} secrets that a member may have");
            return Err(Error::Unacceptable { field: "name", reason });
        }
        if size(&next) > MAX_TOTAL {
            let reason =
                format!("has no room: the secrets of all members together may take {MAX_TOTAL} bytes");
            return Err(Error::Unacceptable { field: "value", reason });
        }
        self.write(next)
    }

    /// Removes a member's secret. Durable when it returns. Blocks on the disk.
    pub fn remove(&self, member: &str, name: &str) -> Result<(), Error> {
        let _writing = self.writing();
        let mut next = self.readable()?;
        let own = next.get_mut(member).and_then(|own| own.remove(name));
        own.ok_or(Error::NotFound)?;
        next.retain(|_, own| !own.is_empty());
        self.write(next)
    }

    /// Keeps only the secrets of members that `is_there` is true of. The file has the others until the next change.
    pub fn keep_only(&self, is_there: impl Fn(&str) -> bool) {
        let mut parts = self.parts();
        if parts.sealed.keys().any(|member| !is_there(member)) {
            Arc::make_mut(&mut parts.sealed).retain(|member, _| is_there(member));
        }
    }

    /// Forgets all secrets of members that there are not any more, also if the disk refuses it: then they are written out
    /// with the next change. Blocks on the disk.
    pub fn forget(&self, member: &str) {
        let _writing = self.writing();
        let Ok(mut next) = self.readable() else { return };
        if next.remove(member).is_none() {
            return;
        }
        if let Err(error) = self.write(next.clone()) {
            tracing::error!(member, reason = %reason_of(&error), "the secrets of a removed member are still on the disk");
            self.parts().sealed = Arc::new(next);
        }
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        self.0.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what is stored, to be changed.
    fn readable(&self) -> Result<Sealed, Error> {
        let parts = self.parts();
        match &parts.unreadable {
            Some(reason) => Err(store(reason)),
            None => Ok((*parts.sealed).clone()),
        }
    }

    /// Returns the sealer; makes the key if there is none.
    fn seal(&self) -> Result<Arc<Seal>, Error> {
        self.readable()?;
        if let Some(seal) = &self.parts().seal {
            return Ok(seal.clone());
        }
        let mut key = [0u8; KEY_BYTES];
        let made = getrandom::fill(&mut key).ok().and_then(|()| Seal::new(&key));
        let seal = Arc::new(made.ok_or_else(|| store("the system gives no random bytes"))?);
        if let Some(directory) = &self.0.directory {
            let text = format!("{}\n", hex(&key));
            write_private(&directory.join(PRINCIPAL_SECRETS_KEY), text.as_bytes())
                .map_err(|error| store(&error.to_string()))?;
        }
        self.parts().seal = Some(seal.clone());
        Ok(seal)
    }

    /// Writes the file, then has the change in force.
    fn write(&self, next: Sealed) -> Result<(), Error> {
        let content = FileContent { version: VERSION, members: next };
        if let Some(directory) = &self.0.directory {
            let text = serde_json::to_vec(&content).map_err(|error| store(&error.to_string()))?;
            write_private(&directory.join(PRINCIPAL_SECRETS), &text)
                .map_err(|error| store(&error.to_string()))?;
        }
        self.parts().sealed = Arc::new(content.members);
        Ok(())
    }
}

/// Checks a name and a value.
fn check(name: &str, value: &str) -> Result<(), Error> {
    let unacceptable = |field, reason: String| Err(Error::Unacceptable { field, reason });
    if name.len() > MAX_NAME || !is_variable(name) {
        let rule = format!("must be 1 to {MAX_NAME} letters, digits and '_', not starting with a digit");
        return unacceptable("name", rule);
    }
    if value.is_empty() || value.len() > MAX_VALUE || value.contains('\0') {
        return unacceptable("value", format!("must be 1 to {MAX_VALUE} bytes of text without NUL"));
    }
    Ok(())
}

fn size(sealed: &Sealed) -> usize {
    sealed.values().flatten().map(|(name, text)| name.len() + text.len()).sum()
}

fn store(reason: &str) -> Error {
    Error::Store { reason: reason.to_owned() }
}

fn reason_of(error: &Error) -> String {
    match error {
        Error::Store { reason } => reason.clone(),
        other => other.to_string(),
    }
}

/// Reads key and file. An error says what cannot be read, and how to go on.
fn read_parts(data_dir: &Path) -> Result<Parts, String> {
    let (key, file) = (data_dir.join(PRINCIPAL_SECRETS_KEY), data_dir.join(PRINCIPAL_SECRETS));
    let unusable = |path: &Path, reason: &dyn std::fmt::Display| {
        format!("{} {reason}; put back what was there, or remove it to begin anew", path.display())
    };
    let text = read_if_there(&key).map_err(|error| unusable(&key, &error))?;
    let seal = match &text {
        None => None,
        Some(text) => {
            let bytes = from_hex::<KEY_BYTES>(text.trim()).as_ref().and_then(Seal::new);
            Some(Arc::new(bytes.ok_or_else(|| unusable(&key, &"is not 64 hexadecimal digits"))?))
        }
    };
    let Some(text) = read_if_there(&file).map_err(|error| unusable(&file, &error))? else {
        return Ok(Parts { seal, ..Parts::default() });
    };
    let content: FileContent =
        serde_json::from_str(&text).map_err(|error| unusable(&file, &format!("is damaged: {error}")))?;
    if content.version != VERSION {
        return Err(unusable(&file, &format!("is of version {}, and not {VERSION}", content.version)));
    }
    let mut members = content.members;
    let Some(seal) = seal else {
        return Err(unusable(&key, &"is missing, without which what members have stored cannot be opened"));
    };
    for (member, own) in &mut members {
        own.retain(|name, text| {
            let opens = seal.open(member, name, text).is_some();
            if !opens {
                tracing::error!(%member, name, "a stored secret was not sealed with this installation's key");
            }
            opens
        });
    }
    Ok(Parts { sealed: Arc::new(members), seal: Some(seal), unreadable: None })
}

fn read_if_there(path: &Path) -> io::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn member(id: &str) -> Arc<str> {
        id.into()
    }

    #[test]
    fn what_is_stored_outlives_the_book_and_is_nowhere_in_clear() {
        let dir = tempfile::tempdir().expect("a folder");
        let (book, ann) = (SecretBook::open(dir.path()), member("ann"));
        book.put(&ann, "TOKEN", "s3cret value").expect("stored");
        book.put(&ann, "OTHER", "x").expect("stored");
        book.put(&member("bob"), "TOKEN", "bob's").expect("stored");
        for name in [PRINCIPAL_SECRETS, PRINCIPAL_SECRETS_KEY] {
            let path = dir.path().join(name);
            assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600, "{name}");
            assert!(!fs::read_to_string(&path).expect("text").contains("s3cret"), "{name}");
        }
        let again = SecretBook::open(dir.path());
        assert_eq!(again.names("ann"), ["OTHER", "TOKEN"]);
        assert!(again.get("ann", "TOKEN") == Some(Secret::new("s3cret value".to_owned())));
        assert!(
            again.get("bob", "OTHER").is_none()
                && !again.has("eve", "TOKEN")
                && again.names("eve").is_empty()
        );
        again.remove("ann", "OTHER").expect("removed");
        assert_eq!(again.remove("ann", "OTHER"), Err(Error::NotFound));
        again.forget("bob");
        let last = SecretBook::open(dir.path());
        assert_eq!((last.names("ann"), last.has("bob", "TOKEN")), (vec!["TOKEN".to_owned()], false));
    }

    #[test]
    fn what_cannot_be_read_is_not_written_over_and_a_swapped_seal_is_shut() {
        let dir = tempfile::tempdir().expect("a folder");
        SecretBook::open(dir.path()).put(&member("ann"), "TOKEN", "a").expect("stored");
        let (key, file) = (dir.path().join(PRINCIPAL_SECRETS_KEY), dir.path().join(PRINCIPAL_SECRETS));
        let [kept_key, kept] = [&key, &file].map(|path| fs::read_to_string(path).expect("text"));
        for (path, damage) in [(&file, "{"), (&key, "short"), (&file, r#"{"version":2,"members":{}}"#)] {
            fs::write(path, damage).expect("written");
            let book = SecretBook::open(dir.path());
            assert!(book.get("ann", "TOKEN").is_none() && !book.has("ann", "TOKEN"));
            assert!(matches!(book.put(&member("ann"), "TOKEN", "b"), Err(Error::Store { .. })));
            assert_eq!(fs::read_to_string(path).expect("text"), damage);
            fs::write(&key, &kept_key).expect("written");
            fs::write(&file, &kept).expect("written");
        }
        fs::remove_file(&key).expect("removed");
        assert!(matches!(SecretBook::open(dir.path()).remove("ann", "TOKEN"), Err(Error::Store { .. })));
        fs::write(&key, &kept_key).expect("written");
        fs::write(&file, kept.replace("ann", "bob")).expect("written");
        assert!(!SecretBook::open(dir.path()).has("bob", "TOKEN"), "sealed for another");
    }

    #[test]
    fn names_values_and_numbers_are_bounded() {
        let (book, ann) = (SecretBook::in_memory(), member("ann"));
        for (name, value, field) in [
            ("", "x", "name"),
            ("1A", "x", "name"),
            ("A-B", "x", "name"),
            (&"A".repeat(MAX_NAME + 1), "x", "name"),
            ("A", "", "value"),
            ("A", "a\0b", "value"),
            ("A", &"x".repeat(MAX_VALUE + 1), "value"),
        ] {
            let refused = book.put(&ann, name, value);
            assert!(
                matches!(refused, Err(Error::Unacceptable { field: told, .. }) if told == field),
                "{name}"
            );
        }
        let longest = "x".repeat(MAX_VALUE);
        (0..MAX_PER_MEMBER).for_each(|n| book.put(&ann, &format!("A{n}"), &longest).expect("room"));
        assert!(matches!(book.put(&ann, "B", "x"), Err(Error::Unacceptable { field: "name", .. })));
        book.put(&ann, "A0", "other").expect("in place of the earlier one");
        let full = (0..100).find_map(|n| {
            let one = member(&format!("m{n}"));
            (0..MAX_PER_MEMBER).find_map(|n| book.put(&one, &format!("A{n}"), &longest).err())
        });
        assert!(matches!(full, Some(Error::Unacceptable { field: "value", .. })));
    }
}
