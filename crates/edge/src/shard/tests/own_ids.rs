//! Sessions whose ids the app made, at a node that does not have them.

use std::time::Duration;

use trunkline_engineio::TransportKind;
use trunkline_trunk::SessionNumber;

use super::app::{App, accept_as};
use super::cluster::Nodes;
use crate::cluster::{Found, Input};
use crate::reply::Awaited;
use crate::sid::Sid;

/// Opens a session with this id at a node, and lets the others hear that there are such ids.
fn open(nodes: &mut Nodes, at: usize, app: &App, id: &str) -> (SessionNumber, Sid) {
    let opened = open_unheard(nodes, at, app, id);
    nodes.pass(Duration::from_secs(2));
    opened
}

fn open_unheard(nodes: &mut Nodes, at: usize, app: &App, id: &str) -> (SessionNumber, Sid) {
    let world = &mut nodes.all[at].world;
    let mut handshake = world.handshake(TransportKind::Polling);
    let (number, sid) = app.newcomer();
    world.app_says(app, [accept_as(number, id)]);
    assert!(handshake.said().contains(id));
    (number, sid)
}

/// What is known of a session.
fn told(found: &mut Awaited<Found>) -> &'static str {
    match found.try_recv() {
        Ok(Ok(Some(_))) => "it is there",
        Ok(Ok(None)) => "nobody has it",
        Ok(Err(why)) => why.slug(),
        Err(_) => "waits",
    }
}

fn session(mut found: Awaited<Found>) -> Sid {
    found.try_recv().expect("an answer at once").expect("it is known").expect("a session")
}

#[test]
fn ids_that_the_app_made_are_found_on_other_nodes() {
    let mut nodes = Nodes::joined(3);
    let app = nodes.all[0].world.app("a");
    let other = nodes.all[1].world.app("a");
    let mut early = nodes.find(1, "app-1");
    let mut none: Vec<_> = (0..600).map(|n| nodes.find(1, &format!("none-{n}"))).collect();
    assert_eq!(told(&mut early), "waits", "no node has such ids, and one may have had its first");
    nodes.pass(Duration::from_millis(150));
    assert_eq!(told(&mut early), "nobody has it");
    assert!(none.iter_mut().all(|one| told(one) == "nobody has it"), "they cost nobody anything");
    let sid = open(&mut nodes, 0, &app, "app-1").1;
    let found = session(nodes.find(1, "app-1"));
    assert_eq!((found.node, found.slot), (sid.node, sid.slot));
    open(&mut nodes, 1, &other, "of-1");
    assert_eq!(told(&mut nodes.find(2, "app-2")), "nobody has it");
    nodes.pass(Duration::from_secs(1));
    // Invented ids cost the others at most a hundred questions a second.
    let mut searches: Vec<_> = (0..150).map(|n| nodes.find(2, &format!("no-{n}"))).collect();
    let answered = searches.iter_mut().filter_map(|one| one.try_recv().ok()).count();
    assert_eq!(answered, 100);
    nodes.pass(Duration::from_secs(1));
    let rest = searches.iter_mut().filter_map(|one| one.try_recv().ok()).count();
    assert_eq!(rest, 50);
}

#[test]
fn an_id_that_the_app_gives_to_another_session_is_found_again() {
    let mut nodes = Nodes::joined(3);
    let apps: Vec<App> = (0..2).map(|at| nodes.all[at].world.app("a")).collect();
    let number = open(&mut nodes, 0, &apps[0], "mine").0;
    let found = |nodes: &mut Nodes| session(nodes.find(2, "mine"));
    let first = found(&mut nodes);
    let app = apps[0].clone();
    nodes.all[0].world.app_closes(&app, number);
    assert_eq!(nodes.poll_of(0, first).said(), "6|1");
    open(&mut nodes, 1, &apps[1], "mine");
    assert_eq!(found(&mut nodes).node, first.node, "what was found is believed for a while");
    assert_eq!(nodes.poll_of(2, first).said(), "refused UnknownSid");
    assert_ne!(found(&mut nodes).node, first.node);
}

