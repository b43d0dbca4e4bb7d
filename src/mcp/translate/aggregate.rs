//! Names and addresses of several servers behind one endpoint: which server's something is must be read off it, and it must
//! be found again as the server wrote it.

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::members::{Members, push_member};
use crate::text::hex;

/// Longest name that clients of models take, in characters.
const MAX_NAME: usize = 64;
/// Longest part of a name that stands for the server, in characters.
const MAX_PREFIX: usize = 24;
/// Digits of a suffix that tells apart what would have the same name.
const SUFFIX: usize = 6;
/// Scheme of the address of a resource whose own scheme may change.
const WRAPPED: &str = "mcpvisor://";
/// Schemes that hosts go by, and so stay: the server goes in front of the authority.
const KEPT: [&str; 2] = ["ui://", "skill://"];
/// Mark between the server and the authority there. No authority of a server begins with it.
const MARK: &str = "~";

/// Names of the servers behind one endpoint: by letters, digits, `_` and `-`, no two the same, and the same however many
/// others there are, unless one comes whose name is mapped to the same.
#[derive(Debug, Default)]
pub struct Prefixes {
    separator: String,
    of_servers: Vec<String>,
    by_prefix: HashMap<String, usize>,
}

impl Prefixes {
    /// Names the servers with these names, in their order.
    pub fn new<'a>(names: impl Iterator<Item = &'a str>, separator: &str) -> Prefixes {
        let names: Vec<&str> = names.collect();
        let mapped: Vec<String> = names.iter().map(|name| mapped(name, separator)).collect();
        let mut counts: HashMap<&str, usize> = HashMap::new();
        mapped.iter().for_each(|name| *counts.entry(name).or_default() += 1);
        let exact = |at: usize| mapped[at] == names[at];
        let of_servers: Vec<String> = (0..names.len())
            .map(|at| match counts[&*mapped[at]] == 1 || exact(at) {
                true => mapped[at].clone(),
                // By its own name, so that it does not depend on who else is there or in which order.
                false => Suffix::without(separator).on(&mapped[at], names[at], MAX_PREFIX),
            })
            .collect();
        let by_prefix = of_servers.iter().enumerate().map(|(at, name)| (name.clone(), at)).collect();
        Prefixes { separator: separator.to_owned(), of_servers, by_prefix }
    }

    /// Returns the name of the server at this place.
    pub fn of(&self, server: usize) -> &str {
        self.of_servers.get(server).map_or("", String::as_str)
    }

    /// Returns the place of the server with this name.
    pub fn server(&self, name: &str) -> Option<usize> {
        self.by_prefix.get(name).copied()
    }

    /// Returns the full name that something of a server has here: at most 64 letters, digits, `_` and `-`. One that would be
    /// longer, or have other characters, is changed, with a suffix that is always the same.
    pub fn name(&self, server: usize, own: &str) -> String {
        let whole = self.whole(server, own);
        match is_plain(&whole) {
            true => whole,
            false => self.changed_name(server, own, SUFFIX),
        }
    }

    fn whole(&self, server: usize, own: &str) -> String {
        format!("{}{}{own}", self.of(server), self.separator)
    }

    /// Returns the full name as it is where it cannot be what it would be, with a suffix of so many digits.
    pub(super) fn changed_name(&self, server: usize, own: &str, digits: usize) -> String {
        Suffix::default().of(digits).on(&kept_letters(&self.whole(server, own)), own, MAX_NAME)
    }

    /// Returns what of a server has without its name in front where another one has that already: its own name with a
    /// suffix of so many digits that is the server's.
    pub(super) fn short_name(&self, server: usize, own: &str, digits: usize) -> String {
        Suffix::default().of(digits).on(&kept_letters(own), &self.whole(server, own), MAX_NAME)
    }

    /// Returns the servers and own names that a name may stand for, if it was not cut.
    pub fn split<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (usize, &'a str)> + 'a {
        name.match_indices(&self.separator)
            .filter_map(|(at, separator)| Some((self.server(&name[..at])?, &name[at + separator.len()..])))
    }

    /// Returns the address that a resource, or a template of one, has here.
    pub fn wrap(&self, server: usize, uri: &str) -> String {
        let name = self.of(server);
        match KEPT.iter().find_map(|scheme| Some((scheme, uri.strip_prefix(scheme)?))) {
            Some((scheme, rest)) => format!("{scheme}{name}{MARK}{rest}"),
            None => format!("{WRAPPED}{name}/{uri}"),
        }
    }

    /// Returns the server and the own address of a resource; `None` for an address that was not made here.
    pub fn unwrap(&self, uri: &str) -> Option<(usize, String)> {
        if let Some(rest) = uri.strip_prefix(WRAPPED) {
            let (name, own) = rest.split_once('/')?;
            return Some((self.server(name)?, own.to_owned()));
        }
        let (scheme, rest) = KEPT.iter().find_map(|scheme| Some((scheme, uri.strip_prefix(scheme)?)))?;
        let (name, own) = rest.split_once(MARK)?;
        Some((self.server(name)?, format!("{scheme}{own}")))
    }
}

