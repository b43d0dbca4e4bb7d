//! The search for the line of a child's output that explains its end. Pure. The last line seldom does: it is the end of
//! a stack trace, the frame of a box, a version; and the first one is often a banner.

use crate::text::cut;
use crate::upstream::log::Words;

/// Names of the members that Node prints for an error.
const MEMBERS: [&str; 12] = [
    "errno:", "code:", "syscall:", "path:", "address:", "port:", "status:", "signal:", "output:", "pid:",
    "stdout:", "stderr:",
];
/// Longest text that is returned, in characters.
const MAX_TEXT: usize = 300;
/// Length in bytes beyond which a line counts as minified code, used only if there is nothing else.
const MAX_LINE: usize = 1_000;
/// Number of lines searched for the meaning of a line that ends in an open bracket.
const LOOK_AHEAD: usize = 12;

/// Words of a line that explains a failure.
const ERROR_WORDS: [&str; 24] = [
    "error",
    "panic",
    "fatal",
    "required",
    "missing",
    "not set",
    "unable",
    "failed",
    "no such",
    "cannot",
    "can't",
    "could not",
    "not found",
    "invalid",
    "must be",
    "must set",
    "please set",
    "refused",
    "denied",
    "unauthorized",
    "unsupported",
    "unknown",
    "not provided",
    "not configured",
];

/// Returns the reason of a failed start, from stderr and from noise on stdout; `None` if nothing explains it.
pub fn of_start(words: &Words) -> Option<String> {
    let misplaced = words.stdout.iter().find_map(|line| misplaced(line));
    misplaced.or_else(|| telling(words.stderr())).or_else(|| {
        words.stdout.first().map(|line| format!("its stdout had: '{}'", cut(line.clone(), MAX_TEXT)))
    })
}

/// Returns the reason of a ready child's end, from its last lines on stderr; `None` if nothing explains it.
pub fn last_words(words: &Words) -> Option<String> {
    telling(words.last.iter().map(String::as_str))
}

/// Recognises a line on stdout that belongs to another transport; `None` for any other line.
fn misplaced(line: &str) -> Option<String> {
    let lower = line.to_ascii_lowercase();
    let shown = cut(line.to_owned(), MAX_TEXT);
    if lower.starts_with("content-length:") || lower.starts_with("content-type:") {
        return Some(format!("its stdout had '{shown}': headers are not MCP, where a line is a message"));
    }
    if lower.starts_with("http/1.") || lower.contains("http://") || lower.contains("https://") {
        let serves = ["listening", "running", "started", "serving", "server"];
        if lower.starts_with("http/1.") || serves.iter().any(|word| lower.contains(word)) {
            return Some(format!("its stdout had '{shown}': it seems to serve HTTP instead of stdio"));
        }
    }
    matches!(line.trim(), "{" | "[").then(|| {
        "its stdout had JSON that goes over several lines, where each message must be one line".to_owned()
    })
}

/// Returns the most telling line, with the lines it refers to; `None` if no line contains a letter.
pub fn telling<'a>(lines: impl Iterator<Item = &'a str>) -> Option<String> {
    let lines: Vec<&str> = lines.map(unframed).collect();
    let candidates: Vec<usize> = (0..lines.len()).filter(|&index| may_tell(lines[index])).collect();
    let short = |index: &&usize| lines[**index].len() <= MAX_LINE;
    let raised = candidates.iter().filter(short).rev().find(|index| is_raised(lines[**index]));
    let named = || candidates.iter().filter(short).find(|index| has_telling_word(lines[**index]));
    let chosen = raised.or_else(named).or_else(|| candidates.last()).copied();
    // A single word is better than nothing.
    let chosen = chosen.or_else(|| lines.iter().rposition(|line| line.chars().any(char::is_alphabetic)))?;
    Some(cut(with_sequel(chosen, &lines), MAX_TEXT))
}

/// Strips the box or the group from a line.
fn unframed(line: &str) -> &str {
    let is_frame = |c: char| matches!(c, '\u{2500}'..='\u{259f}' | '|' | '+') || c.is_whitespace();
    let trimmed = line.trim_end_matches(|c: char| is_frame(c) && c != '+');
    match trimmed.trim_start().starts_with(['\u{2502}', '\u{2503}', '|', '\u{256d}', '\u{250c}', '+']) {
        true => trimmed.trim_start_matches(is_frame),
        false => trimmed,
    }
}

