//! The REST API: whom a call reaches, and how it is answered.

use super::*;

/// Clients 1 to 3 of users user1 to user3; 1 and 2 are in the group `g`.
fn three() -> World {
    let mut world = World::with_server();
    for session in 1..=3 {
        world.client(session);
    }
    for session in 1..=2 {
        let path = format!("groups/g/connections/c{session}");
        assert_eq!(world.http("PUT", &path, "").status, 200);
    }
    world
}

#[test]
fn whom_a_payload_reaches() {
    let table: &[(&str, &[u32])] = &[
        ("connections/c1/:send", &[1]),
        ("connections/nobody/:send", &[]),
        ("users/user2/:send", &[2]),
        ("groups/g/:send", &[1, 2]),
        ("groups/g/:send?excluded=c1", &[2]),
        ("groups/g/:send?filter=userId+eq+'user1'", &[1]),
        (":send?filter=userId+eq+'user3'", &[3]),
        (":send?filter='g'+in+groups", &[1, 2]),
        (":send?filter=not+('g'+in+groups)", &[3]),
        (":send?filter=connectionId+in+('c1','c3')", &[1, 3]),
        (":send?filter=length(userId)+gt+99", &[]),
        (":send?filter=length(groups)+eq+3&excluded=c2", &[1]),
    ];
    for (path, expected) in table {
        let mut world = three();
        assert_eq!(world.http("POST", path, "42[\"x\"]").status, 202, "{path}");
        let mut sent = world.take_sent();
        sent.sort();
        let expected: Vec<String> = expected.iter().map(|n| format!("{n}:2[\"x\"]")).collect();
        assert_eq!(sent, expected, "{path}");
    }
}

#[test]
fn without_a_filter_it_goes_to_the_payloads_namespace() {
    let mut world = three();
    world.http("POST", ":send?excluded=c2", "42/room,[\"x\"]");
    let frames = world.take_frames();
    let [Frame::Namespace { name, .. }, Frame::Broadcast(broadcast)] = &frames[..] else {
        panic!("{frames:?}")
    };
    assert_eq!((&**name, broadcast.rooms.len()), ("/room", 0));
}

#[test]
fn who_exists() {
    for (path, status) in [
        ("connections/c1", 200),
        ("connections/x", 404),
        ("users/user1", 200),
        ("users/x", 404),
        ("groups/g", 200),
        ("groups/x", 404),
    ] {
        assert_eq!(three().http("HEAD", path, "").status, status, "{path}");
    }
}

#[test]
fn closing() {
    for (method, path, expected) in [
        ("DELETE", "connections/c1", &["1:close"][..]),
        ("POST", "users/user3/:closeConnections", &["3:close"]),
        ("POST", "groups/g/:closeConnections?excluded=c1", &["2:close"]),
        ("POST", ":closeConnections?excluded=c1&excluded=c2", &["3:close"]),
    ] {
        let mut world = three();
        assert_eq!(world.http(method, path, "").status, 204);
        assert_eq!(world.take_sent(), expected, "{path}");
    }
}

#[test]
fn a_list_in_pages() {
    let mut world = three();
    let page = |world: &mut World, query: &str| {
        let answer = world.http("GET", &format!("groups/g/connections?{query}"), "");
        let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let ids = body["value"].as_array().expect("a list").iter();
        let ids: Vec<String> = ids.map(|one| one["connectionId"].to_string()).collect();
        (ids.len(), body["nextLink"].clone())
    };
    assert_eq!(page(&mut world, ""), (2, Value::Null));
    assert_eq!(page(&mut world, "maxpagesize=1"), (1, json!(1)));
    assert_eq!(page(&mut world, "maxpagesize=1&continuationToken=1"), (1, Value::Null));
    assert_eq!(page(&mut world, "top=1"), (1, Value::Null));
    assert_eq!(page(&mut world, "continuationToken=99"), (0, Value::Null));
}

#[test]
fn a_call_for_another_hub_is_refused() {
    let mut world = World::with_server();
    let request = Request {
        ack_id: 9,
        http_method: "POST".into(),
        url: "https://host/api/hubs/other/:send".into(),
        ..Request::default()
    };
    world.hub.handle_tunnel_message(world.now, TunnelId(1), Message::Request(request));
    world.drain();
    let [Message::Response(response)] = &world.take_messages()[..] else { panic!("an answer") };
    assert_eq!((response.ack_id, response.status_code), (9, 404));
}

#[test]
fn what_is_wrong_with_a_call_is_said() {
    let mut world = three();
    for (path, body, code) in [
        (":send?filter=userId+eq", "42[\"x\"]", "InvalidFilter"),
        (":send", "hello", "InvalidPayload"),
        (":invoke", "43[\"x\"]", "InvalidParameter"),
        (":invoke", "421[\"x\"]", "InvalidParameter"),
    ] {
        let answer = world.http("POST", path, body);
        let error: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!((answer.status, &error["code"]), (400, &json!(code)), "{path}");
    }
}
