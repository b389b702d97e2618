//! Tests of a hub and its app servers without streams and threads: which trunk replaces which,
//! which app server is asked, and which peers each one sees.

mod bounds;
mod nodes;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use trunkline_clock::Timestamp;
use trunkline_trunk::settings::{EngineSettings, OwnSettings};
use trunkline_trunk::{
    ClientRequest, Frame, RequestCode, Response, SharedCredit, Str, Transport, decode_batch,
};

use super::roster::{NoAppServer, Relayed};
use super::trunk::Notes;
use super::{Directory, Ending, Hub, HubLimits, Origin, Trunk};
use crate::HubConfig;
use crate::limits::Limits;

const NOW: Timestamp = Timestamp::ORIGIN;

struct World {
    directory: Directory,
    hub: Arc<Hub>,
    limits: Limits,
    next: u32,
}

impl World {
    fn new() -> Self {
        let config = config(HubLimits::default());
        let directory = Directory::new(&[config], "chat", 0);
        let hub = directory.by_name("chat").expect("it is configured");
        Self { directory, hub, limits: Limits::default(), next: 0 }
    }

    /// Sets the limits of the hub, as a reload does.
    fn is_limited(&self, limits: HubLimits) {
        self.directory.change(&[config(limits)], "chat");
    }

    /// Opens a trunk of the app server with this name.
    fn comes(&mut self, server: &str) -> Arc<Trunk> {
        self.comes_with(server, OwnSettings::default())
    }

    fn comes_with(&mut self, server: &str, own: OwnSettings) -> Arc<Trunk> {
        self.next += 1;
        let trunk = Arc::new(Trunk::new(
            self.next,
            Arc::clone(&self.hub),
            (server.into(), "test/1".into()),
            (Origin::Outside(SocketAddr::from(([127, 0, 0, 1], 9))), None),
            (EngineSettings::default(), own),
            Arc::new(SharedCredit::new(1000)),
            NOW,
        ));
        self.directory.trunk_up(&trunk);
        trunk
    }

    /// Sends a message of app server `a` to others.
    fn relay(&self, to: &[&str], unread_bytes_max: usize) -> Relayed {
        self.hub.relay(("a", to), b"x", unread_bytes_max)
    }

    fn pick(&self) -> Result<u32, NoAppServer> {
        self.hub.pick(&self.limits, NOW).map(|trunk| trunk.number)
    }

    fn pick_for_request(&self, tried: &[u32]) -> Result<u32, NoAppServer> {
        self.hub.pick_for_request(&self.limits, NOW, tried).map(|trunk| trunk.number)
    }
}

fn config(limits: HubLimits) -> HubConfig {
    HubConfig { name: "chat".into(), limits, ..HubConfig::default() }
}

fn client() -> ClientRequest {
    ClientRequest {
        transport: Transport::Polling,
        secure: false,
        address: Str::EMPTY,
        port: 1,
        method: Str::EMPTY,
        url: Str::from_static("/socket.io/"),
        headers: Vec::new(),
        claims: Str::EMPTY,
    }
}

/// The frames that the app server reads next.
fn read(trunk: &Trunk) -> Vec<Frame> {
    let frames = decode_batch(trunk.take_outbox().0.freeze());
    frames.collect::<Result<_, _>>().expect("our own frames")
}

fn peers(of: &Trunk) -> Vec<String> {
    let Some(Frame::Peers { servers }) = read(of).pop() else { panic!("nothing was told") };
    servers.iter().map(ToString::to_string).collect()
}

#[test]
fn a_later_trunk_of_an_app_server_ends_the_earlier_and_gets_what_is_new() {
    let mut world = World::new();
    let (first, other) = (world.comes("a"), world.comes("b"));
    let second = world.comes("a");
    assert!(matches!(first.ending(), Some(Ending::Replaced)));
    assert!(second.ending().is_none() && other.ending().is_none());
    assert_eq!(first.server, second.server, "to everybody it is the same app server");
    other.set_draining();
    for _ in 0..2 {
        assert_eq!(world.pick(), Ok(second.number));
        assert_eq!(world.pick_for_request(&[]), Ok(second.number));
    }
    world.directory.trunk_down(&first);
    assert_eq!(world.pick(), Ok(second.number), "the end of the earlier takes nothing along");
}

#[test]
fn the_app_server_with_the_fewest_sessions_gets_the_next() {
    let mut world = World::new();
    let (a, b) = (world.comes("a"), world.comes("b"));
    a.session_added();
    a.session_added();
    assert_eq!([world.pick(), world.pick()], [Ok(b.number); 2], "its count goes up by one each");
    a.session_removed();
    assert_eq!(world.pick(), Ok(a.number));
}

