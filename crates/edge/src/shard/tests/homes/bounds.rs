//! What is kept of sessions for other app servers, and what waits for them, is bounded.

use std::time::Duration;

use trunkline_engineio::CloseReason;
use trunkline_trunk::{CloseReason as WireReason, Found, Frame, NamespaceNumber, State};

use super::super::app::{App, close};
use super::super::client::Client;
use super::super::world::World;
use super::{leaves, pid, standing, state, world, world_with};
use crate::hub::Remains;
use crate::metrics::Cause;

const SECOND: Duration = Duration::from_secs(1);

impl World {
    /// Gives a client this many sockets, each in its own namespace and with a state of 60 KiB.
    fn settle_many(&mut self, app: &App, client: &Client, sockets: u32) {
        let session = client.number;
        for n in 0..sockets {
            let nsp = NamespaceNumber(10 + n);
            let (name, socket) = (format!("/{n}"), format!("s{n}"));
            let state = State {
                session,
                nsp,
                socket: socket.as_str().into(),
                pid: pid(&socket),
                state: vec![b'x'; 60 * 1024].into(),
            };
            let socket = socket.as_str().into();
            self.app_says(
                app,
                [
                    Frame::Namespace { nsp, name: name.as_str().into() },
                    Frame::Attach { session, nsp, socket, rooms: Vec::new() },
                    Frame::State(Box::new(state)),
                ],
            );
        }
    }
}

#[test]
fn a_session_whose_states_are_too_long_together_is_closed_as_ever() {
    for (sockets, waiting) in [(4, 1), (5, 0)] {
        let mut world = world();
        let app = world.numbering_app("a");
        let client = world.websocket(&app);
        world.settle_many(&app, &client, sockets);
        world.app_goes(&app);
        assert_eq!(world.waiting(), waiting, "{sockets}");
    }
}

#[test]
fn a_state_that_takes_the_place_of_another_counts_once() {
    let mut world = world();
    let app = world.numbering_app("a");
    let client = world.websocket(&app);
    for _ in 0..10 {
        world.settle_many(&app, &client, 4);
    }
    world.app_goes(&app);
    assert_eq!(world.waiting(), 1);
}

#[test]
fn what_is_kept_counts_when_memory_is_full() {
    let mut world = world_with(|limits| limits.memory_bytes_max = Some(1_000_000));
    let app = world.numbering_app("a");
    let client = world.websocket(&app);
    world.settle_many(&app, &client, 4);
    let small = world.settled(&app, "small", &[]);
    world.app_goes(&app);
    world.set_heap_bytes(2_000_000);
    world.pass(2 * SECOND);
    world.set_heap_bytes(0);
    assert_eq!((world.closed(CloseReason::MemoryFull), world.waiting()), (1, 1));
    assert!(small.reads().is_empty());
}

#[test]
fn nobody_is_asked_with_more_than_a_batch_can_hold() {
    let mut world = world_with(|limits| limits.trunk_batch_bytes_max = 50_000);
    let old = world.numbering_app("old");
    let small = world.settled(&old, "small", &[]);
    let client = world.websocket(&old);
    world.settle_many(&old, &client, 1);
    let new = world.numbering_app("new");
    world.app_goes(&old);
    world.pass(SECOND);
    assert_eq!(new.adopt().session, small.number);
    assert_eq!((world.rehomed("orphan", "no_home"), world.waiting()), (1, 1));
    assert_eq!((new.trunk.sessions(), world.slots()), (1, 1));
    assert_eq!(world.closed(CloseReason::AppServerLost), 1);
}

/// Begins a second post while a first one waits: Engine.IO allows one at a time.
fn second_post_is_refused(world: &mut World, client: &Client) {
    let mut second = world.begin_post(client);
    assert_eq!(world.finish_post(client, &mut second, "4second"), "status 400");
    let cause = Cause { cause: "posts_overlap" };
    assert_eq!(world.env.metrics.misbehaviour.get_or_create(&cause).get(), 1);
    assert_eq!(world.sessions("polling"), 0);
}

