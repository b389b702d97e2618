//! Sessions that come from another shard with all of their sockets: what they have received is a cut,
//! as for a socket that returns, but nothing of it has been lost.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;

use trunkline_clock::Timestamp;

use super::sources::OwnCut;
use super::{Cut, Log, Origin, Recovery, Seat, Sitting, SourceKey, Start, is_beyond};
use crate::{NamespaceKey, SessionKey};

/// A cut in terms of one [`Recovery`].
#[derive(Clone, Debug, Default)]
pub struct Had(OwnCut);

impl Had {
    /// Whether the broadcast is within the cut.
    pub fn covers(&self, origin: Origin) -> bool {
        !is_beyond(&self.0, origin)
    }

    /// The number of the app server's last broadcast within the cut.
    pub fn of(&self, source: SourceKey) -> Option<u64> {
        self.0.get(&source).copied()
    }

    /// The app servers of the cut, each with the number of its last broadcast.
    pub fn positions(&self) -> impl Iterator<Item = (SourceKey, u64)> {
        self.0.iter().map(|(source, number)| (*source, *number))
    }
}

impl<P, D> Recovery<P, D> {
    /// For each app server with a trunk, the number of its last broadcast here.
    pub fn positions(&self) -> Cut {
        self.sources.positions()
    }

    /// Whether everything up to this broadcast of the app server has arrived, as far as it is still
    /// to come: an app server that has no trunk here sends nothing here.
    pub fn has_reached(&self, server: &str, number: u64) -> bool {
        self.sources.has_reached(server, number)
    }

    /// The number of the app server's last broadcast here, while it has a trunk.
    pub fn last_of(&self, source: SourceKey) -> Option<u64> {
        self.sources.last_of(source)
    }

    /// The offset of the last packet that a socket of this shard has received, for
    /// [`arrive`](Self::arrive) elsewhere; empty when there is none. `None`: its state must not be
    /// kept any more.
    pub fn last_offset(
        &self,
        seat: Seat,
        (nsp, server): (&str, SourceKey),
        rooms: &BTreeSet<&str>,
    ) -> Option<Box<str>> {
        let start = match self.seats.get(&seat) {
            None => None,
            Some(Sitting::Since(start)) => start.as_ref(),
            Some(Sitting::Unproved) => return None,
        };
        if start.is_some_and(|start| start.breaks != self.breaks) {
            return None;
        }
        let log = self.logs.get(nsp);
        let mut entries = log.into_iter().flat_map(Log::entries);
        let is_own = |origin| start.is_none_or(|start| is_beyond(&start.cut, origin));
        let reaching = |entry: &&super::Entry<P>| {
            is_own(entry.origin) && entry.audience.reaches(server, rooms)
        };
        let Some(last) = entries.rfind(reaching) else {
            return match start {
                Some(start) => Some(start.last.clone()),
                None => (self.breaks == 0).then(Box::default),
            };
        };
        // A packet that is missing before it makes it worthless.
        log.and_then(|log| log.find(&last.offset)).map(|_| last.offset.clone())
    }

    /// Seats a socket that has received everything within the cut elsewhere, `last` being the offset
    /// of the last packet. Broadcasts within the cut that arrive later are not for it.
    pub fn arrive(&mut self, now: Timestamp, seat: Seat, cut: &Cut, last: Option<&str>) {
        let had = self.had(cut);
        self.sources.skip_up_to(seat, &had.0);
        let start = self.sources.resolve(now, cut).zip(last).map(|(cut, last)| {
            Sitting::Since(Some(Start { cut, last: last.into(), breaks: self.breaks }))
        });
        self.seats.insert(seat, start.unwrap_or(Sitting::Unproved));
    }

    /// Notes, without connection state recovery, that a socket has received everything within the
    /// cut elsewhere.
    pub fn skip(&mut self, seat: Seat, cut: &Cut) {
        let had = self.had(cut);
        self.sources.skip_up_to(seat, &had.0);
    }

    /// Removes a session with all of its seats.
    pub fn leave(&mut self, session: SessionKey) {
        self.sources.leave_session(session);
        if self.seats.is_empty() {
            return;
        }
        let own = (session, NamespaceKey(0))..=(session, NamespaceKey(u32::MAX));
        while let Some(seat) = self.seats.range(own.clone()).next().map(|(seat, _)| *seat) {
            self.seats.remove(&seat);
        }
    }

