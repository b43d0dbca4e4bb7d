use proptest::prelude::*;

use super::*;

fn of(ended: Ended<'_>, stderr: &str, stdout: &str) -> Option<Diagnosis> {
    let (stderr, stdout): (Vec<&str>, Vec<&str>) = (stderr.lines().collect(), stdout.lines().collect());
    let facts = ExitFacts {
        ended,
        opened: false,
        command: "x",
        line: stderr.last().copied(),
        stderr: &stderr,
        stdout: &stdout,
        memory_limited: false,
    };
    diagnose(&facts)
}

/// Outputs of real programs and the faults that they show. Each was written by the program that is named, on Linux.
const SEEN: &[(&str, &str, &str)] = &[
    // Node 20.20.2
    (
        "node-module-missing",
        "node:internal/modules/cjs/loader:1210\n  throw err;\n  ^\n\nError: Cannot find module 'express'\nRequire stack:\n- /srv/mod.js\n    at Module._resolveFilename (node:internal/modules/cjs/loader:1207:15)\n  code: 'MODULE_NOT_FOUND',\n  requireStack: [ '/srv/mod.js' ]\n}\n\nNode.js v20.20.2",
        "'express'",
    ),
    (
        "node-module-missing",
        "Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'express' imported from /srv/mod.mjs\n    at packageResolve (node:internal/modules/esm/resolve:873:9)\nNode.js v20.20.2",
        "'express'",
    ),
    (
        "script-missing",
        "Error [ERR_MODULE_NOT_FOUND]: Cannot find module '/srv/lib/nothing.js' imported from /srv/rel.mjs",
        "is not there",
    ),
    (
        "script-missing",
        "Error: Cannot find module '/srv/server.js'\n    at Module._resolveFilename (node:1:2)\nNode.js v20.20.2",
        "is not there",
    ),
    ("node-version", "node: bad option: --env-file-if-exists", "version of Node"),
    (
        "node-version",
        "/srv/new2.js:1\nusing r = 3; console.log(1)\n      ^\n\nSyntaxError: Unexpected identifier 'r'\n    at wrapSafe (node:internal/modules/cjs/loader:1464:18)\n\nNode.js v20.20.2",
        "newer",
    ),
    (
        "node-version",
        "npm error code EBADENGINE\nnpm error engine Unsupported engine\nnpm error notsup Required: {\"node\":\">=99\"}",
        "version of Node",
    ),
    ("node-version", "Error: this server requires Node.js >= 22, but found v20.20.2", "version of Node"),
    ("node-version", "ReferenceError: fetch is not defined\n    at main (/srv/a.js:1:1)", "version of Node"),
    (
        "node-module-kind",
        "SyntaxError: Cannot use import statement outside a module\n    at wrapSafe (node:internal/modules/cjs/loader:1464:18)\nNode.js v20.20.2",
        "CommonJS",
    ),
    (
        "node-module-kind",
        "Error [ERR_REQUIRE_ASYNC_MODULE]: require() cannot be used on an ESM graph with top-level await.",
        "CommonJS",
    ),
    (
        "node-typescript",
        "TypeError [ERR_UNKNOWN_FILE_EXTENSION]: Unknown file extension \".ts\" for /srv/index.ts",
        "TypeScript",
    ),
    (
        "memory",
        "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\n----- Native stack trace -----",
        "memory",
    ),
    (
        "port-taken",
        "Error: listen EADDRINUSE: address already in use 127.0.0.1:45871\n    at Server.setupListenHandle [as _listen2] (node:net:1908:16)",
        "taken",
    ),
    (
        "connection-refused",
        "Error: connect ECONNREFUSED 127.0.0.1:5432\n    at TCPConnectWrap.afterConnect [as oncomplete] (node:net:1611:16)",
        "does not listen",
    ),
    (
        "name-unknown",
        "Error: getaddrinfo ENOTFOUND nosuchhost.invalid\n    at GetAddrInfoReqWrap.onlookupall",
        "no address",
    ),
    (
        "command-not-found",
        "Error: spawn chromium ENOENT\n    at ChildProcess._handle.onexit (node:internal/child_process:285:19)",
        "'chromium'",
    ),
    // Python 3.11.7
    (
        "python-module-missing",
        "Traceback (most recent call last):\n  File \"/srv/a.py\", line 1, in <module>\nModuleNotFoundError: No module named 'yamlx'",
        "'yamlx'",
    ),
    ("python-module-missing", "/usr/bin/python3: No module named nosuchmod", "'nosuchmod'"),
    (
        "python-version",
        "  File \"/srv/a.py\", line 1\n    match 1: x\n             ^\nSyntaxError: invalid syntax",
        "newer",
    ),
    (
        "script-missing",
        "/usr/bin/python3: can't open file '/no/such.py': [Errno 2] No such file or directory",
        "not there",
    ),
    ("port-taken", "OSError: [Errno 98] Address already in use", "taken"),
    (
        "variable-missing",
        "Traceback (most recent call last):\n  File \"<frozen os>\", line 679, in __getitem__\nKeyError: 'WEATHER_API_KEY'",
        "WEATHER_API_KEY",
    ),
    ("disk-full", "OSError: [Errno 28] No space left on device: '/x'", "full"),
    ("open-files", "OSError: [Errno 24] Too many open files: '/dev/null'", "open more files"),
    (
        "memory",
        "Traceback (most recent call last):\n  File \"<string>\", line 1, in <module>\nMemoryError",
        "memory",
    ),
    ("permission-denied", "PermissionError: [Errno 13] Permission denied: '/srv/x'", "may not use"),
    (
        "certificate-unknown",
        "ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed",
        "certificate",
    ),
    ("name-unknown", "socket.gaierror: [Errno -2] Name or service not known", "no address"),
    // uv 0.13.9
    (
        "certificate-unknown",
        "error: Failed to fetch: https://pypi.org/simple/x/\n  cause: client error (Connect)\n  cause: invalid peer certificate: UnknownIssuer",
        "certificate",
    ),
    (
        "proxy-unreachable",
        "error: Request failed after 3 retries in 7.9s\n  cause: Failed to fetch: https://pypi.org/simple/mcp-server-time/\n  cause: tunnel error: failed to create underlying connection\n  cause: Connection refused (os error 111)",
        "proxy",
    ),
    (
        "cache-unwritable",
        "error: Failed to initialize cache at `/proc/cache`\n  cause: failed to create directory `/proc/cache`: No such file or directory (os error 2)",
        "cache",
    ),
    (
        "python-version",
        "error: No interpreter found for Python 3.99 in virtual environments, managed installations, or search path",
        "version of Python",
    ),
    // npm 11.19.1
    (
        "package-not-found",
        "npm error code E404\nnpm error 404 Not Found - GET https://registry.npmjs.org/@nosuch%2fx",
        "no such package",
    ),
    (
        "registry-unreachable",
        "npm error code ECONNREFUSED\nnpm error syscall connect\nnpm error FetchError: request to http://127.0.0.1:9/left-pad failed, reason: connect ECONNREFUSED 127.0.0.1:9",
        "registry",
    ),
    (
        "registry-unreachable",
        "npm error code ENOTFOUND\nnpm error syscall getaddrinfo\nnpm error network request to http://nosuch.invalid/left-pad failed",
        "registry",
    ),
    (
        "package-version",
        "npm error code ETARGET\nnpm error notarget No matching version found for semver@99999.",
        "version",
    ),
    ("package-no-program", "npm error could not determine executable to run", "program"),
    (
        "certificate-unknown",
        "npm error code SELF_SIGNED_CERT_IN_CHAIN\nnpm error request to https://registry.npmjs.org/x failed",
        "certificate",
    ),
    (
        "cache-unwritable",
        "npm error code EACCES\nnpm error syscall mkdir\nnpm error path /srv/.npm/_cacache\nnpm error EACCES: permission denied",
        "cache",
    ),
    // dash 0.5.12, bash 5.2, coreutils 9.1, glibc 2.36, Docker 28, OpenJDK 17
    ("command-not-found", "sh: 1: nosuchcmd: not found", "'nosuchcmd'"),
    ("command-not-found", "bash: line 1: nosuchcmd: command not found", "'nosuchcmd'"),
    (
        "command-not-found",
        "/usr/bin/env: \u{2018}nosuchinterp\u{2019}: No such file or directory",
        "'nosuchinterp'",
    ),
    ("script-line-ends", "/usr/bin/env: \u{2018}node\\r\u{2019}: No such file or directory", "Windows"),
    ("windows-command", "sh: 1: exec: cmd: not found", "Windows"),
    (
        "library-missing",
        "/srv/x: error while loading shared libraries: libnosuch.so.1: cannot open shared object file: No such file or directory",
        "libnosuch.so.1",
    ),
    (
        "libc-version",
        "/srv/x: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by /srv/x)",
        "newer system library",
    ),
    (
        "docker-daemon",
        "docker: Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
        "does not run",
    ),
    ("script-missing", "Error: Unable to access jarfile /no/such.jar", "not there"),
    // Servers that others wrote
    ("variable-missing", "Error: BRAVE_API_KEY environment variable is required", "BRAVE_API_KEY"),
    ("key-missing", "Error: no API key was given, one is required", "key or token"),
];

