//! Sessions that may be why one app server after another is lost.

use std::time::Duration;

use trunkline_engineio::CloseReason;
use trunkline_trunk::{CloseReason as WireReason, Found};

use super::super::app::close;
use super::super::client::Client;
use super::super::world::World;
use super::{App, leaves, standing, state, world};

const SOON: Duration = Duration::from_millis(1_500);
const LATER: Duration = Duration::from_millis(11_100);

/// Lets a new app server take the session over; the time passes before that of the next one.
fn next_home(world: &mut World, client: &Client, stays: Duration) -> App {
    let app = world.numbering_app("next");
    world.pass(Duration::from_millis(50));
    world.takes_over_one(&app);
    world.app_says(&app, [state(client.number, "s", "state")]);
    world.pass(stays);
    app
}

/// The session goes to another app server, which is lost so much later.
fn loses_next(world: &mut World, client: &Client, after: Duration) {
    let app = next_home(world, client, after);
    world.app_goes(&app);
}

#[test]
fn a_session_whose_second_app_server_in_a_row_is_lost_soon_goes_to_no_third_and_is_not_kept() {
    for after in [Duration::from_millis(30), SOON, Duration::from_millis(9_900)] {
        let mut world = world();
        let old = world.numbering_app("old");
        let client = world.settled(&old, "s", &[]);
        world.app_records(&old, "o1", &[], "seen");
        world.app_goes(&old);
        loses_next(&mut world, &client, after);
        assert_eq!((world.waiting(), world.rehomed("orphan", "lost")), (1, 0), "may be chance");
        loses_next(&mut world, &client, after);
        assert_eq!((world.waiting(), world.rehomed("orphan", "lost")), (0, 1));
        let third = world.numbering_app("third");
        world.pass(Duration::from_secs(1));
        assert_eq!(world.closed(CloseReason::AppServerLostInDoubt), 1);
        assert!(third.hears().is_empty());
        assert_eq!((third.trunk.sessions(), world.slots()), (0, 0));
        assert_eq!(world.restore(&third, "p-s", "o1").found, Found::No);
    }
}

#[test]
fn a_home_that_lasted_begins_the_count_again() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &[]);
    // Its first app server did not take it over from anybody.
    world.app_goes(&old);
    for after in [SOON, LATER, SOON, LATER, LATER, SOON] {
        loses_next(&mut world, &client, after);
        assert_eq!((world.waiting(), world.rehomed("orphan", "lost")), (1, 0));
    }
    loses_next(&mut world, &client, SOON);
    assert_eq!((world.waiting(), world.rehomed("orphan", "lost")), (0, 1));
}

/// The app server hands the session over after this time.
fn is_handed_over(world: &mut World, client: &Client, after: Duration) {
    let app = next_home(world, client, after);
    app.trunk.set_draining();
    world.app_says(&app, [standing(client, leaves())]);
    world.app_says(&app, [close(client.number, WireReason::HandedOver)]);
    world.app_goes(&app);
    assert_eq!(world.waiting(), 1);
}

#[test]
fn app_servers_that_leave_in_order_are_not_lost() {
    let mut world = world();
    let old = world.numbering_app("old");
    let client = world.settled(&old, "s", &[]);
    world.app_goes(&old);
    for _ in 0..3 {
        is_handed_over(&mut world, &client, SOON);
    }
    // One that was about to.
    let app = next_home(&mut world, &client, SOON);
    app.trunk.set_draining();
    world.app_goes(&app);
    loses_next(&mut world, &client, SOON);
    assert_eq!((world.waiting(), world.rehomed("orphan", "lost")), (1, 0));
    // It stays one loss when the next app server leaves soon, but not when it stays long.
    is_handed_over(&mut world, &client, LATER);
    loses_next(&mut world, &client, SOON);
    assert_eq!(world.waiting(), 1);
    is_handed_over(&mut world, &client, SOON);
    loses_next(&mut world, &client, SOON);
    assert_eq!((world.waiting(), world.rehomed("orphan", "lost")), (0, 1));
}
