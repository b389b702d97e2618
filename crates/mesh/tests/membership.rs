//! Who is there: suspicion, death, leaving, and the bus away.
#![expect(clippy::unwrap_used, reason = "what a test asks for is there, or the test fails")]

mod cluster;

use std::time::Duration;

use cluster::{Cluster, short};
use trunkline_mesh::{
    BusEvent, DeathCause, Event, Lane, LinkEnd, Load, NodeState, NotNow, Owner, Presence, Reach,
};

fn presence(cluster: &Cluster, at: usize, incarnation: u64) -> Presence {
    let mesh = cluster.mesh(at);
    let all = mesh.members().chain(mesh.departed());
    all.into_iter().find(|member| member.key.incarnation == incarnation).unwrap().presence
}

#[test]
fn a_silent_peer_is_suspect_after_three_seconds_and_dead_after_five() {
    let mut cluster = Cluster::of(2, 1);
    // Nothing is sent to it, so only its silence tells.
    let (peer, last) = (cluster.peer(0, 1), cluster.members(0)[0].last_beat);
    let number = cluster.mesh(1).number().unwrap();
    cluster.kill(1);
    cluster.run_until(|cluster| presence(cluster, 0, peer.incarnation) == Presence::Suspect);
    assert_eq!(cluster.now.since(last), Duration::from_secs(3));
    assert_eq!(cluster.mesh(0).reach(peer), Reach::Suspect);
    cluster.run_until(|cluster| presence(cluster, 0, peer.incarnation) == Presence::Dead);
    assert_eq!(cluster.now.since(last), Duration::from_secs(5));
    assert_eq!(cluster.mesh(0).reach(peer), Reach::Gone);
    assert_eq!(cluster.mesh(0).owner_of(number), Owner::Dead { since: cluster.now });
    let events = cluster.events(0);
    assert!(
        matches!(&events[..], [
            Event::Suspect(a),
            Event::LinkEnded { peer: b, cause: LinkEnd::Silent },
            Event::Dead { member, cause: DeathCause::Silent },
        ] if *a == peer && *b == peer && member.key == peer),
        "{events:?}"
    );
    let refused = cluster.with(0, |mesh, now| mesh.send(now, peer, Lane::Control, &short(1)));
    assert_eq!(refused, Some(Err(NotNow::Gone)));
}

#[test]
fn a_peer_whose_inbox_is_gone_twice_is_dead_without_waiting_for_its_silence() {
    let mut cluster = Cluster::of(2, 1);
    let peer = cluster.peer(0, 1);
    cluster.kill(1);
    let killed = cluster.now;
    cluster.send(0, peer, Lane::Control, &short(1));
    cluster.run(Duration::from_millis(1));
    assert_eq!(presence(&cluster, 0, peer.incarnation), Presence::Suspect);
    cluster.run_until(|cluster| presence(cluster, 0, peer.incarnation) == Presence::Dead);
    let took = cluster.now.since(killed);
    assert!((1500..=1620).contains(&took.as_millis()), "{took:?}");
    let events = cluster.events(0);
    let dead = |event: &Event| matches!(event, Event::Dead { cause: DeathCause::Unreachable, .. });
    assert!(events.iter().any(dead), "{events:?}");
}

#[test]
fn an_inbox_that_is_gone_once_is_not_a_death_when_beats_go_on() {
    let mut cluster = Cluster::of(2, 1);
    let peer = cluster.peer(0, 1);
    let unreachable = BusEvent::Unreachable { number: peer.number, incarnation: peer.incarnation };
    cluster.handle(0, unreachable.clone());
    assert_eq!(presence(&cluster, 0, peer.incarnation), Presence::Suspect);
    cluster.run(Duration::from_millis(1200));
    assert_eq!(presence(&cluster, 0, peer.incarnation), Presence::Up);
    cluster.handle(0, unreachable);
    assert_eq!(presence(&cluster, 0, peer.incarnation), Presence::Suspect);
    cluster.run(Duration::from_millis(1200));
    let events = cluster.events(0);
    let once = vec![Event::Suspect(peer), Event::Trusted(peer)];
    let expected = [once.clone(), once].concat();
    assert_eq!(events, expected);
}

