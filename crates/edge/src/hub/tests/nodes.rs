//! Tests of a hub that is on several nodes: what app servers are told of the nodes, which of their
//! trunks stays, and how their sessions elsewhere count.

use std::net::SocketAddr;
use std::sync::Arc;

use trunkline_trunk::settings::OwnSettings;
use trunkline_trunk::{Frame, NodeState};

use super::{Ending, Origin, Trunk, World, read};
use crate::hub::nodes::ClusterNode;

fn node(id: &str, state: NodeState) -> ClusterNode {
    ClusterNode { id: id.into(), number: 7, url: format!("http://{id}"), state }
}

fn told(of: &Trunk) -> Option<Vec<String>> {
    let Some(Frame::Nodes { nodes }) = read(of).pop() else { return None };
    Some(
        nodes.iter().map(|node| format!("{} {} {:?}", &*node.id, &*node.url, node.state)).collect(),
    )
}

fn opening(opening: u64, beside: &[u64]) -> OwnSettings {
    OwnSettings { opening, beside: beside.to_vec(), ..OwnSettings::default() }
}

fn from(server: &str) -> (&str, Origin) {
    (server, Origin::Outside(SocketAddr::from(([127, 0, 0, 1], 9))))
}

#[test]
fn app_servers_that_want_it_are_told_of_the_nodes_whenever_these_change() {
    let mut world = World::new();
    let wants = OwnSettings { nodes: true, ..OwnSettings::default() };
    let (curious, other) = (world.comes_with("a", wants), world.comes("b"));
    assert_eq!(told(&curious), None, "a node that is alone says nothing");
    let list = vec![node("n1", NodeState::Up), node("n2", NodeState::Draining)];
    world.directory.set_nodes(list.clone());
    let expected = ["n1 http://n1 Up", "n2 http://n2 Draining"].map(String::from);
    assert_eq!(told(&curious), Some(expected.into()));
    assert_eq!(told(&other), None);
    world.directory.set_nodes(list);
    assert!(read(&curious).is_empty(), "nothing is new");
    world.directory.set_nodes(vec![node("n1", NodeState::Up)]);
    world.directory.set_nodes(vec![node("n3", NodeState::Left)]);
    let frames = read(&curious);
    assert_eq!(frames.len(), 1, "only the last list is sent: {frames:?}");
}

#[test]
fn a_trunk_that_its_app_server_has_besides_stays_and_one_that_it_has_lost_does_not() {
    let mut world = World::new();
    let first = world.comes_with("a", opening(1, &[]));
    let hub = Arc::clone(&first.hub);
    assert!(hub.arrive(from("a"), &opening(2, &[1])).is_err(), "a second way to this node");
    assert!(hub.arrive(from("b"), &opening(2, &[1])).is_ok(), "another app server");
    assert!(hub.arrive(from("a"), &opening(2, &[7])).is_ok(), "it has lost the first one");
    assert!(hub.arrive(from("a"), &opening(0, &[])).is_ok(), "an SDK that does not number them");
    first.end(Ending::NodeStops);
    assert!(hub.arrive(from("a"), &opening(2, &[1])).is_ok(), "it is about to end");
}

#[test]
fn of_two_trunks_that_open_at_once_the_first_stays() {
    let world = World::new();
    let first = world.hub.arrive(from("a"), &opening(1, &[2])).expect("nobody else is there");
    assert!(world.hub.arrive(from("a"), &opening(2, &[1])).is_err());
    drop(first);
    assert!(world.hub.arrive(from("a"), &opening(2, &[1])).is_ok(), "the first one has failed");
}

#[test]
fn sessions_on_other_nodes_count_when_there_are_others() {
    let mut world = World::new();
    let (a, b) = (world.comes("a"), world.comes("b"));
    a.note_load(100);
    b.session_added();
    b.note_load(2);
    assert_eq!(world.pick(), Ok(a.number), "alone, the node knows better");
    let nodes = ["n1", "n2", "n3"].map(|id| node(id, NodeState::Up));
    world.directory.set_nodes(nodes.into());
    assert_eq!(world.pick(), Ok(b.number));
    assert_eq!(b.sessions_over_all(), 5, "two that it told, and the one just now on each node");
    world.directory.set_nodes(vec![node("n1", NodeState::Up), node("n2", NodeState::Left)]);
    assert_eq!(b.sessions_over_all(), 2, "alone again");
}

#[test]
fn nodes_with_the_same_app_servers_have_the_same_digest() {
    let of = |servers: &[&str]| {
        let mut world = World::new();
        let trunks: Vec<_> = servers.iter().map(|server| world.comes(server)).collect();
        (world.directory.app_servers_digest(), trunks.len())
    };
    assert_eq!(of(&[]).0, [0; 8]);
    assert_eq!(of(&["a", "b"]).0, of(&["b", "a"]).0);
    assert_ne!(of(&["a"]).0, of(&["b"]).0);
    assert_ne!(of(&["a"]).0, of(&["a", "b"]).0);
    let mut world = World::new();
    let trunk = world.comes("a");
    trunk.end(Ending::NodeStops);
    assert_eq!(world.directory.app_servers_digest(), [0; 8]);
}
