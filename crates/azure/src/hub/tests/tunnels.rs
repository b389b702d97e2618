//! App servers connect, leave, and break.

use super::*;

#[test]
fn the_first_message_of_a_tunnel_says_that_it_is_connected() {
    let mut world = World::new();
    assert!(!world.hub.wants_trunk());
    world.tunnel_up(1, "a");
    assert!(matches!(world.take_messages()[..], [Message::Connected { .. }]));
    assert!(world.hub.wants_trunk());
}

/// An app that is told that it is connected lets its clients in.
#[test]
fn an_app_server_is_not_connected_before_clients_can_be_served() {
    let mut world = World::new();
    world.hub.handle_trunk_down(world.now);
    world.tunnel_up(1, "a");
    world.pass(STATUS);
    assert_eq!(world.take_messages(), []);
    assert!(world.hub.wants_trunk());
    world.hub.handle_trunk_up(world.now);
    world.drain();
    assert!(matches!(world.take_messages()[..], [Message::Connected { .. }]));
    world.client(1);
    world.hub.handle_trunk_down(world.now);
    world.hub.handle_trunk_up(world.now);
    world.drain();
    let requests = world.take_messages();
    assert!(matches!(requests[..], [Message::Request(_)]), "its client's end, and no greeting");
}

#[test]
fn a_quiet_tunnel_is_told_that_all_is_well() {
    let mut world = World::with_server();
    world.pass(STATUS * 4);
    let statuses = world.take_messages();
    assert_eq!(statuses.len(), 4);
    assert!(statuses.iter().all(|message| matches!(message, Message::Status { .. })));
}

#[test]
fn sessions_go_to_the_app_server_with_the_fewest() {
    let mut world = World::new();
    world.tunnel_up(1, "a");
    world.tunnel_up(2, "b");
    world.take_messages();
    for session in 0..4 {
        world.open(session, &json!({}));
    }
    let tunnels: Vec<u64> = world.messages.iter().map(|(tunnel, _)| tunnel.0).collect();
    assert_eq!(tunnels, [1, 2, 1, 2]);
}

#[test]
fn newcomers_go_past_an_app_server_that_answers_nothing() {
    let mut world = World::new();
    world.tunnel_up(1, "a");
    world.client(0);
    world.tunnel_up(2, "b");
    world.take_messages();
    // The new app server has the fewest sessions and gets the next one; it does not answer.
    world.open(1, &json!({}));
    world.pass(Duration::from_secs(1));
    world.open(2, &json!({}));
    world.pass(Duration::from_millis(1));
    for session in 3..6 {
        world.open(session, &json!({}));
    }
    let opened = world.messages.iter().filter(|(_, one)| matches!(one, Message::Request(_)));
    let tunnels: Vec<u64> = opened.map(|(tunnel, _)| tunnel.0).collect();
    assert_eq!(tunnels, [2, 1, 1, 1, 1]);
}

#[test]
fn several_tunnels_of_one_app_server_are_one_app_server() {
    let mut world = World::with_server();
    world.tunnel_up(2, "a");
    world.client(1);
    world.tunnel_down(1, true);
    world.hear(1, "2[\"x\"]");
    let (tunnel, _) = world.messages.last().expect("an event");
    assert_eq!(*tunnel, TunnelId(2));
    assert_eq!(world.take_sent().len(), 0);
}

#[test]
fn a_closed_tunnel_is_waited_for_and_nothing_is_lost() {
    let mut world = World::with_server();
    world.client(1);
    world.tunnel_down(1, true);
    world.hear(1, "2[\"a\"]");
    world.hear(1, "2[\"b\"]");
    world.pass(GRACE / 2);
    world.tunnel_up(2, "a");
    let messages = world.take_messages();
    assert!(matches!(messages[0], Message::Connected { .. }));
    assert_eq!(messages.len(), 3);
    assert_eq!(world.take_sent().len(), 0);
    assert!(world.hub.wants_trunk());
}

#[test]
fn meanwhile_new_clients_are_refused() {
    let mut world = World::with_server();
    world.tunnel_down(1, true);
    world.open(1, &json!({}));
    assert!(matches!(world.take_frames()[..], [Frame::Reject { .. }]));
}

#[test]
fn answers_wait_for_the_next_tunnel() {
    let mut world = World::with_server();
    world.client(1);
    world.client(2);
    let whole = Group::room_name("/", "");
    let ack_id =
        world.begin_call("POST", &format!(":invoke?filter='{whole}'+in+groups"), "42[\"q\"]");
    let sent = world.take_sent();
    let id = sent[0].trim_start_matches("1:2").trim_end_matches("[\"q\"]").to_owned();
    world.take_messages();
    world.tunnel_down(1, true);
    world.hear(1, &format!("3{id}[]"));
    world.hear(2, &format!("3{id}[]"));
    assert_eq!(world.take_messages().len(), 0);
    world.tunnel_up(2, "a");
    let answers: Vec<bool> =
        world.take_parts(ack_id).iter().map(|part| part.not_completed).collect();
    assert_eq!(answers, [true, true, false]);
}

#[test]
fn an_unanswered_event_on_a_closed_tunnel_costs_its_client_alone() {
    let mut world = World::with_server();
    world.client(1);
    world.client(2);
    world.hear(1, "2[\"a\"]");
    world.take_messages();
    world.tunnel_down(1, true);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.take_sent(), ["1:close"]);
    world.tunnel_up(2, "a");
    assert_eq!(names(&world.take_requests()), ["disconnected"]);
}