/// Reports whether a line can explain anything: it is neither a stack frame, nor code, nor decoration.
fn may_tell(line: &str) -> bool {
    let text = line.trim_start();
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let is_frame = line.starts_with('\t')
        || ["at ", "File \"", "goroutine ", "Node.js v", "node:", "Traceback (", "During handling", "^"]
            .iter()
            .any(|begin| text.starts_with(begin));
    let is_code = ["throw", "raise ", "import ", "from ", "return ", "const ", "await ", "sys.exit("]
        .iter()
        .any(|begin| text.starts_with(begin));
    // The members of an error, which Node prints after its stack.
    let is_member =
        MEMBERS.iter().any(|member| text.starts_with(member)) && line.starts_with(char::is_whitespace);
    // A heading says only that something follows.
    let is_heading = text.trim_end_matches([':', '!', '.']).split_whitespace().nth(1).is_none();
    let is_raised_bare = is_heading && is_raised_name(text);
    letters > 0 && !is_frame && !is_code && !is_member && !is_place(text) && (!is_heading || is_raised_bare)
}

/// Recognises a path with a line number, as Node prints before the code that threw.
fn is_place(text: &str) -> bool {
    let Some((path, number)) = text.rsplit_once(':') else { return false };
    !text.contains(' ') && path.contains('/') && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// Recognises `SomethingError: …` at the beginning of a line: the end of a Python or JavaScript traceback.
fn is_raised(line: &str) -> bool {
    let name = line.split([':', ' ']).next().unwrap_or_default();
    is_raised_name(name) && line[name.len()..].starts_with(':')
}

fn is_raised_name(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or_default();
    let is_name = text.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '_'));
    is_name && ["Error", "Exception", "Exit"].iter().any(|end| last.len() > end.len() && last.ends_with(end))
}

fn has_telling_word(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    // A retry is not a reason.
    let tries_again = ["retry", "retrying", "attempt "].iter().any(|word| lower.contains(word));
    !tries_again && ERROR_WORDS.iter().any(|word| lower.contains(word))
}

/// Returns the message of a line that is a log entry in JSON; `None` if it is not one.
fn message_of(line: &str) -> Option<String> {
    let entry: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).ok()?;
    let text = |member: &str| entry.get(member).and_then(serde_json::Value::as_str).map(str::to_owned);
    let message = ["message", "msg", "error", "err"].into_iter().find_map(text);
    message.filter(|message| message.chars().any(char::is_alphabetic))
}