#[test]
fn outputs_of_real_programs_are_recognised_with_cause_and_fix() {
    for (id, stderr, told) in SEEN {
        let known =
            of(Ended::Exited(1), stderr, "").unwrap_or_else(|| panic!("{id}: nothing known of {stderr}"));
        assert_eq!(known.id, *id, "{stderr}: {known:?}");
        assert!(known.cause.as_deref().is_some_and(|cause| cause.contains(told)), "{id}: {known:?}");
        assert!(!known.fix.contains("{}") && known.fix.len() > 20, "{id}: {known:?}");
        assert!(known.line.is_some_and(|line| stderr.contains(&line)), "{id}");
    }
}

#[test]
fn what_a_server_calls_itself_does_not_become_part_of_a_command() {
    let line = "Error: Cannot find module 'x; rm -rf ~'";
    let known = of(Ended::Exited(1), line, "").expect("known");
    assert!(known.cause.is_some_and(|cause| cause.contains("rm -rf")) && !known.fix.contains("rm -rf"));
}

#[test]
fn a_command_that_cannot_be_started_is_known_by_the_systems_error() {
    let of = |command: &str, errno: &str, what: &str| {
        let ended = Ended::NotSpawned { errno, what, searched: Some("/usr/bin"), near: Some("npx") };
        diagnose(&ExitFacts::before_start(ended, command))
            .map(|known| (known.id, known.fix.into_owned()))
            .unwrap_or_default()
    };
    let (id, fix) = of("nmx", "ENOENT", "command 'nmx' was not found in PATH");
    assert!(id == "command-not-found" && fix.contains("'npx'") && fix.contains("/usr/bin"), "{fix}");
    for command in ["cmd", "C:\\node\\npx.cmd", "npx.cmd", "server.exe", "C:/tools/x"] {
        assert_eq!(of(command, "ENOENT", "x").0, "windows-command", "{command}");
    }
    assert!(of("npx.cmd", "ENOENT", "x").1.contains("'npx'"));
    assert_eq!(of("/srv/x", "EACCES", "'/srv/x' is not executable").0, "not-executable");
    assert_eq!(
        of("/srv/x", "ENOENT", "the interpreter '/no' that '/srv/x' names does not exist").0,
        "interpreter-missing"
    );
    assert_eq!(of("/srv/x", "ENOEXEC", "x").0, "not-a-program");
    assert_eq!(of("x", "ENOENT", "working directory '/no' cannot be used").0, "directory-missing");
    assert_eq!(of("x", "", "env.A refers to ${env:A}, which is not set").0, "reference-unresolved");
    assert_eq!(
        of("x", "ENOENT", "env.A refers to ${file:/no}, which cannot be read").0,
        "reference-unresolved"
    );
    assert_eq!(of("x", "ENOENT", "a control group for the child cannot be made").0, "control-group");
    assert_eq!(of("x", "ENOENT", "the sandbox '/no' cannot be made").0, "", "it is not about the command");
    assert_eq!(of("x", "EAGAIN", "x").0, "machine-limit");
}

