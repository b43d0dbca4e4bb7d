//! Circles of files: a file below `src/` is a module, and what it names by `use` or by a path in its code leads to the
//! file that defines that. A name that a module passes on (`pub use`) leads to where it is from, so that naming a
//! sibling by way of the parent counts as naming the sibling. A module may name what it contains and what contains it.
//!
//! Read from formatted source: an item of a file begins at the beginning of a line. Calls of methods name nobody.

use std::collections::{BTreeMap, BTreeSet};

use super::report;
use super::source::{Source, blank, end_of_group, end_of_item, is_word, without, words};

/// Path of a module from the crate's root, which has an empty one.
type Place = Vec<String>;

/// Names that a path may pass through before it counts as leading nowhere, such as a crate's.
const MAX_STEPS: usize = 32;

const ITEMS: [&str; 10] =
    ["fn", "struct", "enum", "trait", "type", "const", "static", "union", "mod", "macro_rules"];

#[test]
fn files_name_each_other_in_one_direction_only() {
    let files = Files::of(Source::below("src"));
    let breaches: Vec<String> = files.circles().iter().map(|circle| files.told(circle)).collect();
    report(
        &breaches,
        "move what both need into the lower file or into one of its own, or hand in a value or a closure",
    );
}

/// The files of the product as modules, and who names whom.
struct Files {
    modules: BTreeMap<Place, Module>,
    /// To each file those that it names, with the place of the first naming and its path.
    names: BTreeMap<Place, BTreeMap<Place, (String, String)>>,
}

struct Module {
    source: &'static Source,
    /// Product code without what is for the fuzzer only, its `use` declarations blanked.
    code: String,
    uses: Vec<Use>,
    defines: BTreeSet<String>,
}

/// One name that a `use` brings: `*` for all.
struct Use {
    at: usize,
    name: String,
    path: Vec<String>,
}

impl Files {
    fn of(sources: impl IntoIterator<Item = &'static Source>) -> Files {
        let mut modules: BTreeMap<Place, Module> =
            sources.into_iter().map(|source| (place_of(&source.path), Module::of(source))).collect();
        // What is compiled for tests only is declared in code that is blanked; a program is no module.
        let declared = |place: &Place, modules: &BTreeMap<Place, Module>| {
            (1..=place.len()).all(|end| {
                let parent = modules.get(&place[..end - 1]);
                parent.is_some_and(|parent| parent.defines.contains(&place[end - 1]))
            })
        };
        let product: BTreeSet<Place> =
            modules.keys().filter(|place| declared(place, &modules)).cloned().collect();
        modules.retain(|place, _| product.contains(place));
        let mut files = Files { modules, names: BTreeMap::new() };
        files.names = files.modules.keys().map(|place| (place.clone(), files.named_by(place))).collect();
        files
    }

    fn named_by(&self, place: &[String]) -> BTreeMap<Place, (String, String)> {
        let module = &self.modules[place];
        let mut named = BTreeMap::new();
        let paths = paths_in(&module.code);
        for (at, path) in module.uses.iter().map(|it| (it.at, it.path.clone())).chain(paths) {
            let Some(target) = self.seen_from(place, &path, MAX_STEPS) else { continue };
            if !(place.starts_with(&target) || target.starts_with(place)) {
                named.entry(target).or_insert_with(|| (module.source.at(at), path.join("::")));
            }
        }
        named
    }

    /// Returns the file that defines what a path names in a module's code; `None` if it is not of this crate.
    fn seen_from(&self, place: &[String], path: &[String], steps: usize) -> Option<Place> {
        let ups = path.iter().take_while(|step| *step == "super").count();
        match path.first()?.as_str() {
            "crate" => self.within(&[], &path[1..], steps),
            "self" => self.within(place, &path[1..], steps),
            "super" => self.within(&place[..place.len().checked_sub(ups)?], &path[ups..], steps),
            name if self.has(place, name) => self.within(place, path, steps),
            _ => None,
        }
    }

    /// Returns the file that defines what a path below a module names.
    fn within(&self, place: &[String], path: &[String], steps: usize) -> Option<Place> {
        let steps = steps.checked_sub(1)?;
        let module = self.modules.get(place)?;
        let Some((name, rest)) = path.split_first() else { return Some(place.to_vec()) };
        let child = [place, std::slice::from_ref(name)].concat();
        let is_child = self.modules.contains_key(&child);
        if is_child && !rest.is_empty() {
            return self.within(&child, rest, steps);
        }
        if let Some(it) = module.uses.iter().find(|it| it.name == *name) {
            return self.seen_from(place, &[it.path.as_slice(), rest].concat(), steps);
        }
        if is_child || module.defines.contains(name) {
            return Some(if is_child { child } else { place.to_vec() });
        }
        let from_all = module.uses.iter().filter(|it| it.name == "*").find_map(|it| {
            let target = self.seen_from(place, &it.path, steps)?;
            (target != place && self.has(&target, name)).then(|| self.within(&target, path, steps))?
        });
        from_all.or_else(|| Some(place.to_vec()))
    }

