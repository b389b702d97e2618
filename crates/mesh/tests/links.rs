//! Frames arrive once and in order, or the link ends.

mod cluster;

use std::time::Duration;

use bytes::Bytes;
use cluster::{Cluster, Faults, body, ids, short};
use trunkline_mesh::{
    BusEvent, Event, Lane, LinkEnd, Mesh, NotNow, PeerKey, Presence, RequestId, Stats, Timestamp,
    Transmit,
};

fn two() -> (Cluster, PeerKey, PeerKey) {
    let cluster = Cluster::of(2, 1);
    let (to_1, to_0) = (cluster.peer(0, 1), cluster.peer(1, 0));
    (cluster, to_1, to_0)
}

fn stats(cluster: &Cluster, at: usize) -> Stats {
    cluster.mesh(at).stats()
}

#[test]
fn frames_arrive_once_and_in_order_over_a_bus_that_loses_repeats_and_reorders() {
    for seed in 0..20 {
        let mut cluster = Cluster::of(2, seed);
        let peer = cluster.peer(0, 1);
        cluster.faults =
            Faults { lost: 200, repeated: 200, reordered: 300, late: 20, ..Faults::default() };
        for id in 0..300 {
            cluster.send(0, peer, Lane::Control, &short(id));
            cluster.run(Duration::from_micros(700));
        }
        cluster.run(Duration::from_secs(20));
        let frames = cluster.frames(1);
        assert_eq!(ids(&frames), (0..300).collect::<Vec<_>>(), "seed {seed}");
    }
}

#[test]
fn all_frames_of_one_turn_travel_in_one_datagram() {
    let (mut cluster, to_1, _) = two();
    let before = stats(&cluster, 0).datagrams_sent;
    cluster.with(0, |mesh, now| {
        for id in 0..100 {
            mesh.send(now, to_1, Lane::Control, &short(id)).unwrap();
        }
    });
    cluster.pump(0);
    assert_eq!(stats(&cluster, 0).datagrams_sent, before + 1);
    cluster.run(Duration::from_millis(1));
    assert_eq!(ids(&cluster.frames(1)), (0..100).collect::<Vec<_>>());
}

#[test]
fn an_answer_within_five_milliseconds_confirms_its_question() {
    let (mut cluster, to_1, to_0) = two();
    let before = [0, 1].map(|at| stats(&cluster, at).datagrams_sent);
    cluster.send(0, to_1, Lane::Control, &short(1));
    cluster.run(Duration::from_millis(2));
    cluster.send(1, to_0, Lane::Control, &short(1));
    cluster.run(Duration::from_millis(900));
    // The question, the answer, and a confirmation of the answer.
    let sent = [0, 1].map(|at| stats(&cluster, at).datagrams_sent - before[at]);
    assert_eq!(sent, [2, 1]);
    assert_eq!(stats(&cluster, 0).pieces_resent + stats(&cluster, 1).pieces_resent, 0);
}

#[test]
fn an_idle_link_sends_nothing() {
    let (mut cluster, ..) = two();
    let before = cluster.tally.datagrams;
    cluster.run(Duration::from_secs(60));
    assert_eq!(cluster.tally.datagrams, before);
}

#[test]
fn a_lost_piece_is_sent_again_after_three_round_trips_but_not_before_twenty_milliseconds() {
    let (mut cluster, to_1, _) = two();
    cluster.send(0, to_1, Lane::Control, &short(0));
    cluster.run(Duration::from_millis(100));
    cluster.faults.lost = 1000;
    cluster.send(0, to_1, Lane::Control, &short(1));
    cluster.faults.lost = 0;
    cluster.run(Duration::from_micros(19_999));
    assert_eq!(stats(&cluster, 0).pieces_resent, 0);
    cluster.run(Duration::from_micros(1_000));
    assert_eq!(stats(&cluster, 0).pieces_resent, 1);
    assert_eq!(ids(&cluster.frames(1)), [0, 1]);
}

#[test]
fn a_hole_is_filled_before_its_time_when_later_pieces_have_arrived() {
    let (mut cluster, to_1, _) = two();
    cluster.send(0, to_1, Lane::Control, &short(0));
    cluster.run(Duration::from_millis(100));
    cluster.faults.lost = 1000;
    cluster.send(0, to_1, Lane::Control, &short(1));
    cluster.faults.lost = 0;
    for id in 2..8 {
        cluster.run(Duration::from_millis(1));
        cluster.send(0, to_1, Lane::Control, &short(id));
    }
    cluster.run(Duration::from_millis(1));
    // 7 ms after the loss, all is there.
    assert_eq!(ids(&cluster.frames(1)), (0..8).collect::<Vec<_>>());
    assert_eq!(stats(&cluster, 0).pieces_resent, 1);
}

