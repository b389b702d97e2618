//! Limits of a hub, seen by its clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use trunkline_engineio::TransportKind;
use trunkline_token::Secret;
use trunkline_trunk::CloseReason;

use super::app::close;
use super::world::World;
use crate::HubConfig;
use crate::hub::{HubLimits, Origin};
use crate::shard::command::Command;

const POLLING: TransportKind = TransportKind::Polling;
const WEBSOCKET: TransportKind = TransportKind::WebSocket;

fn two_sessions() -> World {
    World::with(|limits, _| limits.hub_sessions_max = Some(2))
}

impl World {
    /// Changes the limits of the hub, as a reload does.
    pub(super) fn has_hub_limits(&mut self, limits: HubLimits) {
        let keys = vec![Secret::new("key")];
        let hub = HubConfig { name: "chat".into(), keys, limits, ..HubConfig::default() };
        let changes = self.env.directory.change(&[hub], "chat");
        self.tell(Command::Reloaded(Arc::new(changes)));
    }
}

#[test]
fn a_full_hub_opens_nothing_until_one_has_gone() {
    let mut world = two_sessions();
    let app = world.app("a");
    let (_stays, leaves) = (world.polling(&app), world.websocket(&app));
    for transport in [POLLING, WEBSOCKET] {
        assert_eq!(world.handshake(transport).said(), "hub_sessions_full");
    }
    assert_eq!(world.handshakes("hub_sessions_full"), 2);
    assert!(app.hears().is_empty(), "the app was not asked");
    world.client_ends(&leaves);
    assert_eq!(world.slots(), 2, "the app server has not answered");
    app.hears();
    let another = world.websocket(&app);
    assert_eq!(world.handshake(POLLING).said(), "hub_sessions_full");
    world.app_closes(&app, another.number);
    app.hears();
    world.polling(&app);
}

#[test]
fn handshakes_count_from_the_start_and_until_they_fail() {
    let mut world = two_sessions();
    let app = world.app("a");
    let rejected = world.handshake(POLLING);
    let (first, _) = app.newcomer();
    let gone = world.handshake(WEBSOCKET);
    app.newcomer();
    assert_eq!(world.handshake(POLLING).said(), "hub_sessions_full");
    world.app_rejects(&app, first, 403);
    drop(rejected);
    world.polling(&app);
    assert_eq!(world.handshake(POLLING).said(), "hub_sessions_full");
    world.handshake_gone(gone);
    let mut silent = world.handshake(POLLING);
    assert_eq!(silent.said(), "waits");
    world.pass(Duration::from_secs(21));
    assert_eq!(silent.said(), "app_server_silent");
    assert_eq!(world.hub.sessions(), 1);
}

#[test]
fn a_handshake_that_changes_its_app_server_counts_once() {
    let mut world = World::with(|limits, _| limits.hub_sessions_max = Some(1));
    let (first, second) = (world.app("a"), world.app("b"));
    let mut handshake = world.handshake(POLLING);
    world.pass(Duration::from_secs(15));
    assert_eq!(world.handshake(POLLING).said(), "hub_sessions_full");
    let asked = [&first, &second].map(|app| app.frames().len());
    assert!(asked.iter().all(|frames| *frames > 0), "both were asked: {asked:?}");
    world.pass(Duration::from_secs(10));
    assert_eq!((handshake.said(), world.hub.sessions()), ("app_server_silent".into(), 0));
}

#[test]
fn a_lower_limit_closes_nobody_and_only_refuses() {
    let mut world = World::new();
    let app = world.app("a");
    let clients = [world.websocket(&app), world.websocket(&app), world.websocket(&app)];
    world.has_hub_limits(HubLimits { sessions_max: Some(1), ..HubLimits::default() });
    assert_eq!(world.hub.sessions(), 3);
    assert_eq!(world.handshake(POLLING).said(), "hub_sessions_full");
    for client in &clients[..2] {
        world.app_says(&app, [close(client.number, CloseReason::AppClosed)]);
    }
    assert_eq!(world.sessions("websocket"), 1);
    assert_eq!(world.handshake(POLLING).said(), "hub_sessions_full", "one is as many as it may");
    world.has_hub_limits(HubLimits::default());
    app.hears();
    world.polling(&app);
}

#[test]
fn app_servers_with_as_many_sessions_as_they_may_have_are_not_asked() {
    let mut world = World::with(|limits, _| limits.app_server_sessions_max = Some(1));
    world.origin = Origin::Outside(SocketAddr::from(([127, 0, 0, 1], 9)));
    let (first, second) = (world.app("a"), world.app("b"));
    let _asked = [world.handshake(POLLING), world.handshake(POLLING)];
    assert_eq!([&first, &second].map(|app| app.trunk.sessions()), [1, 1]);
    assert_eq!(world.handshake(POLLING).said(), "app_servers_full");
    assert_eq!(world.handshakes("app_servers_full"), 1);
    second.trunk.set_draining();
    assert_eq!(world.handshake(POLLING).said(), "app_servers_full");
}
