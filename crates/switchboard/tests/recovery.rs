//! What is kept for clients that return, within one shard and between shards.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::time::Duration;

use trunkline_clock::Timestamp;
use trunkline_switchboard::recovery::{
    Audience, Cut, Feed, NumberRepeats, Persisted, Recovery, Restored, Return, SourceKey, Unproved,
};
use trunkline_switchboard::{NamespaceKey, SessionKey};

const KEEP: Duration = Duration::from_secs(120);
const T0: Timestamp = Timestamp::ORIGIN;
const SEAT: (SessionKey, NamespaceKey) = (SessionKey(1), NamespaceKey::DEFAULT);

fn at(seconds: u64) -> Timestamp {
    T0 + Duration::from_secs(seconds)
}

fn names(list: &[&str]) -> Vec<Box<str>> {
    list.iter().map(|&name| name.into()).collect()
}

fn to(rooms: &[&str], except: &[&str]) -> Audience {
    Audience { rooms: names(rooms), except: names(except), server: None }
}

/// One shard's log; packets are their numbers.
struct Shard {
    log: Recovery<u64, u8>,
    now: Timestamp,
}

/// What a socket returns with.
#[derive(Debug)]
struct Back {
    missed: Vec<u64>,
    log: String,
    cut: Cut,
    last: String,
}

impl Shard {
    fn new(id: &str) -> Self {
        Self { log: Recovery::new(id, 1 << 20), now: T0 }
    }

    /// An app server whose next broadcast is `next`.
    fn feed(&mut self, server: &str, next: u64) -> Feed {
        let mut feed = self.log.source_up(server);
        self.log.number(&mut feed, next).unwrap();
        feed
    }

    /// The next broadcast of a feed, with the offset `<server><number>`.
    fn record(&mut self, feed: &mut Feed, server: &str, audience: Audience) {
        let origin = self.log.advance(feed);
        let number = origin.map_or(0, |origin| origin.number);
        let offset = format!("{server}{number}");
        self.log.record(self.now, KEEP, ("/", &offset), origin, audience, (number, 10));
    }

    fn hear(&mut self, feed: &mut Feed, server: &str, count: u64) {
        for _ in 0..count {
            self.record(feed, server, to(&[], &[]));
        }
    }

    fn persist(&mut self, server: SourceKey, rooms: &[&str]) {
        let socket = Persisted {
            nsp: "/".into(),
            socket: "s".into(),
            server,
            rooms: names(rooms),
            data: 7,
            data_bytes: 1,
        };
        self.log.persist(self.now, KEEP, "p", socket, SEAT);
    }

    fn restore(&mut self, offset: &str) -> Option<Back> {
        let log = self.log.id().to_owned();
        match self.log.restore(self.now, "/", "p", offset) {
            Restored::Found(found) => Some(Back {
                missed: found.missed.into_iter().copied().collect(),
                log,
                cut: found.cut,
                last: found.last.into_string(),
            }),
            Restored::Taken(_) | Restored::Unknown => None,
        }
    }

    fn resume(&mut self, server: SourceKey, back: &Back) -> Result<Vec<u64>, Unproved> {
        let back = Return { pid: "p", log: &back.log, cut: &back.cut, last: &back.last };
        let rooms = BTreeSet::from(["s"]);
        let packets = self.log.resume(self.now, SEAT, ("/", server), &rooms, &back)?;
        Ok(packets.into_iter().copied().collect())
    }
}

#[test]
fn what_stands_behind_the_offset_and_was_meant_for_the_socket_comes_back_in_order() {
    let mut shard = Shard::new("one");
    let mut p = shard.feed("P", 1);
    let q = shard.feed("Q", 1);
    let elsewhere = Audience { server: Some(q.source()), ..Audience::default() };
    let log = [
        to(&[], &[]),
        to(&["room"], &[]),
        to(&["other"], &[]),
        to(&[], &["room"]),
        to(&["other", "s"], &[]),
        elsewhere,
    ];
    for audience in log {
        shard.record(&mut p, "P", audience);
    }
    shard.persist(p.source(), &["s", "room"]);
    let back = shard.restore("P1").unwrap();
    assert_eq!((back.missed, &*back.last), (vec![2, 5], "P5"));
    shard.log.release("/", "p");
    let nothing = shard.restore("P5").unwrap();
    assert_eq!((nothing.missed, &*nothing.last), (vec![], "P5"));
    shard.log.release("/", "p");
    assert!(shard.restore("unknown").is_none());
    assert!(matches!(shard.log.restore(T0, "/else", "p", "P1"), Restored::Unknown));
    assert!(matches!(shard.log.restore(T0, "/", "forged", "P1"), Restored::Unknown));
}

