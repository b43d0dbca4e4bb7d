use std::fs;

use super::test_support::MapEnvironment;
use super::*;

const ONE_SERVER: &str = r#"{"mcpServers": {"one": {"command": "one"}}}"#;
const TWO_SERVERS: &str = r#"{"mcpServers": {"two": {"command": "two"}, "three": {"command": "3"}}}"#;

fn names(config: &Config) -> Vec<&str> {
    config.servers.iter().flat_map(|file| file.entries.iter().map(|entry| entry.name.as_str())).collect()
}

fn lines(problems: Vec<ConfigProblem>) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn without_anything_the_defaults_hold() {
    let config = load(&Flags::default(), &MapEnvironment::new(&[("HOME", "/home/u")])).expect("valid");
    let mut expected = Config::with_defaults("/home/u/.local/share/mcpvisor".into());
    let path = "/home/u/.local/share/mcpvisor/mcpvisor.sock".into();
    expected.http.socket = Some(SocketPlace { path, wanted: false });
    assert_eq!(config, expected);
    let flags = Flags { default_host: Some("0.0.0.0"), ..Flags::default() };
    expected.http.host = "0.0.0.0".into();
    assert_eq!(load(&flags, &MapEnvironment::new(&[("HOME", "/home/u")])).expect("valid"), expected);
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("one.json"), ONE_SERVER).unwrap();
    fs::write(dir.path().join("two.json"), TWO_SERVERS).unwrap();
    fs::create_dir(dir.path().join("etc")).unwrap();
    fs::write(dir.path().join("etc/s.json"), r#"{"mcpServers": {"of-the-file": {"command": "x"}}}"#).unwrap();
    fs::write(
        dir.path().join("etc/c.toml"),
        "[server]\nhost = 'file.example'\nport = 1\ndata_dir = 'd'\nservers = ['s.json']\n[log]\nlevel = 'warn'\n",
    )
    .unwrap();
    let file_only = [(ENV_CONFIG, "etc/c.toml")];
    let config = load(&Flags::default(), &MapEnvironment::within(dir.path(), &file_only)).expect("valid");
    assert_eq!((config.http.host.as_str(), config.http.port), ("file.example", 1));
    assert_eq!(config.data_dir, dir.path().join("etc/d"));
    assert_eq!(config.config_root, config.data_dir);
    assert_eq!(config.log.level, Level::Warn);
    assert_eq!(names(&config), ["of-the-file"]);

    let all = [
        (ENV_CONFIG, "etc/c.toml"),
        (ENV_HOST, "env.example"),
        (ENV_PORT, "2"),
        (ENV_DATA_DIR, "e"),
        (ENV_SERVERS, "one.json"),
        (ENV_DEBUG, "1"),
        (ENV_LOG, "mcpvisor=trace"),
    ];
    let env = MapEnvironment::within(dir.path(), &all);
    let config = load(&Flags::default(), &env).expect("valid");
    assert_eq!((config.http.host.as_str(), config.http.port), ("env.example", 2));
    assert_eq!(config.data_dir, dir.path().join("e"));
    assert_eq!((config.http.debug, config.log.level), (true, Level::Debug));
    assert_eq!(config.log.directives.as_deref(), Some("mcpvisor=trace"));
    assert_eq!(names(&config), ["one"]);

    let flags = Flags {
        servers: vec!["two.json".into()],
        host: Some("flag.example".into()),
        port: Some(3),
        data_dir: Some("/f".into()),
        debug: Some(false),
        default_host: Some("0.0.0.0"),
        ..Flags::default()
    };
    let config = load(&flags, &env).expect("valid");
    assert_eq!((config.http.host.as_str(), config.http.port), ("flag.example", 3));
    assert_eq!(config.data_dir, Path::new("/f"));
    assert_eq!((config.http.debug, config.log.level), (false, Level::Warn));
    assert_eq!(names(&config), ["two", "three"]);
}

#[test]
fn the_default_servers_file_is_read_only_when_none_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("config")).unwrap();
    fs::write(dir.path().join(DEFAULT_SERVERS_FILE), ONE_SERVER).unwrap();
    fs::write(dir.path().join("two.json"), TWO_SERVERS).unwrap();
    fs::write(dir.path().join("none.toml"), "server.servers = []").unwrap();
    let env = MapEnvironment::within(dir.path(), &[]);
    let config = load(&Flags::default(), &env).expect("valid");
    assert_eq!(names(&config), ["one"]);
    assert!(config.servers[0].path.is_absolute());
    let named = Flags { servers: vec!["two.json".into()], ..Flags::default() };
    assert_eq!(names(&load(&named, &env).expect("valid")), ["two", "three"]);
    let none = Flags { config: Some("none.toml".into()), ..Flags::default() };
    assert!(load(&none, &env).expect("valid").servers.is_empty());
}