#[test]
fn a_full_app_server_is_busy_and_one_that_leaves_is_none() {
    let mut world = World::new();
    assert_eq!(world.pick(), Err(NoAppServer::None));
    let one = world.comes("a");
    world.limits.handshakes_pending_max = 1;
    one.handshake_given(NOW);
    assert_eq!(world.pick(), Err(NoAppServer::Busy));
    one.handshake_withdrawn();
    assert_eq!(world.pick(), Ok(one.number));
    one.push(&vec![0; world.limits.trunk_unread_bytes_max], 0);
    assert_eq!(world.pick(), Err(NoAppServer::Busy), "it does not read");
    one.set_draining();
    assert_eq!(world.pick(), Err(NoAppServer::None));
}

#[test]
fn one_that_leaves_is_asked_where_no_other_can_be() {
    let mut world = World::new();
    let (a, b) = (world.comes("a"), world.comes("b"));
    a.set_draining();
    assert_eq!(world.pick_for_request(&[]), Ok(b.number));
    assert_eq!(world.pick_for_request(&[b.number]), Ok(a.number));
    assert_eq!(world.pick_for_request(&[a.number, b.number]), Err(NoAppServer::Busy));
}

#[test]
fn of_those_that_can_be_asked_the_one_that_is_asked_least_is() {
    let mut world = World::new();
    let (a, b) = (world.comes("a"), world.comes("b"));
    let asked = a.request(10, RequestCode::Preflight, "", client()).expect("room");
    assert_eq!([world.pick_for_request(&[]), world.pick_for_request(&[])], [Ok(b.number); 2]);
    drop(asked);
    let ids = [world.pick_for_request(&[]), world.pick_for_request(&[])];
    assert!(ids.contains(&Ok(a.number)), "they take turns: {ids:?}");
}

#[test]
fn a_request_is_asked_by_its_key_and_its_answer_finds_who_waits() {
    let mut world = World::new();
    let one = world.comes("a");
    let (_pending, mut answer) =
        one.request(1, RequestCode::Preflight, "{}", client()).expect("room");
    assert!(one.request(1, RequestCode::Preflight, "", client()).is_none(), "one may wait");
    let asked = one.take_asked();
    let (key, what) = asked.first_key_value().expect("it is there");
    assert_eq!((&*what.context, &what.request), ("{}", &client()));
    assert!(one.take_asked().is_empty(), "it is asked once");
    let response = Response { status: 204, headers: Vec::new(), body: "x".into() };
    one.response(*key, response.clone());
    assert_eq!(answer.try_recv(), Ok(response.clone()));
    one.response(*key, response);
    assert_eq!(one.requests_pending(), 0);
}

#[test]
fn what_nobody_waits_for_is_not_asked_and_what_was_asked_is_noted() {
    let mut world = World::new();
    let one = world.comes("a");
    drop(one.request(1, RequestCode::Preflight, "", client()));
    assert!(one.take_asked().is_empty());
    assert!(one.take_notes().abandoned.is_empty(), "its own task never knew");
    let asked = one.request(1, RequestCode::Preflight, "", client());
    let keys: Vec<u64> = one.take_asked().into_keys().collect();
    drop(asked);
    assert_eq!(one.take_notes().abandoned, keys);
}

#[test]
fn requests_that_are_not_taken_count_as_unread() {
    let mut world = World::new();
    let one = world.comes("a");
    let large = || ClientRequest { url: "x".repeat(60).into(), ..client() };
    let asked = one.request(9, RequestCode::Preflight, "", large());
    assert!(one.is_usable(61) && !one.is_usable(60));
    drop(asked);
    assert!(one.is_usable(1), "nobody waits");
    let _asked = one.request(9, RequestCode::Preflight, "", large());
    assert!(!one.is_usable(60));
    one.take_asked();
    assert!(one.is_usable(1), "they are on their way");
}

#[test]
fn who_waits_for_a_trunk_that_is_gone_learns_so_and_who_asks_then_too() {
    let mut world = World::new();
    let one = world.comes("a");
    let (_waits, mut before) = one.request(9, RequestCode::Preflight, "", client()).expect("room");
    one.fail_requests();
    let (_asks, mut behind) = one.request(9, RequestCode::Preflight, "", client()).expect("room");
    assert!(before.try_recv().is_err_and(|error| error.to_string().contains("closed")));
    assert!(behind.try_recv().is_err_and(|error| error.to_string().contains("closed")));
}

