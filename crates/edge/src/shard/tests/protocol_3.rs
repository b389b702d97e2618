//! Clients of Engine.IO's revision 3: they ping, and their payloads have lengths.

use std::time::Duration;

use bytes::Bytes;
use trunkline_engineio::{CloseReason, ContentType, Protocol};
use trunkline_trunk::{Frame, SendFlags, SessionNumber};
use trunkline_websocket::Opcode;

use super::client::{ClientKind, frame};
use super::world::World;
use crate::shard::command::Answer;

const INTERVAL: Duration = Duration::from_secs(25);
const TIMEOUT: Duration = Duration::from_secs(20);
const TICK: Duration = Duration::from_millis(40);

fn world() -> World {
    let mut world = World::new();
    world.kind = ClientKind { protocol: Protocol::V3, ..ClientKind::default() };
    world
}

fn send_binary(session: SessionNumber, bytes: &'static [u8]) -> Frame {
    let flags = SendFlags { binary: true, ..SendFlags::default() };
    Frame::Send { session, flags, payload: Bytes::from_static(bytes) }
}

#[test]
fn a_ping_is_answered_and_no_news_for_the_app() {
    let mut world = world();
    let app = world.app("a");
    let client = world.websocket(&app);
    world.client_says(&client, "2");
    assert_eq!(client.reads(), ["3"]);
    assert!(app.hears().is_empty());
}

#[test]
fn a_ping_over_a_post_is_answered_over_the_poll() {
    let mut world = world();
    let app = world.app("a");
    let client = world.polling(&app);
    let mut poll = world.poll(&client);
    assert_eq!(world.post(&client, "1:2"), "ok");
    assert_eq!(poll.said(), "1:3");
}

#[test]
fn a_client_that_pings_lives_on_and_is_never_pinged() {
    let mut world = world();
    let app = world.app("a");
    let client = world.websocket(&app);
    for _ in 0..10 {
        world.pass(INTERVAL);
        assert!(client.reads().is_empty(), "the client pings, not the node");
        world.client_says(&client, "2");
        assert_eq!(client.reads(), ["3"]);
    }
    assert_eq!(world.sessions("websocket"), 1);
}

#[test]
fn a_client_that_does_not_ping_is_gone_after_interval_and_timeout() {
    let mut world = world();
    let app = world.app("a");
    let client = world.websocket(&app);
    world.client_says(&client, "2");
    client.reads();
    world.pass(INTERVAL + TIMEOUT - TICK);
    assert_eq!(world.sessions("websocket"), 1);
    world.pass(3 * TICK);
    assert_eq!(app.hears(), ["close 0 PingTimeout"]);
    assert_eq!((world.closed(CloseReason::PingTimeout), world.sessions("websocket")), (1, 0));
}

#[test]
fn a_pong_from_it_breaks_the_rules_and_so_does_a_ping_of_others() {
    for (protocol, wrong) in [(Protocol::V3, "3"), (Protocol::V4, "2")] {
        let mut world = world();
        world.kind.protocol = protocol;
        let app = world.app("a");
        let client = world.websocket(&app);
        world.client_says(&client, wrong);
        let broken =
            world.closed(CloseReason::TransportError) + world.closed(CloseReason::ParseError);
        assert_eq!((broken, world.slots()), (1, 1), "{protocol:?}: over, and its app is told");
        assert_eq!(app.hears().len(), 1);
    }
}

#[test]
fn what_waits_for_a_poll_comes_in_one_answer_with_lengths_in_characters() {
    let mut world = world();
    let app = world.app("a");
    let client = world.polling(&app);
    world.app_says(&app, ["one", "zwölf"].map(|text| super::app::send(client.number, text)));
    let mut poll = world.poll(&client);
    assert_eq!(poll.said(), "4:4one6:4zwölf");
}

#[test]
fn bytes_come_as_bytes_unless_the_client_takes_none() {
    for base64_only in [false, true] {
        let mut world = world();
        world.kind.base64_only = base64_only;
        let app = world.app("a");
        let client = world.polling(&app);
        world.app_says(&app, [send_binary(client.number, &[1, 2, 3])]);
        let Answer::Payload(payload) = world.poll(&client).unread() else { panic!("no payload") };
        if base64_only {
            assert_eq!(&payload.body[..], b"6:b4AQID");
        } else {
            assert_eq!(payload.content_type, ContentType::Binary);
            assert_eq!(&payload.body[..], [1, 4, 255, 4, 1, 2, 3]);
        }
    }
}

#[test]
fn over_a_websocket_bytes_have_their_type_in_front() {
    let mut world = world();
    let app = world.app("a");
    let client = world.websocket(&app);
    world.app_says(&app, [send_binary(client.number, b"xyz")]);
    assert_eq!(client.reads(), ["binary \u{4}xyz"]);
    client.wire.client_writes(&frame(Opcode::Binary, b"\x04abc"));
    world.run();
    assert_eq!(app.hears(), ["0: abc"]);
}

#[test]
fn a_post_with_several_packets_is_heard_in_order_as_text_and_as_bytes() {
    let mut world = world();
    let app = world.app("a");
    let client = world.polling(&app);
    assert_eq!(world.post(&client, "4:4one6:4zwölf"), "ok");
    assert_eq!(app.hears(), ["0: one", "0: zwölf"]);
    let mut post = world.begin_post(&client);
    let body = [1, 4, 255, 4, b'a', b'b', b'c', 0, 3, 255, b'4', b'd', b'e'];
    assert_eq!(world.finish_post_of(&client, &mut post, (true, &body)), "ok");
    assert_eq!(app.hears(), ["0: abc", "0: de"]);
}

#[test]
fn a_payload_whose_lengths_do_not_add_up_ends_the_session_behind_what_was_right() {
    let mut world = world();
    let app = world.app("a");
    let client = world.polling(&app);
    world.post(&client, "4:4one9:4two");
    assert_eq!(app.hears(), ["0: one", "close 0 ParseErrorWithMessages"]);
    assert_eq!(world.closed(CloseReason::ParseError), 1);
}

#[test]
fn a_request_that_names_another_revision_is_refused_and_the_session_goes_on() {
    let mut world = world();
    let app = world.app("a");
    let client = world.polling(&app).speaking(Protocol::V4);
    assert_eq!(world.poll(&client).said(), "refused BadRequest");
    assert_eq!(world.post(&client, "4x"), "refused BadRequest");
    let client = client.speaking(Protocol::V3);
    assert_eq!(world.post(&client, "2:4x"), "ok");
    assert_eq!(app.hears(), ["0: x"]);
}

#[test]
fn an_upgrade_takes_the_session_over_with_what_waited() {
    let mut world = world();
    let app = world.app("a");
    let client = world.polling(&app);
    world.probe(&client);
    world.client_says(&client, "2probe");
    assert_eq!(client.reads(), ["3probe"]);
    world.app_sends(&app, &client, "meanwhile");
    world.client_says(&client, "5");
    assert_eq!(client.reads(), ["4meanwhile"]);
    world.client_says(&client, "2");
    assert_eq!(client.reads(), ["3"], "and it pings over the new stream");
    assert_eq!((world.upgrades("done"), app.hears()), (1, vec!["upgraded 0".to_owned()]));
}
