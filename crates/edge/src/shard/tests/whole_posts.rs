//! Posts whose bodies arrived together with their heads.

use std::time::Duration;

use trunkline_engineio::CloseReason;

use super::app::App;
use super::client::{Client, ClientKind, said};
use super::cluster::Nodes;
use super::world::World;

const BODY: usize = 16 * 1024;
/// A fraction of it, which is freed when it is reached, is as much as two bodies.
const CEILING: usize = 32 * 2 * BODY;

/// Two nodes, an app server of the first, and a client that polls there; the first one may be of an
/// earlier version.
fn two(older: bool, change: impl FnOnce(&mut World)) -> (Nodes, App, Client) {
    let mut nodes = Nodes::joined(2);
    let world = &mut nodes.all[0].world;
    change(world);
    let app = world.app("a");
    let client = world.polling(&app);
    nodes.run();
    if older {
        nodes.make_older(0);
    }
    app.hears();
    (nodes, app, client)
}

#[test]
fn a_whole_post_takes_one_question_to_the_other_node() {
    let (mut nodes, app, client) = two(false, |_| ());
    let before = nodes.frames();
    assert_eq!(nodes.post_whole(1, &client, b"4hello"), "ok");
    assert_eq!(app.hears(), [format!("{}: hello", client.number.0)]);
    assert_eq!(nodes.frames() - before, 2);
    assert_eq!((nodes.relayed(1).asked, nodes.relayed(0).served), (1, 1));
    assert_eq!((nodes.relayed(1).asking, nodes.relayed(0).serving), (0, 0), "nothing is left");
}

#[test]
fn a_node_of_an_earlier_version_gets_a_whole_post_in_two_parts() {
    let (mut nodes, app, client) = two(true, |_| ());
    let before = nodes.frames();
    assert_eq!(nodes.post_whole(1, &client, b"4hello"), "ok");
    assert_eq!(app.hears(), [format!("{}: hello", client.number.0)]);
    assert_eq!(nodes.frames() - before, 4);
    assert_eq!((nodes.relayed(1).asking, nodes.relayed(0).serving), (0, 0), "nothing is left");
    let _held = nodes.poll(0, &client);
    nodes.all[0].world.app_closes(&app, client.number);
    assert_eq!(nodes.post_whole(1, &client, b"4hello"), "refused UnknownSid");
    assert_eq!(nodes.frames() - before, 6, "it is refused without its body");
}

#[test]
fn a_whole_post_that_is_too_long_ends_its_session_at_any_node() {
    for older in [false, true] {
        let limit = |world: &mut World| world.settings.max_http_buffer_bytes = 10;
        let (mut nodes, _app, client) = two(older, limit);
        assert_eq!(nodes.post_whole(1, &client, b"4123456789"), "ok");
        assert_eq!(nodes.post_whole(1, &client, b"41234567890"), "status 413");
        assert_eq!(nodes.all[0].world.closed(CloseReason::TransportError), 1);
        assert_eq!(nodes.post_whole(1, &client, b"4"), "refused UnknownSid");
        assert_eq!((nodes.relayed(1).asking, nodes.relayed(0).serving), (0, 0));
    }
}

#[test]
fn a_whole_post_of_a_form_is_decoded_by_the_node_that_has_the_session() {
    for older in [false, true] {
        let kind = ClientKind { jsonp: Some("0"), ..ClientKind::default() };
        let (mut nodes, app, client) = two(older, |world| world.kind = kind);
        assert_eq!(nodes.post_whole(1, &client, b"d=4%7E"), "ok");
        assert_eq!(nodes.post_whole(1, &client, b"e=4x"), "ok", "it has no packets");
        assert_eq!(app.hears(), [format!("{}: ~", client.number.0)]);
        assert_eq!((nodes.relayed(1).asking, nodes.relayed(0).serving), (0, 0));
    }
}

#[test]
fn a_whole_post_overlaps_with_one_whose_body_is_on_its_way() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.polling(&app);
    let _first = world.begin_post(&client);
    assert_eq!(world.post_whole(&client, "4x").said(), "status 400");
    assert_eq!(world.closed(CloseReason::TransportError), 1);
}