#[test]
fn a_socket_is_given_out_once_until_it_is_given_back_or_persisted_again() {
    let mut shard = Shard::new("one");
    let mut p = shard.feed("P", 1);
    shard.hear(&mut p, "P", 2);
    shard.persist(p.source(), &["s"]);
    assert!(shard.restore("P1").is_some());
    assert!(matches!(shard.log.restore(T0, "/", "p", "P1"), Restored::Taken("s")));
    shard.log.release("/else", "p");
    assert!(shard.restore("P1").is_none());
    shard.log.release("/", "p");
    assert!(shard.restore("P1").is_some());
    shard.persist(p.source(), &["s"]);
    assert!(shard.restore("P1").is_some());
}

#[test]
fn time_runs_out_for_packets_and_for_sockets() {
    let mut shard = Shard::new("one");
    let mut p = shard.feed("P", 1);
    shard.hear(&mut p, "P", 1);
    shard.now = at(10);
    shard.persist(p.source(), &["s"]);
    shard.now = at(125);
    assert!(shard.log.expire(shard.now).is_empty());
    assert!(shard.restore("P1").is_none(), "the offset is gone");
    assert_eq!(shard.log.poll_deadline(), Some(at(130)));
    assert_eq!(shard.log.expire(at(130)), names(&["p"]));
    assert_eq!((shard.log.bytes(), shard.log.poll_deadline()), (0, None));
}

#[test]
fn bytes_are_bounded_and_the_oldest_goes_first() {
    let mut shard = Shard::new("one");
    shard.log = Recovery::new("one", 1000);
    let mut p = shard.feed("P", 1);
    shard.persist(p.source(), &["s"]);
    for second in 1..21 {
        shard.now = at(second);
        shard.hear(&mut p, "P", 1);
        assert!(shard.log.bytes() <= 1000);
    }
    assert!(shard.restore("P20").is_none(), "the socket was the oldest");
}

#[test]
fn a_socket_persisted_again_counts_once_and_lives_longer() {
    let mut shard = Shard::new("one");
    let mut p = shard.feed("P", 1);
    shard.now = at(100);
    shard.hear(&mut p, "P", 1);
    shard.now = T0;
    shard.persist(p.source(), &["s"]);
    let once = shard.log.bytes();
    shard.now = at(60);
    shard.persist(p.source(), &["s"]);
    assert_eq!(shard.log.bytes(), once);
    assert!(shard.log.expire(T0 + KEEP).is_empty());
    shard.now = T0 + KEEP;
    assert!(shard.restore("P1").is_some());
}

/// Two shards of two nodes that received P and Q in different order: `P1 Q1 P2 Q2` and `Q1 Q2 P1
/// P2`.
fn two() -> (Shard, Shard, [Feed; 4]) {
    let (mut one, mut two) = (Shard::new("one"), Shard::new("two"));
    let (mut p1, mut q1) = (one.feed("P", 1), one.feed("Q", 1));
    let (mut p2, mut q2) = (two.feed("P", 1), two.feed("Q", 1));
    for _ in 0..2 {
        one.hear(&mut p1, "P", 1);
        one.hear(&mut q1, "Q", 1);
    }
    two.hear(&mut q2, "Q", 2);
    two.hear(&mut p2, "P", 2);
    (one, two, [p1, q1, p2, q2])
}

#[test]
fn another_shard_delivers_what_is_beyond_the_cut() {
    let (mut one, mut two, [mut p1, _, mut p2, mut q2]) = two();
    one.persist(p1.source(), &["s"]);
    let back = one.restore("P1").unwrap();
    assert_eq!((&*back.missed, &*back.last), (&[1, 2, 2][..], "Q2"));
    one.hear(&mut p1, "P", 1);
    two.hear(&mut q2, "Q", 1);
    two.hear(&mut p2, "P", 1);
    assert!(two.log.proves(two.now, &back.cut));
    assert_eq!(two.resume(p2.source(), &back), Ok(vec![3, 3]), "Q3 and P3");
}