#[test]
fn a_drain_is_told_to_all_that_are_there_and_can_be_looked_up_by_those_that_come() {
    let mut world = World::new();
    assert_eq!(world.directory.drain_left(), None);
    let there = [world.comes("a"), world.comes("b")];
    let deadline = Duration::from_secs(30);
    world.directory.begin_drain(deadline);
    for trunk in there {
        let Notes { drain, .. } = trunk.take_notes();
        assert_eq!(drain, Some(deadline));
        assert_eq!(trunk.take_notes().drain, None, "once");
    }
    assert!(world.comes("c").take_notes().drain.is_none());
    let left = world.directory.drain_left().expect("it has begun");
    assert!(left <= deadline && left > Duration::ZERO);
}

#[test]
fn app_servers_hear_of_one_another() {
    let mut world = World::new();
    let (a, b) = (world.comes("a"), world.comes("b"));
    assert_eq!(peers(&a), ["b"]);
    assert_eq!(peers(&b), ["a"]);
    let c = world.comes("c");
    assert_eq!(peers(&c), ["a", "b"]);
    world.directory.trunk_down(&b);
    assert_eq!(peers(&a), ["c"]);
}

#[test]
fn a_relay_goes_to_those_named_or_to_all_others() {
    let mut world = World::new();
    let [a, b, c] = ["a", "b", "c"].map(|name| world.comes(name));
    for trunk in [&a, &b, &c] {
        read(trunk);
    }
    let relayed = world.relay(&[], 1000);
    assert_eq!((relayed.delivered, relayed.dropped), (2, 0));
    assert!(read(&a).is_empty());
    assert_eq!((read(&b).len(), read(&c).len()), (1, 1));
    let relayed = world.relay(&["c", "nobody"], 1000);
    assert_eq!((relayed.delivered, relayed.dropped), (1, 0));
    assert_eq!((read(&b).len(), read(&c).len()), (0, 1));
    b.push(&[0; 10], 0);
    let relayed = world.relay(&["b"], 10);
    assert_eq!((relayed.delivered, relayed.dropped), (0, 1), "it has too much unread");
}

#[test]
fn app_servers_are_told_of_sessions_that_wait_or_are_about_to() {
    let mut world = World::new();
    let mut with = |own: OwnSettings| {
        world.next += 1;
        let trunk = Arc::new(Trunk::new(
            world.next,
            Arc::clone(&world.hub),
            (world.next.to_string(), "test/1".into()),
            (Origin::Inside, None),
            (EngineSettings::default(), own),
            Arc::new(SharedCredit::new(1000)),
            NOW,
        ));
        world.directory.trunk_up(&trunk);
        trunk
    };
    let holder = with(OwnSettings { rehome: true, ..OwnSettings::default() });
    let operator = with(OwnSettings { operates: true, ..OwnSettings::default() });
    let hub = Arc::clone(&world.hub);
    let noted = |trunk: &Trunk| trunk.take_notes().unhomed;
    holder.set_draining();
    assert!(!hub.is_unhomed(), "it has no sessions");
    holder.session_added();
    assert!(hub.is_unhomed());
    hub.tell_unhomed();
    assert!(noted(&operator) && !noted(&holder), "who takes operations is told");
    holder.session_removed();
    assert!(!hub.is_unhomed());
    operator.session_added();
    operator.set_broken(Some(NOW));
    assert!(!hub.is_unhomed(), "its sessions wait for nobody");
    hub.homes_waiting.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    assert!(hub.is_unhomed());
}

#[test]
fn sessions_begin_to_move_while_all_app_servers_have_their_streams() {
    let mut world = World::new();
    let hub = Arc::clone(&world.hub);
    assert!(!world.comes("older").own.moves && !hub.may_begin_to_move());
    let mut world = World::new();
    let hub = Arc::clone(&world.hub);
    world.next += 1;
    let own = OwnSettings { moves: true, ..OwnSettings::default() };
    let trunk = Arc::new(Trunk::new(
        world.next,
        Arc::clone(&hub),
        ("a".into(), "test/1".into()),
        (Origin::Inside, None),
        (EngineSettings::default(), own),
        Arc::new(SharedCredit::new(1000)),
        NOW,
    ));
    world.directory.trunk_up(&trunk);
    assert!(hub.may_begin_to_move());
    trunk.set_broken(Some(NOW));
    assert!(!hub.may_begin_to_move() && hub.all_move(), "one that has begun may succeed");
    trunk.set_broken(None);
    assert!(hub.may_begin_to_move());
}
