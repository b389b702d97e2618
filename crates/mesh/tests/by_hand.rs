//! A node of another make: what it may say, and what a mesh does with the rest.

mod cluster;
mod stage;

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use cluster::{Cluster, key, short};
use stage::{NUMBER, PEER, Stage, THEIRS};
use trunkline_mesh::{
    Beat, BusEvent, Datagram, Destination, EndCode, Event, FrameError, Keys, Lane, LinkEnd, Mesh,
    NodeState, Owner, PeerKey, Presence, Reach, Rule, Stranger, Timestamp, Transmit,
};

#[test]
fn beats_alone_make_no_member() {
    let mut stage = Stage::new();
    // A stranger repeats what somebody said once.
    stage.beat(1);
    stage.cluster.run(Duration::from_secs(1));
    stage.beat(2);
    assert_eq!(stage.presence(), Some(Presence::Heard));
    assert_eq!(stage.cluster.members(0), []);
    assert_eq!(stage.cluster.mesh(0).reach(PEER), Reach::Gone);
    assert_eq!(stage.events(), []);
    stage.cluster.run(Duration::from_secs(20));
    assert_eq!(stage.events(), []);
}

#[test]
fn a_life_without_a_link_takes_no_number_away() {
    let mut stage = Stage::new();
    let own = stage.cluster.mesh(0).number().expect("it has joined");
    // Older than any other, and without an answer.
    let claim = |sequence, numbers: Vec<u16>| Beat { rank: 0, numbers, ..Stage::beat_of(sequence) };
    let beat = claim(1, vec![own, NUMBER]);
    stage.hear(beat.encode(&stage.keys));
    assert_eq!(stage.cluster.mesh(0).number(), Some(own));
    let claimants: Vec<Owner> = stage.cluster.mesh(0).claimants(own).collect();
    assert_eq!(claimants, [Owner::Own]);
    let peer = PeerKey { number: own, incarnation: THEIRS };
    assert_eq!(stage.cluster.mesh(0).owner_of(NUMBER), Owner::Peer(peer), "nobody else has it");
    assert_eq!(stage.events(), []);
    // Another node that lives has that number as well.
    let other = stage.cluster.start_new();
    stage.cluster.run(Duration::from_secs(4));
    let with_link = stage.cluster.mesh(other).number().expect("it has joined");
    let beat = claim(2, vec![with_link, own]);
    stage.hear(beat.encode(&stage.keys));
    let linked = Owner::Peer(stage.cluster.peer(0, other));
    let claimants: Vec<Owner> = stage.cluster.mesh(0).claimants(with_link).collect();
    assert_eq!(claimants, [linked]);
}

#[test]
fn a_peer_that_proves_that_it_lives_takes_its_number() {
    let mut stage = Stage::new();
    let own = stage.cluster.mesh(0).number().expect("it has joined");
    let beat = Beat { rank: 0, numbers: vec![own], ..Stage::beat_of(1) };
    stage.hear(beat.encode(&stage.keys));
    stage.say(&stage.datagram(1, 1));
    let renumbered =
        |event: &Event| matches!(event, Event::Renumbered { from, .. } if *from == own);
    assert!(stage.events().iter().any(renumbered));
}

#[test]
fn a_beat_is_taken_once_and_never_after_a_later_one() {
    let mut stage = Stage::linked(1);
    stage.beat(5);
    let taken = stage.cluster.mesh(0).stats();
    stage.beat(5);
    stage.beat(4);
    let after = stage.cluster.mesh(0).stats();
    assert_eq!((after.beats_received, after.stale), (taken.beats_received, taken.stale + 2));
    assert_eq!(after.beats_missed, 3);
}

#[test]
fn a_peer_that_has_left_does_not_return_with_an_old_beat() {
    let mut stage = Stage::linked(1);
    let leaving = Beat { state: NodeState::Leaving, ..Stage::beat_of(9) };
    stage.hear(leaving.encode(&stage.keys));
    assert_eq!(stage.presence(), Some(Presence::Left));
    stage.beat(8);
    stage.beat(10);
    assert_eq!(stage.presence(), Some(Presence::Left));
}