/// Returns a line; if it only opens a bracket or announces a list, with the first line of what follows.
fn with_sequel(chosen: usize, lines: &[&str]) -> String {
    let line = lines[chosen].trim();
    if let Some(message) = line.starts_with('{').then(|| message_of(line)).flatten() {
        return message.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    let following = || lines[chosen + 1..].iter().take(LOOK_AHEAD).map(|line| line.trim());
    let sequel: Vec<&str> = if line.ends_with(['[', '{', '(']) {
        let message = following().find(|line| line.to_ascii_lowercase().contains("message"));
        message
            .or_else(|| following().find(|line| line.chars().any(char::is_alphabetic)))
            .into_iter()
            .collect()
    } else if line.ends_with(':') {
        following().find(|line| line.chars().any(char::is_alphabetic)).into_iter().collect()
    } else if line.contains("validation error") {
        following().filter(|line| !line.is_empty()).take(2).collect()
    } else {
        Vec::new()
    };
    let sequel = sequel.into_iter().map(|next| next.trim_end_matches(','));
    sequel.fold(line.to_owned(), |text, next| format!("{text} {next}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(text: &str) -> String {
        telling(text.lines()).unwrap_or_default()
    }

    #[test]
    fn a_node_program_that_throws_is_told_by_its_error() {
        let text = "/srv/errors/index.js:12\n    throw new Error('x');\n    ^\n\nError: ORCHARD_KEY is not set\n    at main (/srv/errors/index.js:12:9)\n    at node:internal/main:1:2\n\nNode.js v20.20.2";
        assert_eq!(told(text), "Error: ORCHARD_KEY is not set");
        let members = "Warn: no home\nError: ENOTDIR: not a directory, mkdir '/dev/null/x'\n    at mkdirSync (node:fs:1:1) {\n  errno: -20,\n  code: 'ENOTDIR',\n  path: '/dev/null/x'\n}\n\nNode.js v20.20.2";
        assert_eq!(told(members), "Error: ENOTDIR: not a directory, mkdir '/dev/null/x'");
    }

    #[test]
    fn a_python_traceback_is_told_by_what_was_raised_last() {
        let text = "Traceback (most recent call last):\n  File \"/srv/a.py\", line 3, in <module>\n    import lantern\nModuleNotFoundError: No module named 'lantern'";
        assert_eq!(told(text), "ModuleNotFoundError: No module named 'lantern'");
        let group = "  + Exception Group Traceback (most recent call last):\n  |   File \"x.py\", line 1\n  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)\n  +-+---------------- 1 ----------------\n    | Traceback (most recent call last):\n    | orchard.errors.OrchardException: no daemon at /run/orchard.sock\n    +------------------------------------";
        assert_eq!(told(group), "orchard.errors.OrchardException: no daemon at /run/orchard.sock");
        let settings = "pydantic_core._pydantic_core.ValidationError: 1 validation error for Settings\nlantern_url\n  Field required [type=missing, input_value={}]\n    For further information visit https://example.com/v/missing";
        assert!(told(settings).contains("lantern_url Field required"), "{}", told(settings));
    }

    #[test]
    fn the_reason_that_comes_before_a_page_of_usage_is_told() {
        let usage =
            (0..40).map(|n| format!("      --flag-{n} string   what it is for\n")).collect::<String>();
        assert_eq!(told(&format!("Error: no orchard token\nUsage:\n{usage}")), "Error: no orchard token");
        assert_eq!(
            told("Error: --orchard-key is required\nInvalid configuration"),
            "Error: --orchard-key is required"
        );
    }

    #[test]
    fn what_could_not_be_reached_is_told_and_not_that_it_was_tried_again() {
        let text = "[Retry] Attempt 1/5 failed\n[Retry] Next attempt in 1000ms\n[Error] connect ECONNREFUSED 127.0.0.1:6379\n[Retry] Attempt 2/5 failed\n[Fatal] Server initialization failed";
        assert_eq!(told(text), "[Error] connect ECONNREFUSED 127.0.0.1:6379");
    }

    #[test]
    fn boxes_and_headings_are_looked_through() {
        let text = "Usage: lantern [OPTIONS]\nTry 'lantern --help' for help.\n╭─ Error ──────╮\n│ No such option: --read-write │\n╰──────────────╯";
        assert_eq!(told(text), "No such option: --read-write");
        let banner = "=====\nERROR: LANTERN_URL is missing\n=====\n";
        assert_eq!(told(banner), "ERROR: LANTERN_URL is missing");
    }

    #[test]
    fn what_leaves_its_sense_to_the_next_lines_gets_them() {
        let zod = "ZodError: [\n  {\n    \"code\": \"invalid_type\",\n    \"path\": [\"url\"],\n    \"message\": \"Required\"\n  }\n]\n    at x (y.js:1:1)";
        assert!(told(zod).contains("Required"), "{}", told(zod));
        assert_eq!(
            told("Missing environment variables:\n  - ORCHARD_URL"),
            "Missing environment variables: - ORCHARD_URL"
        );
    }

    #[test]
    fn the_message_of_an_entry_in_json_is_told_and_not_its_wrapper() {
        let text = "{\"level\":\"fatal\",\"ts\":1,\"msg\":\"no token:\\nset ORCHARD_TOKEN\"}\nError: Command failed: /srv/orchard\n    at x (y.js:1:1)";
        assert_eq!(told(text), "no token: set ORCHARD_TOKEN");
        assert_eq!(told("{\"level\":\"error\",\"n\":1}"), "{\"level\":\"error\",\"n\":1}");
    }

    #[test]
    fn a_program_that_says_nothing_of_it_is_told_by_its_last_line() {
        assert_eq!(told("lantern 1.2 on stdio\ngoing down now"), "going down now");
        assert_eq!(told("---\nstopped\n---"), "stopped");
        assert_eq!(telling([].into_iter()), None);
        assert_eq!(telling(["---", "\u{2500}\u{2500}", "  "].into_iter()), None);
    }

    #[test]
    fn what_belongs_to_another_transport_is_recognised() {
        let of = |line: &str| misplaced(line).unwrap_or_default();
        assert!(of("Content-Length: 165").contains("headers are not MCP"));
        assert!(of("Listening on http://127.0.0.1:3000/mcp").contains("serve HTTP"));
        assert!(of("HTTP/1.1 400 Bad Request").contains("serve HTTP"));
        assert!(of("{").contains("one line"));
        assert_eq!(misplaced("docs at https://example.com"), None);
        assert_eq!(misplaced("ready"), None);
    }

    proptest! {
        #[test]
        fn what_is_told_is_short_and_one_of_the_lines(lines in proptest::collection::vec("\\PC{0,80}", 0..30)) {
            if let Some(text) = telling(lines.iter().map(String::as_str)) {
                prop_assert!(text.chars().count() <= MAX_TEXT + 1);
                prop_assert!(text.chars().any(char::is_alphabetic));
            }
        }
    }
}