#[test]
fn what_comes_late_to_the_other_shard_and_is_within_the_cut_is_not_for_the_socket() {
    let (mut one, mut two, [mut p1, _, mut p2, _]) = two();
    one.hear(&mut p1, "P", 2);
    one.persist(p1.source(), &["s"]);
    let back = one.restore("P1").unwrap();
    assert_eq!(two.resume(p2.source(), &back), Ok(vec![]));
    for expected in [true, true, false] {
        let origin = two.log.advance(&mut p2).unwrap();
        let had = two.log.has_ahead(origin) && two.log.has_had(origin, SEAT);
        assert_eq!(had, expected, "{origin:?}");
    }
    let other = (SessionKey(2), NamespaceKey::DEFAULT);
    let origin = two.log.advance(&mut p2).unwrap();
    assert!(!two.log.has_ahead(origin) && !two.log.has_had(origin, other));
}

#[test]
fn who_leaves_is_ahead_of_nothing_any_more() {
    let (mut one, mut two, [mut p1, _, mut p2, _]) = two();
    one.hear(&mut p1, "P", 2);
    one.persist(p1.source(), &["s"]);
    let back = one.restore("P1").unwrap();
    two.resume(p2.source(), &back).unwrap();
    two.log.leave(SEAT.0);
    let origin = two.log.advance(&mut p2).unwrap();
    assert!(!two.log.has_ahead(origin));
}

#[test]
fn unproved_an_app_server_that_this_shard_does_not_know() {
    let (mut one, mut two, [p1, _, p2, _]) = two();
    one.feed("R", 1);
    one.persist(p1.source(), &["s"]);
    let back = one.restore("P1").unwrap();
    assert!(!two.log.proves(two.now, &back.cut));
    assert_eq!(two.resume(p2.source(), &back), Err(Unproved));
    two.feed("R", 1);
    assert!(two.log.proves(two.now, &back.cut));
}

#[test]
fn unproved_an_app_server_that_only_this_shard_knows_and_that_has_said_something() {
    let (mut one, mut two, [p1, _, _, _]) = two();
    let mut r = two.feed("R", 1);
    one.persist(p1.source(), &["s"]);
    let back = one.restore("P1").unwrap();
    assert!(two.log.proves(two.now, &back.cut), "it has said nothing yet");
    two.hear(&mut r, "R", 1);
    assert!(!two.log.proves(two.now, &back.cut));
}

#[test]
fn unproved_a_node_that_was_restarted_or_whose_trunk_lost_something() {
    let (mut one, _, [mut p1, _, _, _]) = two();
    one.persist(p1.source(), &["s"]);
    let back = one.restore("P1").unwrap();
    one.hear(&mut p1, "P", 2);
    for (next, proved) in [(3, true), (4, false)] {
        let mut fresh = Shard::new("fresh");
        fresh.feed("P", next);
        fresh.feed("Q", 3);
        assert_eq!(fresh.log.proves(T0, &back.cut), proved, "P goes on with {next}");
    }
}

#[test]
fn unproved_a_log_that_was_cut_beyond_it() {
    let (mut one, mut two, [p1, _, _, _]) = two();
    one.persist(p1.source(), &["s"]);
    let back = one.restore("P1").unwrap();
    two.log = Recovery::new("small", 400);
    let mut p2 = two.feed("P", 3);
    two.feed("Q", 3);
    two.hear(&mut p2, "P", 2);
    assert!(two.log.proves(T0, &back.cut));
    two.hear(&mut p2, "P", 2);
    assert!(!two.log.proves(T0, &back.cut));
}

#[test]
fn a_gap_in_an_app_servers_numbers_ends_what_came_before_it() {
    let mut shard = Shard::new("one");
    let mut p = shard.feed("P", 1);
    shard.hear(&mut p, "P", 2);
    shard.persist(p.source(), &["s"]);
    shard.log.source_down(T0, p);
    let mut again = shard.feed("P", 3);
    assert!(shard.restore("P1").is_some(), "nothing was lost");
    shard.log.release("/", "p");
    shard.hear(&mut again, "P", 1);
    shard.log.number(&mut again, 6).unwrap();
    assert!(shard.restore("P1").is_none());
    shard.hear(&mut again, "P", 1);
    assert!(shard.restore("P3").is_none());
    assert!(shard.restore("P6").is_some());
}