    fn has(&self, place: &[String], name: &str) -> bool {
        self.modules.get(place).is_some_and(|module| {
            module.defines.contains(name) || module.uses.iter().any(|it| it.name == name)
        })
    }

    /// Returns the groups of files of which each names every other, if only by way of further ones.
    fn circles(&self) -> Vec<Vec<Place>> {
        let reached: BTreeMap<&Place, BTreeSet<&Place>> =
            self.modules.keys().map(|place| (place, self.reached_from(place))).collect();
        let mut circles: BTreeSet<Vec<Place>> = BTreeSet::new();
        for (place, others) in &reached {
            let back = others.iter().filter(|other| reached[**other].contains(place));
            let circle: Vec<Place> = back.map(|other| (*other).clone()).collect();
            if circle.len() > 1 {
                circles.insert(circle);
            }
        }
        circles.into_iter().collect()
    }

    fn reached_from<'f>(&'f self, place: &[String]) -> BTreeSet<&'f Place> {
        let mut reached = BTreeSet::new();
        let mut next: Vec<&Place> = self.names[place].keys().collect();
        while let Some(place) = next.pop() {
            if reached.insert(place) {
                next.extend(self.names[place].keys());
            }
        }
        reached
    }

    fn told(&self, circle: &[Place]) -> String {
        let path = |place: &Place| self.modules[place].source.path.as_str();
        let all: Vec<&str> = circle.iter().map(path).collect();
        let mut lines = vec![format!("a circle of {}:", all.join(", "))];
        for place in circle {
            let within = self.names[place].iter().filter(|(other, _)| circle.contains(other));
            lines.extend(
                within.map(|(other, (at, named))| format!("    {at} names {} (`{named}`)", path(other))),
            );
        }
        lines.join("\n  ")
    }
}

impl Module {
    fn of(source: &'static Source) -> Module {
        let mut code = without(&source.product, "#[cfg(any(test, fuzzing))]");
        let mut uses = Vec::new();
        let declared: Vec<usize> = words(&code, "use ").collect();
        for at in declared {
            let end = code[at..].find(';').map_or(code.len(), |end| at + end);
            add_uses(&code[at + "use ".len()..end], &[], at, &mut uses);
            let blanked = blank(&code[at..end]);
            code.replace_range(at..end, &blanked);
        }
        let defines = code.lines().filter_map(defined_by).map(str::to_owned).collect();
        Module { source, code, uses, defines }
    }
}

fn place_of(path: &str) -> Place {
    let below = path.trim_start_matches("src/").trim_end_matches(".rs");
    let mut place: Place = below.split('/').map(str::to_owned).collect();
    if ["lib", "mod"].contains(&place[place.len() - 1].as_str()) {
        place.pop();
    }
    place
}

/// Returns the name of the item that begins on a line; `None` if none does, or none of a file itself.
fn defined_by(line: &str) -> Option<&str> {
    let mut parts = line.split(|c| !is_word(c)).filter(|part| !part.is_empty());
    if !line.starts_with(is_word) {
        return None;
    }
    // `const fn` is a function, and a `const` that is not.
    let mut found = parts.by_ref().skip_while(|part| !ITEMS.contains(part)).skip(1);
    found.by_ref().find(|part| !ITEMS.contains(part))
}

/// Adds the names of one `use`, with those of its groups.
fn add_uses(tree: &str, before: &[String], at: usize, uses: &mut Vec<Use>) {
    let tree = tree.trim();
    if let Some(open) = tree.find('{') {
        let before = [before, &steps_of(&tree[..open])].concat();
        let (mut item, end) = (open + 1, end_of_group(tree, open) - 1);
        while item < end {
            let next = end_of_item(tree, item, end);
            add_uses(&tree[item..next], &before, at, uses);
            item = next + 1;
        }
        return;
    }
    let (path, alias) = tree.split_once(" as ").map_or((tree, None), |(path, alias)| (path, Some(alias)));
    let mut path = [before, &steps_of(path)].concat();
    // `::name` is a crate's.
    if before.is_empty() && tree.starts_with("::") || path.is_empty() {
        return;
    }
    if path.len() > 1 && path[path.len() - 1] == "self" {
        path.pop();
    }
    let last = path[path.len() - 1].clone();
    if last == "*" {
        path.pop();
    }
    uses.push(Use { at, name: alias.map_or(last, |alias| alias.trim().to_owned()), path });
}