#[test]
fn problems_of_all_sources_come_in_one_list() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("c.toml"),
        "[server]\nport = 'x'\nhots = ''\nservers = ['s.json', 'gone.json']\n",
    )
    .unwrap();
    fs::write(dir.path().join("s.json"), r#"{"mcpServers": 1}"#).unwrap();
    let env = MapEnvironment::within(dir.path(), &[(ENV_CONFIG, "c.toml"), (ENV_PORT, "many")]);
    let problems = lines(load(&Flags::default(), &env).expect_err("five problems"));
    assert_eq!(
        problems,
        [
            "MCPVISOR_PORT: must be a whole number from 0 to 65535 (found \"many\")",
            "c.toml:2:8: server.port must be a whole number from 0 to 65535 (found 'x')",
            "c.toml:3:1: server.hots is not a known setting; did you mean \"host\"?",
            "s.json: mcpServers must be an object: server name to definition",
            "gone.json: cannot be read: No such file or directory (os error 2)",
        ]
    );
}

#[test]
fn what_is_wrong_with_single_servers_is_left_with_them() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("s.json"),
        r#"{"mcpServers": {"a": {"command": 1}, "b": {}, "c": {"command": "x"}}}"#,
    )
    .unwrap();
    let env = MapEnvironment::within(dir.path(), &[(ENV_SERVERS, "s.json")]);
    let config = load(&Flags::default(), &env).expect("the file can be read");
    assert_eq!(
        lines(entry_problems(&config.servers)),
        [
            "s.json: mcpServers.a.command must be a string",
            "s.json: mcpServers.b.command is required: the program to run",
        ]
    );
    assert_eq!(names(&config), ["a", "b", "c"]);
}

#[test]
fn a_configuration_file_that_is_not_there_is_a_problem() {
    let flags = Flags { config: Some("gone.toml".into()), ..Flags::default() };
    let problems = lines(load(&flags, &MapEnvironment::new(&[])).expect_err("no file"));
    assert_eq!(problems, ["gone.toml: cannot be read: No such file or directory (os error 2)"]);
}

#[test]
fn the_example_says_the_defaults() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/config/mcpvisor.example.toml");
    let env = MapEnvironment::new(&[("HOME", "/home/u")]);
    let flags = Flags { config: Some(example.into()), ..Flags::default() };
    let mut config = load(&flags, &env).unwrap_or_else(|problems| panic!("{:#?}", lines(problems)));
    assert_eq!(config.file.take().as_deref(), Some(Path::new(example)));
    assert_eq!(config, load(&Flags::default(), &env).expect("valid"));
}

#[test]
fn the_example_and_the_reference_name_every_setting() {
    let example = include_str!("../../config/mcpvisor.example.toml");
    let reference = include_str!("../../docs/configuration.md");
    let settings = section::known_settings(|| {
        let flags = Flags { config: Some("/dev/null".into()), ..Flags::default() };
        load(&flags, &MapEnvironment::new(&[])).expect("an empty file is valid");
    });
    assert_eq!(settings.len(), 19, "{settings:?}");
    for (section, settings) in settings {
        assert!(example.contains(&format!("[{section}]")), "the example lacks [{section}]");
        for setting in settings {
            let written = example
                .lines()
                .any(|line| line.trim_start_matches("# ").starts_with(&format!("{setting} = ")));
            assert!(written, "the example lacks {section}.{setting}");
            assert!(
                reference.contains(&format!("`{section}.{setting}`")),
                "the reference lacks {section}.{setting}"
            );
        }
    }
    for variable in [ENV_CONFIG, ENV_SERVERS, ENV_HOST, ENV_PORT, ENV_DATA_DIR, ENV_DEBUG, ENV_LOG] {
        assert!(reference.contains(&format!("`{variable}`")), "the reference lacks {variable}");
    }
}

#[test]
fn the_shipped_servers_file_has_the_demo_server_and_nothing_else() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = load(&Flags::default(), &MapEnvironment::within(root, &[])).expect("valid");
    assert_eq!(names(&config), ["demo"]);
    let entry = &config.servers[0].entries[0].raw;
    assert_eq!(entry["command"], "mcpvisor");
    assert_eq!(entry["args"], serde_json::json!(["demo-server"]));
}

#[test]
fn the_data_directory_alone_is_found_as_for_the_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("m.toml");
    std::fs::write(&file, "[server]\ndata_dir = 'd'\nservers = ['missing.json']\n").unwrap();
    let flags = Flags { config: Some(file), ..Flags::default() };
    let env = MapEnvironment::new(&[]);
    assert_eq!(
        data_dir(&flags, &env),
        Ok(dir.path().join("d")),
        "a servers file that is missing is no matter"
    );
    let env = MapEnvironment::new(&[("MCPVISOR_DATA_DIR", "/e")]);
    assert_eq!(data_dir(&flags, &env), Ok("/e".into()));
    let flags = Flags { data_dir: Some("/f".into()), ..Flags::default() };
    assert_eq!(data_dir(&flags, &MapEnvironment::new(&[("MCPVISOR_PORT", "x")])), Ok("/f".into()));
    let broken = data_dir(&Flags::default(), &MapEnvironment::new(&[("MCPVISOR_PORT", "x")]));
    assert_eq!(broken.expect_err("the variable is wrong").len(), 1);
}
