//! Whether the daemon can serve, and what is wrong with one that does.

use super::{Gateway, Readiness};
use crate::clock;
use crate::store::StoreDegraded;
use crate::supervisor::State;

impl Gateway {
    /// Reports whether the daemon can serve, and what keeps it from doing so.
    pub fn readiness(&self) -> Readiness {
        // This is asked often and without a key, so nothing is looked at that is not reported.
        let list = self.0.registry.list();
        let starts = |id: &str| {
            let handle = self.0.supervisor.directory().get(id);
            handle.is_some_and(|handle| {
                let status = handle.status();
                !status.settled && status.state == State::Starting
            })
        };
        let starting = list.entries().iter().filter(|entry| starts(&entry.id));
        let mut waiting_for: Vec<String> =
            starting.map(|entry| format!("server '{}' is starting", entry.name)).collect();
        if self.is_stopping() {
            waiting_for.push("the daemon is stopping".to_owned());
        }
        let of_store = self.0.registry.trouble().map(|trouble| trouble_in_words(&trouble));
        let fleeting = match self.0.registry.fleeting_revocations() {
            0 => None,
            count => {
                Some(format!("an end of the daemon would forget {count} revocations of keys and members"))
            }
        };
        let of_clock = clock::doubt().map(|doubt| format!("the clock is not believed: {doubt}"));
        let problems = of_store.into_iter().chain(fleeting).chain(of_clock).collect();
        Readiness { ready: waiting_for.is_empty(), waiting_for, problems }
    }
}

fn trouble_in_words(trouble: &StoreDegraded) -> String {
    let what_to_do = match trouble.from_backup {
        true => {
            "; running from the newest backup: make room in the data directory, and the daemon goes on by itself"
        }
        false => "",
    };
    format!("changes cannot be stored: {}{what_to_do}", trouble.cause)
}