#[test]
fn a_node_without_a_common_version_is_named_and_its_number_avoided() {
    // Versions 2 to 9 of the protocol, with the numbers 0x0201 and 7: a vector with our key.
    let mut stage = Stage::new();
    let mut beat = BytesMut::from(&Stage::beat_of(1).encode(&stage.keys)[..]);
    beat.truncate(beat.len() - 32);
    (beat[1], beat[2]) = (2, 9);
    let payload = sign_beat(&beat);
    stage.hear(payload);
    assert_eq!(stage.events(), [Event::Stranger(Stranger::Version { min: 2, max: 9 })]);
    assert_eq!(stage.presence(), None);
    assert_eq!(stage.cluster.mesh(0).stats().forged, 0);
}

/// Signs a beat that no mesh would write.
fn sign_beat(body: &[u8]) -> Bytes {
    use hmac::{Hmac, Mac};
    let mac = |key: &[u8], parts: &[&[u8]]| {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).expect("any length");
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes()
    };
    let key = mac(b"a key that nobody guesses", &[b"trunkline mesh beat 1 ", b"test"]);
    let signature = mac(&key, &[body]);
    [body, &signature[..]].concat().into()
}

#[test]
fn a_frame_of_an_unknown_type_ends_the_link_with_a_clear_word_and_an_optional_one_is_skipped() {
    let mut stage = Stage::linked(1);
    let mut bytes = BytesMut::from(&b"\x81\x03abc"[..]);
    short(1).encode(&mut bytes);
    stage.say(&stage.piece(1, 1, bytes));
    assert_eq!(stage.events(), [Event::Frame { from: PEER, frame: short(1) }]);
    stage.say(&stage.piece(1, 2, &b"\x7e\x01a"[..]));
    let error = FrameError { wire: 0x7e, rule: Rule::UnknownType };
    let cause = LinkEnd::Broken(error);
    assert_eq!(stage.events(), [Event::LinkEnded { peer: PEER, cause }]);
    assert!(cause.to_string().contains("unknown"), "{cause}");
    let ends: Vec<_> = stage.datagrams().iter().filter_map(|datagram| datagram.ended).collect();
    assert_eq!(ends, [EndCode::UNKNOWN_FRAME]);
    // It would happen again: the mesh waits longer than usual.
    for sequence in 2..10 {
        stage.beat(sequence);
        stage.cluster.with(0, |mesh, now| mesh.handle_timeout(now));
        assert_eq!(stage.datagrams(), [], "beat {sequence}");
        stage.cluster.now = stage.cluster.now + Duration::from_secs(1);
    }
}