    /// The cut in terms of this shard; app servers that are not known here are left out.
    pub fn had(&self, cut: &Cut) -> Had {
        Had(self.sources.own(cut))
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec;
    use alloc::vec::Vec;
    use core::time::Duration;

    use super::*;
    use crate::recovery::{Audience, Persisted, Restored};

    const NOW: Timestamp = Timestamp::from_micros(1_000_000);
    const KEEP: Duration = Duration::from_secs(60);
    const SEAT: Seat = (SessionKey(3), NamespaceKey::DEFAULT);

    struct Node {
        log: Recovery<u32, ()>,
        feeds: Vec<Feed>,
    }

    use crate::recovery::Feed;

    impl Node {
        fn new(name: &str) -> Self {
            let mut log = Recovery::new(name, 1 << 20);
            let feeds = ["p", "q"].map(|server| log.source_up(server)).to_vec();
            let mut node = Self { log, feeds };
            node.numbers(0, 1);
            node.numbers(1, 1);
            node
        }

        fn numbers(&mut self, server: usize, next: u64) {
            self.log.number(&mut self.feeds[server], next).unwrap();
        }

        /// Delivers the server's next broadcast, whose offset is `<server><number>`.
        fn hears(&mut self, server: usize) -> Origin {
            let origin = self.log.advance(&mut self.feeds[server]).unwrap();
            let offset = ["p", "q"][server];
            let offset = alloc::format!("{offset}{}", origin.number);
            let packet = (u32::try_from(origin.number).unwrap(), 8);
            let audience = Audience::default();
            self.log.record(NOW, KEEP, ("/", &offset), Some(origin), audience, packet);
            origin
        }

        fn last(&self) -> Option<String> {
            let place = ("/", self.feeds[0].source());
            let last = self.log.last_offset(SEAT, place, &BTreeSet::new())?;
            Some(String::from(&*last))
        }

        fn persists(&mut self) {
            let socket = Persisted {
                nsp: "/".into(),
                socket: "s".into(),
                server: self.feeds[0].source(),
                rooms: vec!["s".into()],
                data: (),
                data_bytes: 0,
            };
            self.log.persist(NOW, KEEP, "pid", socket, SEAT);
        }

        fn missed(&mut self, offset: &str) -> Option<Vec<u32>> {
            match self.log.restore(NOW, "/", "pid", offset) {
                Restored::Found(found) => Some(found.missed.into_iter().copied().collect()),
                Restored::Taken(_) | Restored::Unknown => None,
            }
        }
    }

    #[test]
    fn a_shard_has_reached_what_it_has_heard_and_whatever_it_never_hears() {
        let mut node = Node::new("here");
        node.hears(0);
        assert!(node.log.has_reached("p", 1) && !node.log.has_reached("p", 2));
        assert!(node.log.has_reached("stranger", 7));
        let late = node.log.source_up("late");
        assert!(!node.log.has_reached("late", 0), "it has not said yet where it is");
        assert_eq!(node.log.last_of(node.feeds[1].source()), Some(0));
        let positions = node.log.positions();
        assert_eq!(positions, Cut(vec![("p".into(), 1), ("q".into(), 0)]));
        node.log.source_down(NOW, late);
        node.log.source_down(NOW, node.feeds[1]);
        assert_eq!(node.log.positions().0.len(), 1, "one that is gone says nothing more");
        assert!(node.log.has_reached("q", 7) && node.log.has_reached("late", 7));
        assert_eq!(node.log.last_of(node.feeds[1].source()), None);
        assert_eq!(node.log.last_of(node.feeds[0].source()), Some(1));
    }

    #[test]
    fn a_socket_that_has_moved_returns_from_its_last_packet_in_either_place() {
        let (mut there, mut here) = (Node::new("there"), Node::new("here"));
        there.hears(0);
        there.hears(1);
        let cut = there.log.cut();
        let last = there.last().unwrap();
        assert_eq!(last, "q1");
        // Here the order is another one, and one more has come already.
        here.hears(1);
        here.hears(0);
        here.hears(1);
        here.log.arrive(NOW, SEAT, &cut, Some(&last));
        here.hears(0);
        for (offset, missed) in [("q1", Some(vec![2, 2])), ("q2", Some(vec![2])), ("p1", None)] {
            here.persists();
            assert_eq!(here.missed(offset), missed, "{offset}");
        }
    }

    #[test]
    fn what_a_socket_has_had_elsewhere_is_not_for_it_when_it_comes_here() {
        let (mut there, mut here) = (Node::new("there"), Node::new("here"));
        there.hears(0);
        there.hears(0);
        let cut = there.log.cut();
        here.log.skip(SEAT, &cut);
        let first = here.hears(0);
        assert!(here.log.has_ahead(first) && here.log.has_had(first, SEAT));
        assert!(here.log.had(&cut).covers(first));
        let other = (SessionKey(4), NamespaceKey::DEFAULT);
        assert!(!here.log.has_had(first, other));
        here.log.leave(SEAT.0);
        let second = here.hears(0);
        assert!(!here.log.has_had(second, SEAT), "the slot has another session by now");
    }

    #[test]
    fn a_cut_that_this_log_cannot_follow_leaves_nothing_to_return_to() {
        let (mut there, mut here) = (Node::new("there"), Node::new("here"));
        there.hears(0);
        let last = there.last();
        let mut cut = there.log.cut();
        cut.0.push(("stranger".into(), 3));
        here.hears(0);
        here.log.arrive(NOW, SEAT, &cut, last.as_deref());
        here.persists();
        assert_eq!(here.missed("p1"), None);
        // What a gap has made worthless there is worthless here.
        there.numbers(0, 5);
        assert_eq!(there.last(), None);
        here.log.arrive(NOW, SEAT, &there.log.cut(), None);
        here.persists();
        assert_eq!(here.missed("p1"), None);
    }
}
