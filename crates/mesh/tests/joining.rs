//! How nodes join, and get their numbers.

mod cluster;

use std::time::Duration;

use cluster::{Cluster, key};
use trunkline_mesh::{Event, NodeState, Owner, Presence, Stranger};

const LISTEN: Duration = Duration::from_millis(2500);

fn ready(cluster: &Cluster, at: usize) -> bool {
    cluster.mesh(at).number().is_some()
}

#[test]
fn a_newcomer_listens_for_two_and_a_half_seconds_before_it_takes_a_number() {
    let mut cluster = Cluster::new(1);
    cluster.start_new();
    cluster.run(LISTEN - Duration::from_millis(1));
    assert!(!ready(&cluster, 0));
    assert_eq!(cluster.mesh(0).state(), NodeState::Joining);
    assert!(cluster.nodes[0].subscribed.is_empty());
    cluster.run(Duration::from_millis(1));
    let number = cluster.mesh(0).number().unwrap();
    assert_eq!(cluster.mesh(0).state(), NodeState::Up);
    assert_eq!(cluster.nodes[0].subscribed, [number]);
    assert_eq!(cluster.events(0), [Event::BusUp, Event::Ready { number }]);
    assert_eq!(cluster.mesh(0).owner_of(number), Owner::Own);
}

#[test]
fn a_newcomer_that_loses_the_bus_listens_anew() {
    let mut cluster = Cluster::new(1);
    cluster.start_new();
    cluster.run(LISTEN / 2);
    cluster.disconnect(0);
    cluster.run(LISTEN * 2);
    assert!(!ready(&cluster, 0));
    cluster.connect(0);
    cluster.run(LISTEN - Duration::from_millis(1));
    assert!(!ready(&cluster, 0));
    cluster.run(Duration::from_millis(1));
    assert!(ready(&cluster, 0));
}

#[test]
fn a_newcomer_that_did_not_run_listens_anew() {
    let mut cluster = Cluster::of(1, 1);
    let at = cluster.start_new();
    cluster.run(Duration::from_millis(100));
    cluster.stop(at);
    cluster.run(LISTEN * 2);
    cluster.wake(at);
    cluster.run(LISTEN - Duration::from_millis(1));
    assert!(!ready(&cluster, at));
    cluster.run(Duration::from_millis(1));
    assert!(ready(&cluster, at));
}

#[test]
fn a_newcomer_and_its_peers_know_one_another_within_a_second_of_its_number() {
    let mut cluster = Cluster::of(3, 1);
    let at = cluster.start_new();
    cluster.run(LISTEN + Duration::from_millis(10));
    assert_eq!(cluster.members(at).len(), 3);
    for other in 0..3 {
        let peer = cluster.peer(other, at);
        let member = cluster.mesh(other).member(peer).unwrap();
        assert_eq!(member.presence, Presence::Up);
        assert_eq!(member.state, NodeState::Up);
        assert_eq!((member.node_id.as_str(), member.advertise.as_str()), ("n3", "ws://n3:3000"));
        assert_eq!(Some(member.number), cluster.mesh(at).number());
        assert_eq!(cluster.mesh(other).owner_of(member.number), Owner::Peer(peer));
        let events = cluster.events(other);
        assert!(
            matches!(&events[..], [Event::Joined(joined), Event::LinkUp(up)]
                if joined.key == peer && *up == peer),
            "{events:?}"
        );
    }
}

#[test]
fn a_newcomer_takes_no_number_that_it_has_heard_of() {
    let mut cluster = Cluster::new(1);
    cluster.start_with(0, |identity| identity.number = Some(7), &key());
    cluster.run(Duration::from_secs(3));
    assert_eq!(cluster.mesh(0).number(), Some(7));
    // This one is told to take 7 as well: it must notice in time.
    cluster.start_with(1, |identity| identity.number = Some(7), &key());
    cluster.run(Duration::from_secs(3));
    // It never had it, so it does not answer for it either.
    assert!(!cluster.mesh(1).numbers().contains(&7));
    assert_eq!(cluster.mesh(0).number(), Some(7));
    assert_eq!(cluster.members(1).len(), 1);
}

