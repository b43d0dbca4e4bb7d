//! Section `[llm]`: the model that answers questions, and the fallbacks for missing settings: `OPENAI_API_KEY`,
//! `OPENAI_BASE_URL` and `OPENAI_API_BASE`, in the environment or in a `.env` file of the working directory, as
//! users of the `/api` reference have them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeValue;

use super::dotenv::DotEnv;
use super::environment::Environment;
use super::problem::Problems;
use super::section::{self, Section};
use super::values;
use crate::files::{self, Unreadable};
use crate::process::{Reference, sole_reference};
use crate::query::{ApiKey, KeyHeader, KeySource, LlmSettings};

/// Place of the key, not yet read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeyReference {
    /// Name of a variable, of the environment or of the `.env` file.
    Variable(String),
    /// Path of a file.
    File(PathBuf),
}

const KEY: &str = "OPENAI_API_KEY";
/// Variables for the address; the newer name takes precedence.
const BASE_URLS: [&str; 2] = ["OPENAI_BASE_URL", "OPENAI_API_BASE"];
const DOT_ENV: &str = ".env";
/// Largest `.env` file that is read, in bytes.
const MAX_DOT_ENV: u64 = 64 * 1024;

const URL: &str = "an address that starts with http:// or https://, such as \"http://127.0.0.1:11434/v1\"";
const REFERENCE: &str = "a reference: \"${env:NAME}\" or \"${file:/absolute/path}\", and not the key itself";
const SECOND: Duration = Duration::from_secs(1);

pub(super) fn read(
    mut s: Section<'_>,
    llm: &mut LlmSettings,
    key: &mut Option<KeyReference>,
    problems: &mut Problems,
) {
    // The text may be a secret in the wrong place, so it is not shown.
    llm.base_url = told(&mut s, "base_url", URL, url, problems);
    *key = told(&mut s, "api_key", REFERENCE, reference, problems);
    let headers = [("auto", KeyHeader::Auto), ("bearer", KeyHeader::Bearer), ("api-key", KeyHeader::ApiKey)];
    s.choice("key_header", &headers, &mut llm.key_header, problems);
    s.set("model", "the name of a model", &mut llm.model, problems, name);
    s.set("models", "a table of names of models", &mut llm.aliases, problems, |value| {
        let table = value.as_table()?;
        table
            .iter()
            .map(|(alias, model)| Some((alias.get_ref().to_string(), name(model.get_ref())?)))
            .collect()
    });
    s.duration("timeout", SECOND..=3600 * SECOND, &mut llm.timeout, problems);
    s.count("retries", 0..=10, &mut llm.retries, problems);
    s.count("max_turns", 1..=1_000, &mut llm.max_turns, problems);
    s.duration("query_timeout", SECOND..=24 * 3600 * SECOND, &mut llm.query_timeout, problems);
    s.count("max_queries", 1..=10_000, &mut llm.max_queries, problems);
    let size = format!("{}, from 1 KiB to 16 MiB", values::SIZE);
    s.set("max_result", &size, &mut llm.max_result, problems, |value| {
        let bytes = section::size(value)?;
        (1024..=16 << 20).contains(&bytes).then_some(bytes)
    });
    s.switch("images", &mut llm.images, problems);
    s.finish(problems);
}

/// Reads a text and does not repeat it in the problem if it is invalid.
fn told<T>(
    s: &mut Section<'_>,
    name: &'static str,
    expected: &str,
    read: impl Fn(&str) -> Option<T>,
    problems: &mut Problems,
) -> Option<T> {
    let mut text: Option<String> = None;
    s.set(name, expected, &mut text, problems, |value| value.as_str().map(|text| Some(text.to_owned())));
    let value = read(text.as_deref()?);
    if value.is_none() {
        s.refuse(name, format!("must be {expected}"), problems);
    }
    value
}

/// Fills in missing settings. Looks up the named key, or the usual variable if none is named. Returns a warning
/// for each variable that a `.env` file names without a usable value, one line each.
pub(super) fn complete(
    llm: &mut LlmSettings,
    key: Option<KeyReference>,
    env: &dyn Environment,
    problems: &mut Problems,
) -> Vec<String> {
    let mut variables = Variables::read(env, problems);
    if llm.base_url.is_none() {
        let named = BASE_URLS.iter().find_map(|name| Some((name, variables.get(name)?)));
        if let Some((name, text)) = named {
            match url(&text) {
                Some(url) => llm.base_url = Some(url),
                None => problems.source(&variables.place(name), format!("must be {URL}")),
            }
        }
    }
    let (name, is_named) = match key {
        Some(KeyReference::File(path)) => {
            llm.key = Some(KeySource::File(path));
            return variables.warnings;
        }
        Some(KeyReference::Variable(name)) => (name, true),
        None => (KEY.to_owned(), false),
    };
    match variables.get(&name).map(|text| ApiKey::new(&text)) {
        Some(Ok(key)) => llm.key = Some(KeySource::Known(key)),
        Some(Err(error)) => problems.source(&variables.place(&name), format!("must be a key: {error}")),
        None if is_named => problems.source(&name, "is not set; llm.api_key refers to it".to_owned()),
        None => {}
    }
    variables.warnings
}

