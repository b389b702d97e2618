//! Which messages may overtake others on the way to an app server.

use super::*;

#[test]
fn a_connect_event_says_who_the_client_is() {
    let mut world = World::with_server();
    world.open(4, &json!({ "userId": "ada", "role": ["x"], "exp": 7 }));
    let event = world.take_requests().pop().expect("a connect event");
    for (name, value) in [
        ("ce-type", "azure.webpubsub.sys.connect"),
        ("ce-hub", "Chat"),
        ("ce-connectionId", "c4"),
        ("ce-userId", "ada"),
        ("ce-eventName", "connect"),
        ("ce-awpsversion", "1.0"),
        ("webhook-request-origin", "127.0.0.1:8080"),
    ] {
        assert_eq!(header(&event, name), value, "{name}");
    }
    assert!(event.url.ends_with("/eventhandler/"));
    let body: Value = serde_json::from_slice(&event.content).expect("JSON");
    assert_eq!(body["claims"], json!({ "userId": ["ada"], "role": ["x"], "exp": ["7"] }));
    assert_eq!(body["query"], json!({ "EIO": ["4"], "transport": ["polling"] }));
    assert_eq!(body["headers"]["origin"], "http://page");
    assert_eq!(body["headers"]["x-forwarded-for"], "127.0.0.9");
    world.reply(&event, 200, &accepted("c4"));
    let frames = world.take_frames();
    assert!(matches!(frames[..], [Frame::Settings { .. }, Frame::Accept { .. }]), "{frames:?}");
}

#[test]
fn a_refused_client_gets_the_app_servers_status_and_words() {
    for status in [400, 401, 500] {
        let mut world = World::with_server();
        world.open(1, &json!({}));
        let event = world.take_requests().pop().expect("a connect event");
        world.reply(&event, status, "no");
        let [Frame::Reject { response, .. }] = &world.take_frames()[..] else { panic!("a reject") };
        assert_eq!((response.status, &response.body[..]), (status, &b"no"[..]));
        assert!(world.hub.clients.is_empty());
    }
}

#[test]
fn without_an_app_server_a_client_is_refused_at_once() {
    let mut world = World::new();
    world.open(1, &json!({}));
    let [Frame::Reject { response, .. }] = &world.take_frames()[..] else { panic!("a reject") };
    assert_eq!(response.status, 503);
}

#[test]
fn messages_are_pipelined_and_what_came_together_goes_together() {
    let mut world = World::with_server();
    world.client(1);
    let message = |payload: &'static [u8], binary| Frame::Message {
        session: SessionNumber(1),
        binary,
        payload: Bytes::from_static(payload),
    };
    world.hub.handle_frame(world.now, message(b"51-[\"a\",{}]", false));
    world.hub.handle_frame(world.now, message(&[1, 2], true));
    world.hub.handle_batch_end(world.now);
    world.drain();
    world.hear(1, "2[\"b\"]");
    let events = world.take_requests();
    assert_eq!(names(&events), ["message", "message"]);
    assert_eq!(content(&events[0]), "451-[\"a\",{}]\u{1e}bAQI=");
    assert_eq!(content(&events[1]), "42[\"b\"]");
    assert_eq!(header(&events[0], "content-type"), "text/plain");
}

#[test]
fn the_end_of_a_socket_waits_for_the_answers_before_it() {
    let mut world = World::with_server();
    world.client(1);
    world.hear(1, "2[\"last\"]");
    let last = world.take_requests().pop().expect("the message");
    world.hear(1, "1");
    world.hear(1, "0");
    assert_eq!(world.take_requests().len(), 0, "the app's side would let it overtake");
    world.reply(&last, 200, "");
    let events = world.take_requests();
    let contents: Vec<&str> = events.iter().map(content).collect();
    assert_eq!(contents, ["41", "40"]);
}

