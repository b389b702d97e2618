//! Connection state recovery: what a shard keeps for returning clients, and what they receive.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use trunkline_engineio::CloseReason;
use trunkline_trunk::settings::ConnectionStateRecovery;
use trunkline_trunk::{
    CloseReason as WireReason, Found, Frame, Persist, Position, Reattach, RequestId, RestoredAt,
    Str,
};

use super::app::{App, MAIN, broadcast_of, close};
use super::client::Client;
use super::world::World;
use crate::shard::command::Command;
use crate::shard::recovery::{GiveBack, RestoreRequest};

const KEEP: Duration = Duration::from_secs(120);

fn world() -> World {
    World::with(|_, settings| {
        settings.numbers = true;
        settings.connection_state_recovery =
            Some(ConnectionStateRecovery { max_disconnection: KEEP, skip_middlewares: true });
    })
}

impl World {
    /// An app server whose next broadcast is number 1.
    pub(super) fn numbering_app(&mut self, name: &str) -> App {
        let app = self.app(name);
        self.app_says(&app, [Frame::Number { next: 1 }]);
        app
    }

    pub(super) fn app_records(&mut self, app: &App, offset: &str, rooms: &[&str], text: &str) {
        let broadcast = broadcast_of(rooms, &[], text);
        self.app_says(app, [Frame::Recorded { offset: offset.into(), broadcast }]);
    }

    /// Lets the client lose its connection; the app server gives its socket `socket` to the node.
    fn client_is_lost(&mut self, app: &App, client: &Client, socket: &str, rooms: &[&str]) {
        self.client_ends(client);
        let persist = persist(client, socket, rooms);
        self.app_says(app, [persist, close(client.number, WireReason::AppClosed)]);
    }

    pub(super) fn restore(&mut self, app: &App, pid: &str, offset: &str) -> RestoredAt {
        let request_id = RequestId(7);
        app.frames();
        self.tell(Command::Restore(Box::new(RestoreRequest {
            trunk: app.trunk.number,
            hub: Arc::clone(&self.hub),
            request_id,
            nsp: "/".into(),
            pid: pid.into(),
            offset: offset.into(),
        })));
        match &app.frames()[..] {
            [Frame::RestoredAt(restored)] => (**restored).clone(),
            others => panic!("an answer was expected: {others:?}"),
        }
    }

    fn app_reattaches(&mut self, app: &App, client: &Client, restored: &RestoredAt) {
        self.app_says(
            app,
            [Frame::Reattach(Box::new(Reattach {
                session: client.number,
                nsp: MAIN,
                socket: restored.socket.clone(),
                rooms: restored.rooms.clone(),
                pid: "pid".into(),
                log: restored.log.clone(),
                last: restored.last.clone(),
                cut: restored.cut.clone(),
            }))],
        );
    }
}

fn persist(client: &Client, socket: &str, rooms: &[&str]) -> Frame {
    Frame::Persist(Box::new(Persist {
        session: client.number,
        nsp: MAIN,
        pid: "pid".into(),
        socket: socket.into(),
        rooms: rooms.iter().map(|room| Str::from(*room)).collect(),
        data: Bytes::from_static(b"data"),
    }))
}

pub(super) fn missed(restored: &RestoredAt) -> Vec<String> {
    let parts = restored.missed.iter().flatten();
    parts.map(|part| String::from_utf8_lossy(&part.data).into_owned()).collect()
}

#[test]
fn a_socket_comes_back_with_its_rooms_its_data_and_what_it_missed() {
    let mut world = world();
    let app = world.numbering_app("a");
    let client = world.websocket(&app);
    world.app_attaches(&app, &client, "s", &["room"]);
    world.app_records(&app, "o1", &[], "seen");
    assert_eq!(client.reads(), ["4seen"]);
    world.client_is_lost(&app, &client, "s", &["room"]);
    world.app_records(&app, "o2", &["room"], "for the room");
    world.app_records(&app, "o3", &["elsewhere"], "for others");
    world.app_records(&app, "o4", &[], "for all");
    let restored = world.restore(&app, "pid", "o1");
    assert_eq!(
        (restored.found, &*restored.socket, &*restored.data),
        (Found::Yes, "s", &b"data"[..])
    );
    assert_eq!(restored.rooms, [Str::from("room")]);
    assert_eq!(missed(&restored), ["for the room", "for all"]);
    assert_eq!(restored.cut, [Position { server: "a".into(), number: 4 }]);
}

#[test]
fn what_comes_between_the_restore_and_the_return_is_delivered_with_the_return() {
    let mut world = world();
    let app = world.numbering_app("a");
    let client = world.websocket(&app);
    world.app_attaches(&app, &client, "s", &[]);
    world.app_records(&app, "o1", &[], "seen");
    world.client_is_lost(&app, &client, "s", &[]);
    world.app_records(&app, "o2", &[], "missed");
    let restored = world.restore(&app, "pid", "o1");
    world.app_records(&app, "o3", &[], "between");
    let back = world.websocket(&app);
    world.app_reattaches(&app, &back, &restored);
    assert_eq!(back.reads(), ["4between"], "what was missed before is the app server's to send");
    world.app_records(&app, "o4", &[], "live");
    assert_eq!(back.reads(), ["4live"]);
}