/// The variables that are read: those of the environment and of a `.env` file.
struct Variables<'a> {
    env: &'a dyn Environment,
    path: PathBuf,
    dot_env: DotEnv,
    warnings: Vec<String>,
}

impl Variables<'_> {
    /// Reads both. The file belongs to the project in this directory and may not be meant for us: if it cannot
    /// be read, it counts as missing, with a warning. A file that does not answer is a problem, since it may
    /// contain settings for us.
    fn read<'a>(env: &'a dyn Environment, problems: &mut Problems) -> Variables<'a> {
        let path = env.working_dir().join(DOT_ENV);
        let mut warnings = Vec::new();
        let dot_env = match files::read(&path, MAX_DOT_ENV) {
            Ok(bytes) => DotEnv::read(&bytes, &|name| own(env, name)),
            Err(error) => {
                unread(&path, &error, &mut warnings, problems);
                DotEnv::default()
            }
        };
        Variables { env, path, dot_env, warnings }
    }

    /// Returns a variable; the environment takes precedence. A blank one counts as unset. Warns if the file
    /// names it without a usable value.
    fn get(&mut self, name: &str) -> Option<String> {
        let own = own(self.env, name);
        let found = own.or_else(|| self.dot_env.get(name).map(str::to_owned));
        if let (None, Some((line, reason))) = (&found, self.dot_env.lost(name)) {
            self.warnings.push(format!("{}:{line}: {name} is not read: {reason}", self.path.display()));
        }
        found.filter(|text| !text.trim().is_empty())
    }

    /// Returns the source of a variable for messages.
    fn place(&self, name: &str) -> String {
        match (own(self.env, name), self.dot_env.line(name)) {
            (None, Some(line)) => format!("{}:{line}: {name}", self.path.display()),
            _ => name.to_owned(),
        }
    }
}

fn own(env: &dyn Environment, name: &str) -> Option<String> {
    env.var(name).map(|value| value.to_string_lossy().into_owned())
}

