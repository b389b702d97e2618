//! Connections between two requests.

use std::time::Duration;

use super::wire::Wire;
use super::world::World;
use crate::peer::{Peer, PortKind};
use crate::shard::command::{Arrival, Command};
use crate::socket::Socket;

const SPAN: Duration = Duration::from_secs(130);

fn peer() -> Peer {
    Peer::new(([127, 0, 0, 1], 4000).into(), PortKind::Public)
}

impl World {
    fn rests(&mut self) -> Wire {
        let wire = Wire::default();
        self.wires.push(wire.clone());
        self.tell(Command::Rest {
            socket: Socket::Wire(wire.clone()),
            from: peer(),
            permit: self.streams.permit().expect("there are enough"),
            span: SPAN,
        });
        wire
    }

    fn awake(&mut self) -> usize {
        self.run();
        let awake = self.shard.take_awake();
        let again = |arrival: &Arrival| matches!(arrival, Arrival::Again { .. });
        assert!(awake.iter().all(again), "{awake:?}");
        awake.len()
    }
}

#[test]
fn a_connection_wakes_with_the_first_byte_and_once() {
    let mut world = World::new();
    let (wire, other) = (world.rests(), world.rests());
    assert_eq!(world.awake(), 0);
    wire.client_writes(b"G");
    assert_eq!(world.awake(), 1);
    assert_eq!(wire.unread_bytes(), 1, "whoever serves it reads");
    wire.client_writes(b"ET");
    assert_eq!(world.awake(), 0, "it is another's now");
    assert_eq!(world.env.metrics.streams.get(), 1);
    assert!(!other.is_closed());
}

#[test]
fn what_came_before_the_rest_wakes_at_once() {
    let mut world = World::new();
    let wire = Wire::default();
    wire.client_writes(b"GET");
    world.wires.push(wire.clone());
    let permit = world.streams.permit().expect("there are enough");
    let socket = Socket::Wire(wire);
    world.tell(Command::Rest { socket, from: peer(), permit, span: SPAN });
    assert_eq!(world.awake(), 1);
}

#[test]
fn a_client_that_goes_wakes_its_connection_so_that_it_is_seen_to_end() {
    let mut world = World::new();
    let (ended, broken) = (world.rests(), world.rests());
    ended.client_ends();
    broken.breaks();
    assert_eq!(world.awake(), 2);
    assert_eq!(world.env.metrics.streams.get(), 0);
}

#[test]
fn a_connection_that_rests_for_too_long_is_closed_and_not_before() {
    let mut world = World::new();
    let wire = world.rests();
    world.pass(SPAN - Duration::from_millis(1));
    assert!(!wire.is_closed());
    assert_eq!(world.env.metrics.streams.get(), 1);
    world.pass(Duration::from_secs(2));
    assert!(wire.is_closed());
    assert_eq!(world.env.metrics.streams.get(), 0);
    assert_eq!(world.awake(), 0);
}

#[test]
fn the_end_of_an_earlier_rest_is_none_of_the_next_one() {
    let mut world = World::new();
    let first = world.rests();
    world.pass(SPAN / 2);
    first.client_writes(b"G");
    assert_eq!(world.awake(), 1);
    // Takes the place of the first connection.
    let second = world.rests();
    world.pass(SPAN / 2 + Duration::from_secs(2));
    assert!(!second.is_closed());
    world.pass(SPAN / 2);
    assert!(second.is_closed());
}

#[test]
fn ends_that_count_no_more_do_not_pile_up() {
    let mut world = World::new();
    for _ in 0..1000 {
        let wire = world.rests();
        wire.client_writes(b"G");
        assert_eq!(world.awake(), 1);
        world.wires.clear();
    }
    assert!(world.shard.resting.ends_len() < 100, "{}", world.shard.resting.ends_len());
}
