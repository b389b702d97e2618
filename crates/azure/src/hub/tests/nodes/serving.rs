//! Tunnels that end at one node serve clients of all.

use super::*;

#[test]
fn a_client_of_another_node_is_served_over_a_tunnel_that_ends_here() {
    let mut cluster = Cluster::with_server();
    assert!(cluster.nodes[1].hub.wants_trunk(), "its clients can be served");
    assert_eq!(cluster.nodes[1].take_messages(), [], "it is greeted once, where its tunnel ends");
    cluster.client(1, 7);
    cluster.hear(1, 7, "2[\"a\"]");
    cluster.hear(1, 7, "2[\"b\"]");
    let events = cluster.nodes[0].take_requests();
    assert_eq!(events.iter().map(content).collect::<Vec<_>>(), ["42[\"a\"]", "42[\"b\"]"]);
    assert_eq!(cluster.nodes[1].processed, 0, "credit comes with the answer");
    for event in &events {
        cluster.reply(event, 204, "");
    }
    assert!(cluster.nodes[1].processed > 0);
    cluster.nodes[1].close(7, CloseReason::ClientClosed);
    cluster.carry();
    assert_eq!(names(&cluster.nodes[0].take_requests()), ["disconnected"]);
}

#[test]
fn events_of_two_nodes_have_numbers_of_their_own_and_each_answer_finds_its_client() {
    let mut cluster = Cluster::with_server();
    cluster.open(0, 1);
    cluster.open(1, 2);
    let connects = cluster.nodes[0].take_requests();
    assert_ne!(connects[0].ack_id, connects[1].ack_id);
    cluster.reply(&connects[1], 403, "not you");
    assert!(matches!(cluster.nodes[1].take_frames()[..], [Frame::Reject { .. }]));
    assert_eq!(cluster.nodes[0].take_frames(), []);
    cluster.reply(&connects[0], 200, &accepted("x"));
    let accepts = cluster.nodes[0].take_frames();
    assert!(accepts.iter().any(|frame| matches!(frame, Frame::Accept { .. })));
    cluster.reply(&connects[1], 200, &accepted("x"));
    assert_eq!(cluster.nodes[1].take_frames(), [], "a second answer is none");
}

#[test]
fn what_the_app_sends_reaches_the_clients_of_all_nodes_once() {
    let mut cluster = Cluster::with_server();
    cluster.client(0, 1);
    cluster.client(1, 2);
    let group = Group::room_name("/", "r");
    let joined = cluster.call("PUT", &format!("users/user2/groups/{group}"), "");
    assert_eq!(joined.status_code, 200);
    assert!(matches!(cluster.nodes[1].take_frames()[..], [Frame::Join { .. }]));
    cluster.nodes[0].take_frames();
    let sent = cluster.call("POST", &format!("groups/{group}/:send"), "42[\"x\"]");
    assert_eq!(sent.status_code, 202);
    assert_eq!((cluster.broadcasts(0), cluster.broadcasts(1)), (1, 1), "each node its own");
    let sid = cluster.nodes[1].sid(2);
    let sent = cluster.call("POST", &format!("connections/{sid}/:send"), "42[\"y\"]");
    assert_eq!(sent.status_code, 202);
    assert_eq!(cluster.nodes[1].take_sent(), ["2:2[\"y\"]"]);
    assert_eq!(cluster.nodes[0].take_sent(), [""; 0]);
    let gone = cluster.call("POST", &format!("groups/{group}/:send"), "41{\"close\":true}");
    assert_eq!(gone.status_code, 202);
    assert_eq!(cluster.nodes[1].take_sent(), ["2:1", "2:close"]);
}

/// The app's clients at its tunnel's own node must not suffer from the loss of another node.
#[test]
fn an_app_server_serves_its_own_node_while_another_is_cut_off() {
    let mut cluster = Cluster::with_server();
    cluster.client(0, 1);
    cluster.client(1, 2);
    cluster.notice(0, PeerNotice::Bus(false));
    cluster.stuck = Some(1);
    let group = Group::room_name("/", "");
    let ack = cluster.nodes[0].begin_call("POST", &format!("groups/{group}/:send"), "42[\"x\"]");
    assert_eq!(cluster.broadcasts(0), 1);
    cluster.pass(CALL);
    let parts = cluster.nodes[0].take_parts(ack);
    assert_eq!(parts.iter().map(|part| part.status_code).collect::<Vec<_>>(), [503]);
    cluster.stuck = None;
    cluster.carry();
    assert_eq!(cluster.broadcasts(1), 1, "late, and not lost");
}

#[test]
fn a_tunnel_that_ends_ends_everywhere_and_may_return_at_another_node() {
    let mut cluster = Cluster::with_server();
    cluster.client(1, 2);
    cluster.nodes[0].tunnel_down(1, true);
    cluster.carry();
    cluster.pass(GRACE - Duration::from_millis(1));
    cluster.nodes[1].tunnel_up(5, "a");
    cluster.carry();
    cluster.pass(GRACE * 2);
    cluster.hear(1, 2, "2[\"a\"]");
    assert_eq!(names(&cluster.nodes[1].take_requests()), ["message"], "it is kept, and served");
    assert_eq!(cluster.nodes[1].take_sent(), [""; 0]);
    assert_eq!(cluster.nodes[0].hub.metrics.tunnels.get(), 0);
    assert_eq!(cluster.nodes[1].hub.metrics.tunnels.get(), 1);
    cluster.nodes[1].tunnel_down(5, false);
    cluster.carry();
    cluster.pass(GRACE);
    assert_eq!(cluster.nodes[1].take_sent(), ["2:close"]);
    assert!(!cluster.nodes[0].hub.wants_trunk());
}

#[test]
fn a_hanging_app_server_loses_its_tunnel_wherever_its_clients_are() {
    let mut cluster = Cluster::with_server();
    cluster.client(1, 2);
    cluster.hear(1, 2, "2[\"a\"]");
    cluster.pass(ANSWER - Duration::from_millis(1));
    assert_eq!(cluster.nodes[0].ended, []);
    cluster.pass(Duration::from_millis(2));
    assert_eq!(cluster.nodes[0].ended, [TunnelId(1)]);
}

#[test]
fn a_node_that_stops_takes_its_tunnels_along() {
    let mut cluster = Cluster::with_server();
    cluster.client(1, 2);
    let node = &mut cluster.nodes[0];
    node.hub.handle_stop(node.now);
    node.drain();
    cluster.carry();
    assert!(!cluster.nodes[1].hub.servers.has_tunnel());
    cluster.pass(Duration::from_secs(1));
    assert_eq!(cluster.nodes[1].take_sent(), ["2:close"], "it comes back, to another app server");
}

#[test]
fn an_event_of_another_node_ends_with_the_tunnel_that_it_went_over() {
    let mut cluster = Cluster::with_server();
    cluster.client(1, 2);
    cluster.nodes[0].tunnel_up(2, "a");
    cluster.carry();
    cluster.hear(1, 2, "2[\"a\"]");
    assert!(!cluster.nodes[0].hub.servers.is_at_rest("a"));
    cluster.nodes[0].tunnel_down(1, true);
    assert!(cluster.nodes[0].hub.servers.is_at_rest("a"), "nothing is kept for it");
    cluster.carry();
    assert!(cluster.nodes[1].hub.servers.is_at_rest("a"), "it is lost");
    cluster.pass(Duration::from_secs(1));
    assert_eq!(cluster.nodes[1].take_sent(), ["2:close"], "nobody knows whether it was handled");
}