fn steps_of(path: &str) -> Vec<String> {
    path.split("::").map(str::trim).filter(|step| !step.is_empty()).map(str::to_owned).collect()
}

/// Returns the paths of at least two names in code, each with its place.
fn paths_in(code: &str) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(begin) = code[at..].find(is_word).map(|begin| at + begin) {
        let mut end = begin;
        let mut path = Vec::new();
        loop {
            let length = code[end..].find(|c| !is_word(c)).unwrap_or(code.len() - end);
            path.push(code[end..end + length].to_owned());
            end += length;
            match code[end..].strip_prefix("::") {
                Some(rest) if rest.starts_with(is_word) => end += 2,
                _ => break,
            }
        }
        let goes_on = code[..begin].ends_with("::") || code[..begin].ends_with('.');
        if path.len() > 1 && !goes_on {
            found.push((begin, path));
        }
        at = end;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(sources: &[(&str, &str)]) -> Files {
        let source =
            |(path, text): &(&str, &str)| &*Box::leak(Box::new(Source::new(path, (*text).to_owned())));
        Files::of(sources.iter().map(source))
    }

    fn circles(sources: &[(&str, &str)]) -> Vec<String> {
        let files = files(sources);
        files.circles().iter().map(|circle| files.told(circle)).collect()
    }

    #[test]
    fn a_circle_is_found_with_its_files_and_a_line_for_each_naming() {
        let told = circles(&[
            ("src/lib.rs", "pub mod a;\npub mod d;\n"),
            ("src/a/mod.rs", "mod b;\nmod c;\npub use c::Thing;\n"),
            ("src/a/b.rs", "use std::{fmt, io};\n\nuse super::{c::{One, Two}, Thing};\npub fn f() {}\n"),
            ("src/a/c.rs", "pub struct Thing;\npub struct One;\nfn g() { super::b::f() }\n"),
            ("src/d.rs", "use crate::a::Thing;\n"),
        ]);
        let expected = "a circle of src/a/b.rs, src/a/c.rs:\n      src/a/b.rs:3 names src/a/c.rs (`super::c::One`)\
                        \n      src/a/c.rs:3 names src/a/b.rs (`super::b::f`)";
        assert_eq!(told, [expected]);
    }

    #[test]
    fn a_name_that_is_passed_on_leads_to_the_file_it_is_from() {
        for (naming, passing) in [
            ("use super::Thing;\n", "pub use c::Thing;\n"),
            ("use crate::a::Other;\n", "pub use self::c::Thing as Other;\n"),
            ("use super::*;\nfn f(_: super::Thing) {}\n", "use c::*;\n"),
            ("use super::c;\n\nfn f() { c::Thing::new() }\n", ""),
            ("use crate::a;\n\nfn f() { a::Thing::new() }\n", "pub(crate) use c::{self, Thing};\n"),
        ] {
            let parent = format!("mod b;\nmod c;\n{passing}");
            let told = circles(&[
                ("src/lib.rs", "mod a;\n"),
                ("src/a/mod.rs", &parent),
                ("src/a/b.rs", &format!("{naming}pub const X: u8 = 1;\n")),
                ("src/a/c.rs", "use super::b::X;\n\npub struct Thing;\n"),
            ]);
            assert_eq!(told.len(), 1, "{naming}{passing}");
        }
    }

    #[test]
    fn parents_tests_and_other_crates_make_no_circle() {
        let told = circles(&[
            ("src/lib.rs", "mod a;\n#[cfg(any(test, fuzzing))]\nmod fuzz;\n"),
            ("src/a/mod.rs", "mod b;\nmod c;\nuse b::f;\nuse c::X;\npub struct Own;\n"),
            (
                "src/a/b.rs",
                "use super::Own;\n\npub fn f() {}\n#[cfg(test)]\nmod tests { use super::super::c::X; }\n",
            ),
            ("src/a/c.rs", "use super::b::f;\nuse ::a::b;\nuse serde::c;\n\npub const X: u8 = 1;\n"),
            ("src/fuzz.rs", "use crate::a::c::X;\n\npub fn g() {}\n"),
            ("src/a/b_tests.rs", "use crate::a::c::X;\n"),
        ]);
        assert_eq!(told, [""; 0]);
    }
}