#[test]
fn disconnected_comes_once_and_last() {
    let mut world = World::with_server();
    world.client(1);
    world.hear(1, "2[\"last\"]");
    let last = world.take_requests().pop().expect("the message");
    world.close(1, CloseReason::PingTimeout);
    assert_eq!(world.take_requests().len(), 0);
    world.reply(&last, 200, "");
    let events = world.take_requests();
    assert_eq!(names(&events), ["disconnected"]);
    assert_eq!(content(&events[0]), r#"{"reason":"the client did not answer pings"}"#);
    world.reply(&events[0], 200, "");
    assert_eq!((world.take_requests().len(), world.hub.clients.len()), (0, 0));
}

#[test]
fn disconnected_comes_also_when_the_app_server_closed_the_client() {
    let mut world = World::with_server();
    world.client(1);
    assert_eq!(world.send_to(1, "1"), 202);
    assert_eq!(world.take_sent(), ["1:close"]);
    let events = world.take_requests();
    assert_eq!(names(&events), ["disconnected"]);
    assert_eq!(content(&events[0]), r#"{"reason":""}"#);
}

#[test]
fn the_number_of_a_session_is_used_again_before_its_last_client_is_told_of() {
    let mut world = World::with_server();
    world.client(1);
    world.hear(1, "2[\"last\"]");
    let last = world.take_requests().pop().expect("the message");
    world.close(1, CloseReason::ClientClosed);
    world.open(1, &json!({ "sub": "second" }));
    let connect = world.take_requests().pop().expect("the second's connect event");
    world.reply(&connect, 200, &accepted("c1"));
    world.reply(&last, 200, "");
    assert_eq!(names(&world.take_requests()), ["disconnected"]);
    assert_eq!(world.send_to(1, "42[\"x\"]"), 202);
    assert_eq!(world.take_sent(), ["1:2[\"x\"]"]);
}

#[test]
fn a_client_that_goes_away_during_its_handshake_is_taken_back() {
    let mut world = World::with_server();
    world.open(1, &json!({}));
    let connect = world.take_requests().pop().expect("a connect event");
    world.close(1, CloseReason::GoneBeforeAnswer);
    assert_eq!(world.take_requests().len(), 0);
    world.reply(&connect, 200, &accepted("c1"));
    assert_eq!(names(&world.take_requests()), ["disconnected"]);
    assert_eq!((world.take_frames().len(), world.hub.clients.len()), (0, 0));
}

#[test]
fn a_refused_message_ends_the_client() {
    let mut world = World::with_server();
    world.client(1);
    world.hear(1, "2[\"a\"]");
    let event = world.take_requests().pop().expect("the message");
    world.reply(&event, 500, "cannot");
    assert_eq!(world.take_sent(), ["1:close"]);
    assert_eq!(names(&world.take_requests()), ["disconnected"]);
}

#[test]
fn a_ping_of_the_app_server_is_answered_for_the_client() {
    let mut world = World::with_server();
    world.client(1);
    assert_eq!(world.send_to(1, "2"), 202);
    assert_eq!(world.take_sent().len(), 0);
    let events = world.take_requests();
    assert_eq!(events.iter().map(content).collect::<Vec<_>>(), ["3"]);
}

#[test]
fn credit_goes_back_when_the_app_server_has_answered() {
    let mut world = World::with_server();
    world.client(1);
    world.processed = 0;
    world.hear(1, "2[\"a\"]");
    let event = world.take_requests().pop().expect("the message");
    assert_eq!(world.processed, 0);
    world.reply(&event, 200, "");
    let cost = trunkline_trunk::encode::message_cost(SessionNumber(1), 6);
    assert_eq!(world.processed, u64::from(cost));
}

/// A separator stands between packets: a client must not be able to make two packets of one.
#[test]
fn a_message_that_holds_a_separator_ends_the_connection() {
    let mut world = World::with_server();
    world.client(1);
    world.hear(1, "2[\"x\"]\u{1e}41");
    assert_eq!(world.take_sent(), ["1:close"]);
    assert_eq!(names(&world.take_requests()), ["disconnected"]);
}
