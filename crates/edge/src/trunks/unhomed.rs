//! What an app server knows of the sessions of its hub that belong to no app server: while there may
//! be some, it sends its operations on sockets to the node, too.

use std::time::Duration;

use trunkline_clock::Timestamp;

use super::stream::TrunkTask;

/// The interval between two looks at the hub while there are such sessions.
const LOOK: Duration = Duration::from_millis(250);
/// The time for which the app server goes on as if there were some: a session that has just got an
/// app server may not be seen there yet by what is on its way.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// What the app server was told last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unhomed {
    /// While it was told that there are such sessions: the last time at which there were some, and
    /// the time of the next look.
    told: Option<(Timestamp, Timestamp)>,
}

impl Unhomed {
    /// The time of the next look.
    pub(super) fn look_at(self) -> Option<Timestamp> {
        self.told.map(|(_, look_at)| look_at)
    }

    /// Notes whether there are such sessions now. Returns what the app server has to be told, if
    /// anything.
    fn note(&mut self, now: Timestamp, is_so: bool) -> Option<bool> {
        let seen_at = if is_so { now } else { self.told?.0 };
        if seen_at + AFTERWARDS <= now {
            self.told = None;
            return Some(false);
        }
        self.told.replace((seen_at, now + LOOK)).is_none().then_some(true)
    }
}

impl TrunkTask {
    /// Tells the app server when its hub begins or ceases to have such sessions.
    pub(super) fn look_unhomed(&mut self) {
        if !self.trunk.as_ref().is_some_and(|trunk| trunk.own.operates) {
            return;
        }
        let now = self.now();
        if let Some(waiting) = self.unhomed.note(now, self.hub.is_unhomed()) {
            self.node.unhomed(waiting);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_server_is_told_at_once_and_a_while_after_the_last_of_them() {
        let at = |millis| Timestamp::ORIGIN + Duration::from_millis(millis);
        let mut unhomed = Unhomed::default();
        assert_eq!((unhomed.note(at(0), false), unhomed.look_at()), (None, None));
        assert_eq!(unhomed.note(at(10), true), Some(true));
        assert_eq!(unhomed.look_at(), Some(at(260)));
        assert_eq!(unhomed.note(at(260), true), None, "once");
        assert_eq!(unhomed.note(at(510), false), None);
        assert_eq!(unhomed.note(at(1_259), false), None);
        assert_eq!(unhomed.note(at(1_260), false), Some(false));
        assert_eq!((unhomed.note(at(1_300), false), unhomed.look_at()), (None, None));
        assert_eq!(unhomed.note(at(2_000), true), Some(true), "again");
    }
}
