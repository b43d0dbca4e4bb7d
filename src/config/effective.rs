//! The settings that are in force, and where each comes from. Secrets are not shown: the few settings that may have one by mistake
//! are shown as references only.

use super::environment::{
    ENV_CONFIG, ENV_DATA_DIR, ENV_DEBUG, ENV_HOST, ENV_LOG, ENV_PORT, ENV_SERVERS, Environment,
};
use super::file;
use super::otlp;
use super::problem::Problems;
use super::section::{Asked, AskedSetting, Document};
use super::settings::Config;
use super::{ConfigProblem, Flags, load, servers_file};
use crate::http::EffectiveSetting;

/// The configuration at its defaults; a test holds it against the code.
const DEFAULTS: &str = include_str!("../../config/mcpvisor.example.toml");
/// Settings that may have a secret in the wrong place: shown only as what cannot be one.
const TOLD_WITH_CARE: [&str; 2] = ["llm.api_key", "llm.base_url"];

/// Returns the settings that a daemon started here with these flags would have, in the order of the reference.
///
/// # Errors
/// As [`load`]: every problem of every source.
pub fn effective(flags: &Flags, env: &dyn Environment) -> Result<Vec<EffectiveSetting>, Vec<ConfigProblem>> {
    Ok(effective_of(&load(flags, env)?, flags, env))
}

/// Returns the settings of a configuration that was read with these flags, as [`effective`] does.
pub fn effective_of(config: &Config, flags: &Flags, env: &dyn Environment) -> Vec<EffectiveSetting> {
    let defaults = asked_of("defaults", DEFAULTS);
    let file = config.file.as_ref().map(|path| (path, servers_file::read_text(path).unwrap_or_default()));
    let written = match &file {
        Some((path, text)) => asked_of(&path.display().to_string(), text),
        None => asked_of("", ""),
    };
    let by_variable = |name: &str| env.var(name).is_some_and(|value| !value.is_empty());
    let mut settings: Vec<EffectiveSetting> = Vec::new();
    for AskedSetting { path, written, .. } in written {
        let default =
            defaults.iter().find(|known| known.path == path).and_then(|known| known.written.as_ref());
        let (value, origin) = match (&written, &file) {
            (Some((at, text)), Some((name, _))) => {
                (Some(shown(&path, text)), format!("{}:{}", name.display(), at.line))
            }
            _ => (default.map(|(_, text)| text.clone()), "default".to_owned()),
        };
        settings.push(EffectiveSetting { setting: path, value, origin });
    }
    for (setting, variable, value) in overridden(config) {
        if let Some(known) = settings.iter_mut().find(|known| known.setting == setting) {
            // Those that depend on the system are shown as they came out.
            if let Some(flag) = given_by(flags, setting) {
                (known.value, known.origin) = (Some(value), flag.to_owned());
            } else if by_variable(variable) {
                (known.value, known.origin) = (Some(value), variable.to_owned());
            } else if known.value.is_none() || known.origin == "default" {
                known.value = Some(value);
            }
        }
    }
    for (setting, variable, value) in otlp::replaced(&config.traces, &by_variable) {
        if let Some(known) = settings.iter_mut().find(|known| known.setting == setting) {
            (known.value, known.origin) = (Some(value), variable.to_owned());
        }
    }
    for variable in [ENV_CONFIG, ENV_DEBUG, ENV_LOG] {
        if let Some(value) = env.var(variable).filter(|value| !value.is_empty()) {
            let value = Some(quoted(&value.to_string_lossy()));
            settings.push(EffectiveSetting {
                setting: variable.to_owned(),
                value,
                origin: variable.to_owned(),
            });
        }
    }
    settings
}

/// Returns the flag that gives a setting; `None` if none was used.
fn given_by(flags: &Flags, setting: &str) -> Option<&'static str> {
    let (is_given, flag) = match setting {
        "server.host" => (flags.host.is_some(), "--host"),
        "server.port" => (flags.port.is_some(), "--port"),
        "server.data_dir" => (flags.data_dir.is_some(), "--data-dir"),
        "server.servers" => (!flags.servers.is_empty(), "--servers"),
        _ => (false, ""),
    };
    is_given.then_some(flag)
}