#[test]
fn a_frame_longer_than_a_datagram_arrives_whole() {
    let (mut cluster, to_1, _) = two();
    cluster.faults = Faults { lost: 50, reordered: 200, ..Faults::default() };
    let long = body(1, 5 << 20);
    cluster.send(0, to_1, Lane::Bulk, &long);
    cluster.send(0, to_1, Lane::Bulk, &short(2));
    cluster.run(Duration::from_secs(5));
    assert!(cluster.frames(1) == [long, short(2)]);
}

#[test]
fn no_datagram_is_longer_than_a_quarter_mebibyte_or_half_of_what_the_bus_carries() {
    let (mut cluster, to_1, _) = two();
    let longest = |cluster: &mut Cluster| {
        let frame = body(1, 3 << 20);
        cluster.with(0, |mesh, now| {
            mesh.send(now, to_1, Lane::Bulk, &frame).unwrap();
            payloads(mesh, now).iter().map(|payload| payload.len()).max()
        })
    };
    let quarter = 256 << 10;
    let length = longest(&mut cluster).unwrap().unwrap();
    assert!((quarter - 128..=quarter).contains(&length), "{length}");
    cluster.handle(0, BusEvent::Connected { payload_max: 32 << 10 });
    let half = 16 << 10;
    let length = longest(&mut cluster).unwrap().unwrap();
    assert!((half - 128..=half).contains(&length), "{length}");
}

/// What a mesh sends now.
fn payloads(mesh: &mut Mesh, now: Timestamp) -> Vec<Bytes> {
    std::iter::from_fn(|| mesh.poll_transmit(now))
        .filter_map(|transmit| match transmit {
            Transmit::Publish { payload, .. } => Some(payload),
            Transmit::Subscribe { .. } => None,
        })
        .collect()
}

#[test]
fn the_bulk_lane_does_not_hold_up_the_control_lane() {
    let (mut cluster, to_1, _) = two();
    cluster.faults.lost = 1000;
    cluster.send(0, to_1, Lane::Bulk, &body(1, 100_000));
    cluster.faults.lost = 0;
    cluster.send(0, to_1, Lane::Control, &short(2));
    cluster.run(Duration::from_millis(1));
    assert_eq!(ids(&cluster.frames(1)), [2]);
    cluster.run(Duration::from_secs(1));
    assert_eq!(ids(&cluster.frames(1)), [1]);
}

#[test]
fn long_frames_belong_on_the_bulk_lane() {
    assert_eq!(body(1, 1000).fitting_lane(), Lane::Control);
    assert_eq!(body(1, 65_600).fitting_lane(), Lane::Bulk);
}

#[test]
fn a_peer_that_confirms_nothing_gets_a_bounded_queue() {
    let (mut cluster, to_1, _) = two();
    cluster.stop(1);
    let frame = body(1, 1 << 20);
    let mut taken = 0;
    let refused = loop {
        match cluster.with(0, |mesh, now| mesh.send(now, to_1, Lane::Bulk, &frame)).unwrap() {
            Ok(()) => taken += 1,
            Err(refused) => break refused,
        }
        cluster.pump(0);
        assert!(taken < 200, "no bound");
    };
    assert_eq!(refused, NotNow::Full);
    // The window of one peer, 32 MiB, and as much again with 8 MiB more in the queue.
    assert!((40..=73).contains(&taken), "{taken}");
    // The other lane has its own.
    let other = cluster.with(0, |mesh, now| mesh.send(now, to_1, Lane::Control, &short(1)));
    assert_eq!(other, Some(Ok(())));
    let too_long = body(1, 33 << 20);
    let refused = cluster.with(0, |mesh, now| mesh.send(now, to_1, Lane::Bulk, &too_long));
    assert_eq!(refused, Some(Err(NotNow::TooLong)));
}

