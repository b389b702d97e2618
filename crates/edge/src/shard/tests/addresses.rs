//! Sessions in the counts of their clients' addresses, and lists of addresses that change.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use trunkline_admission::Prefixes;
use trunkline_engineio::{CloseReason, TransportKind};

use super::world::World;
use crate::gate::AddressRules;
use crate::limits::Limits;
use crate::shard::command::Command;

const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

impl World {
    /// From now on these addresses may not be here.
    fn denies(&mut self, list: &str) {
        let deny = Prefixes::parse_list(list.as_bytes()).expect("a good list");
        let rules = AddressRules { deny: Arc::new(deny), ..AddressRules::default() };
        self.env.gate.set(&rules, &Limits::default());
        self.tell(Command::Reloaded(Arc::default()));
        self.run();
    }

    fn counted(&self, ip: IpAddr) -> u32 {
        self.env.gate.sessions_of(ip)
    }
}

#[test]
fn a_session_counts_from_its_handshake_to_its_end() {
    let mut world = World::new();
    let app = world.app("a");
    world.kind.ip = Some(ONE);
    let client = world.websocket(&app);
    let polls = world.polling(&app);
    let waits = world.handshake(TransportKind::WebSocket);
    assert_eq!((world.counted(ONE), world.counted(OTHER)), (3, 0));
    let (number, _) = app.newcomer();
    world.app_rejects(&app, number, 403);
    drop(waits);
    assert_eq!(world.counted(ONE), 2);
    let gone = world.handshake(TransportKind::Polling);
    world.handshake_gone(gone);
    assert_eq!(world.counted(ONE), 2);
    world.client_ends(&client);
    world.run();
    // The app server has not confirmed the end, and need not for this.
    assert_eq!(world.counted(ONE), 1);
    assert!(world.live(&polls).is_some(), "which is this one");
}

#[test]
fn sessions_of_an_address_that_is_denied_are_closed_and_the_others_are_not() {
    let mut world = World::with(|limits, _| limits.orphan_close_per_second = 40);
    let app = world.app("a");
    world.kind.ip = Some(OTHER);
    let other = world.websocket(&app);
    world.kind.ip = None;
    let exempt = world.websocket(&app);
    world.kind.ip = Some(ONE);
    world.many(&app, 30);
    world.denies("198.51.100.0/24");
    world.pass(Duration::from_secs(1));
    assert_eq!(world.sessions("websocket"), 32);
    world.denies("192.0.2.1");
    assert!(world.sessions("websocket") > 20, "at an even pace");
    world.pass(Duration::from_secs(2));
    assert_eq!(world.sessions("websocket"), 2);
    assert_eq!(world.closed(CloseReason::AddressDenied), 30);
    assert!(world.live(&other).is_some() && world.live(&exempt).is_some());
    assert_eq!((world.counted(ONE), world.counted(OTHER)), (0, 1));
}

#[test]
fn a_handshake_whose_address_was_denied_before_its_answer_opens_no_session() {
    let mut world = World::new();
    let app = world.app("a");
    world.kind.ip = Some(ONE);
    let _handshake = world.handshake(TransportKind::WebSocket);
    let (number, _) = app.newcomer();
    world.denies("192.0.2.0/24");
    world.app_accepts(&app, number);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.closed(CloseReason::AddressDenied), 1);
    assert_eq!(world.counted(ONE), 0);
}

#[test]
fn a_handshake_that_goes_to_another_app_server_still_counts_once() {
    let mut world = World::new();
    let app = world.app("a");
    world.kind.ip = Some(ONE);
    let _handshake = world.handshake(TransportKind::WebSocket);
    let _number = app.newcomer();
    let other = world.app("b");
    world.app_goes(&app);
    let (number, _) = other.newcomer();
    assert_eq!(world.counted(ONE), 1);
    world.app_accepts(&other, number);
    assert_eq!(world.counted(ONE), 1);
}
