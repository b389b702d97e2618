//! Requests at a node that does not have the session.

use std::time::Duration;

use trunkline_engineio::{CloseReason, HandshakeError, Protocol};

use super::app::App;
use super::client::Client;
use super::cluster::Nodes;
use crate::shard::command::{Answer, Command, POST_BROKEN, PostBegun};

/// Two nodes, an app server of the first, and a client that polls there.
fn two() -> (Nodes, App, Client) {
    nodes(2)
}

fn nodes(count: usize) -> (Nodes, App, Client) {
    let mut nodes = Nodes::joined(count);
    let app = nodes.all[0].world.app("a");
    let client = nodes.all[0].world.polling(&app);
    nodes.run();
    (nodes, app, client)
}

impl Nodes {
    fn sends(&mut self, app: &App, client: &Client, text: &str) {
        self.all[0].world.app_sends(app, client, text);
        self.run();
    }
}

#[test]
fn a_poll_at_another_node_gets_what_the_session_has() {
    let (mut nodes, app, client) = two();
    nodes.sends(&app, &client, "one");
    let mut poll = nodes.poll(1, &client);
    assert_eq!(poll.said(), "4one");
    let mut held = nodes.poll(1, &client);
    assert_eq!(held.said(), "waits");
    nodes.sends(&app, &client, "two");
    assert_eq!(held.said(), "4two");
    assert_eq!(nodes.poll(0, &client).said(), "waits", "any node will do");
    assert_eq!((nodes.relayed(1).asked, nodes.relayed(0).served), (2, 2));
    assert_eq!((nodes.relayed(1).asking, nodes.relayed(0).serving), (0, 0), "nothing is left");
}

#[test]
fn a_post_at_another_node_reaches_the_app_server() {
    let (mut nodes, app, client) = two();
    app.hears();
    assert_eq!(nodes.post(1, &client, b"4hello"), "ok");
    assert_eq!(app.hears(), [format!("{}: hello", client.number.0)]);
    let large = format!("4{}", "x".repeat(900_000));
    assert_eq!(nodes.post(1, &client, large.as_bytes()), "ok");
    assert_eq!(app.hears().len(), 1);
    assert_eq!(nodes.relayed(0).serving, 0);
}

#[test]
fn a_client_that_goes_away_at_another_node_ends_its_session() {
    let (mut nodes, _app, client) = two();
    let poll = nodes.poll(1, &client);
    nodes.poll_gone(1, &client, poll);
    assert_eq!(nodes.all[0].world.closed(CloseReason::TransportError), 1);
    assert_eq!((nodes.relayed(1).asking, nodes.relayed(0).serving), (0, 0));
}

#[test]
fn an_answer_that_crosses_with_the_end_of_its_client_ends_the_session() {
    let (mut nodes, app, client) = two();
    let poll = nodes.poll(1, &client);
    // The client is gone, and its node has not noticed.
    drop(poll);
    nodes.sends(&app, &client, "lost");
    assert_eq!(nodes.all[0].world.closed(CloseReason::TransportError), 1);
}

#[test]
fn a_node_that_stops_gives_its_polls_back_and_their_sessions_go_on() {
    let (mut nodes, app, client) = two();
    let mut held = nodes.poll(1, &client);
    nodes.give_polls_back(1);
    assert_eq!(held.said(), "6");
    nodes.sends(&app, &client, "one");
    assert_eq!(nodes.poll(0, &client).said(), "4one");
    assert_eq!(nodes.relayed(1).asking, 0);
}

#[test]
fn two_polls_at_two_nodes_overlap() {
    let (mut nodes, _app, client) = two();
    let mut first = nodes.poll(1, &client);
    assert_eq!(nodes.poll(0, &client).said(), "status 400");
    assert_eq!(first.said(), "1");
    assert_eq!(nodes.poll(1, &client).said(), "refused UnknownSid");
    assert_eq!(nodes.all[0].world.closed(CloseReason::TransportError), 1);
}

#[test]
fn two_posts_at_two_nodes_overlap() {
    let (mut nodes, _app, client) = two();
    let mut first = nodes.begin_post(1, &client);
    let Ok(PostBegun::Wanted { mut cut, .. }) = first.try_recv() else { panic!("it is wanted") };
    assert_eq!(nodes.post(0, &client, b"4x"), "status 400");
    assert!(cut.try_recv().is_err_and(|error| error == crate::reply::TryRecvError::Closed));
    assert_eq!(nodes.all[0].world.closed(CloseReason::TransportError), 1);
    assert_eq!((nodes.relayed(1).asking, nodes.relayed(0).serving), (0, 0));
}

#[test]
fn posts_one_after_another_at_two_nodes_do_not_overlap() {
    let (mut nodes, _app, client) = two();
    for at in [1, 0, 1, 1, 0] {
        assert_eq!(nodes.post(at, &client, b"4x"), "ok");
    }
}

