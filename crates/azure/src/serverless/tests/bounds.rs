//! Waiting events are bounded, per socket and in total.

use super::*;

#[test]
fn a_socket_that_sends_faster_than_its_handler_answers_is_closed() {
    let mut world = World::new(Settings { socket_events_max: 2, ..Settings::default() });
    world.connected(1);
    for expected in [1, 0, 0] {
        assert_eq!(world.text(1, r#"2["a"]"#).len(), expected);
    }
    assert_eq!(world.text(1, r#"2["b"]"#), ["close 1 EventsWaiting"]);
    // Accepted events are sent.
    world.ok();
    world.ok();
    assert_eq!(world.ok(), [r#"tell disconnected c1 / s1 {"reason":"too many events"}"#]);
    assert_eq!(world.machine.waiting_bytes(), 0);
}

#[test]
fn all_sockets_together_are_bounded_in_bytes() {
    let mut world = World::new(Settings { waiting_bytes_max: 72, ..Settings::default() });
    world.connected(1);
    world.connected(2);
    let event = r#"2["event"]"#;
    for session in [1, 2] {
        world.text(session, event);
    }
    // Name and packet have 16 bytes each. Two are under way.
    assert_eq!(world.machine.waiting_bytes(), 32);
    assert_eq!(world.text(1, event), [""; 0]);
    assert_eq!(world.text(2, event), [""; 0]);
    assert_eq!(world.machine.waiting_bytes(), 64);
    assert_eq!(world.text(2, event), ["close 2 EventsWaiting"]);
    assert_eq!(world.ok(), [r#"ask event c1 / s1 42["event"]"#]);
    assert_eq!(world.machine.waiting_bytes(), 48);
}

#[test]
fn what_handlers_have_not_answered_counts_too() {
    let mut world = World::new(Settings { waiting_bytes_max: 64, ..Settings::default() });
    world.connected(1);
    let long = format!(r#"0/a,{{"name":"{}"}}"#, "x".repeat(64));
    let refused = [r#"send 1 4/a,{"message":"service unavailable"}"#];
    assert_eq!(world.text(1, &long), refused);
    world.text(1, &format!(r#"2["{}"]"#, "e".repeat(24)));
    let other = [r#"send 1 4/b,{"message":"service unavailable"}"#];
    assert_eq!(world.text(1, "0/b,{}"), other, "an event is out");
    world.ok();
    assert_eq!(world.machine.waiting_bytes(), 0);
    assert_eq!(world.text(1, "0/b,").len(), 1);
}

#[test]
fn a_name_that_fits_no_url_leads_to_nothing() {
    let mut world = World::new(Settings::default());
    world.connected(1);
    let event = |length: usize| format!(r#"2["{}"]"#, "é".repeat(length));
    assert_eq!(world.text(1, &event(513)), ["ignored EventName"]);
    assert_eq!(world.text(1, &event(512)).len(), 1);
}

#[test]
fn one_client_is_in_so_many_namespaces_at_most() {
    let mut world = World::new(Settings { namespaces_max: 2, ..Settings::default() });
    world.connected(1);
    world.text(1, "0/a,");
    assert_eq!(world.text(1, "0/b,"), [r#"send 1 4/b,{"message":"too many namespaces"}"#]);
    world.text(1, "1");
    assert_eq!(world.text(1, "0/b,"), [r#"ask connect c1 /b s3 {"claims":{}}"#]);
}
