//! From the first packet to a socket, or to a refusal.

use super::*;

#[test]
fn an_accepted_socket_is_told_its_id_and_the_handler_that_it_is_there() {
    let mut world = World::new(Settings::default());
    world.open(1);
    assert_eq!(world.text(1, "0"), [r#"ask connect c1 / s1 {"claims":{}}"#]);
    assert_eq!(world.ok(), ["enter 1 / s1", r#"send 1 0{"sid":"s1"}"#, "ask connected c1 / s1 {}"]);
}

#[test]
fn auth_is_passed_on_and_namespaces_are_sockets_of_their_own() {
    let mut world = World::new(Settings::default());
    world.open(1);
    assert_eq!(
        world.text(1, r#"0/chat,{"token":"x"}"#),
        [r#"ask connect c1 /chat s1 {"claims":{},"auth":{"token":"x"}}"#]
    );
    assert_eq!(world.text(1, "0"), [r#"ask connect c1 / s2 {"claims":{}}"#]);
    // Sockets appear in the order of the answers.
    world.asked.reverse();
    assert_eq!(world.ok()[1], r#"send 1 0{"sid":"s2"}"#);
    assert_eq!(world.ok()[1], r#"send 1 0/chat,{"sid":"s1"}"#);
}

#[test]
fn a_hub_without_a_handler_for_connect_takes_everybody() {
    let mut world = World::new(Settings::default());
    world.open(1);
    world.text(1, "0");
    assert_eq!(world.answer(&Answered::NoHandler)[1], r#"send 1 0{"sid":"s1"}"#);
}

#[test]
fn a_refusal_reaches_the_client_who_may_try_again() {
    let cases = [
        (response(401, ""), r#"send 1 4/a,{"message":"unauthorized"}"#),
        (response(403, "not you"), r#"send 1 4/a,{"message":"not you"}"#),
        (response(500, "trace"), r#"send 1 4/a,{"message":"service unavailable"}"#),
        (Answered::Unavailable, r#"send 1 4/a,{"message":"service unavailable"}"#),
    ];
    for (answered, expected) in cases {
        let mut world = World::new(Settings::default());
        world.open(1);
        world.text(1, "0/a,");
        assert_eq!(world.answer(&answered), [expected]);
        assert_eq!(world.machine.sockets(), 0);
        assert_eq!(world.text(1, "0/a,"), [r#"ask connect c1 /a s2 {"claims":{}}"#]);
        assert_eq!(world.ok()[1], r#"send 1 0/a,{"sid":"s2"}"#);
    }
}

#[test]
fn whoever_becomes_no_socket_in_time_is_closed() {
    let mut world = World::new(Settings::default());
    world.open(1);
    world.open(2);
    world.connected(3);
    world.text(2, "0");
    assert_eq!(world.machine.poll_deadline(), Some(T0 + Duration::from_secs(45)));
    assert_eq!(world.after(Duration::from_millis(44_999)), [""; 0]);
    assert_eq!(
        world.after(Duration::from_millis(1)),
        ["close 1 NamespaceTimeout", "close 2 NamespaceTimeout"]
    );
    assert_eq!(world.machine.poll_deadline(), None);
    // The handler accepted the socket too late, and must receive its end.
    assert_eq!(world.ok(), [r#"tell disconnected c2 / s2 {"reason":"no namespace"}"#]);
}

#[test]
fn what_must_not_come_now_ends_the_connection() {
    let packets = [
        "x",
        "2[\"early\"]",
        "2/b,[\"nowhere\"]",
        "1/b,",
        "3/b,1[]",
        "4\"no\"",
        "0/b,[]",
        "0",
        "0/a,",
    ];
    for packet in packets {
        let mut world = World::new(Settings::default());
        world.open(1);
        world.text(1, "0");
        world.text(1, "0/a,");
        assert_eq!(world.text(1, packet)[0], "close 1 PacketInvalid", "{packet}");
        assert_eq!(world.text(1, "0/c,"), [""; 0], "nobody is there any more");
    }
}

#[test]
fn names_that_no_namespace_has_are_refused() {
    let mut world = World::new(Settings::default());
    world.connected(1);
    let invalid = [format!("/{}", "x".repeat(256)), "/a?b=c".into()];
    for name in invalid {
        let expected = format!(r#"send 1 4{name},{{"message":"Invalid namespace"}}"#);
        assert_eq!(world.text(1, &format!("0{name},")), [expected]);
    }
}
