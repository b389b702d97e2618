//! Newcomers that come faster than their app server answers.

use std::time::Duration;

use trunkline_engineio::TransportKind;

use super::app::App;
use super::client::Handshake;
use super::world::World;
use crate::shard::command::Answer;
use crate::unavailable::Unavailable;

/// More handshakes than an app server gets at first.
const MANY: usize = 300;

fn avalanche(world: &mut World, count: usize) -> Vec<Handshake> {
    (0..count).map(|_| world.handshake(TransportKind::Polling)).collect()
}

fn opens(app: &App) -> Vec<trunkline_trunk::SessionNumber> {
    let open = |frame| {
        if let trunkline_trunk::Frame::Open(open) = frame { Some(open.session) } else { None }
    };
    app.frames().into_iter().filter_map(open).collect()
}

#[test]
fn an_app_server_gets_the_others_as_it_answers() {
    let mut world = World::new();
    let app = world.app("a");
    let mut newcomers = avalanche(&mut world, MANY);
    let first = opens(&app);
    assert!(first.len() < MANY, "not all at once");
    assert_eq!(
        world.env.metrics.newcomers_waiting.get(),
        i64::try_from(MANY - first.len()).unwrap()
    );
    let mut given = first;
    let mut all = 0;
    while !given.is_empty() {
        all += given.len();
        for number in given {
            world.app_accepts(&app, number);
        }
        given = opens(&app);
    }
    assert_eq!(all, MANY);
    assert_eq!(world.env.metrics.newcomers_waiting.get(), 0);
    for newcomer in &mut newcomers {
        assert!(matches!(newcomer.answer.try_recv(), Ok(Answer::Payload(_))));
    }
}

#[test]
fn one_that_has_waited_too_long_is_told_to_try_again() {
    let mut world = World::with(|limits, _| limits.admission_wait = Duration::from_secs(2));
    let app = world.app("a");
    let mut newcomers = avalanche(&mut world, MANY);
    let first = opens(&app).len();
    world.pass(Duration::from_millis(1_900));
    assert_eq!(world.handshakes("app_servers_busy"), 0);
    world.pass(Duration::from_millis(200));
    assert_eq!(world.handshakes("app_servers_busy"), (MANY - first) as u64);
    let last = newcomers.last_mut().expect("many").answer.try_recv();
    assert!(matches!(last, Ok(Answer::Unavailable(Unavailable::AppServersBusy))), "{last:?}");
    assert_eq!(world.env.metrics.newcomers_waiting.get(), 0);
}

#[test]
fn one_that_goes_away_meanwhile_is_not_given_to_the_app_server() {
    let mut world = World::new();
    let app = world.app("a");
    let newcomers = avalanche(&mut world, MANY);
    let first = opens(&app);
    let waited = MANY - first.len();
    drop(newcomers);
    for number in first {
        world.app_accepts(&app, number);
    }
    assert_eq!(opens(&app).len(), 0);
    assert_eq!(world.handshakes("client_gone"), waited as u64);
}

#[test]
fn without_admission_all_are_given_at_once() {
    let mut world = World::with(|limits, _| limits.admission = false);
    let app = world.app("a");
    let _newcomers = avalanche(&mut world, MANY);
    assert_eq!(opens(&app).len(), MANY);
}

#[test]
fn an_app_server_that_is_not_busy_gets_all_although_it_answers_none_yet() {
    let mut world = World::new();
    let app = world.app("a");
    let _newcomers = avalanche(&mut world, MANY);
    let mut given = opens(&app).len();
    for _ in 0..50 {
        world.pass(Duration::from_millis(10));
        if app.trunk.take_notes().ping {
            app.trunk.heard(world.now + Duration::from_millis(1));
        }
        given += opens(&app).len();
    }
    assert_eq!(given, MANY, "its token service is slow");
    assert_eq!(world.env.metrics.newcomers_waiting.get(), 0);
}