/// Returns every setting that a text is asked for, with what it says.
fn asked_of(source: &str, text: &str) -> Vec<AskedSetting> {
    let asked = Asked::default();
    let document = Document { asked: Some(&asked), ..Document::new(source, text) };
    file::apply(document, "/".as_ref(), &mut Config::with_defaults("/".into()), &mut Problems::default());
    asked.take()
}

/// Returns the settings that a variable can replace or whose default depends on the system, with the variable and the value.
fn overridden(config: &Config) -> Vec<(&'static str, &'static str, String)> {
    let servers = config.servers.iter().map(|file| quoted(&file.path.to_string_lossy())).collect::<Vec<_>>();
    let socket = config.http.socket.as_ref().map_or("off".into(), |place| place.path.to_string_lossy());
    vec![
        ("server.host", ENV_HOST, quoted(&config.http.host)),
        ("server.port", ENV_PORT, config.http.port.to_string()),
        ("server.data_dir", ENV_DATA_DIR, quoted(&config.data_dir.to_string_lossy())),
        ("server.servers", ENV_SERVERS, format!("[{}]", servers.join(", "))),
        ("http.socket", "", quoted(&socket)),
        ("api.config_root", "", quoted(&config.config_root.to_string_lossy())),
    ]
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// Returns a value as it may be shown.
fn shown(path: &str, text: &str) -> String {
    let is_reference = text.contains("${") && text.trim_matches(['"', '\'']).starts_with("${");
    match path {
        "llm.base_url" if !text.contains('@') && !text.contains('?') => text.to_owned(),
        path if TOLD_WITH_CARE.contains(&path) && !is_reference => "\"[REDACTED]\"".to_owned(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::MapEnvironment;
    use super::*;

    fn of(text: &str, vars: &[(&str, &str)]) -> Vec<EffectiveSetting> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("m.toml");
        std::fs::write(&file, text).unwrap();
        let flags = Flags { config: Some(file), ..Flags::default() };
        let all: Vec<(&str, &str)> = vars.iter().copied().chain([("HOME", "/home/u")]).collect();
        effective(&flags, &MapEnvironment::new(&all)).expect("valid")
    }

    fn one(settings: &[EffectiveSetting], name: &str) -> (Option<String>, String) {
        let found = settings.iter().find(|setting| setting.setting == name).expect("there");
        let origin = found.origin.rsplit('/').next().unwrap_or_default();
        (found.value.clone(), origin.to_owned())
    }

    #[test]
    fn each_setting_has_its_value_and_where_it_comes_from() {
        let settings = of("[server]\nworkers = 2\nport = 1\n", &[("MCPVISOR_PORT", "8000")]);
        let some = |value: &str, origin: &str| (Some(value.to_owned()), origin.to_owned());
        assert_eq!(one(&settings, "server.workers"), some("2", "m.toml:2"));
        assert_eq!(
            one(&settings, "server.port"),
            some("8000", "MCPVISOR_PORT"),
            "a variable wins over the file"
        );
        assert_eq!(one(&settings, "server.drain"), some("\"20s\"", "default"));
        assert_eq!(one(&settings, "server.data_dir"), some("\"/home/u/.local/share/mcpvisor\"", "default"));
        assert_eq!(one(&settings, "http.tls_cert"), (None, "default".to_owned()));
    }

    #[test]
    fn what_a_flag_gives_is_told_as_the_flags() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("m.toml");
        std::fs::write(&file, "[server]\nport = 1\nhost = \"127.0.0.1\"\n").unwrap();
        let flags = Flags { config: Some(file), port: Some(0), ..Flags::default() };
        let env = MapEnvironment::new(&[("HOME", "/home/u"), ("MCPVISOR_PORT", "8000")]);
        let settings = effective(&flags, &env).expect("valid");
        assert_eq!(one(&settings, "server.port"), (Some("0".to_owned()), "--port".to_owned()));
        assert_eq!(one(&settings, "server.host"), (Some("\"127.0.0.1\"".to_owned()), "m.toml:3".to_owned()));
    }

    #[test]
    fn what_may_be_a_secret_is_shown_as_a_reference_only() {
        let settings =
            of("[llm]\napi_key = \"${env:KEY}\"\nbase_url = \"http://x/v1?key=s3cret\"\n", &[("KEY", "k")]);
        assert_eq!(one(&settings, "llm.api_key").0.as_deref(), Some("\"${env:KEY}\""));
        assert_eq!(one(&settings, "llm.base_url").0.as_deref(), Some("\"[REDACTED]\""));
    }
}