/// Whoever may publish on the bus can say that an inbox is gone.
#[test]
fn a_forged_word_that_an_inbox_is_gone_ends_no_link() {
    for seed in 0..8 {
        let mut cluster = Cluster::of(2, seed);
        let peer = cluster.peer(0, 1);
        let gone = BusEvent::Unreachable { number: peer.number, incarnation: peer.incarnation };
        for _ in 0..200 {
            cluster.handle(0, gone.clone());
            cluster.run(Duration::from_millis(50));
        }
        cluster.run(Duration::from_millis(1200));
        assert_eq!(presence(&cluster, 0, peer.incarnation), Presence::Up);
        let ended = |event: &&Event| {
            matches!(event, Event::LinkEnded { .. } | Event::Dead { .. } | Event::Left(_))
        };
        assert_eq!(cluster.events(0).iter().find(ended), None, "seed {seed}");
    }
}

#[test]
fn a_peer_that_says_that_it_leaves_has_left_at_once() {
    let mut cluster = Cluster::of(3, 1);
    let peer = cluster.peer(0, 1);
    cluster.with(1, |mesh, now| mesh.set_state(now, NodeState::Draining));
    cluster.pump(1);
    cluster.run(Duration::from_millis(1));
    let events = cluster.events(0);
    assert!(matches!(&events[..], [Event::Changed(member)] if member.state == NodeState::Draining));
    assert_eq!(cluster.mesh(0).reach(peer), Reach::Open, "a draining node still owns sessions");
    cluster.run(Duration::from_millis(100));
    cluster.with(1, |mesh, now| mesh.set_state(now, NodeState::Leaving));
    cluster.pump(1);
    cluster.run(Duration::from_millis(1));
    let events = cluster.events(0);
    assert!(
        matches!(&events[..], [
            Event::LinkEnded { cause: LinkEnd::Left, .. },
            Event::Left(member),
        ] if member.key == peer),
        "{events:?}"
    );
    // Its process goes on for a while: it does not come back.
    cluster.run(Duration::from_secs(5));
    assert_eq!(presence(&cluster, 0, peer.incarnation), Presence::Left);
    assert!(cluster.events(0).is_empty());
}

#[test]
fn a_lost_word_that_a_node_leaves_is_said_again_before_its_process_ends() {
    let mut cluster = Cluster::of(2, 1);
    let peer = cluster.peer(0, 1);
    cluster.run(Duration::from_millis(100));
    cluster.faults.deaf = Some((1, 0));
    cluster.with(1, |mesh, now| mesh.set_state(now, NodeState::Leaving));
    cluster.pump(1);
    cluster.run(Duration::from_millis(10));
    cluster.faults.deaf = None;
    cluster.run(Duration::from_millis(60));
    cluster.kill(1);
    cluster.run(Duration::from_secs(1));
    assert_eq!(presence(&cluster, 0, peer.incarnation), Presence::Left);
}

#[test]
fn a_change_is_told_at_once_and_a_mere_number_of_sessions_with_the_next_beat() {
    let mut cluster = Cluster::of(2, 1);
    let peer = cluster.peer(0, 1);
    let load = Load { sessions: 12, ..Load::default() };
    cluster.with(1, |mesh, now| mesh.set_load(now, load));
    cluster.pump(1);
    cluster.run(Duration::from_millis(1));
    assert_eq!(cluster.mesh(0).member(peer).unwrap().load.sessions, 0);
    cluster.run(Duration::from_millis(1200));
    assert_eq!(cluster.mesh(0).member(peer).unwrap().load.sessions, 12);
    assert!(cluster.events(0).is_empty());
    let load = Load { own_sids: true, ..load };
    cluster.with(1, |mesh, now| mesh.set_load(now, load));
    cluster.pump(1);
    cluster.run(Duration::from_millis(60));
    let events = cluster.events(0);
    assert!(matches!(&events[..], [Event::Changed(member)] if member.load == load), "{events:?}");
}

#[test]
fn a_node_that_starts_again_takes_the_place_of_its_former_life_soon() {
    let mut cluster = Cluster::of(2, 1);
    let former = cluster.peer(0, 1);
    cluster.kill(1);
    cluster.restart(1);
    cluster.run(Duration::from_millis(2600));
    assert_eq!(cluster.members(0).len(), 2, "both lives, as long as the former may live");
    cluster.run_until(|cluster| presence(cluster, 0, former.incarnation) == Presence::Dead);
    let events = cluster.events(0);
    let replaced = |event: &Event| matches!(event, Event::Dead { cause: DeathCause::Replaced, .. });
    assert!(events.iter().any(replaced), "{events:?}");
    assert_eq!(cluster.members(0)[0].key.incarnation, cluster.key_of(1));
}