#[test]
fn an_app_server_that_numbers_nothing_is_not_recorded_and_ends_what_came_before() {
    let (mut one, mut two, [mut p1, _, _, _]) = two();
    one.persist(p1.source(), &["s"]);
    let back = one.restore("P1").unwrap();
    one.log.release("/", "p");
    for shard in [&mut one, &mut two] {
        let mut old = shard.log.source_up("old");
        shard.record(&mut old, "old", to(&[], &[]));
        assert!(!shard.log.proves(T0, &back.cut));
        assert!(shard.log.proves(T0 + KEEP, &back.cut));
    }
    assert!(one.restore("P1").is_none());
    one.hear(&mut p1, "P", 1);
    assert!(one.restore("P3").is_some());
}

#[test]
fn numbers_do_not_go_backwards() {
    let mut shard = Shard::new("one");
    let mut p = shard.feed("P", 5);
    assert_eq!(shard.log.number(&mut p, 4), Err(NumberRepeats));
    assert_eq!(shard.log.number(&mut p, 0), Err(NumberRepeats));
    shard.hear(&mut p, "P", 2);
    assert_eq!(shard.log.number(&mut p, 6), Err(NumberRepeats));
    assert_eq!(shard.log.number(&mut p, 7), Ok(()));
}

#[test]
fn who_went_away_again_at_the_other_shard() {
    let went = |offset: &str| {
        let (mut one, mut two, [p1, _, mut p2, mut q2]) = two();
        one.persist(p1.source(), &["s"]);
        let back = one.restore("P1").unwrap();
        assert_eq!(two.resume(p2.source(), &back), Ok(vec![]));
        two.hear(&mut q2, "Q", 1);
        two.hear(&mut p2, "P", 1);
        two.persist(p2.source(), &["s"]);
        two.restore(offset).map(|back| back.missed)
    };
    assert_eq!(went("Q2"), Some(vec![3, 3]), "all that it had missed, and nothing here");
    assert_eq!(went("Q3"), Some(vec![3]));
    assert_eq!(went("P3"), Some(vec![]));
    // In this shard's order P2 comes after Q2, so this shard cannot tell what the client has
    // received of Q.
    assert_eq!(went("P2"), None);
    assert_eq!(went("P1"), None);
}

#[test]
fn who_went_away_again_before_it_had_all_with_one_app_server() {
    let (mut one, mut two) = (Shard::new("one"), Shard::new("two"));
    let (mut p1, mut p2) = (one.feed("P", 1), two.feed("P", 1));
    one.feed("Q", 1);
    two.feed("Q", 1);
    one.hear(&mut p1, "P", 4);
    two.hear(&mut p2, "P", 4);
    one.persist(p1.source(), &["s"]);
    let back = one.restore("P1").unwrap();
    two.resume(p2.source(), &back).unwrap();
    two.hear(&mut p2, "P", 1);
    two.persist(p2.source(), &["s"]);
    assert_eq!(two.restore("P2").unwrap().missed, [3, 4, 5]);
}

#[test]
fn who_came_back_to_the_same_shard_and_went_away_again_is_known_wherever_it_was() {
    let (mut one, _, [mut p1, mut q1, _, _]) = two();
    one.persist(p1.source(), &["s"]);
    let back = one.restore("P1").unwrap();
    assert_eq!(one.resume(p1.source(), &back), Ok(vec![]));
    one.hear(&mut q1, "Q", 1);
    one.hear(&mut p1, "P", 1);
    one.persist(p1.source(), &["s"]);
    assert_eq!(one.restore("Q1").unwrap().missed, [2, 2, 3, 3]);
}

#[test]
fn nothing_is_kept_of_a_socket_that_came_back_unproved() {
    let (mut one, mut two, [p1, _, p2, _]) = two();
    one.feed("R", 1);
    one.persist(p1.source(), &["s"]);
    let back = one.restore("P1").unwrap();
    assert_eq!(two.resume(p2.source(), &back), Err(Unproved));
    two.persist(p2.source(), &["s"]);
    assert!(!two.log.keeps("p"));
    two.log.take_seat(SEAT);
    two.persist(p2.source(), &["s"]);
    assert!(two.log.keeps("p"));
}

#[test]
fn an_app_server_that_is_gone_is_remembered_as_long_as_any_node_may_have_something_of_it() {
    let mut shard = Shard::new("one");
    let mut p = shard.feed("P", 1);
    shard.hear(&mut p, "P", 3);
    shard.log.source_down(at(1), p);
    let cut = Cut(vec![("P".into(), 3)]);
    shard.log.expire(at(290));
    assert!(shard.log.proves(at(290), &cut));
    shard.log.expire(at(302));
    assert!(!shard.log.proves(at(302), &cut));
}