#[test]
fn a_link_that_confirms_nothing_for_six_seconds_ends_and_opens_again() {
    let (mut cluster, to_1, to_0) = two();
    // Beats arrive, datagrams of the link do not.
    cluster.faults.mute = Some(0);
    cluster.send(0, to_1, Lane::Control, &short(1));
    cluster.run(Duration::from_millis(5_999));
    assert!(cluster.events(0).is_empty());
    cluster.run(Duration::from_millis(1));
    let ended = Event::LinkEnded { peer: to_1, cause: LinkEnd::Unanswered };
    assert_eq!(cluster.events(0), [ended]);
    cluster.faults.mute = None;
    cluster.run(Duration::from_secs(2));
    assert_eq!(cluster.events(0), [Event::LinkUp(to_1)]);
    let events = cluster.events(1);
    let ended = Event::LinkEnded { peer: to_0, cause: LinkEnd::Reopened };
    assert_eq!(events, [ended, Event::LinkUp(to_0)]);
}

#[test]
fn when_a_peer_took_this_node_for_dead_the_link_ends_here_too() {
    let (mut cluster, to_1, _) = two();
    cluster.stop(0);
    cluster.run(Duration::from_secs(8));
    assert!(cluster.members(1).is_empty());
    cluster.nodes[0].events.clear();
    cluster.wake(0);
    // Node 0 believes in the link and uses it at once.
    let _ = cluster.with(0, |mesh, now| mesh.send(now, to_1, Lane::Control, &short(9)));
    cluster.pump(0);
    cluster.run(Duration::from_secs(5));
    let events = cluster.events(0);
    let ended = events.iter().position(|e| matches!(e, Event::LinkEnded { .. })).unwrap();
    let opened = events.iter().position(|e| matches!(e, Event::LinkUp(_))).unwrap();
    assert!(ended < opened, "{events:?}");
    // What was said on the old link does not arrive on the new one.
    assert!(cluster.frames(1).is_empty());
    let peer = cluster.peer(0, 1);
    assert_eq!(cluster.mesh(0).member(peer).unwrap().presence, Presence::Up);
    cluster.send(0, peer, Lane::Control, &short(10));
    cluster.run(Duration::from_millis(1));
    assert_eq!(ids(&cluster.frames(1)), [10]);
}

#[test]
fn datagrams_of_an_earlier_link_do_nothing() {
    let (mut cluster, to_1, _) = two();
    // Catch what node 0 sends, as a bus does that delivers it once more much later.
    let payloads = cluster
        .with(0, |mesh, now| {
            mesh.send(now, to_1, Lane::Control, &short(1)).unwrap();
            payloads(mesh, now)
        })
        .unwrap();
    let datagram = |payload: &Bytes| BusEvent::Datagram {
        lane: Some(Lane::Control),
        payload: payload.clone(),
    };
    for payload in &payloads {
        cluster.handle(1, datagram(payload));
        cluster.handle(1, datagram(payload));
    }
    assert_eq!(ids(&cluster.frames(1)), [1]);
    cluster.stop(0);
    cluster.run(Duration::from_secs(8));
    cluster.wake(0);
    cluster.run(Duration::from_secs(5));
    cluster.forget_events();
    for payload in &payloads {
        cluster.handle(1, datagram(payload));
    }
    assert!(cluster.events(1).is_empty());
}

#[test]
fn a_tampered_datagram_does_nothing() {
    let (mut cluster, to_1, _) = two();
    let caught = cluster.with(0, |mesh, now| {
        mesh.send(now, to_1, Lane::Control, &short(1)).unwrap();
        mesh.poll_transmit(now)
    });
    let Some(Some(Transmit::Publish { payload, .. })) = caught else { panic!() };
    for at in 0..payload.len() {
        let mut changed = payload.to_vec();
        changed[at] ^= 1;
        let payload = changed.into();
        cluster.handle(1, BusEvent::Datagram { lane: Some(Lane::Control), payload });
    }
    // On the other lane's inbox it is not what it says, either.
    cluster.handle(1, BusEvent::Datagram { lane: Some(Lane::Bulk), payload: payload.clone() });
    assert!(cluster.frames(1).is_empty());
    cluster.handle(1, BusEvent::Datagram { lane: Some(Lane::Control), payload });
    assert_eq!(cluster.frames(1), [short(1)]);
}

#[test]
fn request_ids_of_any_size_travel() {
    let (mut cluster, to_1, _) = two();
    for id in [0, 127, 128, u32::MAX] {
        cluster.send(0, to_1, Lane::Control, &short(id));
    }
    cluster.run(Duration::from_millis(1));
    let frames = cluster.frames(1);
    assert_eq!(ids(&frames), [0, 127, 128, u32::MAX]);
    assert_eq!(frames[3].id(), RequestId(u32::MAX));
}