#[test]
fn what_is_kept_is_given_out_once() {
    let mut world = world();
    let app = world.numbering_app("a");
    let client = world.websocket(&app);
    world.app_attaches(&app, &client, "s", &[]);
    world.app_records(&app, "o1", &[], "seen");
    world.client_is_lost(&app, &client, "s", &[]);
    assert_eq!(world.restore(&app, "pid", "o1").found, Found::Yes);
    let again = world.restore(&app, "pid", "o1");
    assert_eq!((again.found, &*again.socket), (Found::Taken, "s"));
    world.tell(Command::GiveBack(Box::new(GiveBack {
        hub: 0,
        nsp: "/".into(),
        pid: "pid".into(),
    })));
    assert_eq!(world.restore(&app, "pid", "o1").found, Found::Yes, "it was given back");
}

#[test]
fn an_offset_or_an_id_that_nobody_knows_brings_nothing_back() {
    let mut world = world();
    let app = world.numbering_app("a");
    let client = world.websocket(&app);
    world.app_attaches(&app, &client, "s", &[]);
    world.app_records(&app, "o1", &[], "seen");
    world.client_is_lost(&app, &client, "s", &[]);
    assert_eq!(world.restore(&app, "pid", "o9").found, Found::No);
    assert_eq!(world.restore(&app, "other", "o1").found, Found::No);
}

#[test]
fn what_is_kept_too_long_is_forgotten_here_and_by_the_hub() {
    let mut world = world();
    let app = world.numbering_app("a");
    let client = world.websocket(&app);
    world.app_attaches(&app, &client, "s", &[]);
    world.app_records(&app, "o1", &[], "seen");
    world.hub.kept_by("pid", 0);
    world.client_is_lost(&app, &client, "s", &[]);
    world.pass(KEEP - Duration::from_secs(2));
    assert_eq!(world.hub.keeper_of("pid"), Some(0));
    world.pass(Duration::from_secs(4));
    assert_eq!(world.hub.keeper_of("pid"), None);
    assert_eq!(world.restore(&app, "pid", "o1").found, Found::No);
}

#[test]
fn a_socket_of_a_session_that_was_over_before_is_kept_nowhere() {
    let mut world = world();
    let app = world.numbering_app("a");
    let client = world.websocket(&app);
    world.client_ends(&client);
    world.app_closes(&app, client.number);
    world.hub.kept_by("pid", 0);
    world.app_says(&app, [persist(&client, "s", &[])]);
    assert_eq!(world.hub.keeper_of("pid"), None, "the hub is told so");
}

#[test]
fn a_number_that_repeats_ends_the_trunk() {
    let mut world = world();
    let app = world.numbering_app("a");
    world.app_records(&app, "o1", &[], "one");
    world.app_says(&app, [Frame::Number { next: 1 }]);
    assert!(app.trunk.ending().is_some());
}

#[test]
fn what_was_left_out_breaks_off_every_offset_of_before() {
    let mut world = world();
    let app = world.numbering_app("a");
    let client = world.websocket(&app);
    world.app_attaches(&app, &client, "s", &[]);
    world.app_records(&app, "o1", &[], "seen");
    world.client_is_lost(&app, &client, "s", &[]);
    world.app_says(&app, [Frame::Number { next: 9 }]);
    assert_eq!(world.restore(&app, "pid", "o1").found, Found::No);
}

#[test]
fn a_cut_that_cannot_be_proved_ends_the_session_as_a_node_that_shuts_down_would() {
    let mut world = world();
    let app = world.numbering_app("a");
    let client = world.websocket(&app);
    let cut = vec![Position { server: "nobody".into(), number: 3 }];
    let restored = RestoredAt {
        request_id: RequestId(1),
        found: Found::Yes,
        socket: "s".into(),
        rooms: Vec::new(),
        data: Bytes::new(),
        missed: Vec::new(),
        log: "other".into(),
        last: "o1".into(),
        cut: cut.clone(),
    };
    world.app_says(&app, [Frame::Prove { session: client.number, request_id: RequestId(5), cut }]);
    assert_eq!(app.hears(), ["proved 5 false"]);
    world.app_reattaches(&app, &client, &restored);
    assert_eq!(app.hears(), ["close 0 NodeShutdown"]);
    assert_eq!(world.closed(CloseReason::RecoveryUnproved), 1);
}

