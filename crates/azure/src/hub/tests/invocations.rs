//! Events for many, with acknowledgements.

use super::*;

/// Sends an event to three clients; returns its id.
fn asked(world: &mut World) -> (u64, String) {
    for session in 1..=3 {
        world.client(session);
    }
    let whole = Group::room_name("/", "");
    let ack_id =
        world.begin_call("POST", &format!(":invoke?filter='{whole}'+in+groups"), "42[\"q\"]");
    let sent = world.take_sent();
    assert_eq!(sent.len(), 3);
    let id = sent[0].trim_start_matches("1:2").trim_end_matches("[\"q\"]").to_owned();
    assert!(id.parse::<u64>().expect("digits") >= 1 << 52);
    (ack_id, id)
}

/// The parts of an answer: whether more follows, and the line.
fn parts(world: &mut World, ack_id: u64) -> Vec<(bool, String)> {
    let parts = world.take_parts(ack_id).into_iter().map(|part| {
        assert_eq!(part.status_code, 200);
        (part.not_completed, String::from_utf8_lossy(&part.content).into_owned())
    });
    parts.collect()
}

#[test]
fn acknowledgements_are_streamed_as_they_come() {
    let mut world = World::with_server();
    let (ack_id, id) = asked(&mut world);
    assert_eq!(parts(&mut world, ack_id), [(true, String::new())]);
    world.hear(2, &format!("3{id}[\"two\"]"));
    let line = format!("{}\n", json!({ "Payload": format!("43{id}[\"two\"]") }));
    assert_eq!(parts(&mut world, ack_id), [(true, line)]);
    world.hear(1, &format!("3{id}[]"));
    world.hear(1, &format!("3{id}[]"));
    assert_eq!(parts(&mut world, ack_id).len(), 1, "a second one means nothing");
    world.hear(3, &format!("3{id}[]"));
    let last = parts(&mut world, ack_id);
    assert_eq!((last.len(), last[1].0), (2, false));
}

#[test]
fn attachments_belong_to_their_acknowledgement() {
    let mut world = World::with_server();
    let (ack_id, id) = asked(&mut world);
    world.take_messages();
    world.hear(1, &format!("62-{id}[{{}},{{}}]"));
    world.hear_bytes(1, &[1]);
    world.hear_bytes(1, &[2]);
    let lines = parts(&mut world, ack_id);
    let payload = format!("462-{id}[{{}},{{}}]\u{1e}bAQ==\u{1e}bAg==");
    assert_eq!(lines, [(true, format!("{}\n", json!({ "Payload": payload })))]);
    assert!(lines[0].1.contains("\\u001e"));
    world.hear_bytes(1, &[3]);
    assert_eq!(world.take_requests().len(), 1, "what follows is the app's again");
}

#[test]
fn it_ends_when_those_who_have_not_answered_are_gone() {
    let mut world = World::with_server();
    let (ack_id, id) = asked(&mut world);
    world.hear(1, &format!("3{id}[]"));
    world.close(2, CloseReason::ClientClosed);
    world.take_messages();
    world.close(3, CloseReason::ClientClosed);
    assert_eq!(parts(&mut world, ack_id), [(false, String::new())]);
}

#[test]
fn it_ends_after_its_time() {
    let mut world = World::with_server();
    let (ack_id, id) = asked(&mut world);
    world.take_messages();
    world.pass(INVOKE);
    assert_eq!(parts(&mut world, ack_id), [(false, String::new())]);
    world.hear(1, &format!("3{id}[]"));
    assert_eq!(world.take_messages().len(), 0, "a late one means nothing, to nobody");
}

#[test]
fn for_nobody_it_ends_at_once() {
    let mut world = World::with_server();
    let nobody = Group::room_name("/", "nobody");
    let ack_id =
        world.begin_call("POST", &format!(":invoke?filter='{nobody}'+in+groups"), "42[\"q\"]");
    assert_eq!(parts(&mut world, ack_id), [(false, String::new())]);
}

#[test]
fn acknowledgements_of_the_apps_own_events_are_the_apps() {
    let mut world = World::with_server();
    world.client(1);
    world.hear(1, "30[\"x\"]");
    let events = world.take_requests();
    assert_eq!(events.iter().map(content).collect::<Vec<_>>(), ["430[\"x\"]"]);
}

#[test]
fn a_client_that_left_the_namespace_is_not_waited_for() {
    let mut world = World::with_server();
    let (ack_id, id) = asked(&mut world);
    world.hear(1, &format!("3{id}[]"));
    world.hear(2, "1");
    world.take_messages();
    assert_eq!(world.send_to(3, "41"), 202);
    assert_eq!(parts(&mut world, ack_id), [(false, String::new())]);
}

#[test]
fn acknowledgements_that_nobody_waits_for_are_not_kept() {
    let mut world = World::with_server();
    world.client(1);
    let attachment = vec![7; 1 << 16];
    world.hear(1, &format!("69-{}[]", 1_u64 << 52));
    for _ in 0..8 {
        world.hear_bytes(1, &attachment);
    }
    let kept: usize = world
        .hub
        .clients
        .values()
        .filter_map(|client| client.catching.as_ref())
        .map(|catching| catching.payload.len())
        .sum();
    assert_eq!(kept, 0);
    world.hear_bytes(1, &attachment);
    world.hear(1, "2[\"x\"]");
    assert_eq!(world.take_requests().len(), 1, "the client goes on");
}

#[test]
fn a_text_among_attachments_ends_the_connection() {
    let mut world = World::with_server();
    let (_, id) = asked(&mut world);
    world.hear(1, &format!("62-{id}[]"));
    world.hear_bytes(1, &[1]);
    world.hear(1, "2[\"x\"]");
    assert_eq!(world.take_sent(), ["1:close"]);
    assert_eq!(world.hub.invokes.caught_bytes, 0);
}