#[test]
fn a_broken_tunnel_costs_all_its_clients_at_a_measured_pace() {
    let mut world = World::with_server();
    for session in 0..10 {
        world.client(session);
    }
    world.tunnel_down(1, false);
    world.pass(Duration::ZERO);
    assert_eq!(world.take_sent().len(), 2, "40 a second, in twenty steps");
    world.pass(Duration::from_millis(100));
    assert_eq!(world.take_sent().len(), 4);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.take_sent().len(), 4);
    // The app's side still has these clients: it is notified when it returns.
    world.tunnel_up(2, "a");
    assert_eq!(names(&world.take_requests()), ["disconnected"; 10]);
}

#[test]
fn an_app_server_that_does_not_come_back_is_forgotten() {
    let mut world = World::with_server();
    world.client(1);
    world.hear(1, "2[\"a\"]");
    world.tunnel_down(1, true);
    world.pass(GRACE);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.take_sent(), ["1:close"]);
    assert_eq!(world.hub.clients.len(), 0);
    assert!(!world.hub.wants_trunk());
    assert_eq!(world.hub.poll_deadline(), None);
}

/// Forty clients a second are closed; messages of the others are dropped.
#[test]
fn clients_that_wait_to_be_closed_hold_up_nobody() {
    for clean in [true, false] {
        let mut world = World::with_server();
        for session in 0..10 {
            world.client(session);
        }
        world.tunnel_down(1, clean);
        if clean {
            world.pass(GRACE);
        }
        world.processed = 0;
        world.hear(9, "2[\"a\"]");
        world.hear(9, "2[\"b\"]");
        assert!(world.processed > 0, "the inner trunk's credit is given back");
        world.pass(Duration::from_secs(1));
        assert_eq!(world.take_sent().len(), 10, "each is closed");
        assert_eq!(world.hub.by_session.len(), 0);
    }
}

#[test]
fn a_client_is_to_be_closed_once_however_often_the_tunnel_breaks() {
    let mut world = World::with_server();
    for session in 0..10 {
        world.client(session);
    }
    for tunnel in 1..5 {
        world.tunnel_down(tunnel, false);
        world.tunnel_up(tunnel + 1, "a");
    }
    assert_eq!(world.hub.orphans.len(), 10);
}

#[test]
fn the_link_is_there_while_somebody_is_served() {
    let mut world = World::with_server();
    world.client(1);
    world.tunnel_down(1, false);
    assert!(world.hub.wants_trunk(), "the client is still to be closed");
    world.pass(Duration::from_secs(1));
    assert!(!world.hub.wants_trunk(), "other app servers of the hub get the new clients");
    world.tunnel_up(2, "a");
    assert!(world.hub.wants_trunk());
    assert_eq!(names(&world.take_requests()), ["disconnected"]);
}

#[test]
fn a_client_whose_handshake_is_on_a_broken_tunnel_is_refused() {
    for clean in [true, false] {
        let mut world = World::with_server();
        world.open(1, &json!({}));
        world.tunnel_down(1, clean);
        let [Frame::Reject { response, .. }] = &world.take_frames()[..] else { panic!("a reject") };
        assert_eq!(response.status, 503);
        assert_eq!(world.hub.clients.len(), 0);
    }
}

#[test]
fn when_the_link_is_lost_app_servers_are_told_of_every_end() {
    let mut world = World::with_server();
    world.client(1);
    world.client(2);
    world.hub.handle_trunk_down(world.now);
    world.drain();
    assert_eq!(names(&world.take_requests()), ["disconnected", "disconnected"]);
    assert_eq!(world.hub.clients.len(), 0);
}

#[test]
fn an_app_server_that_answers_nothing_is_let_go() {
    let mut world = World::with_server();
    world.client(1);
    world.hear(1, "2[\"a\"]");
    world.pass(ANSWER - Duration::from_secs(1));
    assert_eq!(world.ended, []);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.ended, [TunnelId(1)]);
    assert_eq!(world.take_sent(), ["1:close"]);
    assert!(world.processed > 0);
}

#[test]
fn any_answer_shows_that_an_app_server_is_alive() {
    let mut world = World::with_server();
    world.client(1);
    world.open(2, &json!({}));
    let slow = world.take_requests();
    for _ in 0..3 {
        world.pass(ANSWER / 2);
        world.hear(1, "2[\"a\"]");
        let event = world.take_requests().pop().expect("an event");
        world.reply(&event, 200, "");
    }
    assert_eq!((slow.len(), world.ended.len()), (1, 0));
    world.reply(&slow[0], 200, &accepted("c2"));
    world.pass(ANSWER * 2);
    assert_eq!(world.ended, [], "nothing is unanswered");
}

/// All app servers of a hub share the limit of unanswered bytes.
#[test]
fn an_app_server_that_hangs_does_not_hold_up_the_others() {
    let mut world = World::with_server();
    world.client(1);
    world.tunnel_up(2, "b");
    world.hear(1, &format!("2[\"{}\"]", "a".repeat(1000)));
    world.processed = 0;
    world.pass(CROWDING + Duration::from_secs(1));
    assert_eq!(world.ended, [TunnelId(1)]);
    assert!(world.processed > 1000);
    assert_eq!(world.take_sent(), ["1:close"]);
    world.take_messages();
    world.open(2, &json!({}));
    assert_eq!(world.messages.last().map(|(tunnel, _)| *tunnel), Some(TunnelId(2)));
}
