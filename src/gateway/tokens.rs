//! Callers with an access token: subjects of an authorization server, who own no key. Everything that holds for a key holds
//! for them, too.

use std::sync::Arc;
use std::time::SystemTime;

use serde_json::json;

use super::{AuditEntry, EntryKind, Gateway, Outcome, Principal};
use crate::access::{Admitted, TokenGrant, TooManySubjects};
use crate::clock;
use crate::unix_time;

impl Gateway {
    /// Returns the principal of an access token that was verified. Its subject is made if it is not known, which the audit
    /// tells with the name that `issuer` has for it. The permissions name servers by name or id; of names, whoever has one
    /// now is meant.
    pub fn admit_token(
        &self,
        grant: &TokenGrant,
        (issuer, subject): (&str, &str),
        now: SystemTime,
    ) -> Result<Principal, TooManySubjects> {
        let now = clock::not_before(unix_time::seconds(now));
        let mut id_of =
            |named: &str| self.0.registry.server(named).map_or_else(|| named.into(), |it| it.id.clone());
        let admitted = match grant.permissions.are_unlimited() {
            true => self.0.keys.admit(grant, now)?,
            false => {
                let permissions = grant.permissions.renamed(&mut id_of);
                self.0.keys.admit(&TokenGrant { permissions, ..grant.clone() }, now)?
            }
        };
        let Admitted { principal, is_new } = admitted;
        if is_new {
            let details = json!({
                "issuer": issuer,
                "subject": subject,
                "name": grant.name,
                "role": grant.role.name(),
                "permissions": principal.permissions(),
            });
            let entry = AuditEntry::new(EntryKind::Look, "subject.admit", &grant.subject, Outcome::Done);
            let details = details.as_object().cloned().unwrap_or_default();
            self.0.audit.note(entry.by(&principal).with(details));
        }
        Ok(principal)
    }

    /// Reports whether there is a member of this id, or a subject of access tokens.
    pub(super) fn has_member(&self, id: &Arc<str>) -> bool {
        self.0.keys.has_member(id)
    }
}