#[test]
fn a_body_that_breaks_off_at_another_node_ends_the_session() {
    let (mut nodes, app, client) = two();
    let mut begun = nodes.begin_post(1, &client);
    let Ok(PostBegun::Wanted { key, .. }) = begun.try_recv() else { panic!("it is wanted") };
    app.hears();
    nodes.tell(1, &client.sid, Command::PostGone { key, fault: Some(POST_BROKEN) });
    assert_eq!(nodes.all[0].world.closed(CloseReason::TransportError), 1);
    let heard = app.hears();
    assert!(heard.iter().any(|line| line.contains("close")), "{heard:?}");
}

#[test]
fn refusals_are_those_of_the_owner() {
    let (mut nodes, _app, client) = two();
    let client = client.speaking(Protocol::V3);
    let Answer::Refused(refusal) = nodes.poll(1, &client).take() else { panic!("it is refused") };
    assert_eq!(refusal.error, HandshakeError::BadRequest);
    assert!(refusal.context.contains("PROTOCOL_MISMATCH"), "{}", refusal.context);
}

#[test]
fn a_session_that_nobody_has_is_unknown_at_once() {
    let (mut nodes, _app, mut client) = two();
    client.sid.secret.0[3] ^= 1;
    assert_eq!(nodes.poll(1, &client).said(), "refused UnknownSid");
    let numbers: Vec<u16> =
        nodes.all.iter().filter_map(|node| node.world.env.numbers.present()).collect();
    client.sid.node = (0..).find(|number| !numbers.contains(number)).expect("few are taken");
    for at in 0..2 {
        assert_eq!(nodes.poll(at, &client).said(), "refused UnknownSid");
        assert_eq!(nodes.post(at, &client, b"4x"), "refused UnknownSid");
    }
}

#[test]
fn the_death_of_the_owner_is_an_error_and_then_nobody_has_its_sessions() {
    let (mut nodes, _app, client) = two();
    let mut held = nodes.poll(1, &client);
    nodes.all[0].hangs = true;
    nodes.pass(Duration::from_secs(10));
    assert_eq!(held.said(), "owner_lost");
    assert_eq!(nodes.poll(1, &client).said(), "refused UnknownSid");
}

#[test]
fn the_end_of_a_process_is_noticed_before_it_is_silent_for_long() {
    let (mut nodes, _app, client) = two();
    let mut held = nodes.poll(1, &client);
    nodes.all[0].dead = true;
    nodes.pass(Duration::from_millis(1500));
    let mut next = nodes.poll(1, &client);
    nodes.pass(Duration::from_secs(2));
    assert_eq!(held.said(), "owner_lost");
    let said = next.said();
    assert!(["refused UnknownSid", "owner_lost"].contains(&&*said), "{said}");
}

#[test]
fn the_death_of_the_other_node_ends_the_sessions_that_polled_there() {
    let (mut nodes, app, client) = two();
    let other = nodes.all[0].world.polling(&app);
    nodes.poll(1, &client);
    let mut own = nodes.poll(0, &other);
    nodes.all[1].dead = true;
    nodes.pass(Duration::from_secs(10));
    assert_eq!(nodes.all[0].world.closed(CloseReason::TransportError), 1);
    assert_eq!(own.said(), "waits");
    assert_eq!(nodes.relayed(0).serving, 0);
}

#[test]
fn a_request_waits_for_a_bus_that_is_away_for_a_moment() {
    let (mut nodes, app, client) = two();
    nodes.sends(&app, &client, "one");
    nodes.set_bus(false);
    let mut poll = nodes.poll(1, &client);
    nodes.pass(Duration::from_secs(2));
    assert_eq!(poll.said(), "waits");
    nodes.set_bus(true);
    nodes.pass(Duration::from_secs(2));
    assert_eq!(poll.said(), "4one");
}

#[test]
fn a_request_is_refused_when_the_bus_is_away_for_three_seconds() {
    let (mut nodes, app, client) = two();
    nodes.sends(&app, &client, "one");
    nodes.set_bus(false);
    let mut poll = nodes.poll(1, &client);
    assert_eq!(nodes.post(1, &client, b"4x"), "waits");
    nodes.pass(Duration::from_millis(2900));
    assert_eq!(poll.said(), "waits");
    nodes.pass(Duration::from_millis(200));
    assert_eq!(poll.said(), "mesh_down");
    // The owner was never asked, so its session knows nothing of it.
    assert_eq!(nodes.poll(0, &client).said(), "4one");
    nodes.set_bus(true);
    nodes.pass(Duration::from_secs(3));
    assert_eq!(nodes.poll(1, &client).said(), "waits");
}

#[test]
fn a_held_poll_outlasts_a_bus_that_is_away_for_a_moment() {
    let (mut nodes, app, client) = two();
    let mut held = nodes.poll(1, &client);
    nodes.set_bus(false);
    nodes.sends(&app, &client, "one");
    nodes.pass(Duration::from_secs(2));
    assert_eq!(held.said(), "waits");
    nodes.set_bus(true);
    nodes.pass(Duration::from_secs(2));
    assert_eq!(held.said(), "4one", "exactly what was sent");
}