#[test]
fn the_first_such_session_of_a_node_is_found_although_others_do_not_know_that_it_has_any() {
    let mut nodes = Nodes::joined(3);
    let apps: Vec<App> = (0..3).map(|at| nodes.all[at].world.app("a")).collect();
    open(&mut nodes, 0, &apps[0], "of-0");
    open_unheard(&mut nodes, 2, &apps[2], "of-2");
    let mut found = nodes.find(1, "of-2");
    let mut nobodys = nodes.find(1, "nobody's");
    assert_eq!(told(&mut found), "waits", "only one node has been asked, and it does not have it");
    nodes.input(2, Input::OwnIds);
    nodes.pass(Duration::from_millis(80));
    assert_eq!(told(&mut found), "it is there");
    nodes.pass(Duration::from_millis(40));
    assert_eq!(told(&mut nobodys), "nobody has it");
}

/// Three nodes; the first has such a session, the second and the third have had one.
fn three() -> (Nodes, Vec<App>) {
    let mut nodes = Nodes::joined(3);
    let apps: Vec<App> = (0..3).map(|at| nodes.all[at].world.app("a")).collect();
    for (at, app) in apps.iter().enumerate() {
        open(&mut nodes, at, app, &format!("of-{at}"));
    }
    (nodes, apps)
}

#[test]
fn who_does_not_answer_may_have_the_session() {
    let (mut nodes, _apps) = three();
    nodes.all[0].hangs = true;
    let mut unsure = nodes.find(1, "of-0");
    let mut found = nodes.find(1, "of-2");
    assert_eq!(told(&mut found), "it is there", "one answer is enough");
    nodes.pass(Duration::from_millis(2900));
    assert_eq!(told(&mut unsure), "waits");
    nodes.pass(Duration::from_millis(200));
    assert_eq!(told(&mut unsure), "mesh_down");
    // Suspect by now, it is not even asked; and its death tells that the session is gone.
    let mut suspect = nodes.find(1, "of-0");
    assert_eq!(told(&mut suspect), "waits");
    nodes.pass(Duration::from_millis(2500));
    assert_eq!(told(&mut suspect), "nobody has it");
}

#[test]
fn who_could_not_be_asked_is_asked_when_it_is_back() {
    let (mut nodes, _apps) = three();
    nodes.set_bus(false);
    let mut found = nodes.find(1, "of-0");
    nodes.pass(Duration::from_secs(2));
    assert_eq!(told(&mut found), "waits");
    nodes.set_bus(true);
    nodes.pass(Duration::from_millis(500));
    assert_eq!(told(&mut found), "it is there");
    nodes.set_bus(false);
    let mut found = nodes.find(1, "of-2");
    nodes.pass(Duration::from_millis(3100));
    assert_eq!(told(&mut found), "mesh_down");
}

#[test]
fn a_node_that_has_not_joined_says_of_no_id_that_nobody_has_it() {
    let (mut nodes, _apps) = three();
    let late = nodes.start();
    let mut found = nodes.find(late, "of-0");
    assert_eq!(told(&mut found), "waits");
    nodes.pass(Duration::from_secs(3));
    assert_eq!(told(&mut found), "it is there");
}

#[test]
fn invented_ids_starve_no_session_that_is_known_and_make_none_unknown() {
    let (mut nodes, _apps) = three();
    assert_eq!(told(&mut nodes.find(1, "of-0")), "it is there");
    let mut all = Vec::new();
    for round in 0..62 {
        all.extend((0..520).map(|n| nodes.find(1, &format!("no-{round}-{n}"))));
        assert_eq!(told(&mut nodes.find(1, "of-0")), "it is there", "after {round} s");
        assert_ne!(told(&mut nodes.find(1, "of-2")), "nobody has it", "after {round} s");
        nodes.pass(Duration::from_secs(1));
    }
    let unknown = all.iter_mut().filter_map(|one| (told(one) == "nobody has it").then_some(()));
    let unknown = unknown.count();
    assert!((5_000..=6_400).contains(&unknown), "a hundred each second: {unknown}");
}