/// Reports whether a name is one that the grammars of all models take.
pub(super) fn is_plain(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(is_kept)
}

fn is_kept(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn kept_letters(name: &str) -> String {
    name.chars().map(|letter| if letter.is_ascii() && is_kept(letter as u8) { letter } else { '_' }).collect()
}

/// Maps the name of a server to letters, digits, `_` and `-`, so that in what is made of it, the separator and anything, the
/// first separator is the one behind the server.
fn mapped(name: &str, separator: &str) -> String {
    let filler = if separator == "_" { "-" } else { "_" };
    let mut mapped = kept_letters(name);
    while mapped.contains(separator) {
        mapped = mapped.replace(separator, filler);
    }
    // A separator of underscores must not merge with one at the end of the name.
    mapped.truncate(mapped.trim_end_matches('_').len());
    while !mapped.is_empty() && !is_clear(&mapped, separator) {
        mapped.pop();
    }
    if mapped.is_empty() {
        let stands_in = ["server", "0", "x"].into_iter().find(|one| is_clear(one, separator));
        stands_in.unwrap_or("q").clone_into(&mut mapped);
    }
    match mapped.len() <= MAX_PREFIX {
        true => mapped,
        false => Suffix::without(separator).on(&mapped, name, MAX_PREFIX),
    }
}

/// Reports whether the first separator in a server's name and a separator is the latter.
fn is_clear(name: &str, separator: &str) -> bool {
    format!("{name}{separator}").find(separator) == Some(name.len())
}

/// What is put behind a name that was cut or is another's: a digest of what it stands for.
struct Suffix {
    joint: char,
    alphabet: Vec<char>,
    digits: usize,
}

impl Default for Suffix {
    fn default() -> Suffix {
        Suffix::without("")
    }
}

impl Suffix {
    /// A suffix with no character of a separator, so that none is found in it.
    fn without(separator: &str) -> Suffix {
        let fits = |letter: &char| !separator.contains(*letter);
        let joint = "-_xz0".chars().find(fits).unwrap_or('-');
        let alphabet = ('0'..='9').chain('a'..='z').filter(fits).take(16).collect();
        Suffix { joint, alphabet, digits: SUFFIX }
    }

    fn of(self, digits: usize) -> Suffix {
        Suffix { digits, ..self }
    }

    /// Cuts a name and adds the suffix that stands for `whole`.
    fn on(&self, name: &str, whole: &str, longest: usize) -> String {
        let digest = hex(&Sha256::digest(whole.as_bytes()));
        let digits = digest.chars().take(self.digits).filter_map(|digit| digit.to_digit(16));
        let cut: String = name.chars().take(longest - self.digits - 1).collect();
        let mut suffixed = cut.trim_end_matches('_').to_owned();
        suffixed.push(self.joint);
        suffixed.extend(digits.filter_map(|digit| self.alphabet.get(digit as usize)));
        suffixed
    }
}

/// Rewrites the addresses of resources in an entry of a list, a result of a tool or the contents of a resource: its own
/// `uri` or `uriTemplate`, those of resource links and embedded resources in its content, and the one of an app
/// (`_meta.ui.resourceUri`, and `_meta["ui/resourceUri"]` as it was first called). Members that can have none stay as they
/// were written. `None` if there are none.
pub fn rewrite_addresses(json: &[u8], wrap: impl Fn(&str) -> String) -> Option<Bytes> {
    // Nearly no result of a tool has any: it is not parsed then.
    memchr::memmem::find(json, b"\"uri").or_else(|| memchr::memmem::find(json, b"esourceUri\""))?;
    let members = Members::read(std::str::from_utf8(json).ok()?)?;
    let mut is_changed = false;
    let mut out = Vec::with_capacity(json.len() + 64);
    out.push(b'{');
    for (name, value) in members.iter() {
        if !MAY_HAVE_ADDRESSES.contains(&name) {
            push_member(&mut out, name, value.get().as_bytes());
            continue;
        }
        let mut one: Map<String, Value> = Map::new();
        one.insert(name.to_owned(), serde_json::from_str(value.get()).ok()?);
        rewrite(&mut one, &wrap, &mut is_changed);
        push_member(&mut out, name, one[name].to_string().as_bytes());
    }
    out.push(b'}');
    is_changed.then(|| out.into())
}

/// Members that addresses are looked for in.
const MAY_HAVE_ADDRESSES: [&str; 7] =
    ["uri", "uriTemplate", "_meta", "content", "contents", "messages", "resource"];

fn rewrite(object: &mut Map<String, Value>, wrap: &impl Fn(&str) -> String, is_changed: &mut bool) {
    let mut put = |value: &mut Value| {
        if let Value::String(uri) = value {
            *uri = wrap(uri);
            *is_changed = true;
        }
    };
    for name in ["uri", "uriTemplate"] {
        object.get_mut(name).map(&mut put);
    }
    if let Some(meta) = object.get_mut("_meta").and_then(Value::as_object_mut) {
        meta.get_mut("ui/resourceUri").map(&mut put);
        meta.get_mut("ui").and_then(|ui| ui.get_mut("resourceUri")).map(&mut put);
    }
    for list in ["content", "contents", "messages"] {
        for item in object.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(item) = item.as_object_mut() {
                rewrite(item, wrap, is_changed);
            }
        }
    }
    // An embedded resource, and the one block of a prompt's message.
    for inner in ["resource", "content"] {
        if let Some(inner) = object.get_mut(inner).and_then(Value::as_object_mut) {
            rewrite(inner, wrap, is_changed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn prefixes(names: &[&str]) -> Prefixes {
        Prefixes::new(names.iter().copied(), "__")
    }

    #[test]
    fn servers_have_names_that_every_model_takes_and_no_two_the_same() {
        let named = prefixes(&["git", "my files", "my.files", "a__b", "größe", "git_"]);
        assert_eq!(
            (named.of(0), named.of(3), named.of(4)),
            ("git", "a_b", "gr__e".replace("__", "_").as_str())
        );
        assert_ne!(named.of(1), named.of(2));
        assert!(named.of(1).starts_with("my_files-") && named.of(5).starts_with("git-"));
        let fewer = prefixes(&["my.files", "x", "my files"]);
        assert_eq!((fewer.of(0), fewer.of(2)), (named.of(2), named.of(1)), "the suffix is the server's own");
        assert_eq!(named.server(named.of(2)), Some(2));
    }

    #[test]
    fn a_name_stands_for_a_server_and_its_own_name() {
        let named = prefixes(&["git", "files"]);
        assert_eq!(named.name(1, "read_file"), "files__read_file");
        let split: Vec<_> = named.split("git__a__b").collect();
        assert_eq!(split, [(0, "a__b")]);
        assert_eq!(named.split("other__x").count(), 0);
        let long = "x".repeat(80);
        let cut = named.name(0, &long);
        assert!(cut.len() == MAX_NAME && cut.starts_with("git__xxx"));
        assert_ne!(cut, named.name(0, &format!("{long}y")), "what is cut is told apart");
    }

    #[test]
    fn addresses_keep_the_schemes_that_hosts_go_by() {
        let named = prefixes(&["map", "files"]);
        assert_eq!(named.wrap(0, "ui://view/a.html"), "ui://map~view/a.html");
        assert_eq!(named.wrap(1, "file:///a b"), "mcpvisor://files/file:///a b");
        assert_eq!(named.unwrap("ui://map~view/a.html"), Some((0, "ui://view/a.html".to_owned())));
        for other in ["file:///a", "ui://view/a", "mcpvisor://nobody/x", "mcpvisor://files"] {
            assert_eq!(named.unwrap(other), None, "{other}");
        }
    }

    #[test]
    fn addresses_are_rewritten_wherever_a_client_takes_them_from() {
        let result = json!({
            "content": [
                {"type": "text", "text": "see \"uri\": a:1"},
                {"type": "resource_link", "uri": "a:1", "name": "n"},
                {"type": "resource", "resource": {"uri": "a:2", "text": "t"}},
            ],
            "_meta": {"ui": {"resourceUri": "ui://v"}, "ui/resourceUri": "ui://v"},
            "structuredContent": {"uri": "kept", "n": 0},
        });
        let text = result.to_string().replace("\"n\":0", "\"n\":12345678901234567890123");
        let told = rewrite_addresses(text.as_bytes(), |uri| format!("w/{uri}")).expect("some");
        assert!(String::from_utf8_lossy(&told).contains("12345678901234567890123"), "as it was written");
        let told: Value = serde_json::from_slice(&told).expect("JSON");
        assert_eq!(
            (&told["content"][1]["uri"], &told["content"][2]["resource"]["uri"]),
            (&json!("w/a:1"), &json!("w/a:2"))
        );
        assert_eq!(
            (&told["_meta"]["ui"]["resourceUri"], &told["structuredContent"]["uri"]),
            (&json!("w/ui://v"), &json!("kept"))
        );
        let prompt = json!({"messages": [{"role": "user", "content": {"type": "resource", "resource": {"uri": "a:3"}}}]});
        let told = rewrite_addresses(prompt.to_string().as_bytes(), |uri| format!("w/{uri}")).expect("some");
        assert!(String::from_utf8_lossy(&told).contains("w/a:3"));
        assert_eq!(rewrite_addresses(br#"{"content":[{"type":"text","text":"uri"}]}"#, str::to_owned), None);
    }

    proptest! {
        #[test]
        fn what_is_wrapped_is_found_again_as_it_was(
            names in proptest::collection::hash_set("\\PC{1,40}|[a-c_-]{1,30}", 1..8),
            own in "[A-Za-z0-9_-]{1,30}",
            uri in "(ui|skill|file|https|test)://[a-z/{}?~]{0,20}",
            separator in "__|[_-]{1,4}|[a-c_-]{1,4}|[A-Za-z0-9_-]{1,4}",
        ) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let named = Prefixes::new(names.iter().copied(), &separator);
            for server in 0..names.len() {
                let name = named.name(server, &own);
                prop_assert!(is_plain(&name) && is_plain(named.of(server)));
                prop_assert!(named.of(server).len() <= MAX_PREFIX);
                // The first separator is the one behind the server, so that no other server is meant.
                let first = named.split(&name).next();
                prop_assert_eq!(first, Some((server, &*own)), "{} of {:?}", name, named);
                prop_assert_eq!(named.unwrap(&named.wrap(server, &uri)), Some((server, uri.clone())));
            }
        }
    }
}