#[test]
fn a_whole_post_without_credit_waits_and_the_next_one_overlaps_with_it() {
    let mut world = World::new();
    let app = world.app_with_credit("a", 1);
    let (client, other) = (world.polling(&app), world.polling(&app));
    assert_eq!(world.post_whole(&client, "4one").said(), "ok");
    let mut waits = world.post_whole(&client, "4two");
    let mut others = world.post_whole(&other, "4three");
    assert_eq!((waits.said(), others.said()), ("waits".into(), "waits".into()));
    assert_eq!(world.post_whole(&client, "4four").said(), "status 400");
    world.app_grants(&app, 1_000);
    world.run();
    assert_eq!((waits.said(), others.said()), ("refused UnknownSid".into(), "ok".into()));
    assert_eq!(app.hears(), ["0: one", "close 0 TransportError", "1: three"]);
}

#[test]
fn a_whole_post_outlives_the_app_server_that_gave_no_credit() {
    let mut world = World::new();
    let app = world.app_with_credit("a", 1);
    let client = world.polling(&app);
    assert_eq!(world.post_whole(&client, "4one").said(), "ok");
    let mut waits = world.post_whole(&client, "4two");
    assert_eq!(waits.said(), "waits");
    world.app_goes(&app);
    world.run();
    assert_ne!(waits.said(), "waits", "it learns what becomes of its session");
}

/// Two nodes without a bus, the second with a memory ceiling.
fn two_apart() -> (Nodes, App, Client) {
    let (mut nodes, app, client) = two(false, |_| ());
    nodes.all[1].world.env.memory.set_ceiling(Some(CEILING));
    nodes.set_bus(false);
    (nodes, app, client)
}

#[test]
fn a_whole_post_that_would_wait_for_another_node_is_refused_while_memory_is_full() {
    let (mut nodes, app, client) = two_apart();
    nodes.all[1].world.set_heap_bytes(CEILING);
    assert_eq!(nodes.post_whole(1, &client, &[b'4'; BODY]), "memory_full");
    let mut poll = nodes.poll(1, &client);
    assert_eq!(poll.said(), "waits", "a request without a body holds nothing");
    nodes.pass(Duration::from_secs(1));
    assert_eq!(poll.said(), "waits");
    nodes.set_bus(true);
    nodes.pass(Duration::from_secs(2));
    assert_eq!(nodes.post_whole(1, &client, b"4hello"), "ok", "it need not wait");
    assert_eq!(app.hears(), [format!("{}: hello", client.number.0)]);
}

#[test]
fn no_more_whole_posts_that_wait_for_another_node_end_than_memory_is_missing() {
    let (mut nodes, app, client) = two_apart();
    let mut posts: Vec<_> =
        (0..6).map(|_| nodes.begin_post_whole(1, &client, &[b'4'; BODY])).collect();
    nodes.pass(Duration::from_millis(100));
    assert_eq!(posts.iter_mut().map(said).collect::<Vec<_>>(), ["waits"; 6]);
    nodes.all[1].world.set_heap_bytes(CEILING);
    nodes.pass(Duration::from_millis(20));
    let gone: Vec<_> = posts.drain(..2).map(|mut post| said(&mut post)).collect();
    assert_eq!(gone, ["memory_full"; 2], "those that came first");
    nodes.all[1].world.set_heap_bytes(CEILING / 2);
    nodes.pass(Duration::from_millis(100));
    assert_eq!(posts.iter_mut().map(said).collect::<Vec<_>>(), ["waits"; 4]);
    nodes.set_bus(true);
    nodes.pass(Duration::from_secs(2));
    assert_eq!(posts.iter_mut().map(said).collect::<Vec<_>>(), ["ok"; 4]);
    assert_eq!(app.hears().len(), 4);
    assert_eq!((nodes.relayed(1).asking, nodes.relayed(0).serving), (0, 0));
}
