//! What the parts of an entry's conversion have in common: what is known of the file, and the remarks and problems that
//! they find. Pure.

use super::client::Unit;
use super::placeholder::{Around, Spot};
use super::remark::Remarks;
use super::switches::{Said, Switches};
use crate::supervisor::Problem;

/// Context of the entries of a file.
pub(super) struct Setting<'a> {
    pub(super) around: Around<'a>,
    pub(super) switches: &'a Switches,
    /// Unit of `timeout` in this file. `None` if it is unknown.
    pub(super) unit: Option<Unit>,
    /// `true` if an empty text in `env` means the variable of the daemon's own environment.
    pub(super) empty_inherits: bool,
}

/// An entry during its conversion: its place, and the remarks and problems found so far.
pub(super) struct Look<'l, 'a> {
    setting: &'l Setting<'a>,
    base: String,
    remarks: &'l mut Remarks,
    problems: Vec<Problem>,
}

impl<'l, 'a> Look<'l, 'a> {
    /// Begins with the problems that are known already. `base` is the place of the entry.
    pub(super) fn begin(
        setting: &'l Setting<'a>,
        base: String,
        remarks: &'l mut Remarks,
        problems: Vec<Problem>,
    ) -> Look<'l, 'a> {
        Look { setting, base, remarks, problems }
    }

    /// Returns the problems that were found.
    pub(super) fn finish(self) -> Vec<Problem> {
        self.problems
    }

    /// Returns what the file says about a server outside its entry.
    pub(super) fn said_elsewhere(&self, name: &str) -> Said<'l> {
        self.setting.switches.of(name)
    }

    /// Adds a warning about the entry as a whole.
    pub(super) fn warn_of_entry(&mut self, text: impl Into<String>) {
        self.remarks.warn(self.base.clone(), text);
    }

    pub(super) fn warn(&mut self, member: &str, text: impl Into<String>) {
        self.remarks.warn(format!("{}.{member}", self.base), text);
    }

    pub(super) fn problem(&mut self, member: &str, reason: impl Into<String>) {
        let problem = Problem { path: member.to_owned(), reason: reason.into() };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    pub(super) fn is_set(&self, variable: &str) -> bool {
        self.setting.around.is_set(variable)
    }

    pub(super) fn empty_inherits(&self) -> bool {
        self.setting.empty_inherits
    }

    /// Translates the placeholders of a text in place.
    pub(super) fn translate(&mut self, member: &str, text: &mut String, spot: Spot) {
        let translated = self.setting.around.translate(text, spot);
        translated.warnings.into_iter().for_each(|warning| self.warn(member, warning));
        translated.problems.into_iter().for_each(|problem| self.problem(member, problem));
        *text = translated.text;
    }
}