#[test]
fn a_node_that_restarts_has_its_configured_number_again() {
    let mut cluster = Cluster::of(1, 1);
    cluster.start_with(1, |identity| identity.number = Some(7), &key());
    cluster.run(Duration::from_secs(4));
    cluster.kill(1);
    cluster.start_with(1, |identity| identity.number = Some(7), &key());
    cluster.run(Duration::from_secs(6));
    assert_eq!(cluster.mesh(1).number(), Some(7));
    let members = cluster.members(0);
    assert_eq!(members.len(), 1);
    assert_eq!(members[0].key.incarnation, cluster.key_of(1));
}

/// Two nodes that cannot hear each other take the same number, then meet.
fn two_with_one_number() -> Cluster {
    let mut cluster = Cluster::new(3);
    for at in 0..2 {
        cluster.start_with(at, |identity| identity.number = Some(7), &key());
        cluster.nodes[at].side = at as u8;
        cluster.run(Duration::from_millis(500));
    }
    cluster.run(Duration::from_secs(4));
    assert_eq!(cluster.mesh(0).number(), cluster.mesh(1).number());
    cluster.forget_events();
    cluster.nodes[1].side = 0;
    cluster.run(Duration::from_secs(3));
    cluster
}

#[test]
fn of_two_nodes_with_one_number_one_takes_another_and_answers_for_both() {
    let mut cluster = two_with_one_number();
    let numbers = [0, 1].map(|at| cluster.mesh(at).number().unwrap());
    assert_ne!(numbers[0], numbers[1]);
    let moved = usize::from(numbers[0] == 7);
    let kept = 1 - moved;
    assert_eq!(numbers[kept], 7);
    assert_eq!(cluster.mesh(moved).numbers(), [numbers[moved], 7]);
    let renumbered = Event::Renumbered { from: 7, to: numbers[moved] };
    assert!(cluster.events(moved).contains(&renumbered));
    assert!(!cluster.events(kept).iter().any(|event| matches!(event, Event::Renumbered { .. })));
    assert_eq!(cluster.nodes[moved].subscribed, [7, numbers[moved]]);
    // The keeper asks itself first, then the one that had the number as well.
    let peer = cluster.peer(kept, moved);
    assert_eq!(cluster.mesh(kept).owner_of(numbers[moved]), Owner::Peer(peer));
    let claimants: Vec<_> = cluster.mesh(kept).claimants(7).collect();
    assert_eq!(claimants, [Owner::Own, Owner::Peer(peer)]);
    // A third node asks the present owner first.
    let third = cluster.start_new();
    cluster.run(Duration::from_secs(4));
    let peers = [kept, moved].map(|at| Owner::Peer(cluster.peer(third, at)));
    let claimants: Vec<_> = cluster.mesh(third).claimants(7).collect();
    assert_eq!(claimants, peers);
}

#[test]
fn nodes_that_start_together_all_get_different_numbers() {
    let mut cluster = Cluster::new(2);
    for _ in 0..30 {
        cluster.start_new();
    }
    cluster.run(Duration::from_secs(5));
    let mut numbers: Vec<_> = (0..30).map(|at| cluster.mesh(at).number().unwrap()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 30);
}

#[test]
fn nodes_of_another_cluster_or_with_another_key_are_strangers() {
    let mut cluster = Cluster::of(1, 1);
    cluster.start_with(1, |identity| identity.cluster = "other".into(), &key());
    let other = trunkline_mesh::ClusterKey::new("another key");
    cluster.start_with(2, |_| {}, &other);
    cluster.run(Duration::from_secs(9));
    for at in 0..3 {
        assert!(cluster.members(at).is_empty(), "node {at}");
        // Each kind is reported once in ten seconds, not with each beat.
        let strangers = cluster.events(at);
        let strangers = strangers.iter().filter(|event| matches!(event, Event::Stranger(_)));
        let strangers: Vec<_> = strangers.collect();
        assert_eq!(strangers, [&Event::Stranger(Stranger::Forged)], "node {at}");
        assert!(cluster.mesh(at).stats().forged > 10);
    }
}
