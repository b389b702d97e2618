//! Sessions that go on in another process: all that they have goes along, and nothing else.

mod common;

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use common::World;
use trunkline_engineio::{
    BadSnapshot, Body, CloseReason, Config, Delivery, ForeignProbe, PollKey, ProbeRefused, Probed,
    Protocol, Session, Snapshot, Timestamp, TransportKind,
};

impl World {
    /// Moves the session to a process whose clock is an hour ahead, as bytes.
    fn moves(&mut self) {
        let bytes = self.session.export(self.now).expect("it has not ended").encode();
        let snapshot = Snapshot::decode(Bytes::from(bytes.clone())).expect("our own bytes");
        assert_eq!(snapshot.encode(), bytes, "what is read is what was written");
        self.now = self.now + Duration::from_secs(3_600);
        let config = Rc::new(self.session.config().clone());
        self.session = Session::import(self.now, config, snapshot);
    }
}

/// A session that polled here and whose client has changed to a WebSocket elsewhere.
fn taken(protocol: Protocol) -> World {
    let mut world = World::polling_with(protocol, Config::default());
    world.session.handle_foreign_probe(world.now).expect("a first probe");
    assert!(world.session.handle_foreign_upgrade(world.now).is_none(), "no poll is held");
    world
}

#[test]
fn a_held_poll_gets_noops_while_the_client_probes_elsewhere() {
    let mut world = World::polling();
    world.poll(1).unwrap();
    world.session.handle_foreign_probe(world.now).unwrap();
    assert_eq!(world.session.handle_foreign_probe(world.now), Err(ProbeRefused::AlreadyUpgrading));
    world.advance(99);
    assert_eq!(world.take(), [""; 0]);
    world.advance(1);
    assert_eq!(world.take(), ["poll 1 <- 6"]);
    world.poll(2).unwrap();
    world.advance(100);
    assert_eq!(world.take(), ["poll 2 <- 6"]);
    world.send("polling goes on");
    world.poll(3).unwrap();
    assert_eq!(world.take(), ["poll 3 <- 4polling goes on"]);
    world.session.handle_probe_closed(world.now);
    world.poll(4).unwrap();
    world.advance(1_000);
    assert_eq!(world.take(), [""; 0], "no more noops");
    assert!(world.session.is_open() && !world.session.is_probing());
}

#[test]
fn a_probe_elsewhere_that_takes_too_long_is_over() {
    let mut world = World::polling();
    world.session.handle_foreign_probe(world.now).unwrap();
    world.advance(10_000);
    assert!(!world.session.is_probing());
    assert_eq!(world.session.handle_foreign_probe(world.now), Ok(()), "may try again");
    world.session.handle_probe_closed(world.now);
    let mut upgraded = World::upgraded();
    let refused = upgraded.session.handle_foreign_probe(upgraded.now);
    assert_eq!(refused, Err(ProbeRefused::AlreadyUpgraded));
}

#[test]
fn a_poll_that_is_held_at_the_change_ends_the_polling_transport() {
    let mut world = World::polling();
    world.session.handle_foreign_probe(world.now).unwrap();
    world.poll(7).unwrap();
    world.queue("waits", Delivery::Reliable);
    let answer = world.session.handle_foreign_upgrade(world.now).expect("the poll's answer");
    let said = format!("{answer:?}");
    assert!(said.contains("PollKey(7)") && said.contains("b\"1\""), "{said}");
    assert_eq!(world.session.transport(), TransportKind::WebSocket);
    assert!(world.session.handle_poll(world.now, PollKey(8)).is_err(), "it no longer polls");
    world.moves();
    world.drain();
    assert_eq!(world.take(), ["ws <- 4waits"], "the answer is not said again");
}

#[test]
fn what_was_sent_meanwhile_leaves_at_the_other_end_in_order_whatever_it_is() {
    for protocol in [Protocol::V3, Protocol::V4] {
        let mut world = taken(protocol);
        world.queue("first", Delivery::Reliable);
        world.queue_bytes(&[1, 2]);
        world.queue("", Delivery::Reliable);
        let before = world.session.outbox_bytes();
        world.moves();
        assert_eq!(world.session.outbox_bytes(), before);
        assert_eq!((world.session.protocol(), world.session.is_open()), (protocol, true));
        world.drain();
        let binary = if protocol == Protocol::V4 { "ws <- [1, 2]" } else { "ws <- [4, 1, 2]" };
        assert_eq!(world.take(), ["ws <- 4first", binary, "ws <- 4"]);
        world.message("4hello").unwrap();
        assert_eq!(world.take(), ["app hears \"hello\""]);
        let refused = world.session.handle_probe_opened(world.now);
        assert_eq!(refused, Err(ProbeRefused::AlreadyUpgraded));
    }
}

