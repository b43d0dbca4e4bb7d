//! Checks for new names beyond their form: people must be able to tell a name from the others. Existing
//! names stay in use; what is wrong with them is reported.

use std::collections::HashMap;

use super::Problem;
use crate::text::is_invisible;

/// Checks that every character of a new name is visible.
///
/// # Errors
/// Names the first character that is not visible.
pub fn check_visible(name: &str) -> Result<(), Problem> {
    match name.chars().find(|c| is_invisible(*c)) {
        None => Ok(()),
        Some(c) => Err(Problem {
            path: "name".into(),
            reason: format!(
                "must not contain characters that are not seen or turn the direction of text (found U+{:04X})",
                u32::from(c)
            ),
        }),
    }
}

/// Names by their appearance: the skeleton of Unicode's UTS 39, which two names share if they are easily
/// confused (`paypal` with a Cyrillic `а`, `rn` and `m`).
#[derive(Debug, Default)]
pub struct LookAlikes(HashMap<String, String>);

impl LookAlikes {
    /// Collects the appearances of these names. Of two that look alike, the first is kept.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> LookAlikes {
        let mut looks = LookAlikes::default();
        for name in names {
            looks.add(name);
        }
        looks
    }

    /// Adds a name; returns another name that looks like it, or `None` if there is none.
    pub fn add(&mut self, name: &str) -> Option<&str> {
        let known = self.0.entry(skeleton(name)).or_insert_with(|| name.to_owned());
        (known != name).then_some(known.as_str())
    }

    /// Returns another name that looks like this one; `None` if there is none.
    pub fn like(&self, name: &str) -> Option<&str> {
        self.0.get(&skeleton(name)).filter(|known| *known != name).map(String::as_str)
    }
}

fn skeleton(name: &str) -> String {
    // An invisible character makes no difference to how a name looks.
    let seen: String = name.chars().filter(|c| !is_invisible(*c)).collect();
    unicode_security::confusable_detection::skeleton(&seen).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_that_are_taken_for_each_other_look_alike() {
        let looks = LookAlikes::of(["paypal", "modern", "l0g", "git"]);
        for (name, like) in [
            ("p\u{430}ypal", "paypal"),
            ("rnodern", "modern"),
            ("lOg", "l0g"),
            ("1og", "nothing"),
            ("g\u{200b}it", "git"),
            ("\u{ff47}it", "git"),
        ] {
            assert_eq!(looks.like(name).unwrap_or("nothing"), like, "{name:?}");
        }
        for other in ["git", "gitt", "Git", "postgres", "größer"] {
            assert_eq!(looks.like(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_not_seen_is_named_by_its_number() {
        for (name, number) in [
            ("a\u{202e}b", "U+202E"),
            ("a\u{200d}b", "U+200D"),
            ("a\u{3164}", "U+3164"),
            ("\u{e0041}", "U+E0041"),
        ] {
            assert!(check_visible(name).expect_err("not seen").reason.contains(number), "{name:?}");
        }
        for good in ["my server", "größer", "git.main/2", "日本語", "مرحبا", "👍"] {
            assert!(check_visible(good).is_ok(), "{good}");
        }
    }

    proptest! {
        #[test]
        fn a_name_looks_like_itself_whatever_is_put_into_it_that_nobody_sees(
            name in "\\PC{1,20}", at: prop::sample::Index, hidden in "[\u{200b}\u{202e}\u{ad}\u{e0041}]"
        ) {
            let place = name.char_indices().map(|(place, _)| place).nth(at.index(name.chars().count())).unwrap();
            let mut other = name.clone();
            other.insert_str(place, &hidden);
            let looks = LookAlikes::of([name.as_str()]);
            prop_assert_eq!(looks.like(&name), None);
            prop_assert_eq!(looks.like(&other), Some(name.as_str()));
        }
    }
}
