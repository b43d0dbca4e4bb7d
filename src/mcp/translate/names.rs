//! Names of the tools, or of the prompts, of several servers behind one endpoint: with the server in front, without it, or
//! without it as far as that is clear. Whatever a list names is found again by that name, and so is each by its full name.

use std::collections::HashMap;

use super::aggregate::{Prefixes, is_plain};

/// Digits of a suffix, and by how many it grows where that is somebody's name.
const DIGITS: usize = 6;
const FURTHER: usize = 4;
/// Digits of the longest one.
const MOST: usize = 30;

/// Rule for what stands in front of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PrefixRule {
    /// The server, always: no other server changes a name.
    #[default]
    Always,
    /// The server, where another one has something of that name.
    Conflict,
    /// Nothing. Of those of one name the first has it, the others have a suffix: a server that is added changes no name.
    Never,
}

/// Names at an endpoint. What a caller does not see has no part in the names that it sees, so every question is asked with
/// what that is: a function of a server's place and an own name.
#[derive(Debug, Default)]
pub struct Names {
    rule: PrefixRule,
    /// Names that nothing of a server has bare.
    reserved: Vec<&'static str>,
    /// Places of the servers that have something of an own name, in their order.
    by_own: HashMap<Box<str>, Vec<usize>>,
    /// What has another name than the rule says, by that name.
    by_name: HashMap<Box<str>, (usize, Box<str>)>,
    /// The same by server and own name.
    special: Vec<HashMap<Box<str>, Special>>,
}

/// Names of one thing that do not follow from its own name alone.
#[derive(Debug, Default)]
struct Special {
    /// Name that the operator has given it.
    given: Option<Box<str>>,
    /// Full name where the plain one is too long, has other characters, or is given to something else.
    full: Option<Box<str>>,
    /// Name without the server where its own name may be another's.
    short: Option<Box<str>>,
}

/// What a name stands for.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// The server's place, and its own name.
    One(usize, &'a str),
    /// Several servers have something of this name.
    Several,
    /// Nobody has.
    None,
}

