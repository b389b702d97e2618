//! What is said between two nodes is in order and bounded, or begins again.

use super::super::super::peers::WINDOW_BYTES;
use super::*;

const AGAIN: Duration = Duration::from_millis(500);

#[test]
fn the_end_of_a_link_is_the_end_of_the_tunnels_behind_it() {
    let mut cluster = Cluster::with_server();
    cluster.client(1, 2);
    cluster.client(0, 1);
    cluster.unlink(0, 1);
    cluster.pass(Duration::from_secs(1));
    assert_eq!(cluster.nodes[1].take_sent(), ["2:close"], "as when a tunnel breaks");
    assert_eq!(cluster.nodes[0].take_sent(), [""; 0]);
    assert!(!cluster.nodes[1].hub.servers.has_tunnel());
    cluster.open(1, 3);
    assert!(matches!(cluster.nodes[1].take_frames()[..], [Frame::Reject { .. }]));
    cluster.link(0, 1);
    cluster.client(1, 4);
}

#[test]
fn a_word_is_kept_while_the_node_gives_no_credit_and_then_goes_in_order() {
    let mut cluster = Cluster::with_server();
    cluster.stuck = Some(1);
    let group = Group::room_name("/", "r");
    let long = format!("42[\"{}\"]", "x".repeat(100_000));
    for _ in 0..20 {
        cluster.nodes[0].begin_call("POST", &format!("groups/{group}/:send"), &long);
        cluster.collect();
    }
    let said: usize = cluster.wire.iter().map(|(.., word)| word.len()).sum();
    let window = usize::try_from(WINDOW_BYTES).expect("small");
    assert!(said > window && said < window + 101_000, "{said}");
    assert!(cluster.nodes[0].hub.is_crowded(cluster.nodes[0].now), "no more should be read");
    cluster.stuck = None;
    cluster.carry();
    assert_eq!(cluster.broadcasts(1), 20);
    assert!(!cluster.nodes[0].hub.is_crowded(cluster.nodes[0].now));
}

#[test]
fn a_word_of_any_length_may_wait() {
    let mut cluster = Cluster::with_server();
    cluster.client(1, 2);
    cluster.stuck = Some(1);
    let group = Group::room_name("/", "r");
    let long = format!("42[\"{}\"]", "x".repeat(9 << 20));
    for _ in 0..2 {
        cluster.nodes[0].begin_call("POST", &format!("groups/{group}/:send"), &long);
    }
    assert!(cluster.nodes[0].hub.is_crowded(cluster.nodes[0].now), "no more should be read");
    cluster.stuck = None;
    cluster.carry();
    assert_eq!(cluster.broadcasts(1), 2);
    assert_eq!(cluster.nodes[1].take_sent(), [""; 0], "nobody is closed");
}

/// It must not stop this node, nor fill its memory.
#[test]
fn a_node_that_never_gives_credit_is_left_behind() {
    let mut cluster = Cluster::with_server();
    cluster.client(1, 2);
    cluster.stuck = Some(1);
    let group = Group::room_name("/", "r");
    let long = format!("42[\"{}\"]", "x".repeat(100_000));
    let send = |cluster: &mut Cluster, count: usize| {
        for _ in 0..count {
            cluster.nodes[0].begin_call("POST", &format!("groups/{group}/:send"), &long);
        }
    };
    send(&mut cluster, 20);
    cluster.pass(CALL);
    assert!(!cluster.nodes[0].hub.is_crowded(cluster.nodes[0].now), "it has been waited for");
    send(&mut cluster, 200);
    cluster.collect();
    let said: usize = cluster.wire.iter().map(|(.., word)| word.len()).sum();
    assert!(said < 700_000, "{said}");
    assert_eq!(cluster.status(0, "POST", ":send", "42[\"x\"]"), 503, "it is not there");
    cluster.stuck = None;
    cluster.carry();
    cluster.pass(AGAIN);
    cluster.pass(Duration::from_secs(1));
    assert_eq!(cluster.nodes[1].take_sent(), ["2:close"], "it has missed something");
    cluster.client(1, 3);
}

#[test]
fn a_missing_or_unreadable_word_begins_everything_again() {
    for spoil in ["missing", "unreadable", "dropped"] {
        let mut cluster = Cluster::with_server();
        cluster.client(1, 2);
        let sid = cluster.nodes[1].sid(2);
        cluster.nodes[0].begin_call("POST", &format!("connections/{sid}/:send"), "42[\"x\"]");
        cluster.collect();
        let (_, _, number, word) = cluster.wire.pop_front().expect("the call");
        match spoil {
            "missing" => (),
            "unreadable" => {
                let word = word.slice(..1);
                cluster.wire.push_back((0, 1, number, word));
            }
            _ => cluster.notice(0, PeerNotice::Dropped { peer: key(1), hub: Str::EMPTY }),
        }
        // The next one shows the gap.
        cluster.nodes[0].begin_call("POST", &format!("connections/{sid}/:send"), "42[\"y\"]");
        cluster.carry();
        assert_eq!(cluster.nodes[1].take_sent(), [""; 0], "{spoil}: nothing after the gap");
        cluster.pass(AGAIN);
        cluster.pass(Duration::from_secs(1));
        assert_eq!(cluster.nodes[1].take_sent(), ["2:close"], "{spoil}");
        cluster.client(1, 3);
        assert_eq!(cluster.status(1, "POST", "users/user3/:send", "42[\"z\"]"), 202, "{spoil}");
    }
}

/// In development an app server's first tunnel creates its hub, at the node that does not lead.
#[test]
fn a_hub_that_comes_to_be_at_one_node_is_found_by_the_other() {
    for (first, second) in [(0, 1), (1, 0)] {
        let mut cluster = Cluster::new(2);
        cluster.unlink(0, 1);
        cluster.notice(first, PeerNotice::Linked(key(second)));
        cluster.collect();
        assert_eq!(cluster.wire.len(), 1, "a word creates the hub there");
        cluster.notice(second, PeerNotice::Linked(key(first)));
        cluster.carry();
        cluster.nodes[first].tunnel_up(1, "a");
        cluster.carry();
        assert!(cluster.nodes[second].hub.wants_trunk(), "node {second}");
        cluster.pass(AGAIN * 2);
        assert!(cluster.nodes[second].hub.wants_trunk(), "and it stays so");
        let begun =
            cluster.nodes.iter().all(|node| node.hub.peers.poll_deadline(node.now.at).is_none());
        assert!(begun, "nothing begins again");
    }
}

#[test]
fn a_tunnel_that_opens_while_a_hello_is_on_its_way_is_not_missed() {
    for node in [0, 1] {
        let mut cluster = Cluster::new(2);
        cluster.unlink(0, 1);
        cluster.notice(0, PeerNotice::Linked(key(1)));
        cluster.notice(1, PeerNotice::Linked(key(0)));
        cluster.nodes[node].tunnel_up(1, "a");
        cluster.carry();
        assert!(cluster.nodes[1 - node].hub.wants_trunk(), "opened at node {node}");
    }
}