#[test]
fn the_heartbeat_goes_on_with_the_time_that_was_left() {
    let mut world = taken(Protocol::V4);
    world.advance(20_000);
    world.moves();
    world.advance(4_999);
    assert_eq!(world.take(), [""; 0]);
    world.advance(1);
    assert_eq!(world.take(), ["ws <- 2"]);
    world.advance(5_000);
    world.moves();
    world.advance(14_999);
    assert_eq!(world.take(), [""; 0]);
    world.advance(1);
    assert_eq!(world.take(), ["ws close 1005", "closed: ping timeout"]);

    let mut older = taken(Protocol::V3);
    older.advance(40_000);
    older.moves();
    older.advance(4_999);
    assert!(!older.session.is_closed());
    older.advance(1);
    assert!(older.session.is_closed());
}

#[test]
fn a_session_that_its_app_has_closed_still_sends_what_came_before() {
    let mut world = taken(Protocol::V4);
    world.queue("last", Delivery::Reliable);
    world.session.close(world.now, CloseReason::Forced);
    world.moves();
    assert!(!world.queue("too late", Delivery::Reliable));
    world.drain();
    assert_eq!(world.take(), ["ws <- 4last", "ws close 1005", "closed: forced close"]);
    assert!(world.session.export(world.now).is_none(), "nothing is left to move");
}

#[test]
fn only_the_upgrade_packet_changes_and_anything_else_ends_the_attempt() {
    let now = Timestamp::from_micros(5);
    for protocol in [Protocol::V3, Protocol::V4] {
        let probe = ForeignProbe::new(now, protocol, Duration::from_secs(10));
        assert_eq!(probe.handle_message(Body::Text("2probe")), Probed::Ping);
        assert_eq!(probe.handle_message(Body::Text("5")), Probed::Upgrade);
        for text in ["4a", "2", "2other", "3probe", "1", "6", "9", ""] {
            assert_eq!(probe.handle_message(Body::Text(text)), Probed::Failed, "{text:?}");
        }
        assert_eq!(probe.deadline(), now + Duration::from_secs(10));
    }
    assert_eq!(&ForeignProbe::pong()[..], b"\x81\x063probe");
}

#[test]
fn bytes_that_are_no_snapshot_are_refused() {
    let mut world = taken(Protocol::V4);
    world.queue("x", Delivery::Reliable);
    let good = world.session.export(world.now).unwrap().encode();
    let read = |bytes: &[u8]| Snapshot::decode(Bytes::copy_from_slice(bytes)).map(|_| ());
    assert_eq!(read(&good), Ok(()));
    for end in 0..good.len() {
        assert_eq!(read(&good[..end]), Err(BadSnapshot::Truncated), "{end} bytes");
    }
    assert_eq!(read(&[&good[..], &[0]].concat()), Err(BadSnapshot::LeftOver));
    let with = |place: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[place] = byte;
        read(&bytes)
    };
    assert_eq!(with(0, 2), Err(BadSnapshot::Version(2)));
    assert_eq!(with(1, 0xff), Err(BadSnapshot::Undefined), "flags without a meaning");
    assert_eq!(with(2, 9), Err(BadSnapshot::Undefined), "a state without a meaning");
    assert_eq!(with(3, 0), Err(BadSnapshot::Undefined), "a heartbeat of the other revision");
    // Nine bytes of packets cannot be 2^63 packets.
    let many = [1, 2, 0, 1, 1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1];
    assert_eq!(read(&many), Err(BadSnapshot::Truncated));
    let not_utf8 = [1, 2, 0, 1, 1, 1, 8 + 2, 1, 0xff];
    assert_eq!(read(&not_utf8), Err(BadSnapshot::Undefined));
    let no_kind = [1, 2, 0, 1, 1, 1, 8 + 3, 0];
    assert_eq!(read(&no_kind), Err(BadSnapshot::Undefined));
    let long_form = [1, 2, 0, 1, 0x81, 0, 0];
    assert_eq!(read(&long_form), Err(BadSnapshot::Undefined), "the shortest form alone");
    let never = [1, 2, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0];
    assert_eq!(read(&never), Err(BadSnapshot::Undefined), "longer than a year");
}