#[test]
fn a_frame_beyond_the_limit_ends_the_link_before_its_bytes_have_arrived() {
    let mut stage = Stage::linked(1);
    let mut bytes = BytesMut::from(&b"\x14"[..]);
    let mut length = 33 << 20;
    while length >= 0x80 {
        bytes.put_u8(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.put_u8(length as u8);
    stage.say(&stage.piece(1, 1, bytes));
    let error = FrameError { wire: 0x14, rule: Rule::TooLong };
    let cause = LinkEnd::Broken(error);
    assert_eq!(stage.events(), [Event::LinkEnded { peer: PEER, cause }]);
}

#[test]
fn a_peer_that_confirms_what_was_never_sent_ends_the_link() {
    for (received, beyond) in [(1, 0), (0, 1), (u64::MAX, u64::MAX)] {
        let mut stage = Stage::linked(1);
        stage.say(&Datagram { received, beyond, ..stage.datagram(1, 1) });
        let cause = LinkEnd::Misbehaved;
        assert_eq!(stage.events(), [Event::LinkEnded { peer: PEER, cause }]);
    }
}

#[test]
fn pieces_out_of_order_are_kept_within_the_window() {
    let mut stage = Stage::linked(1);
    let mut bytes = BytesMut::new();
    (1..=4).for_each(|id| short(id).encode(&mut bytes));
    // Four frames of three bytes each, in twelve pieces: all but the first, from the last one on.
    for at in (1..12).rev() {
        stage.say(&stage.piece(1, at + 1, bytes.clone().freeze().slice(at as usize..=at as usize)));
    }
    assert_eq!(stage.events(), []);
    let confirmed = stage.datagrams();
    let last = confirmed.last().expect("holes are told at once");
    assert_eq!((last.received, last.beyond), (0, 0b111_1111_1111));
    stage.say(&stage.piece(1, 1, bytes.freeze().slice(..1)));
    assert_eq!(stage.events().len(), 4);
    // One that is repeated takes its room once: 80 KiB do not fit, one piece does.
    let large = Bytes::from(vec![0; 2 << 10]);
    for _ in 0..40 {
        stage.say(&stage.piece(1, 20, large.clone()));
    }
    stage.say(&stage.piece(1, 19, large));
    let stats = stage.cluster.mesh(0).stats();
    assert_eq!((stats.pieces_repeated, stats.pieces_dropped), (39, 0));
    // A piece too far ahead is dropped.
    stage.say(&stage.piece(1, 5_000, &b"x"[..]));
    assert_eq!(stage.cluster.mesh(0).stats().pieces_dropped, 1);
}

#[test]
fn no_more_pieces_are_under_way_than_the_peer_can_keep() {
    let mut stage = Stage::linked(1);
    stage.say(&Datagram { window: 1000, ..stage.datagram(1, 1) });
    let frame = cluster::body(1, 600);
    for _ in 0..5 {
        let sent = |mesh: &mut Mesh, now| mesh.send(now, PEER, Lane::Control, &frame);
        assert_eq!(stage.cluster.with(0, sent), Some(Ok(())));
        // One by one, as in turns of their own.
        stage.cluster.now = stage.cluster.now + Duration::from_micros(10);
        let _ = stage.datagrams().len();
    }
    let datagrams = stage.cluster.mesh(0).stats().datagrams_sent;
    // The first 600 bytes fit, 600 more do not.
    stage.say(&Datagram { window: 1000, received: 1, ..stage.datagram(1, 1) });
    assert_eq!(stage.datagrams().len(), 1);
    assert_eq!(stage.cluster.mesh(0).stats().datagrams_sent, datagrams + 1);
}

#[test]
fn an_opening_with_an_earlier_epoch_does_nothing_and_one_with_a_later_epoch_begins_anew() {
    let mut stage = Stage::linked(5);
    for epoch in 1..=5 {
        stage.say(&stage.datagram(epoch, 0));
    }
    assert_eq!((stage.events(), stage.presence()), (vec![], Some(Presence::Up)));
    stage.say(&stage.datagram(6, 0));
    let cause = LinkEnd::Reopened;
    assert_eq!(stage.events(), [Event::LinkEnded { peer: PEER, cause }]);
    let answer = stage.datagrams();
    let answer = answer.iter().find(|datagram| datagram.ended.is_none()).expect("an answer");
    assert_eq!((answer.epoch, answer.to_epoch, answer.urgent), (2, 6, true));
    // A piece of the former link is answered with its end.
    stage.say(&stage.piece(5, 1, &b"\x02\x01\x01"[..]));
    assert_eq!(stage.events(), []);
    stage.say(&stage.datagram(6, 2));
    assert_eq!(stage.events(), [Event::LinkUp(PEER)]);
}

#[test]
fn a_piece_for_a_link_that_has_ended_here_is_answered_with_its_end() {
    let mut stage = Stage::linked(1);
    stage.say(&Datagram { ended: Some(EndCode::SILENT), ..stage.datagram(1, 1) });
    let cause = LinkEnd::ByPeer(EndCode::SILENT);
    assert_eq!(stage.events(), [Event::LinkEnded { peer: PEER, cause }]);
    assert_eq!(stage.datagrams(), [], "an end is not answered");
    stage.say(&stage.piece(1, 1, &b"\x02\x01\x01"[..]));
    let answers = stage.datagrams();
    assert_eq!(answers.len(), 1);
    assert_eq!((answers[0].to_epoch, answers[0].ended), (1, Some(EndCode::UNKNOWN)));
    assert_eq!(stage.events(), []);
    // An end for another epoch does nothing.
    let mut stage = Stage::linked(1);
    stage.say(&Datagram { ended: Some(EndCode::SILENT), ..stage.datagram(1, 9) });
    assert_eq!(stage.events(), []);
}

#[test]
fn a_piece_with_another_epoch_of_either_end_does_nothing() {
    let mut stage = Stage::linked(5);
    for (epoch, to_epoch) in [(4, 1), (6, 1), (5, 2), (6, 2), (4, 7)] {
        let piece = stage.piece(epoch, 1, &b"\x02\x01\x01"[..]);
        stage.say(&Datagram { to_epoch, ..piece });
        assert_eq!(stage.events(), [], "{epoch} to {to_epoch}");
    }
    // The right ones.
    stage.say(&stage.piece(5, 1, &b"\x02\x01\x01"[..]));
    assert_eq!(stage.events(), [Event::Frame { from: PEER, frame: short(1) }]);
}

#[test]
fn of_two_nodes_with_one_number_the_older_keeps_it_whoever_hears_of_it_first() {
    // The mesh was the first of its cluster: its rank is 1. Its incarnation is the higher one.
    for (rank, fixed, keeps) in
        [(0, false, false), (1, false, false), (2, false, true), (9, true, false)]
    {
        let mut stage = Stage::new();
        let number = stage.cluster.mesh(0).number().expect("it has joined");
        stage.datagrams();
        let beats = stage.cluster.mesh(0).stats().beats_sent;
        stage.cluster.now = stage.cluster.now + Duration::from_millis(100);
        let beat = Beat { numbers: vec![number], rank, fixed, ..Stage::beat_of(1) };
        stage.hear(beat.encode(&stage.keys));
        stage.say(&stage.datagram(1, 1));
        let present = stage.cluster.mesh(0).number().expect("it has one");
        assert_eq!(present == number, keeps, "rank {rank}");
        let mut events = stage.events();
        events.retain(|event| matches!(event, Event::Renumbered { .. }));
        if keeps {
            assert_eq!(events, []);
        } else {
            assert_eq!(events, [Event::Renumbered { from: number, to: present }]);
            assert_eq!(stage.cluster.mesh(0).numbers(), [present, number]);
        }
        // Either way the other one hears of it at once.
        let _ = stage.cluster.with(0, |mesh, now| while mesh.poll_transmit(now).is_some() {});
        assert_eq!(stage.cluster.mesh(0).stats().beats_sent, beats + 1);
    }
}

#[test]
fn a_newcomer_is_younger_than_all_whom_it_has_heard() {
    let mut cluster = Cluster::new(1);
    cluster.start_new();
    let keys = Keys::new(&key(), "test");
    let mut stage = Stage { own: cluster.key_of(0), cluster, keys };
    stage.beat(1);
    let take = |mesh: &mut Mesh, now: Timestamp| -> Vec<Transmit> {
        mesh.handle_timeout(now);
        std::iter::from_fn(|| mesh.poll_transmit(now)).collect()
    };
    for _ in 0..3 {
        stage.cluster.now = stage.cluster.now + Duration::from_secs(1);
        for transmit in stage.cluster.with(0, take).unwrap_or_default() {
            let Transmit::Publish { to: Destination::Everybody, payload } = transmit else {
                continue;
            };
            let beat = Beat::decode(&payload, &stage.keys).expect("our own");
            let expected = if beat.numbers.is_empty() { 0 } else { Stage::beat_of(1).rank + 1 };
            assert_eq!(beat.rank, expected);
        }
    }
    assert!(stage.cluster.mesh(0).number().is_some());
}

#[test]
fn an_inbox_that_is_gone_once_is_tried_again_after_a_second_and_a_half() {
    let mut stage = Stage::linked(1);
    // Long enough after the bus connected.
    for sequence in 2..8 {
        stage.cluster.now = stage.cluster.now + Duration::from_secs(1);
        stage.beat(sequence);
        stage.datagrams();
    }
    stage.events();
    stage.bus(BusEvent::Unreachable { number: NUMBER, incarnation: THEIRS });
    assert_eq!(stage.events(), [Event::Suspect(PEER)]);
    assert_eq!(stage.datagrams(), []);
    stage.cluster.now = stage.cluster.now + Duration::from_millis(1500);
    stage.cluster.with(0, |mesh, now| mesh.handle_timeout(now));
    let probes: Vec<_> = stage.datagrams().iter().map(|datagram| datagram.urgent).collect();
    assert_eq!(probes, [true]);
    stage.beat(8);
    assert_eq!(stage.events(), [Event::Trusted(PEER)]);
}

#[test]
fn a_dead_peer_that_goes_on_is_told_that_its_link_has_ended() {
    let mut stage = Stage::linked(1);
    stage.cluster.run(Duration::from_secs(20));
    assert_eq!(stage.presence(), Some(Presence::Dead));
    stage.datagrams();
    stage.say(&stage.piece(1, 1, &b"\x02\x01\x01"[..]));
    let answers = stage.datagrams();
    assert_eq!(answers.len(), 1);
    assert_eq!((answers[0].to_epoch, answers[0].ended), (1, Some(EndCode::UNKNOWN)));
    // What says itself that a link has ended, or opens one, is not answered.
    stage.say(&Datagram { ended: Some(EndCode::SILENT), ..stage.datagram(1, 1) });
    stage.say(&stage.datagram(2, 0));
    assert_eq!(stage.datagrams(), []);
}

#[test]
fn an_answer_with_an_epoch_of_a_former_link_opens_none() {
    let mut stage = Stage::linked(5);
    stage.say(&Datagram { ended: Some(EndCode::SILENT), ..stage.datagram(5, 1) });
    stage.events();
    stage.cluster.now = stage.cluster.now + Duration::from_secs(1);
    stage.cluster.with(0, |mesh, now| mesh.handle_timeout(now));
    let opening = stage.datagrams();
    assert_eq!((opening[0].epoch, opening[0].to_epoch), (2, 0));
    stage.say(&stage.datagram(5, 2));
    assert_eq!((stage.events(), stage.presence()), (vec![], Some(Presence::Heard)));
    stage.say(&stage.datagram(6, 2));
    assert_eq!(stage.events(), [Event::LinkUp(PEER)]);
}

#[test]
fn what_was_under_way_is_sent_again_when_the_bus_is_back() {
    let mut stage = Stage::linked(1);
    let sent = stage.cluster.with(0, |mesh, now| mesh.send(now, PEER, Lane::Control, &short(1)));
    assert_eq!(sent, Some(Ok(())));
    let pieces = |all: Vec<Datagram>| all.into_iter().filter_map(|one| one.data).count();
    assert_eq!(pieces(stage.datagrams()), 1);
    assert_eq!(pieces(stage.datagrams()), 0);
    stage.bus(BusEvent::Disconnected { cause: "cut".into() });
    stage.bus(BusEvent::Connected { payload_max: 1 << 20 });
    assert_eq!(pieces(stage.datagrams()), 1, "without waiting for its time");
}

#[test]
fn a_number_that_the_operator_gave_is_not_taken_from_a_node_that_has_it() {
    let mut cluster = Cluster::new(1);
    cluster.start_new();
    cluster.run(Duration::from_secs(3));
    let number = cluster.mesh(0).number().expect("it has joined");
    cluster.start_with(1, |identity| identity.number = Some(number), &key());
    cluster.run(Duration::from_secs(5));
    let other = cluster.mesh(1).numbers().to_vec();
    assert!(other.len() == 1 && other[0] != number, "{other:?}");
    assert_eq!(cluster.mesh(0).numbers(), [number]);
}

#[test]
fn a_number_of_a_node_of_another_version_is_not_taken() {
    for hears in [false, true] {
        let mut cluster = Cluster::new(1);
        cluster.start_with(0, |identity| identity.number = Some(NUMBER), &key());
        let keys = Keys::new(&key(), "test");
        let mut stage = Stage { own: cluster.key_of(0), cluster, keys };
        if hears {
            let mut beat = BytesMut::from(&Stage::beat_of(1).encode(&stage.keys)[..]);
            beat.truncate(beat.len() - 32);
            (beat[1], beat[2]) = (2, 9);
            let payload = sign_beat(&beat);
            stage.hear(payload);
        }
        stage.cluster.run(Duration::from_secs(3));
        assert_eq!(stage.cluster.mesh(0).number() == Some(NUMBER), !hears);
    }
}

#[test]
fn a_difference_in_hubs_is_reported_once_for_each_digest() {
    let mut stage = Stage::linked(1);
    let reports = [(2, 8, 1), (3, 8, 0), (4, 9, 1), (5, 7, 0), (6, 9, 1)];
    for (sequence, digest, expected) in reports {
        let beat = Beat { hubs_digest: [digest; 8], ..Stage::beat_of(sequence) };
        stage.hear(beat.encode(&stage.keys));
        let events = stage.events();
        let differs = events.iter().filter(|event| matches!(event, Event::DiffersInHubs(_)));
        assert_eq!(differs.count(), expected, "beat {sequence}");
    }
    // This node's own change is no news of the peer, nor is another link.
    stage.cluster.with(0, |mesh, now| mesh.set_hubs_digest(now, [3; 8]));
    stage.say(&stage.datagram(2, 0));
    stage.datagrams();
    stage.say(&stage.datagram(2, 2));
    assert_eq!(stage.presence(), Some(Presence::Up));
    let differs = |event: &Event| matches!(event, Event::DiffersInHubs(_));
    assert!(!stage.events().iter().any(differs));
}
