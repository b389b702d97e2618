//! The events of one socket are sent one after another; the handlers' answers go to the client.

use super::*;

#[test]
fn events_of_a_socket_wait_for_one_another_and_of_others_do_not() {
    let mut world = World::new(Settings::default());
    world.connected(1);
    world.connected(2);
    assert_eq!(world.text(1, r#"20["first",1]"#), [r#"ask first c1 / s1 420["first",1]"#]);
    assert_eq!(world.text(1, r#"2["second"]"#), [""; 0]);
    assert_eq!(world.text(1, r#"2["th\"ird"]"#), [""; 0]);
    assert_eq!(world.text(2, r#"2["other"]"#), [r#"ask other c2 / s2 42["other"]"#]);
    assert_eq!(
        world.answer(&response(200, "430[1]")),
        ["deliver 1 430[1]", r#"ask second c1 / s1 42["second"]"#]
    );
    world.asked.swap(0, 1);
    assert_eq!(world.ok(), [r#"ask th"ird c1 / s1 42["th\"ird"]"#]);
    assert_eq!(world.ok(), [""; 0]);
    assert_eq!(world.ok(), [""; 0]);
    assert_eq!(world.machine.waiting_bytes(), 0);
}

#[test]
fn events_wait_until_the_handler_has_heard_of_the_socket() {
    let mut world = World::new(Settings::default());
    world.open(1);
    world.text(1, "0");
    world.ok();
    assert_eq!(world.text(1, r#"2["early"]"#), [""; 0]);
    // The answer to that call does not matter.
    assert_eq!(world.answer(&response(500, "430[]")), [r#"ask early c1 / s1 42["early"]"#]);
}

#[test]
fn an_event_that_fails_is_not_the_end() {
    for answered in [response(500, "430[]"), response(404, ""), Answered::Unavailable] {
        let mut world = World::new(Settings::default());
        world.connected(1);
        world.text(1, r#"20["a"]"#);
        world.text(1, r#"21["b"]"#);
        assert_eq!(world.answer(&answered), [r#"ask b c1 / s1 421["b"]"#], "{answered:?}");
    }
}

#[test]
fn what_leads_to_nothing_is_counted() {
    let mut world = World::new(Settings::default());
    world.connected(1);
    world.text(1, r#"2["unheard"]"#);
    assert_eq!(world.answer(&Answered::NoHandler), ["ignored NoHandler"]);
    assert_eq!(world.text(1, "37[1]"), ["ignored Ack"]);
    assert_eq!(
        world.text(1, r#"52-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#),
        ["ignored Binary"]
    );
    world.machine.handle_binary(1);
    world.machine.handle_binary(1);
    assert_eq!(world.drain(), [""; 0]);
    assert_eq!(world.text(1, r#"2["next"]"#), [r#"ask next c1 / s1 42["next"]"#]);
    world.machine.handle_binary(1);
    assert_eq!(world.drain()[0], "close 1 PacketInvalid");
}

#[test]
fn a_text_between_a_packet_and_its_attachments_ends_the_connection() {
    let mut world = World::new(Settings::default());
    world.connected(1);
    world.text(1, r#"51-["a",{"_placeholder":true,"num":0}]"#);
    assert_eq!(world.text(1, r#"2["b"]"#)[0], "close 1 PacketInvalid");
}
