//! Hubs, keys and limits that the operator changes while sessions are open.

use std::sync::Arc;
use std::time::Duration;

use trunkline_engineio::{CloseReason, TransportKind};
use trunkline_token::{KeyMark, MarkedKey, Secret};
use trunkline_trunk::Frame;

use super::client::Client;
use super::world::World;
use crate::HubConfig;
use crate::hub::Ending;
use crate::shard::ClientToken;
use crate::shard::command::Command;

fn mark(key: &str) -> KeyMark {
    MarkedKey::new(Secret::new(key)).mark()
}

pub(super) fn signed_by(key: &str) -> ClientToken {
    ClientToken { key: Some(mark(key)), ..ClientToken::default() }
}

impl World {
    /// The configuration has a hub `chat` with these keys from now on, and the shard is told.
    pub(super) fn has_keys(&mut self, keys: &[&str]) {
        self.is_configured(&[HubConfig {
            name: "chat".into(),
            keys: keys.iter().copied().map(Secret::new).collect(),
            ..HubConfig::default()
        }]);
    }

    pub(super) fn is_configured(&mut self, hubs: &[HubConfig]) {
        self.env.directory.check(hubs).expect("there is room");
        let changes = self.env.directory.change(hubs, "chat");
        self.tell(Command::Reloaded(Arc::new(changes)));
        self.run();
    }

    pub(super) fn has_ended(&self, client: &Client) -> bool {
        self.live(client).is_none_or(|live| live.session.is_closed())
    }
}

#[test]
fn the_end_of_a_key_ends_the_sessions_whose_tokens_it_signed() {
    let mut world = World::new();
    world.has_keys(&["old", "new"]);
    let app = world.app("a");
    let without = world.websocket(&app);
    world.kind.token = signed_by("old");
    let old = world.websocket(&app);
    let polls = world.polling(&app);
    let mut poll = world.poll(&polls);
    world.kind.token = signed_by("new");
    let new = world.websocket(&app);
    world.has_keys(&["new", "old"]);
    world.pass(Duration::from_secs(1));
    assert!(![&without, &old, &polls, &new].into_iter().any(|client| world.has_ended(client)));
    app.hears();
    world.has_keys(&["new"]);
    world.pass(Duration::from_secs(1));
    assert_eq!(poll.said(), "1", "the poll is answered with the end");
    assert!(world.has_ended(&old) && world.has_ended(&polls));
    assert!(!world.has_ended(&without) && !world.has_ended(&new));
    assert_eq!(world.closed(CloseReason::KeyRemoved), 2);
    let is_told = |frame: &Frame| matches!(frame, Frame::Close { description, .. } if &**description == "key_removed");
    assert_eq!(app.frames().iter().filter(|frame| is_told(frame)).count(), 2, "the app learns why");
    assert_eq!(app.trunk.ending().map(|_| ()), None, "its own key is another one");
}

#[test]
fn a_handshake_whose_key_went_away_before_its_answer_opens_no_session() {
    let mut world = World::new();
    world.has_keys(&["old", "new"]);
    let app = world.app("a");
    world.kind.token = signed_by("old");
    let _handshake = world.handshake(TransportKind::WebSocket);
    let (number, _) = app.newcomer();
    world.has_keys(&["new"]);
    world.app_accepts(&app, number);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.closed(CloseReason::KeyRemoved), 1);
}

#[test]
fn sessions_with_a_key_that_is_gone_are_closed_at_the_pace_of_orphans() {
    let mut world = World::with(|limits, _| limits.orphan_close_per_second = 40);
    world.has_keys(&["old"]);
    let app = world.app("a");
    world.kind.token = signed_by("old");
    world.many(&app, 30);
    world.has_keys(&["new"]);
    assert_eq!(world.sessions("websocket"), 28);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.sessions("websocket"), 0);
    assert_eq!(world.closed(CloseReason::KeyRemoved), 30);
}

#[test]
fn a_hub_that_is_removed_takes_its_sessions_along_and_may_return() {
    let mut world = World::new();
    let app = world.app("a");
    let client = world.websocket(&app);
    world.is_configured(&[HubConfig { name: "game".into(), ..HubConfig::default() }]);
    assert!(matches!(app.trunk.ending(), Some(Ending::HubRemoved)));
    assert!(world.env.directory.by_name("chat").is_none());
    assert!(world.env.directory.by_name("game").is_some());
    world.app_goes(&app);
    world.pass(Duration::from_secs(1));
    assert!(world.has_ended(&client));
    assert_eq!(world.closed(CloseReason::HubRemoved), 1);
    assert_eq!(world.slots(), 0);

    world.has_keys(&["key"]);
    let again = world.app("a");
    let client = world.websocket(&again);
    world.pass(Duration::from_secs(1));
    assert!(!world.has_ended(&client));
    assert!(world.env.directory.by_name("chat").is_some_and(|hub| Arc::ptr_eq(&hub, &world.hub)));
}

#[test]
fn a_changed_limit_counts_for_app_servers_that_are_connected() {
    let mut world = World::new();
    let app = world.app("a");
    let mut limits = world.env.limits.clone();
    limits.outbox_bytes_max = 2_000;
    limits.outbox_stall = Duration::from_millis(200);
    assert!(world.env.limits.set(limits));
    world.has_keys(&["key"]);
    let client = world.websocket(&app);
    world.client_takes(&client, Some(0));
    for _ in 0..5 {
        world.app_sends(&app, &client, &"x".repeat(1_000));
    }
    world.pass(Duration::from_secs(5));
    assert_eq!(world.closed(CloseReason::OutboxFull), 1);
}

#[test]
fn a_session_ends_with_its_token_and_one_that_ended_before_leaves_nothing() {
    let mut world = World::new();
    let app = world.app("a");
    let in_s = |world: &World, seconds| world.now + Duration::from_secs(seconds);
    world.kind.token = ClientToken { ends: Some(in_s(&world, 20)), ..ClientToken::default() };
    let ends = world.websocket(&app);
    world.kind.token.ends = Some(in_s(&world, 10));
    let leaves = world.websocket(&app);
    world.kind.token.ends = None;
    let stays = world.websocket(&app);
    world.client_ends(&leaves);
    app.frames();
    world.pass(Duration::from_secs(19));
    assert!(!world.has_ended(&ends));
    assert_eq!(world.closed(CloseReason::TokenExpired), 0);
    world.pass(Duration::from_secs(2));
    assert!(world.has_ended(&ends) && !world.has_ended(&stays));
    assert_eq!(world.closed(CloseReason::TokenExpired), 1);
    let is_told = |frame: &Frame| matches!(frame, Frame::Close { description, .. } if &**description == "token_expired");
    assert_eq!(app.frames().iter().filter(|frame| is_told(frame)).count(), 1, "the app learns why");
}
