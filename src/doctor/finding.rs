//! A finding, and the order in which findings are told. Pure.

use serde::Serialize;

/// Weight of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Severity {
    /// It keeps a server from running.
    Error,
    /// It may keep one from running, or does so now and then.
    Warning,
    /// It is worth knowing.
    Note,
}

/// Something that is wrong, with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Finding {
    /// Weight of it.
    pub severity: Severity,
    /// Name of the server; `null` if it is about the gateway itself.
    pub server: Option<String>,
    /// What it is about: a member of the definition, a setting, or `state`.
    pub place: String,
    /// Id of the fault, which stays the same when sentences change; `null` if it is none that is known. `docs/doctor.md` lists them.
    pub fault: Option<String>,
    /// What is wrong.
    pub cause: String,
    /// What to do about it; `null` if nothing is known.
    pub fix: Option<String>,
    /// Command that helps to find out or to mend it; `null` if there is none.
    pub command: Option<String>,
}

/// Returns findings in the order to tell them: the gravest first, those of one server together. Of those of a server that
/// name the same fault the first one stays.
pub fn sorted(findings: Vec<Finding>) -> Vec<Finding> {
    let mut kept: Vec<Finding> = Vec::with_capacity(findings.len());
    for finding in findings {
        let known = |other: &Finding| {
            other.server == finding.server && other.fault == finding.fault && finding.fault.is_some()
        };
        if !kept.iter().any(known) {
            kept.push(finding);
        }
    }
    // Stable: what was found first of a server is told first.
    kept.sort_by(|a, b| (a.severity, &a.server).cmp(&(b.severity, &b.server)));
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(severity: Severity, server: Option<&str>, fault: Option<&str>) -> Finding {
        Finding {
            severity,
            server: server.map(str::to_owned),
            place: "state".to_owned(),
            fault: fault.map(str::to_owned),
            cause: String::new(),
            fix: None,
            command: None,
        }
    }

    #[test]
    fn the_gravest_come_first_and_a_fault_of_a_server_once() {
        let told = sorted(vec![
            finding(Severity::Note, None, Some("a")),
            finding(Severity::Error, Some("z"), Some("b")),
            finding(Severity::Warning, Some("b"), None),
            finding(Severity::Warning, Some("b"), None),
            finding(Severity::Error, Some("z"), Some("b")),
            finding(Severity::Error, Some("a"), Some("b")),
        ]);
        let told: Vec<_> = told.iter().map(|one| (one.severity, one.server.as_deref())).collect();
        let (error, warning) = (Severity::Error, Severity::Warning);
        assert_eq!(
            told,
            [
                (error, Some("a")),
                (error, Some("z")),
                (warning, Some("b")),
                (warning, Some("b")),
                (Severity::Note, None)
            ]
        );
    }
}