#[test]
fn nothing_is_decided_about_peers_while_the_bus_is_away() {
    let mut cluster = Cluster::of(2, 1);
    let peer = cluster.peer(0, 1);
    for at in 0..2 {
        cluster.disconnect(at);
    }
    cluster.run(Duration::from_secs(60));
    assert_eq!(cluster.mesh(0).reach(peer), Reach::BusDown);
    // What is said now is said later.
    cluster.send(0, peer, Lane::Control, &short(1));
    for at in 0..2 {
        cluster.connect(at);
    }
    cluster.run(Duration::from_millis(200));
    assert_eq!(cluster.mesh(0).reach(peer), Reach::Open);
    assert_eq!(cluster.events(0), [Event::BusDown { cause: "cut".into() }, Event::BusUp]);
    assert_eq!(cluster.frames(1), [short(1)]);
}

#[test]
fn a_process_that_did_not_run_does_not_take_its_peers_for_dead() {
    for seed in 0..8 {
        let mut cluster = Cluster::of(3, seed);
        cluster.stop(0);
        cluster.run(Duration::from_secs(20));
        cluster.wake(0);
        cluster.run(Duration::from_secs(10));
        let events = cluster.events(0);
        let gone = |event: &&Event| matches!(event, Event::Dead { .. } | Event::Suspect(_));
        assert_eq!(events.iter().find(gone), None, "seed {seed}");
        // The others took it for dead, and know better now.
        let events = cluster.events(1);
        assert!(events.iter().any(|event| matches!(event, Event::Dead { .. })));
        for at in 0..3 {
            assert_eq!(cluster.members(at).len(), 2);
            assert!(cluster.members(at).iter().all(|member| member.presence == Presence::Up));
        }
    }
}

#[test]
fn nodes_that_could_not_hear_each_other_meet_again() {
    let mut cluster = Cluster::of(4, 1);
    cluster.nodes[2].side = 1;
    cluster.nodes[3].side = 1;
    cluster.run(Duration::from_secs(8));
    for at in 0..4 {
        assert_eq!(cluster.members(at).len(), 1, "node {at}");
    }
    cluster.nodes[2].side = 0;
    cluster.nodes[3].side = 0;
    cluster.run(Duration::from_secs(3));
    for at in 0..4 {
        assert_eq!(cluster.members(at).len(), 3, "node {at}");
        for member in cluster.members(at) {
            assert_eq!(cluster.mesh(at).reach(member.key), Reach::Open);
        }
    }
}

#[test]
fn different_hubs_are_named_once() {
    let mut cluster = Cluster::of(3, 1);
    cluster.with(1, |mesh, now| mesh.set_hubs_digest(now, [8; 8]));
    cluster.pump(1);
    cluster.run(Duration::from_secs(5));
    let differs = |events: &[Event]| {
        events.iter().filter(|event| matches!(event, Event::DiffersInHubs(_))).count()
    };
    assert_eq!([0, 1, 2].map(|at| differs(&cluster.events(at))), [1, 2, 1]);
    // Alike again, then different again.
    cluster.with(1, |mesh, now| mesh.set_hubs_digest(now, [7; 8]));
    cluster.pump(1);
    cluster.run(Duration::from_secs(2));
    assert_eq!([0, 1, 2].map(|at| differs(&cluster.events(at))), [0, 0, 0]);
}

#[test]
fn a_peer_that_does_not_hear_this_node_is_no_use_once_it_is_asked() {
    let mut cluster = Cluster::of(2, 1);
    let peer = cluster.peer(0, 1);
    // Node 1 gets nothing from node 0; node 0 hears node 1.
    cluster.faults.deaf = Some((0, 1));
    cluster.run(Duration::from_secs(6));
    assert!(cluster.members(1).is_empty());
    assert_eq!(presence(&cluster, 0, peer.incarnation), Presence::Heard, "it was told the end");
    assert_eq!(cluster.mesh(0).reach(peer), Reach::Gone);
    cluster.faults.deaf = None;
    cluster.run(Duration::from_secs(8));
    assert_eq!(cluster.mesh(0).reach(cluster.peer(0, 1)), Reach::Open);
    assert_eq!(cluster.mesh(1).reach(cluster.peer(1, 0)), Reach::Open);
}

#[test]
fn clocks_that_differ_do_not_matter() {
    let mut cluster = Cluster::new(1);
    cluster.clocks_differ = true;
    for _ in 0..5 {
        cluster.start_new();
    }
    cluster.run(Duration::from_secs(5));
    for at in 0..5 {
        assert_eq!(cluster.members(at).len(), 4);
    }
    cluster.forget_events();
    cluster.run(Duration::from_secs(60));
    for at in 0..5 {
        assert_eq!(cluster.events(at), []);
    }
}