#[test]
fn an_end_without_words_is_known_by_itself() {
    let id = |ended, stderr: &str, stdout: &str| of(ended, stderr, stdout).map(|known| known.id);
    assert_eq!(id(Ended::OutOfMemory, "", ""), Some("memory"));
    assert_eq!(id(Ended::Signalled(9), "", ""), Some("killed"));
    assert_eq!(id(Ended::Signalled(11), "", ""), Some("crashed"));
    assert_eq!(id(Ended::Exited(0), "", ""), Some("ends-at-once"));
    assert_eq!(id(Ended::Exited(2), "usage: x [-h] --root DIR", ""), Some("usage"));
    assert_eq!(id(Ended::StartTimeout(true), "", ""), Some("install-timeout"));
    assert_eq!(id(Ended::StartTimeout(false), "", ""), Some("start-timeout"));
    assert_eq!(id(Ended::StartTimeout(false), "", "starting up..."), Some("stdout-noise"));
    assert_eq!(id(Ended::Unresponsive, "", ""), Some("unresponsive"));
    assert_eq!(id(Ended::Exited(3), "cannot open /etc/broken.conf", ""), None, "nothing is made up");
}

#[test]
fn of_one_that_was_ready_only_the_telling_line_counts() {
    let stderr = ["could not reach 10.0.0.1: Connection refused, going on", "panic: index out of range"];
    let mut facts = ExitFacts {
        ended: Ended::Exited(2),
        opened: true,
        command: "x",
        line: Some(stderr[1]),
        stderr: &stderr,
        stdout: &[],
        memory_limited: false,
    };
    assert_eq!(diagnose(&facts), None);
    facts.opened = false;
    assert_eq!(diagnose(&facts).map(|known| known.id), Some("connection-refused"));
}

#[test]
fn every_known_fault_is_in_the_reference() {
    let reference = include_str!("../../docs/doctor.md");
    for id in ids() {
        assert!(reference.contains(&format!("\n| `{id}` |")), "docs/doctor.md does not list {id}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_output_breaks_the_diagnosis(lines in proptest::collection::vec("\\PC{0,200}", 0..12), code in 0i32..256) {
        let text = lines.join("\n");
        if let Some(known) = of(Ended::Exited(code), &text, &text) {
            prop_assert!(ids().any(|id| id == known.id));
            prop_assert!(!known.fix.is_empty());
        }
    }
}
