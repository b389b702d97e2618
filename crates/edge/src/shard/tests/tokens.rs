//! Clients' tokens that are refreshed, revoked, or one too many of a user.

use std::time::Duration;

use trunkline_engineio::CloseReason;
use trunkline_token::TextMark;
use trunkline_trunk::Frame;

use super::app::{App, close};
use super::client::Client;
use super::world::World;
use crate::HubConfig;
use crate::hub::{Revoked, UserSessions};
use crate::reply;
use crate::shard::command::Command;
use crate::shard::{ClientToken, NotRefreshed, Refresh, TokenCommand, Whose};

pub(super) fn of_user(user: &str) -> ClientToken {
    ClientToken { user: Some(TextMark::of(user)), signed_s: 100, ..ClientToken::default() }
}

impl World {
    fn orphans(&self) -> usize {
        self.shard.orphans.waiting.len()
    }

    pub(super) fn in_s(&self, seconds: u64) -> trunkline_clock::Timestamp {
        self.now + Duration::from_secs(seconds)
    }

    pub(super) fn refresh(&mut self, whose: Whose, token: ClientToken) -> Result<(), NotRefreshed> {
        let (reply, mut said) = reply::pair();
        let claims = r#"{"sub":"anna"}"#.into();
        let refresh = Refresh { hub: self.hub.number, whose, token, claims, reply };
        self.tell(Command::Token(Box::new(TokenCommand::Refresh(refresh))));
        self.run();
        said.try_recv().expect("it is answered at once")
    }

    fn revoke(&mut self, revoked: Revoked) -> usize {
        let until = self.in_s(1_000);
        self.hub.revocations.add(self.now, revoked, until, 10).expect("there is room");
        let (reply, mut said) = reply::pair();
        let hub = self.hub.number;
        self.tell(Command::Token(Box::new(TokenCommand::Revoke { hub, revoked, reply })));
        self.run();
        said.try_recv().expect("it is answered at once")
    }
}

fn by_number(app: &App, client: &Client) -> Whose {
    Whose::Number(app.trunk.number, client.number)
}

fn told(app: &App, why: &str) -> usize {
    let is_told =
        |frame: &Frame| matches!(frame, Frame::Close { description, .. } if &**description == why);
    app.frames().iter().filter(|frame| is_told(frame)).count()
}

#[test]
fn a_session_lasts_as_long_as_its_newest_token() {
    let mut world = World::new();
    let app = world.app("a");
    world.kind.token = ClientToken { ends: Some(world.in_s(20)), ..of_user("anna") };
    let client = world.websocket(&app);
    world.pass(Duration::from_secs(15));
    let longer = ClientToken { ends: Some(world.in_s(20)), ..of_user("anna") };
    assert_eq!(world.refresh(by_number(&app, &client), longer), Ok(()));
    world.pass(Duration::from_secs(19));
    assert!(!world.has_ended(&client), "the end of the first token means nothing any longer");
    let shorter = ClientToken { ends: Some(world.in_s(5)), ..of_user("anna") };
    assert_eq!(world.refresh(Whose::Sid(client.sid), shorter), Ok(()));
    world.pass(Duration::from_secs(4));
    assert!(!world.has_ended(&client));
    world.pass(Duration::from_secs(2));
    assert!(world.has_ended(&client), "nor does that of the second");
    assert_eq!((world.closed(CloseReason::TokenExpired), told(&app, "token_expired")), (1, 1));
}

#[test]
fn a_token_that_is_not_for_this_session_changes_nothing() {
    let mut world = World::new();
    let app = world.app("a");
    world.kind.token = ClientToken { ends: Some(world.in_s(20)), ..of_user("anna") };
    let client = world.websocket(&app);
    world.kind.token = ClientToken::default();
    let without = world.websocket(&app);
    let other = world.app("b");
    let longer = |user: &str| ClientToken { ends: Some(world.in_s(100)), ..of_user(user) };
    let (own, others, nobodys) =
        (longer("anna"), longer("Anna"), ClientToken { user: None, ..longer("") });
    let own_by = by_number(&app, &client);
    assert_eq!(world.refresh(own_by, others), Err(NotRefreshed::OtherUser));
    assert_eq!(world.refresh(own_by, nobodys), Err(NotRefreshed::OtherUser));
    assert_eq!(world.refresh(by_number(&app, &without), own.clone()), Err(NotRefreshed::NoToken));
    // Another app server does not have this session, whatever number it names.
    assert_eq!(world.refresh(by_number(&other, &client), own.clone()), Err(NotRefreshed::Gone));
    let mut wrong = client.sid;
    wrong.secret.0[0] ^= 1;
    assert_eq!(world.refresh(Whose::Sid(wrong), own.clone()), Err(NotRefreshed::Gone));
    world.revoke(Revoked::Id(TextMark::of("7")));
    let revoked = ClientToken { id: Some(TextMark::of("7")), ..own.clone() };
    assert_eq!(world.refresh(own_by, revoked), Err(NotRefreshed::Revoked));
    world.pass(Duration::from_secs(21));
    assert!(world.has_ended(&client) && !world.has_ended(&without));
    assert_eq!(world.refresh(own_by, own), Err(NotRefreshed::Gone), "it comes too late");
}

#[test]
fn a_token_that_comes_while_its_session_waits_to_be_closed_is_too_late() {
    let mut world = World::with(|limits, _| limits.orphan_close_per_second = 1);
    let app = world.app("a");
    world.kind.token = ClientToken { ends: Some(world.in_s(5)), ..of_user("anna") };
    let (first, second) = (world.websocket(&app), world.websocket(&app));
    world.pass(Duration::from_millis(5_001));
    let waits = if world.has_ended(&first) { &second } else { &first };
    assert!(!world.has_ended(waits));
    let longer = ClientToken { ends: Some(world.in_s(100)), ..of_user("anna") };
    assert_eq!(world.refresh(by_number(&app, waits), longer), Err(NotRefreshed::Gone));
    world.pass(Duration::from_secs(3));
    assert_eq!(world.closed(CloseReason::TokenExpired), 2);
}

