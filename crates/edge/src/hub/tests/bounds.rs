//! Tests of what a hub may have: sessions, app servers, and sessions of one app server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use trunkline_trunk::settings::OwnSettings;

use super::{NOW, NoAppServer, World};
use crate::hub::{Ending, HubLimits, NotAccepted, Origin};

const OUTSIDE: Origin =
    Origin::Outside(SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9));

fn opening(opening: u64) -> OwnSettings {
    OwnSettings { opening, ..OwnSettings::default() }
}

fn rehomes() -> OwnSettings {
    OwnSettings { rehome: true, ..OwnSettings::default() }
}

#[test]
fn a_place_is_taken_once_and_free_again_on_every_way() {
    let world = World::new();
    let hub = &world.hub;
    world.is_limited(HubLimits { sessions_max: Some(2), ..HubLimits::default() });
    let (first, second) = (hub.seat().expect("room"), hub.seat().expect("room"));
    assert!(hub.seat().is_none());
    drop(first);
    let third = hub.seat().expect("a handshake has failed");
    second.keep();
    assert!(hub.seat().is_none(), "a live session keeps its place");
    hub.unseat();
    drop(third);
    assert_eq!(hub.sessions(), 0);
}

#[test]
fn a_lower_limit_closes_nobody_and_a_higher_one_is_valid_at_once() {
    let world = World::new();
    let limit = |most| {
        world.is_limited(HubLimits { sessions_max: most, ..HubLimits::default() });
    };
    (0..10).for_each(|_| world.hub.seat().expect("no limit").keep());
    limit(Some(4));
    assert_eq!((world.hub.sessions(), world.hub.seat().is_none()), (10, true));
    (0..6).for_each(|_| world.hub.unseat());
    assert!(world.hub.seat().is_none(), "four are left");
    world.hub.unseat();
    assert!(world.hub.seat().is_some());
    limit(Some(12));
    assert!(world.hub.seat().is_some());
    limit(None);
    assert!(world.hub.seat().is_some());
}

#[test]
fn threads_that_ask_at_once_get_as_many_places_as_there_are() {
    let world = World::new();
    world.is_limited(HubLimits { sessions_max: Some(1_000), ..HubLimits::default() });
    let ask = || {
        let hub = Arc::clone(&world.hub);
        move || (0..1_000).filter(|_| hub.seat().map(crate::hub::Seat::keep).is_some()).count()
    };
    let got: Vec<usize> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask())).collect();
        threads.into_iter().map(|one| one.join().expect("no panic")).collect()
    });
    assert_eq!((got.iter().sum::<usize>(), world.hub.sessions()), (1_000, 1_000));
}

#[test]
fn a_further_app_server_is_refused_and_a_known_one_is_not() {
    let mut world = World::new();
    world.is_limited(HubLimits { app_servers_max: Some(2), ..HubLimits::default() });
    let a = world.comes("a");
    let arriving = world.hub.arrive(("b", OUTSIDE), &opening(1)).expect("the second one");
    let third = |world: &World| world.hub.arrive(("c", OUTSIDE), &opening(1)).map(drop);
    assert_eq!(third(&world), Err(NotAccepted::Full), "one that is being accepted counts");
    assert!(world.hub.arrive(("a", OUTSIDE), &opening(2)).is_ok(), "it comes again");
    assert!(world.hub.arrive(("b", OUTSIDE), &opening(2)).is_ok());
    assert!(
        world.hub.arrive(("azure", Origin::Inside), &opening(0)).is_ok(),
        "no process of a user"
    );
    drop(arriving);
    assert_eq!(third(&world), Ok(()), "the other was not accepted");
    let again = world.comes("a");
    assert_eq!(third(&world), Ok(()), "two trunks of one app server");
    let b = world.comes("b");
    assert_eq!(third(&world), Err(NotAccepted::Full));
    b.end(Ending::KeyRemoved);
    assert_eq!(third(&world), Ok(()), "one that is about to go");
    world.is_limited(HubLimits { app_servers_max: Some(1), ..HubLimits::default() });
    assert_eq!(third(&world), Err(NotAccepted::Full));
    assert!(a.ending().is_some() && again.ending().is_none(), "a lower limit ends nobody");
}

#[test]
fn an_app_server_with_as_many_sessions_as_it_may_have_gets_no_newcomers() {
    let mut world = World::new();
    world.is_limited(HubLimits { app_server_sessions_max: Some(2), ..HubLimits::default() });
    let (a, b) = (world.comes("a"), world.comes("b"));
    b.session_added();
    b.session_added();
    assert_eq!([world.pick(), world.pick()], [Ok(a.number); 2]);
    assert_eq!(world.pick(), Err(NoAppServer::Full));
    let limits = &world.limits;
    assert!(world.hub.pick_other(limits, NOW, &[a.number]).is_none(), "nor when it is asked next");
    b.session_removed();
    assert_eq!(world.pick(), Ok(b.number));
    a.set_draining();
    assert_eq!(world.pick(), Err(NoAppServer::Full), "one leaves, the other is full");
    b.session_removed();
    world.limits.handshakes_pending_max = 0;
    assert_eq!(world.pick(), Err(NoAppServer::Busy), "it is not full, but has enough to answer");
    b.set_draining();
    assert_eq!(world.pick(), Err(NoAppServer::None));
}

#[test]
fn sessions_elsewhere_count_for_an_app_server() {
    let mut world = World::new();
    world.is_limited(HubLimits { app_server_sessions_max: Some(5), ..HubLimits::default() });
    let a = world.comes("a");
    let node = |id: &str| crate::ClusterNode {
        id: id.into(),
        number: 1,
        url: String::new(),
        state: trunkline_trunk::NodeState::Up,
    };
    world.directory.set_nodes(vec![node("n1"), node("n2")]);
    a.note_load(5);
    assert_eq!(world.pick(), Err(NoAppServer::Full));
    a.note_load(2);
    assert_eq!(world.pick(), Ok(a.number));
}

#[test]
fn a_session_without_a_home_goes_to_one_with_room_and_beyond_the_limit_if_there_is_none() {
    let mut world = World::new();
    world.is_limited(HubLimits { app_server_sessions_max: Some(2), ..HubLimits::default() });
    let (a, b) = (world.comes_with("a", rehomes()), world.comes_with("b", rehomes()));
    let home = |world: &World| world.hub.pick_home(&world.limits, NOW, &[]).map(|one| one.number);
    (0..2).for_each(|_| a.session_added());
    assert_eq!([home(&world), home(&world)], [Some(b.number); 2]);
    assert!(home(&world).is_some(), "nobody is closed for that");
    assert_eq!(a.sessions() + b.sessions(), 5);
    assert_eq!(world.pick(), Err(NoAppServer::Full), "but newcomers are refused");
}