#[test]
fn a_cut_that_holds_is_proved_and_one_for_a_number_out_of_use_is_not() {
    let mut world = world();
    let app = world.numbering_app("a");
    let client = world.websocket(&app);
    world.app_attaches(&app, &client, "s", &[]);
    world.app_records(&app, "o1", &[], "one");
    let cut = vec![Position { server: "a".into(), number: 1 }];
    let prove = |session| Frame::Prove { session, request_id: RequestId(5), cut: cut.clone() };
    world.app_says(&app, [prove(client.number)]);
    assert_eq!(app.hears(), ["proved 5 true"]);
    world.client_ends(&client);
    app.hears();
    world.app_says(&app, [prove(client.number)]);
    assert_eq!(app.hears(), ["proved 5 false"], "whoever asks is answered");
}

/// The socket `s`, which another node has kept. There it has received up to this number of app
/// server `a`.
fn restored_elsewhere(number: u64) -> RestoredAt {
    RestoredAt {
        request_id: RequestId(1),
        found: Found::Yes,
        socket: "s".into(),
        rooms: Vec::new(),
        data: Bytes::new(),
        missed: Vec::new(),
        log: "other".into(),
        last: format!("o{number}").into(),
        cut: vec![Position { server: "a".into(), number }],
    }
}

#[test]
fn a_socket_that_had_it_elsewhere_does_not_get_it_twice() {
    let mut world = world();
    let app = world.numbering_app("a");
    let client = world.websocket(&app);
    world.app_records(&app, "o1", &[], "one");
    // On another node it has received up to number 3, because numbers 2 and 3 arrived earlier
    // there.
    let restored = restored_elsewhere(3);
    world.app_reattaches(&app, &client, &restored);
    for (offset, text) in [("o2", "two"), ("o3", "three"), ("o4", "four")] {
        world.app_records(&app, offset, &[], text);
    }
    assert_eq!(client.reads(), ["4four"]);
}

#[test]
fn a_local_packet_comes_back_only_to_sockets_of_the_app_server_that_sent_it() {
    let mut world = world();
    let app = world.numbering_app("a");
    let client = world.websocket(&app);
    world.app_attaches(&app, &client, "s", &[]);
    world.app_records(&app, "o1", &[], "seen");
    world.client_is_lost(&app, &client, "s", &[]);
    let other = world.numbering_app("b");
    world.app_records(&other, "o2", &[], "for all");
    for app in [&other, &app] {
        let mut local = broadcast_of(&[], &[], &format!("local of {}", app.trunk.server_id));
        local.flags.local = true;
        world.app_says(app, [Frame::Recorded { offset: "o3".into(), broadcast: local }]);
    }
    let restored = world.restore(&app, "pid", "o1");
    assert_eq!(missed(&restored), ["for all", "local of a"]);
}

#[test]
fn broadcasts_that_are_not_recorded_have_numbers_too() {
    let mut world = world();
    let app = world.numbering_app("a");
    let client = world.websocket(&app);
    world.app_attaches(&app, &client, "s", &[]);
    world.app_records(&app, "o1", &[], "one");
    world.app_says(&app, [Frame::Broadcast(broadcast_of(&[], &[], "volatile"))]);
    world.app_records(&app, "o3", &[], "three");
    world.client_is_lost(&app, &client, "s", &[]);
    let restored = world.restore(&app, "pid", "o3");
    assert_eq!(restored.cut, [Position { server: "a".into(), number: 3 }]);
}

#[test]
fn a_fresh_socket_in_the_seat_of_one_that_came_back_gets_what_that_one_had() {
    let mut world = world();
    let app = world.numbering_app("a");
    let client = world.websocket(&app);
    world.app_records(&app, "o1", &[], "one");
    let restored = restored_elsewhere(3);
    world.app_reattaches(&app, &client, &restored);
    world.app_says(&app, [Frame::Detach { session: client.number, nsp: MAIN }]);
    world.app_attaches(&app, &client, "fresh", &[]);
    world.app_records(&app, "o2", &[], "two");
    assert_eq!(client.reads(), ["4two"]);
}

#[test]
fn a_session_that_goes_leaves_nothing_that_later_broadcasts_are_compared_with() {
    let mut world = world();
    let app = world.numbering_app("a");
    let client = world.websocket(&app);
    world.app_records(&app, "o1", &[], "one");
    let restored = restored_elsewhere(9);
    world.app_reattaches(&app, &client, &restored);
    let is_compared = |world: &mut World| {
        let shard = &mut world.shard;
        let feed = shard.trunks.get_mut(&app.trunk.number).and_then(|one| one.feed.as_mut());
        let log = &mut shard.recoveries[0];
        let origin = log.advance(feed.expect("it numbers")).expect("it has said from where");
        log.has_ahead(origin)
    };
    assert!(is_compared(&mut world), "it has had up to the ninth");
    world.client_ends(&client);
    world.app_closes(&app, client.number);
    assert!(!is_compared(&mut world));
}
