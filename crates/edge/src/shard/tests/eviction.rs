//! The memory ceiling: new sessions are refused, and those that hold most are closed first.

use std::time::Duration;

use trunkline_engineio::{CloseReason, TransportKind};
use trunkline_trunk::Frame;

use super::app::send;
use super::client::Client;
use super::world::World;

const CEILING: usize = 100_000_000;
const MIB: usize = 1024 * 1024;

fn world() -> World {
    World::with(|limits, _| limits.memory_bytes_max = Some(CEILING))
}

fn holding(world: &mut World, app: &super::app::App, bytes: usize) -> Client {
    let client = world.websocket(app);
    client.wire.set_room(Some(0));
    let part = "x".repeat(32 * 1024);
    let frames: Vec<Frame> =
        (0..bytes.div_ceil(part.len())).map(|_| send(client.number, &part)).collect();
    world.app_says_all(app, frames);
    client
}

fn evicted(world: &World) -> u64 {
    world.closed(CloseReason::MemoryFull)
}

#[test]
fn below_the_ceiling_nobody_is_closed() {
    let mut world = world();
    let app = world.app("a");
    let _client = holding(&mut world, &app, 4 * MIB);
    world.pass(Duration::from_secs(10));
    assert_eq!(evicted(&world), 0);
}

#[test]
fn at_the_ceiling_those_who_hold_most_go_first_and_the_others_stay() {
    let mut world = world();
    let app = world.app("a");
    let little = holding(&mut world, &app, MIB);
    let much = holding(&mut world, &app, 12 * MIB);
    let idle = world.websocket(&app);
    world.set_heap_bytes(CEILING);
    // The shard has no turn until it checks by itself.
    for _ in 0..100 {
        world.pass(Duration::from_millis(10));
        if evicted(&world) > 0 {
            world.set_heap_bytes(CEILING / 2);
        }
    }
    assert_eq!(evicted(&world), 1);
    assert!(world.live(&much).is_none());
    assert!(world.live(&little).is_some() && world.live(&idle).is_some());
    assert_eq!(app.hears(), [format!("close {} OutboxFull", much.number.0)]);
}

#[test]
fn while_memory_stays_full_less_and_less_is_enough_to_go_but_never_little() {
    let mut world = world();
    let app = world.app("a");
    let some = holding(&mut world, &app, 256 * 1024);
    let little = holding(&mut world, &app, 32 * 1024);
    world.set_heap_bytes(2 * CEILING);
    world.pass(Duration::from_secs(3));
    assert!(world.live(&some).is_none());
    assert!(world.live(&little).is_some(), "enough for a client that reads");
}

#[test]
fn who_holds_much_gets_no_more_at_the_ceiling() {
    let mut world = world();
    let app = world.app("a");
    let client = holding(&mut world, &app, 128 * 1024);
    world.set_heap_bytes(CEILING);
    world.app_sends(&app, &client, "one more");
    assert_eq!(evicted(&world), 1);
}

#[test]
fn who_holds_little_gets_more_at_the_ceiling() {
    let mut world = world();
    let app = world.app("a");
    let client = world.websocket(&app);
    world.set_heap_bytes(CEILING);
    world.app_sends(&app, &client, "hello");
    assert_eq!(client.reads(), ["4hello"]);
    assert_eq!(world.handshake(TransportKind::Polling).said(), "memory_full");
}

#[test]
fn answers_that_nobody_reads_are_cut_off_at_the_ceiling() {
    let mut world = world();
    let app = world.app("a");
    let client = world.polling(&app);
    let mut poll = world.poll(&client);
    world.app_sends(&app, &client, "unread");
    let crate::shard::command::Answer::Payload(mut payload) = poll.unread() else {
        panic!("there is an answer")
    };
    let flight = payload.flight.take().expect("it is on its way");
    world.app_closes(&app, client.number);
    world.poll(&client).said();
    assert!(!flight.is_cut());
    world.set_heap_bytes(CEILING);
    world.pass(Duration::from_secs(2));
    assert!(flight.is_cut());
}

#[test]
fn closed_streams_with_much_to_deliver_go_too() {
    let mut world = world();
    let app = world.app("a");
    let client = holding(&mut world, &app, 256 * 1024);
    client.wire.client_writes(&super::client::frame(trunkline_websocket::Opcode::Close, &[]));
    world.run();
    assert_eq!(world.shard.lingering.len(), 1);
    world.set_heap_bytes(2 * CEILING);
    world.pass(Duration::from_secs(3));
    assert_eq!(world.shard.lingering.len(), 0);
}

#[test]
fn no_more_go_in_one_step_than_is_missing() {
    let mut world = world();
    let app = world.app("a");
    let _clients: Vec<_> = (0..3).map(|_| holding(&mut world, &app, 12 * MIB)).collect();
    world.set_heap_bytes(CEILING + 1_000);
    for _ in 0..2_000 {
        if evicted(&world) == 0 {
            world.pass(Duration::from_millis(1));
        }
    }
    assert_eq!(evicted(&world), 1, "one of them is enough");
}

#[test]
fn what_a_session_that_has_to_go_has_not_decoded_is_given_back() {
    let mut world = world();
    let app = world.app_with_credit("a", 1);
    let client = world.websocket(&app);
    for number in 0..300 {
        client.writes(&format!("4{number}{}", "x".repeat(1_000)));
    }
    world.run();
    let undecoded = |world: &World| {
        let held = world.live(&client).and_then(|live| live.held.as_ref());
        held.map_or(0, |held| held.undecoded_bytes())
    };
    assert!(undecoded(&world) > 60_000, "{}: as much as one read brings", undecoded(&world));
    client.wire.set_room(Some(0));
    let part = "x".repeat(32 * 1024);
    world.app_says_all(&app, (0..384).map(|_| send(client.number, &part)).collect());
    world.set_heap_bytes(2 * CEILING);
    world.pass(Duration::from_secs(2));
    assert_eq!(undecoded(&world), 0);
    world.set_heap_bytes(0);
    world.app_grants(&app, 10_000);
    let heard = app.hears();
    assert!(heard.len() <= 3 && heard[0].starts_with("0: 0x"), "{}: what was decoded", heard.len());
}
