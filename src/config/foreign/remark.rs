//! Remarks on a servers file besides its problems: members that may not have the intended meaning, and members
//! without effect here.

use crate::config::problem::{one_line, path_step};
use crate::text::cut;

/// Most remarks that are kept for a file.
const MAX_REMARKS: usize = 200;
/// Longest sentence of a remark, in characters.
const MAX_REMARK_CHARS: usize = 400;

/// Importance of a remark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// The file has, or may have, another effect than its author intended.
    Warning,
    /// Information that needs no action.
    Note,
}

/// One remark, worded to follow its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// Importance of the remark.
    pub weight: Weight,
    /// Path of the member, such as `mcpServers.git.args[1]`; empty for the file as a whole.
    pub place: String,
    /// Rest of the sentence. Names members and variables, and contains no value.
    pub text: String,
}

impl Remark {
    /// Returns the sentence on one line.
    pub fn sentence(&self) -> String {
        let blank = if self.place.is_empty() { "" } else { " " };
        let text = format!("{}{blank}{}", self.place, self.text);
        cut(one_line(&text), MAX_REMARK_CHARS)
    }
}

/// Remarks on one file. Beyond [`MAX_REMARKS`] only their number is kept.
#[derive(Debug, Default)]
pub(super) struct Remarks {
    kept: Vec<Remark>,
    more: usize,
}

impl Remarks {
    pub(super) fn warn(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.add(Weight::Warning, place.into(), text.into());
    }

    pub(super) fn note(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.add(Weight::Note, place.into(), text.into());
    }

    fn add(&mut self, weight: Weight, place: String, text: String) {
        let remark = Remark { weight, place, text };
        if self.kept.len() >= MAX_REMARKS {
            self.more += 1;
        } else if !self.kept.contains(&remark) {
            self.kept.push(remark);
        }
    }

    pub(super) fn finish(mut self) -> Vec<Remark> {
        if self.more > 0 {
            let text = format!("and {} more warnings, which are not listed", self.more);
            self.kept.push(Remark { weight: Weight::Warning, place: String::new(), text });
        }
        self.kept
    }
}

/// Returns the path of a member below another; the top has an empty path.
pub(super) fn below(base: &str, member: &str) -> String {
    if base.is_empty() { path_step(member) } else { format!("{base}.{}", path_step(member)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_odd_all_over_gives_a_short_list_of_short_lines() {
        let mut remarks = Remarks::default();
        for n in 0..10_000 {
            remarks.warn(format!("mcpServers.{n}{}", "x".repeat(n % 900)), "is\nodd");
        }
        let remarks = remarks.finish();
        assert_eq!(remarks.len(), MAX_REMARKS + 1);
        assert!(remarks[MAX_REMARKS].sentence().contains("9800 more"), "{}", remarks[MAX_REMARKS].sentence());
        assert!(remarks.iter().all(|remark| remark.sentence().chars().count() <= MAX_REMARK_CHARS + 1));
        assert!(remarks[0].sentence().ends_with("is\\nodd"));
    }
}
