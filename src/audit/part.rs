//! Parts of the audit: classes of entries that are kept apart.

use std::path::Path;

/// Class of entries with files and a share of the space of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Acts that were carried out, and files of versions that kept everything in one place.
    Acts,
    /// Calls, and questions that lead to calls.
    Calls,
    /// Refused and failed requests, and looks.
    Rest,
}

impl Part {
    pub(super) const ALL: [Part; 3] = [Part::Acts, Part::Calls, Part::Rest];

    /// Returns the number of quarters of the kept size that are reserved for it, regardless of the size of the
    /// others.
    pub(super) fn quarters(self) -> u64 {
        match self {
            Part::Acts => 2,
            Part::Calls | Part::Rest => 1,
        }
    }

    /// Returns the end of its files' names.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Part::Acts => "-acts.jsonl",
            Part::Calls => "-calls.jsonl",
            Part::Rest => "-rest.jsonl",
        }
    }

    /// Returns the part that a file belongs to and the number of its first line; `None` for a foreign file.
    pub(super) fn of_file(path: &Path) -> Option<(Part, u64)> {
        let (number, rest) = path.file_name()?.to_str()?.split_at_checked(20)?;
        let part = Part::ALL.into_iter().find(|part| part.suffix() == rest);
        let part = part.or_else(|| (rest == ".jsonl").then_some(Part::Acts))?;
        Some((part, number.parse().ok()?))
    }
}