fn unread(path: &Path, error: &Unreadable, warnings: &mut Vec<String>, problems: &mut Problems) {
    let shown = path.display();
    match error {
        Unreadable::Silent(_) | Unreadable::StillSilent | Unreadable::TooManySilent => {
            problems.source(&shown.to_string(), format!("cannot be read: it {error}"));
        }
        // Many have a directory of this name for Python.
        Unreadable::Directory => {}
        Unreadable::Io(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Unreadable::Io(error) if error.kind() == std::io::ErrorKind::NotADirectory => {}
        Unreadable::Io(error) => warnings.push(format!("{shown}: is not read: {error}")),
        error => warnings.push(format!("{shown}: is not read: it {error}")),
    }
}

fn url(text: &str) -> Option<String> {
    let text = text.trim();
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"))?;
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    // A user name and password in the address would be shown with it.
    let usable = !authority.is_empty() && !authority.contains('@') && !text.contains([' ', '#']);
    (usable && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| text.to_owned())
}

fn reference(text: &str) -> Option<KeyReference> {
    match sole_reference(text.trim())? {
        Reference::Variable { name, default: None } => Some(KeyReference::Variable(name.to_owned())),
        // A default would be the key itself.
        Reference::Variable { default: Some(_), .. } => None,
        Reference::File(path) => Some(KeyReference::File(path.into())),
        Reference::Principal(_) => None,
    }
}

fn name(value: &DeValue<'_>) -> Option<String> {
    value.as_str().filter(|name| (1..=256).contains(&name.len())).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::test_support::MapEnvironment;

    fn completed(
        llm: LlmSettings,
        key: Option<KeyReference>,
        env: &MapEnvironment,
    ) -> (LlmSettings, Vec<String>) {
        let (llm, problems, _) = warned(llm, key, env);
        (llm, problems)
    }

    fn warned(
        llm: LlmSettings,
        key: Option<KeyReference>,
        env: &MapEnvironment,
    ) -> (LlmSettings, Vec<String>, Vec<String>) {
        let (mut llm, mut problems) = (llm, Problems::default());
        let warnings = complete(&mut llm, key, env, &mut problems);
        (llm, problems.lines(), warnings)
    }

    fn known(text: &str) -> Option<KeySource> {
        Some(KeySource::Known(ApiKey::new(text).expect("a key")))
    }

    #[test]
    fn the_usual_variables_fill_in_what_is_left_open() {
        let env = MapEnvironment::new(&[
            ("OPENAI_API_KEY", "sk-1"),
            ("OPENAI_API_BASE", "http://old/v1"),
            ("OPENAI_BASE_URL", "http://new/v1"),
        ]);
        let (llm, problems) = completed(LlmSettings::default(), None, &env);
        assert_eq!(
            (llm.key, llm.base_url.as_deref(), problems.len()),
            (known("sk-1"), Some("http://new/v1"), 0)
        );
        let configured = LlmSettings { base_url: Some("http://file/v1".into()), ..LlmSettings::default() };
        let other = Some(KeyReference::Variable("OTHER".into()));
        let (llm, problems) = completed(configured, other, &env);
        assert_eq!((llm.key, llm.base_url.as_deref()), (None, Some("http://file/v1")));
        assert_eq!(problems, ["OTHER: is not set; llm.api_key refers to it"]);
    }

    #[test]
    fn a_dot_env_file_is_read_and_the_environment_wins() {
        let dir = tempfile::tempdir().expect("a directory");
        let text = "# mine\nexport OPENAI_API_KEY=\"sk-file\"\nOPENAI_BASE_URL=http://file/v1\nPATH=/evil\n";
        std::fs::write(dir.path().join(".env"), text).expect("written");
        let (llm, problems) =
            completed(LlmSettings::default(), None, &MapEnvironment::within(dir.path(), &[]));
        assert_eq!(
            (llm.key, llm.base_url.as_deref(), problems.len()),
            (known("sk-file"), Some("http://file/v1"), 0)
        );
        let env = MapEnvironment::within(dir.path(), &[("OPENAI_API_KEY", "sk-env")]);
        assert_eq!(completed(LlmSettings::default(), None, &env).0.key, known("sk-env"));
    }

    #[test]
    fn what_dot_env_names_and_cannot_be_had_is_warned_of_and_not_shown() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(".env");
        let env = MapEnvironment::within(dir.path(), &[]);
        let after = |text: &[u8]| {
            std::fs::write(&path, text).expect("written");
            warned(LlmSettings::default(), None, &env)
        };
        for (text, line) in [("A=1\nOPENAI_API_KEY=\"sk-secret\n", 2), ("X='\nOPENAI_API_KEY=sk-secret'", 2)]
        {
            let (llm, problems, warnings) = after(text.as_bytes());
            assert_eq!((llm.key, problems.len(), warnings.len()), (None, 0, 1), "{warnings:?}");
            let place = format!("{}:{line}: OPENAI_API_KEY is not read: ", path.display());
            assert!(warnings[0].starts_with(&place) && !warnings[0].contains("secret"), "{warnings:?}");
        }
        assert_eq!(after(b"NAME=O'Brien\nOPENAI_API_KEY=sk-a$b\n").0.key, known("sk-a$b"));
        assert_eq!(after(b"# caf\xe9\nOPENAI_API_KEY=sk-1\n").0.key, known("sk-1"));
        let (_, problems, _) = after(b"\nOPENAI_API_KEY=caf\xe9\n");
        let place = format!("{}:2: OPENAI_API_KEY", path.display());
        assert!(problems.len() == 1 && problems[0].starts_with(&place), "{problems:?}");
        let long = vec![b'#'; usize::try_from(MAX_DOT_ENV).expect("small") + 1];
        let (_, _, warnings) = after(&long);
        assert!(warnings.len() == 1 && warnings[0].contains("longer than 64 KiB"), "{warnings:?}");
        std::fs::remove_file(&path).expect("there");
        assert_eq!(warned(LlmSettings::default(), None, &env).2, Vec::<String>::new());
        std::fs::create_dir(&path).expect("made");
        assert_eq!(warned(LlmSettings::default(), None, &env).2, Vec::<String>::new());
        // A variable of the environment needs no file.
        std::fs::remove_dir(&path).expect("there");
        std::fs::write(&path, "OPENAI_API_KEY='").expect("written");
        let env = MapEnvironment::within(dir.path(), &[("OPENAI_API_KEY", "sk-env")]);
        assert_eq!(warned(LlmSettings::default(), None, &env).2, Vec::<String>::new());
    }

    #[test]
    fn what_cannot_be_a_key_or_an_address_is_said_without_showing_it() {
        let env = MapEnvironment::new(&[("OPENAI_API_KEY", "sk 1"), ("OPENAI_BASE_URL", "http://u:p@h/")]);
        let (llm, problems) = completed(LlmSettings::default(), None, &env);
        assert_eq!((llm.key, llm.base_url), (None, None));
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(!problems.concat().contains("sk 1") && !problems.concat().contains("u:p"), "{problems:?}");
    }

    #[test]
    fn a_key_is_referred_to_and_never_written_down() {
        let variable = |name: &str| Some(KeyReference::Variable(name.to_owned()));
        assert_eq!(reference("${env:A_1}"), variable("A_1"));
        assert_eq!(reference("${file:/run/key}"), Some(KeyReference::File("/run/key".into())));
        for wrong in ["sk-1", "${env:}", "${env:A B}", "${file:key}", "${env:A"] {
            assert_eq!(reference(wrong), None, "{wrong}");
        }
    }
}