#[test]
fn revoked_tokens_end_their_sessions_and_those_that_open_meanwhile() {
    let mut world = World::new();
    let app = world.app("a");
    world.kind.token = of_user("anna");
    let (first, second) = (world.websocket(&app), world.polling(&app));
    world.kind.token = ClientToken { signed_s: 200, ..of_user("anna") };
    let newer = world.websocket(&app);
    world.kind.token = of_user("bert");
    let other = world.websocket(&app);
    // Checked before, answered after: its token is looked at again.
    world.kind.token = of_user("anna");
    let _late = world.handshake(trunkline_engineio::TransportKind::WebSocket);
    let (late, _) = app.newcomer();
    assert_eq!(world.revoke(Revoked::User(TextMark::of("anna"), 150)), 2);
    world.app_accepts(&app, late);
    world.pass(Duration::from_secs(1));
    assert!(world.has_ended(&first) && !world.has_ended(&newer) && !world.has_ended(&other));
    let _poll = world.poll(&second);
    world.pass(Duration::from_secs(1));
    assert_eq!((world.closed(CloseReason::TokenRevoked), told(&app, "token_revoked")), (3, 3));
    assert_eq!(world.revoke(Revoked::User(TextMark::of("anna"), 150)), 0, "nobody is left");
}

#[test]
fn who_is_revoked_waits_behind_no_orphan_is_not_refreshed_and_is_counted_once() {
    let mut world = World::with(|limits, _| limits.orphan_close_per_second = 20);
    let lost = world.app("a");
    let many: Vec<_> = (0..20).map(|_| world.websocket(&lost)).collect();
    let app = world.app("b");
    world.kind.token = of_user("anna");
    let client = world.websocket(&app);
    world.kind.token = ClientToken::default();
    let other = world.websocket(&app);
    world.app_goes(&lost);
    let waiting = world.orphans();
    assert!(waiting > 10, "{waiting}");
    assert_eq!(world.revoke(Revoked::User(TextMark::of("anna"), 150)), 1);
    assert_eq!(world.revoke(Revoked::User(TextMark::of("anna"), 160)), 0, "it is being closed");
    assert_eq!(world.orphans(), waiting + 1);
    let newer = ClientToken { signed_s: 500, ..of_user("anna") };
    assert_eq!(world.refresh(by_number(&app, &client), newer), Err(NotRefreshed::Gone));
    world.pass(Duration::from_millis(150));
    assert!(world.has_ended(&client) && !world.has_ended(&other));
    assert!(many.iter().any(|orphan| !world.has_ended(orphan)), "others still wait");
}

#[test]
fn whose_place_is_taken_ends_and_gives_it_back() {
    let mut world = World::new();
    let app = world.app("a");
    let limit = UserSessions { max: 2, refuses: false };
    let hub = std::sync::Arc::clone(&world.hub);
    let comes = |world: &mut World| {
        let place = hub.enter_user(TextMark::of("anna"), limit);
        world.kind.token = ClientToken { place, ..of_user("anna") };
        let client = world.websocket(&app);
        world.kind.token = ClientToken::default();
        client
    };
    let (first, second) = (comes(&mut world), comes(&mut world));
    assert!(world.hub.beyond(TextMark::of("anna"), 2).is_empty());
    let third = comes(&mut world);
    let beyond = world.hub.beyond(TextMark::of("anna"), 2);
    assert_eq!(beyond, [first.key]);
    assert!(world.hub.beyond(TextMark::of("anna"), 2).is_empty(), "each is named once");
    let asked = world.hub.enter_user(TextMark::of("anna"), limit);
    assert!(
        world.hub.beyond(TextMark::of("anna"), 2).is_empty(),
        "who may never come pushes nobody out"
    );
    drop(asked);
    world.tell(Command::Token(Box::new(TokenCommand::Close(first.key))));
    world.pass(Duration::from_secs(1));
    assert!(world.has_ended(&first) && !world.has_ended(&second) && !world.has_ended(&third));
    assert_eq!(told(&app, "user_sessions_full"), 1);
    let full = UserSessions { max: 2, refuses: true };
    assert!(world.hub.enter_user(TextMark::of("anna"), full).is_none());
    world.client_ends(&second);
    drop(world.hub.enter_user(TextMark::of("anna"), full).expect("there is a place again"));
    // A refresh does not lose the place.
    assert_eq!(world.refresh(by_number(&app, &third), of_user("anna")), Ok(()));
    assert!(world.hub.has_users());
    world.app_says(&app, [close(third.number, trunkline_trunk::CloseReason::AppClosed)]);
    world.pass(Duration::from_secs(1));
    assert!(!world.hub.has_users(), "nothing is left of anybody");
}

#[test]
fn a_hub_that_is_removed_says_so_rather_than_that_its_key_is_gone() {
    let mut world = World::new();
    world.has_keys(&["key"]);
    let app = world.app("a");
    world.kind.token = super::revoking::signed_by("key");
    let _handshake = world.handshake(trunkline_engineio::TransportKind::WebSocket);
    let (number, _) = app.newcomer();
    let others = [HubConfig { name: "game".into(), ..HubConfig::default() }];
    world.env.directory.check(&others).expect("there is room");
    world.env.directory.change(&others, "game");
    world.app_accepts(&app, number);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.closed(CloseReason::HubRemoved), 1);
}