impl Names {
    /// Names what servers have: for each, in order, its own names. `given` returns the name that the operator has given to
    /// something, which no two may have.
    pub fn new<'a>(
        prefixes: &Prefixes,
        rule: PrefixRule,
        reserved: &[&'static str],
        servers: &[Vec<&'a str>],
        given: impl Fn(usize, &str) -> Option<&'a str>,
    ) -> Names {
        let mut names = Names { rule, reserved: reserved.to_vec(), ..Names::default() };
        names.special.resize_with(servers.len(), HashMap::new);
        let all = || servers.iter().enumerate().flat_map(|(at, own)| own.iter().map(move |own| (at, *own)));
        for (at, own) in all() {
            let places = names.by_own.entry(own.into()).or_default();
            // A list may have a name twice.
            if places.last() != Some(&at) {
                places.push(at);
            }
        }
        for (at, own) in all() {
            if let Some(given) = given(at, own).filter(|given| !names.by_name.contains_key(*given)) {
                names.by_name.insert(given.into(), (at, own.into()));
                names.special[at].entry(own.into()).or_default().given = Some(given.into());
            }
        }
        all().for_each(|(at, own)| names.name_in_full(prefixes, at, own));
        if rule == PrefixRule::Never {
            all().for_each(|(at, own)| names.name_shortly(prefixes, at, own));
        }
        names
    }

    fn name_in_full(&mut self, prefixes: &Prefixes, at: usize, own: &str) {
        let whole = prefixes.name(at, own);
        // One that is found by being split is as it should be, unless it is given to something else.
        let is_plain = prefixes.split(&whole).any(|found| found == (at, own));
        if is_plain && !self.is_taken(&whole) {
            return;
        }
        let make = |digits| prefixes.changed_name(at, own, digits);
        if let Some(name) = self.free(prefixes, make) {
            self.by_name.insert(name.clone(), (at, own.into()));
            self.special[at].entry(own.into()).or_default().full = Some(name);
        }
    }

    fn name_shortly(&mut self, prefixes: &Prefixes, at: usize, own: &str) {
        let is_first = self.by_own.get(own).is_some_and(|places| places.first() == Some(&at));
        let is_clear = is_plain(own) && !self.is_taken(own) && !self.is_full(prefixes, own, &|_, _| true);
        if is_first && is_clear {
            return;
        }
        let make = |digits| prefixes.short_name(at, own, digits);
        if let Some(name) = self.free(prefixes, make) {
            self.by_name.insert(name.clone(), (at, own.into()));
            self.special[at].entry(own.into()).or_default().short = Some(name);
        }
    }

    /// Returns a name that nothing else is found by.
    fn free(&self, prefixes: &Prefixes, make: impl Fn(usize) -> String) -> Option<Box<str>> {
        let made = (DIGITS..=MOST).step_by(FURTHER).map(make);
        let is_free = |name: &String| {
            !self.is_taken(name)
                && !self.by_own.contains_key(&**name)
                && !self.is_full(prefixes, name, &|_, _| true)
        };
        made.into_iter().find(is_free).map(String::into_boxed_str)
    }

    /// Reports whether a name is given to something, or must not be anything's.
    fn is_taken(&self, name: &str) -> bool {
        self.by_name.contains_key(name) || self.reserved.contains(&name)
    }

    fn has(&self, at: usize, own: &str) -> bool {
        self.by_own.get(own).is_some_and(|places| places.contains(&at))
    }

    /// Reports whether a name is the full name of something that is seen.
    fn is_full(&self, prefixes: &Prefixes, name: &str, sees: &dyn Fn(usize, &str) -> bool) -> bool {
        prefixes.split(name).any(|(at, own)| self.has(at, own) && sees(at, own))
    }

    /// Returns the places of those of an own name that are seen and, if `is_given`, have a given name, else have none.
    fn seen<'a>(
        &'a self,
        own: &'a str,
        is_given: bool,
        sees: &'a dyn Fn(usize, &str) -> bool,
    ) -> impl Iterator<Item = usize> + 'a {
        let has_given = move |at: usize| self.special(at, own).is_some_and(|names| names.given.is_some());
        let places = self.by_own.get(own).into_iter().flatten().copied();
        places.filter(move |at| has_given(*at) == is_given && sees(*at, own))
    }

    fn special(&self, at: usize, own: &str) -> Option<&Special> {
        self.special.get(at)?.get(own)
    }

    /// Returns the name by which a list has something, for a caller that sees it: at most 64 letters, digits, `_` and `-`.
    pub fn listed(
        &self,
        prefixes: &Prefixes,
        at: usize,
        own: &str,
        sees: &dyn Fn(usize, &str) -> bool,
    ) -> String {
        let special = self.special(at, own);
        if let Some(given) = special.and_then(|names| names.given.as_deref()) {
            return given.to_owned();
        }
        let full = || match special.and_then(|names| names.full.as_deref()) {
            Some(full) => full.to_owned(),
            None => prefixes.name(at, own),
        };
        let mut seen = self.seen(own, false, sees);
        let is_bare = match self.rule {
            PrefixRule::Always => false,
            PrefixRule::Conflict => (seen.next(), seen.next()) == (Some(at), None),
            PrefixRule::Never => seen.next() == Some(at),
        };
        if is_bare && is_plain(own) && !self.is_taken(own) && !self.is_full(prefixes, own, sees) {
            return own.to_owned();
        }
        match (self.rule, special.and_then(|names| names.short.as_deref())) {
            (PrefixRule::Never, Some(short)) => short.to_owned(),
            _ => full(),
        }
    }

    /// Returns what a name stands for, for a caller that sees so much: a name of a list, a full name, or an own name that
    /// is clear.
    pub fn find<'a>(
        &'a self,
        prefixes: &'a Prefixes,
        name: &'a str,
        sees: &'a dyn Fn(usize, &str) -> bool,
    ) -> Found<'a> {
        if let Some((at, own)) = self.by_name.get(name).filter(|(at, own)| sees(*at, own)) {
            return Found::One(*at, own);
        }
        let full = prefixes.split(name).find(|(at, own)| self.has(*at, own) && sees(*at, own));
        if let Some((at, own)) = full {
            return Found::One(at, own);
        }
        for is_given in [false, true] {
            let mut seen = self.seen(name, is_given, sees);
            match (seen.next(), seen.next()) {
                (Some(first), None) => return Found::One(first, name),
                (Some(first), Some(_)) if self.rule == PrefixRule::Never && !is_given => {
                    return Found::One(first, name);
                }
                (Some(_), Some(_)) => return Found::Several,
                (None, _) => {}
            }
        }
        Found::None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use proptest::prelude::*;

    const ALL: &dyn Fn(usize, &str) -> bool = &|_, _| true;
    const RESERVED: [&str; 1] = ["find_tools"];

    /// Servers `s0`, `s1` … with these tools.
    struct World {
        prefixes: Prefixes,
        names: Names,
        tools: Vec<Vec<String>>,
    }

    fn world(rule: PrefixRule, separator: &str, tools: &[Vec<String>], given: &[(&str, &str)]) -> World {
        let servers: Vec<String> = (0..tools.len()).map(|at| format!("s{at}")).collect();
        let prefixes = Prefixes::new(servers.iter().map(String::as_str), separator);
        let own: Vec<Vec<&str>> = tools.iter().map(|own| own.iter().map(String::as_str).collect()).collect();
        let of = |at: usize, own: &str| {
            let known = format!("s{at}.{own}");
            given.iter().find(|(tool, _)| *tool == known).map(|(_, name)| *name)
        };
        let names = Names::new(&prefixes, rule, &RESERVED, &own, of);
        World { prefixes, names, tools: tools.to_vec() }
    }

    impl World {
        fn listed(&self, sees: &dyn Fn(usize, &str) -> bool) -> Vec<(usize, String, String)> {
            let mut listed = Vec::new();
            for (at, tools) in self.tools.iter().enumerate() {
                for own in tools.iter().filter(|own| sees(at, own)) {
                    listed.push((at, own.clone(), self.names.listed(&self.prefixes, at, own, sees)));
                }
            }
            listed
        }

        fn told(&self) -> Vec<String> {
            self.listed(ALL).into_iter().map(|(_, _, name)| name).collect()
        }

        fn find(&self, name: &str) -> Option<(usize, String)> {
            match self.names.find(&self.prefixes, name, ALL) {
                Found::One(at, own) => Some((at, own.to_owned())),
                Found::Several | Found::None => None,
            }
        }
    }

    fn tools(of: &[&[&str]]) -> Vec<Vec<String>> {
        of.iter().map(|own| own.iter().map(|own| (*own).to_owned()).collect()).collect()
    }

    #[test]
    fn the_server_is_in_front_always_where_it_must_or_never() {
        let own = tools(&[&["read", "log"], &["log", "read.all"]]);
        let told = |rule| world(rule, "__", &own, &[]).told();
        let always = told(PrefixRule::Always);
        assert_eq!(always[..3], ["s0__read", "s0__log", "s1__log"]);
        assert!(always[3].starts_with("s1__read_all-"), "{always:?}");
        let conflict = told(PrefixRule::Conflict);
        assert_eq!(conflict[..3], ["read", "s0__log", "s1__log"]);
        let never = told(PrefixRule::Never);
        assert_eq!(never[..2], ["read", "log"]);
        assert!(never[2].starts_with("log-") && never[3].starts_with("read_all-"), "{never:?}");
    }

    #[test]
    fn full_and_clear_bare_names_are_found_under_every_rule() {
        let own = tools(&[&["read", "log"], &["log", "read.all"]]);
        for rule in [PrefixRule::Always, PrefixRule::Conflict, PrefixRule::Never] {
            let world = world(rule, "__", &own, &[]);
            assert_eq!(world.find("s0__read"), Some((0, "read".to_owned())));
            assert_eq!(world.find("s1__read.all"), Some((1, "read.all".to_owned())), "as it was before");
            assert_eq!(world.find("read.all"), Some((1, "read.all".to_owned())));
            assert_eq!(world.find("log").is_some(), rule == PrefixRule::Never, "{rule:?}");
            assert_eq!(world.find("nothing"), None);
        }
    }

    #[test]
    fn a_given_name_stands_and_frees_the_tools_own_name() {
        let own = tools(&[&["log"], &["log"], &["s0__log", "x"]]);
        let given = [("s0.log", "history"), ("s2.x", "s1__log")];
        let world = world(PrefixRule::Conflict, "__", &own, &given);
        let told = world.told();
        assert_eq!((&*told[0], &*told[1], &*told[3]), ("history", "log", "s1__log"));
        assert_eq!(told[2], "s2__s0__log", "a bare name that reads as the full name of another");
        assert_eq!(world.find("s0__log"), Some((0, "log".to_owned())), "its full name stays");
        assert_eq!(world.find("log"), Some((1, "log".to_owned())));
    }

    #[test]
    fn names_of_what_is_not_seen_change_nothing() {
        let own = tools(&[&["log"], &["log"]]);
        for rule in [PrefixRule::Conflict, PrefixRule::Never] {
            let world = world(rule, "__", &own, &[]);
            let sees: &dyn Fn(usize, &str) -> bool = &|at, _| at == 1;
            assert_eq!(world.listed(sees)[0].2, "log", "{rule:?}");
            assert_eq!(world.names.find(&world.prefixes, "log", sees), Found::One(1, "log"));
            assert_eq!(world.names.find(&world.prefixes, "s0__log", sees), Found::None);
        }
    }

    #[test]
    fn reserved_names_are_no_bare_name_of_a_tool() {
        let own = tools(&[&["find_tools"]]);
        assert_eq!(world(PrefixRule::Conflict, "__", &own, &[]).told(), ["s0__find_tools"]);
        assert_ne!(world(PrefixRule::Never, "__", &own, &[]).told(), ["find_tools"]);
    }

    fn rule() -> impl Strategy<Value = PrefixRule> {
        prop::sample::select(vec![PrefixRule::Always, PrefixRule::Conflict, PrefixRule::Never])
    }

    fn some_tools() -> impl Strategy<Value = Vec<Vec<String>>> {
        // Few letters, so that names meet, and names that look like those that are made here.
        let own = "[ab]{1,2}|s[0-3]__[ab]|[ab._/ ]{1,3}|[a-z._]{60,70}|find_tools|s[0-3]__[a.]{60,64}";
        let one = prop::collection::hash_set(own, 0..6);
        prop::collection::vec(one, 1..5)
            .prop_map(|all| all.into_iter().map(|own| own.into_iter().collect()).collect())
    }

    proptest! {
        #[test]
        fn names_are_plain_unique_and_found_again(
            rule in rule(),
            separator in "__|_|-|[s_-]{1,4}|[a-z0-9]",
            tools in some_tools(),
            given in prop::collection::hash_map("s[0-3]\\.[ab]{1,2}", "[ab]{1,2}|s[0-3]__[ab]", 0..3),
            hidden in prop::collection::hash_set((0usize..4, "[ab]{1,2}"), 0..3),
        ) {
            let mut given: Vec<(&str, &str)> = given.iter().map(|(tool, name)| (&**tool, &**name)).collect();
            given.sort_unstable();
            given.dedup_by_key(|(_, name)| *name);
            let world = world(rule, &separator, &tools, &given);
            let sees: &dyn Fn(usize, &str) -> bool = &|at, own| !hidden.iter().any(|one| *one == (at, own.to_owned()));
            let listed = world.listed(sees);
            let unique: HashSet<&str> = listed.iter().map(|(_, _, name)| &**name).collect();
            prop_assert_eq!(unique.len(), listed.len(), "{:?}", listed);
            for (at, own, name) in &listed {
                prop_assert!(is_plain(name), "{}", name);
                prop_assert!(name != "find_tools");
                let found = world.names.find(&world.prefixes, name, sees);
                prop_assert_eq!(found, Found::One(*at, own), "{} in {:?}", name, &listed);
            }
        }

        #[test]
        fn a_server_that_is_added_changes_no_other_name_than_is_promised(
            rule in rule(), tools in some_tools(), more in some_tools(),
        ) {
            let before = world(rule, "__", &tools, &[]);
            let all: Vec<Vec<String>> = tools.iter().chain(&more).cloned().collect();
            let after = world(rule, "__", &all, &[]);
            for ((_, own, was), (_, _, is)) in before.listed(ALL).iter().zip(after.listed(ALL)) {
                let has_namesake = more.iter().flatten().any(|other| other == own);
                // A bare name may read as the full name of what came.
                let reads_full = own.starts_with('s') && own.contains("__");
                match rule {
                    PrefixRule::Conflict if has_namesake => {}
                    PrefixRule::Conflict | PrefixRule::Never if reads_full => {}
                    _ => prop_assert_eq!(was, &is, "{:?}", own),
                }
            }
        }
    }
}
