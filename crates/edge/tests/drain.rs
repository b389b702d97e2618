//! A node that stops notifies every app server, whenever its trunk comes up.

mod app;

use std::time::Duration;

use app::{App, edge};
use trunkline_trunk::{EndEvent, LinkEvent};

fn deadline_ms(event: EndEvent) -> Option<u32> {
    let EndEvent::Link(LinkEvent::PeerDrains { deadline_ms }) = event else { return None };
    Some(deadline_ms)
}

#[test]
fn app_servers_that_are_there_are_told_of_a_drain_and_those_that_come_of_what_is_left_of_it() {
    let running = edge().start().unwrap();
    let mut there = App::up(&running.inside(), "{}");
    let mut comes = App::open(&running.inside(), "{}");
    running.refuse_newcomers();
    running.begin_drain(Duration::from_secs(60));
    assert_eq!(there.hears(deadline_ms), 60_000);
    comes.say_hello();
    let left_ms = comes.hears(deadline_ms);
    assert!((1..=60_000).contains(&left_ms), "{left_ms}");
    drop((there, comes));
    running.stop();
}