#[test]
fn one_post_of_a_session_waits_for_a_home_and_no_more() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.polling(&old);
    world.settle(&old, &client, "s", &[]);
    world.app_goes(&old);
    let mut first = world.begin_post(&client);
    assert_eq!(world.finish_post(&client, &mut first, "4first"), "waits");
    second_post_is_refused(&mut world, &client);
    assert_ne!(world.finish_post(&client, &mut first, "4first"), "waits", "it is over, too");
    assert_eq!((world.waiting(), world.slots()), (0, 0));
}

#[test]
fn a_post_whose_body_is_under_way_when_the_app_server_is_lost_is_the_only_one() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.polling(&old);
    world.settle(&old, &client, "s", &[]);
    // Its body is wanted and has not come.
    let _first = world.begin_post(&client);
    world.app_goes(&old);
    second_post_is_refused(&mut world, &client);
}

#[test]
fn one_post_waits_behind_messages_that_were_given_back_and_no_more() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.polling(&old);
    world.settle(&old, &client, "s", &[]);
    assert_eq!(world.post(&client, "4before"), "ok");
    let unbegun = vec![old.batch()];
    world.app_dies(&old, Remains { unbegun, ..Remains::default() });
    let mut first = world.begin_post(&client);
    assert_eq!(world.finish_post(&client, &mut first, "4first"), "waits");
    second_post_is_refused(&mut world, &client);
}

#[test]
fn one_post_waits_behind_one_that_waits_for_credit_and_no_more() {
    let mut world = world();
    let app = world.app_with_credit("a", 1);
    let client = world.polling(&app);
    let mut first = world.begin_post(&client);
    assert_eq!(world.finish_post(&client, &mut first, "4one\x1e4two\x1e4three"), "waits");
    let mut second = world.begin_post(&client);
    assert_eq!(world.finish_post(&client, &mut second, "4four"), "waits");
    let mut third = world.begin_post(&client);
    assert_eq!(world.finish_post(&client, &mut third, "4five"), "status 400");
}

#[test]
fn an_app_server_that_does_not_hand_over_what_it_asked_to_loses_the_session() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &[]);
    world.app_records(&old, "o1", &[], "seen");
    old.trunk.set_draining();
    world.app_says(&old, [standing(&client, leaves())]);
    assert_eq!(old.hears(), [format!("close {} HandedOver", client.number.0)]);
    world.client_says(&client, "4hello");
    world.pass(29 * SECOND);
    world.client_says(&client, "3");
    assert_eq!(world.sessions("websocket"), 1);
    world.pass(2 * SECOND);
    assert_eq!((world.sessions("websocket"), world.waiting()), (0, 0));
    assert_eq!(world.closed(CloseReason::AppServerLostInDoubt), 1);
    assert_eq!(world.rehomed("handed_over", "in_doubt"), 1);
    assert!(old.hears().is_empty(), "it was told");
    let new = world.numbering_app("new");
    assert_eq!(world.restore(&new, "p-s", "o1").found, Found::Yes);
    // Its late words harm nobody, and free the number.
    let late = close(client.number, WireReason::HandedOver);
    world.app_says(&old, [state(client.number, "s", "late"), late]);
    assert_eq!((world.slots(), world.waiting()), (0, 0));
    assert!(world.shard.homes.leaving.is_empty());
}

#[test]
fn a_session_that_was_handed_over_in_time_is_not_closed_for_it() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &[]);
    let new = world.numbering_app("new");
    old.trunk.set_draining();
    world.app_says(&old, [standing(&client, leaves())]);
    world.app_says(&old, [close(client.number, WireReason::HandedOver)]);
    world.takes_over_one(&new);
    world.pass(20 * SECOND);
    // It leaves again, and has its time again.
    let third = world.numbering_app("third");
    new.trunk.set_draining();
    world.app_says(&new, [standing(&client, leaves())]);
    world.pass(11 * SECOND);
    world.client_says(&client, "3");
    world.app_says(&new, [close(client.number, WireReason::HandedOver)]);
    world.pass(SECOND);
    world.takes_over_one(&third);
    assert_eq!(world.sessions("websocket"), 1);
}
