//! `disconnected` is sent once, after the last event.

use super::*;

#[test]
fn leaving_a_namespace_is_told() {
    let mut world = World::new(Settings::default());
    world.connected(1);
    assert_eq!(world.text(1, "1"), ["exit 1 /", r#"tell disconnected c1 / s1 {"reason":""}"#]);
    // The connection goes on, for example with a new socket in the same namespace.
    assert_eq!(world.text(1, "0"), [r#"ask connect c1 / s2 {"claims":{}}"#]);
    world.ok();
    world.ok();
    assert_eq!(
        world.closed(1, "ping timeout"),
        [r#"tell disconnected c1 / s2 {"reason":"ping timeout"}"#]
    );
    assert_eq!(world.closed(1, "twice"), [""; 0]);
    assert_eq!(world.machine.sockets(), 0);
}

#[test]
fn what_was_sent_before_the_end_is_told_before_it() {
    let mut world = World::new(Settings::default());
    world.connected(1);
    world.text(1, r#"2["a"]"#);
    world.text(1, r#"2["b"]"#);
    assert_eq!(world.text(1, "1"), ["exit 1 /"]);
    assert_eq!(world.text(1, "0"), [r#"ask connect c1 / s2 {"claims":{}}"#]);
    assert_eq!(world.closed(1, ""), [""; 0]);
    // The client has gone: its acknowledgement is dropped.
    assert_eq!(world.answer(&response(200, "430[]")), [r#"ask b c1 / s1 42["b"]"#]);
    assert_eq!(world.answer(&response(403, "no")), [""; 0], "the second socket never was");
    assert_eq!(world.ok(), [r#"tell disconnected c1 / s1 {"reason":""}"#]);
    assert_eq!(world.machine.sockets(), 0);
}

#[test]
fn a_socket_that_was_accepted_too_late_is_told_to_be_gone() {
    let mut world = World::new(Settings::default());
    world.open(1);
    world.text(1, "0");
    assert_eq!(world.closed(1, "transport error"), [""; 0]);
    assert_eq!(world.ok(), [r#"tell disconnected c1 / s1 {"reason":"transport error"}"#]);
    assert_eq!(world.machine.sockets(), 0);
}

#[test]
fn the_data_plane_can_end_a_socket() {
    let mut world = World::new(Settings::default());
    world.connected(1);
    world.machine.disconnect(1, "/");
    assert_eq!(world.drain(), ["exit 1 /", r#"tell disconnected c1 / s1 {"reason":""}"#]);
    world.machine.disconnect(1, "/");
    world.machine.disconnect(9, "/");
    assert_eq!(world.drain(), [""; 0]);
    // Messages that the client had sent by then have no socket.
    assert_eq!(world.text(1, r#"2["late"]"#), ["close 1 PacketInvalid"]);
}