#[test]
fn the_app_server_of_a_session_elsewhere_is_known_here() {
    let (mut nodes, _app, client) = two();
    let Some(Ok(found)) = nodes.inspect(1, &client) else { panic!("it is there") };
    assert!(found.key.elsewhere && found.owner.is_none(), "no trunk of it is here");
    let here = nodes.all[1].world.app("a");
    let Some(Ok(found)) = nodes.inspect(1, &client) else { panic!("it is there") };
    assert_eq!(found.owner.map(|owner| owner.number), Some(here.trunk.number));
}

#[test]
fn a_client_that_does_not_read_what_it_polls_elsewhere_is_refused() {
    let (mut nodes, app, client) = two();
    let mut unread = Vec::new();
    let text = "x".repeat(1 << 20);
    for _ in 0..40 {
        nodes.sends(&app, &client, &text);
        let mut poll = nodes.poll(1, &client);
        let answer = poll.take();
        if let Answer::Payload(payload) = answer {
            unread.push(payload);
            continue;
        }
        assert!(matches!(answer, Answer::Status(400)));
        assert_eq!(unread.len(), 16, "as much as may wait for one client");
        unread.pop();
        assert!(matches!(nodes.poll(1, &client).take(), Answer::Payload(_)));
        return;
    }
    panic!("nothing stops it");
}

#[test]
fn a_node_that_has_not_joined_yet_does_not_say_that_a_session_is_unknown() {
    let (mut nodes, app, client) = two();
    nodes.sends(&app, &client, "one");
    let late = nodes.start();
    nodes.run();
    let mut poll = nodes.poll(late, &client);
    assert_eq!(poll.said(), "waits");
    nodes.pass(Duration::from_secs(3));
    assert_eq!(poll.said(), "4one");
}

#[test]
fn a_node_takes_no_session_before_it_has_joined() {
    let mut nodes = Nodes::joined(1);
    let late = nodes.start();
    nodes.run();
    let world = &mut nodes.all[late].world;
    let _app = world.app("a");
    let mut handshake = world.handshake(trunkline_engineio::TransportKind::Polling);
    assert_eq!(handshake.said(), "joining");
}

/// The second node has the number of the first, too, as after both had taken it unheard: the third
/// node asks the wrong one first, or the second looks at its own sessions in vain.
#[test]
fn a_session_is_found_although_two_nodes_have_its_number() {
    let (mut nodes, app, client) = nodes(3);
    let number = client.sid.node;
    nodes.sends(&app, &client, "one");
    nodes.claim(1, number);
    for at in [1, 2] {
        assert_eq!(nodes.post(at, &client, b"4x"), "ok", "at {at}");
    }
    let mut poll = nodes.poll(2, &client);
    assert_eq!(poll.said(), "4one");
    let mut held = nodes.poll(2, &client);
    nodes.sends(&app, &client, "two");
    assert_eq!(held.said(), "4two");
    assert!(nodes.inspect(2, &client).is_some_and(|found| found.is_ok()));
    let mut nobodys = client.sid;
    nobodys.secret.0[3] ^= 1;
    for at in [1, 2] {
        assert_eq!(nodes.poll_of(at, nobodys).said(), "refused UnknownSid", "at {at}");
    }
    assert_eq!((nodes.relayed(2).asking, nodes.relayed(0).serving), (0, 0));
}

#[test]
fn what_was_asked_before_the_bus_went_ends_three_seconds_later() {
    let (mut nodes, _app, client) = two();
    let mut held = nodes.poll(1, &client);
    nodes.set_bus(false);
    nodes.pass(Duration::from_millis(2900));
    assert_eq!(held.said(), "waits");
    nodes.pass(Duration::from_millis(200));
    assert_eq!(held.said(), "mesh_down");
    assert_eq!(nodes.relayed(1).asking, 0);
    nodes.set_bus(true);
    nodes.pass(Duration::from_secs(2));
    assert_eq!(nodes.all[0].world.closed(CloseReason::TransportError), 1, "its owner hears of it");
}

#[test]
fn a_short_absence_of_the_bus_ends_no_held_poll() {
    let (mut nodes, app, client) = two();
    let mut held = nodes.poll(1, &client);
    nodes.set_bus(false);
    nodes.pass(Duration::from_secs(2));
    nodes.set_bus(true);
    nodes.pass(Duration::from_secs(4));
    assert_eq!(held.said(), "waits");
    nodes.sends(&app, &client, "one");
    nodes.pass(Duration::from_secs(1));
    assert_eq!(held.said(), "4one");
}

#[test]
fn a_client_that_goes_while_it_is_given_its_answer_ends_its_session() {
    let (mut nodes, app, client) = two();
    let mut poll = nodes.poll(1, &client);
    nodes.sends(&app, &client, "lost");
    assert_eq!(poll.said(), "4lost");
    nodes.poll_gone(1, &client, poll);
    assert_eq!(nodes.all[0].world.closed(CloseReason::TransportError), 1);
}
