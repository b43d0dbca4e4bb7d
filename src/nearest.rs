//! Finds the known name that a mistyped one most likely stands for. Settings, members of bodies, parameters of
//! queries and tools all use it, so that they tolerate the same mistakes.

/// Longest name that is compared, in characters.
const MAX_COMPARED: usize = 256;

/// Returns the known name that a mistyped one most likely stands for: at most a third of its characters (at
/// least one, at most five) may be inserted, removed, replaced or swapped with their neighbour, and case is ignored. Of equally close names the first one counts.
/// `None` if no name is close enough.
pub fn closest<'k>(given: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let length = given.chars().count();
    if length == 0 || length > MAX_COMPARED {
        return None;
    }
    let (allowed, given) = ((length / 3).clamp(1, 5), given.to_lowercase());
    known
        .into_iter()
        // Names of another length cannot be close; comparing is the expensive part.
        .filter(|name| name.chars().count().abs_diff(length) <= allowed)
        .map(|name| (strsim::osa_distance(&given, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn suggestions_are_close_or_absent() {
        let known = ["host", "port", "data_dir", "keep_alive", "permissions"];
        let near = |given: &str| closest(given, known);
        assert_eq!(near("prot"), Some("port"));
        assert_eq!(near("keepalive"), Some("keep_alive"));
        assert_eq!(near("data-dir"), Some("data_dir"));
        assert_eq!(near("Host"), Some("host"));
        assert_eq!(near("permisions"), Some("permissions"));
        assert_eq!(near("colour"), None);
        assert_eq!(near(""), None);
        assert_eq!(near(&"x".repeat(10_000)), None);
    }

    proptest! {
        #[test]
        fn one_slip_is_forgiven_and_nothing_panics(
            name in "[a-z_]{3,20}", at in 0usize..20, other in "[a-z]", noise in "\\PC{0,200}",
        ) {
            let mut slipped = name.clone();
            let at = at % name.len();
            slipped.replace_range(at..=at, &other);
            prop_assert_eq!(closest(&slipped, [name.as_str()]), Some(name.as_str()));
            closest(&noise, [name.as_str(), ""]);
        }
    }
}
