//! Moves that fail, at each of their steps.

use std::time::Duration;

use trunkline_engineio::CloseReason;
use trunkline_mesh::{PeerKey, Str};
use trunkline_trunk::{CloseReason as WireReason, Frame};

use super::two::{TAKER, Two, state};
use crate::cluster::{Input, MoveKey, MoveStep};
use crate::hub::Remains;
use crate::shard::command::Command;
use crate::shard::tests::app::{accept, broadcast, close, send};
use crate::shard::tests::client::Client;
use crate::shard::tests::wire::Wire;
use crate::shard::tests::world::World;

#[test]
fn broadcasts_that_do_not_come_in_time_end_the_session() {
    let mut two = Two::new();
    let (_, at_taker) = two.another("q");
    let client = two.client(&[]);
    two.taker.app_says(&at_taker, [broadcast(&[], "early")]);
    two.changes(&client);
    assert_eq!(two.carry(), ["take"]);
    two.pass(Duration::from_secs(2));
    assert_eq!(two.carry(), ["failed"]);
    assert_eq!(client.reads(), ["close"]);
    assert_eq!(two.owner.closed(CloseReason::MoveFailed), 1);
    assert_eq!(two.at_owner.hears(), [format!("close {} NodeShutdown", client.number.0)]);
    assert_eq!(two.at_taker.hears(), [""; 0], "the app server was not asked");
}

#[test]
fn a_gap_in_the_broadcasts_ends_the_session_and_is_not_hidden() {
    let mut two = Two::new();
    let (_, at_taker) = two.another("q");
    let client = two.client(&[]);
    two.changes(&client);
    assert_eq!(two.carry(), ["take", "taken"]);
    let number = two.adopted();
    two.taker.app_says(&at_taker, [Frame::Number { next: 3 }, broadcast(&[], "third")]);
    two.owner.app_says(&two.at_owner, [close(client.number, WireReason::Moved)]);
    two.taker.app_says(&two.at_taker, [accept(number)]);
    assert_eq!(two.carry(), ["export", "arrived"]);
    assert_eq!(client.reads(), ["close"]);
    assert_eq!(two.at_taker.hears(), [format!("close {} NodeShutdown", number.0)]);
}

#[test]
fn an_attempt_that_ends_before_the_change_leaves_the_session_where_it_is() {
    for way in ["stream", "nonsense", "time", "node"] {
        let mut two = Two::new();
        let client = two.client(&[]);
        two.opens_stream(&client, &client.sid.encode());
        assert_eq!(two.carry(), ["probe begun"]);
        let mut poll = two.owner.poll(&client);
        two.pass(Duration::from_millis(150));
        assert_eq!(poll.said(), "6", "so that the client can stop polling");
        match way {
            "stream" => two.taker.client_ends(&client),
            "nonsense" => two.taker.client_says(&client, "4too early"),
            "time" => two.taker.pass(Duration::from_secs(11)),
            _ => {
                let from = Some(PeerKey { number: TAKER, incarnation: 1 });
                let id = *two.taker.shard.arrivals.slots.keys().next().unwrap();
                let step = MoveStep::Failed(Str::from_static("gone"));
                two.owner.tell(Command::Move { key: MoveKey { from, id }, step });
            }
        }
        if way != "node" {
            assert_eq!(two.carry(), ["probe gone"], "{way}");
            assert_eq!(two.taker.slots(), 0, "{way}");
        }
        assert!(two.owner.shard.departures.is_empty(), "{way}");
        let mut poll = two.owner.poll(&client);
        two.owner.app_sends(&two.at_owner, &client, "polling goes on");
        assert_eq!(poll.said(), "4polling goes on", "{way}");
    }
}

#[test]
fn sessions_that_cannot_move_are_not_movable() {
    let mut two = Two::new();
    let client = two.client(&[]);
    let movable = |world: &mut World, client: &Client| {
        world.shard.inspect(&client.asked()).expect("it is there").movable
    };
    assert!(movable(&mut two.owner, &client));
    two.opens_stream(&client, &client.sid.encode());
    two.carry();
    two.owner.own.moves = false;
    let older = two.owner.app("older");
    assert!(!movable(&mut two.owner, &client), "another app server does not number its broadcasts");
    client.writes("5");
    two.taker.run();
    assert_eq!(two.carry(), ["take", "failed"]);
    assert_eq!(client.reads(), ["3probe", "close"]);
    two.owner.app_goes(&older);
    let websocket = two.owner.websocket(&two.at_owner);
    assert!(!movable(&mut two.owner, &websocket));
}

#[test]
fn a_node_that_goes_while_it_takes_a_session_keeps_no_app_server_waiting() {
    for older in [false, true] {
        let mut two = Two::new();
        if older {
            two.owner.app_goes(&two.at_owner);
            two.owner.own.move_ends = false;
            two.at_owner = two.owner.numbering_app("p");
        }
        let client = two.client(&[]);
        two.changes(&client);
        let id = *two.taker.shard.arrivals.slots.keys().next().expect("it arrives");
        assert_eq!(two.carry(), ["take", "taken"]);
        let left = format!("close {} Moved", client.number.0);
        assert_eq!(two.at_owner.hears(), [left]);
        let key = MoveKey { from: Some(PeerKey { number: TAKER, incarnation: 1 }), id };
        let step = MoveStep::Failed(Str::from_static("the other node is gone"));
        two.owner.tell(Command::Move { key, step });
        let ended = format!("close {} NodeShutdown", client.number.0);
        let heard = if older { Vec::new() } else { vec![ended] };
        assert_eq!(two.at_owner.hears(), heard);
        assert_eq!(two.owner.closed(CloseReason::MoveFailed), 1);
        // Whether its last word crossed that, or answers it: the number is free then.
        assert_eq!(two.owner.slots(), 1);
        two.owner.app_says(&two.at_owner, [close(client.number, WireReason::Moved)]);
        assert_eq!(two.owner.slots(), 0);
        assert!(two.at_owner.trunk.ending().is_none());
    }
}

#[test]
fn an_app_server_that_does_not_answer_costs_the_session_and_nothing_is_left() {
    let mut two = Two::new();
    let client = two.client(&[]);
    two.changes(&client);
    assert_eq!(two.carry(), ["take", "taken"]);
    let number = two.adopted();
    two.pass(Duration::from_secs(11));
    two.carry();
    assert_eq!(client.reads(), ["close"]);
    assert_eq!(two.at_taker.hears(), [format!("close {} NodeShutdown", number.0)]);
    // Its words come at last.
    two.taker.app_says(&two.at_taker, [accept(number), close(number, WireReason::AppShutdown)]);
    two.owner.app_says(&two.at_owner, [close(client.number, WireReason::Moved)]);
    assert_eq!((two.owner.slots(), two.taker.slots()), (0, 0));
    assert!(two.at_owner.trunk.ending().is_none() && two.at_taker.trunk.ending().is_none());
}

/// However long the app gives an upgrade: the client has changed, and waits for nothing but this.
#[test]
fn a_node_that_does_not_give_a_session_away_is_not_waited_for_as_long_as_for_a_probe() {
    let mut two = Two::with(|_, settings| settings.upgrade_timeout = Duration::from_secs(300));
    let client = two.client(&[]);
    two.changes(&client);
    two.taker.pass(Duration::from_secs(9));
    assert_eq!(client.reads(), [""; 0]);
    two.taker.pass(Duration::from_secs(2));
    assert_eq!(client.reads(), ["close"]);
    assert_eq!(two.taker.slots(), 0);
}

#[test]
fn an_app_server_that_is_lost_at_either_node_costs_the_session() {
    for at_owner in [true, false] {
        let mut two = Two::recovering();
        let client = two.client(&[]);
        two.owner.app_says(&two.at_owner, [state(client.number)]);
        two.changes(&client);
        assert_eq!(two.carry(), ["take", "taken"]);
        let number = two.adopted();
        let (owner_app, taker_app) = (two.at_owner.clone(), two.at_taker.clone());
        if at_owner {
            two.owner.app_dies(&owner_app, Remains::default());
            assert_eq!(two.carry(), ["failed"]);
            assert_eq!(two.at_taker.hears(), [format!("close {} NodeShutdown", number.0)]);
            two.taker.app_says(&two.at_taker, [close(number, WireReason::AppShutdown)]);
        } else {
            two.taker.app_dies(&taker_app, Remains::default());
            assert_eq!(two.carry(), ["failed"]);
            two.owner.app_says(&two.at_owner, [close(client.number, WireReason::AppShutdown)]);
        }
        assert_eq!(client.reads(), ["close"]);
        assert_eq!((two.owner.slots(), two.taker.slots()), (0, 0), "at the owner: {at_owner}");
        assert!(two.owner.shard.departures.is_empty() && two.taker.shard.arrivals.is_empty());
    }
}

#[test]
fn more_than_an_outbox_may_hold_does_not_wait_for_a_session() {
    let mut two = Two::with(|limits, _| limits.outbox_bytes_max = 20_000);
    let client = two.client(&[]);
    two.changes(&client);
    assert_eq!(two.carry(), ["take", "taken"]);
    let number = two.adopted();
    let long = "x".repeat(15_000);
    two.taker.app_says(&two.at_taker, [broadcast(&[], &long), accept(number)]);
    assert!(two.carry().is_empty());
    two.taker.app_says(&two.at_taker, [send(number, &long)]);
    assert_eq!(two.carry(), ["failed"]);
    assert_eq!(client.reads(), ["close"]);
    assert_eq!(two.at_taker.hears(), [format!("close {} NodeShutdown", number.0)]);
}

#[test]
fn an_app_server_that_does_not_have_the_session_is_asked_nothing_more() {
    let mut two = Two::new();
    let client = two.client(&[]);
    two.changes(&client);
    assert_eq!(two.carry(), ["take", "taken"]);
    let number = two.adopted();
    two.taker.app_says(&two.at_taker, [close(number, WireReason::AppClosed)]);
    assert_eq!(two.at_taker.hears(), [""; 0], "the owner may still send what came before");
    let app = two.at_owner.clone();
    two.owner.app_dies(&app, Remains::default());
    assert_eq!(two.carry(), ["failed"]);
    assert_eq!(client.reads(), ["close"]);
    assert_eq!(two.at_taker.hears(), [format!("close {} AppClosed", number.0)]);
    assert_eq!(two.taker.slots(), 0, "both have closed the number");
}

#[test]
fn a_second_attempt_at_another_node_leaves_the_first_alone() {
    for waits in [false, true] {
        let mut two = Two::new();
        let (at_owner, at_taker) = two.another("q");
        let client = two.client(&[]);
        two.opens_stream(&client, &client.sid.encode());
        two.carry();
        let second = MoveKey { from: Some(PeerKey { number: 102, incarnation: 1 }), id: 7 };
        let begins = |owner: &mut World| {
            let asked = client.asked();
            let step = MoveStep::ProbeBegun { asked, node: Str::from_static("a third one") };
            owner.tell(Command::Move { key: second, step });
        };
        if waits {
            // The time for the upgrade ends while the session waits for a broadcast.
            two.pass(Duration::from_millis(9_800));
            two.taker.app_says(&at_taker, [broadcast(&[], "early")]);
            client.writes("5");
            two.taker.run();
            assert_eq!(two.carry(), ["take"]);
            two.pass(Duration::from_millis(400));
        }
        begins(&mut two.owner);
        let refused = two.from_owner.try_recv();
        assert!(
            matches!(&refused, Ok(Input::Move { key, step: MoveStep::Failed(_) }) if *key == second),
            "waits: {waits}, {refused:?}"
        );
        if waits {
            two.owner.app_says(&at_owner, [broadcast(&[], "early")]);
            assert_eq!(two.carry(), ["taken"]);
        } else {
            client.writes("5");
            two.taker.run();
            assert_eq!(two.carry(), ["take", "taken"]);
        }
        let number = two.adopted();
        two.owner.app_says(&two.at_owner, [close(client.number, WireReason::Moved)]);
        two.taker.app_says(&two.at_taker, [accept(number)]);
        assert_eq!(two.carry(), ["export", "arrived"], "waits: {waits}");
    }
}

#[test]
fn an_attempt_that_another_one_follows_is_told_so() {
    let mut two = Two::new();
    let client = two.client(&[]);
    two.opens_stream(&client, &client.sid.encode());
    two.carry();
    // The other node is silent, and the time for the upgrade is over.
    two.owner.pass(Duration::from_secs(11));
    let first = *two.taker.shard.arrivals.slots.keys().next().expect("it probes");
    let key = MoveKey { from: Some(PeerKey { number: 102, incarnation: 1 }), id: 7 };
    let step = MoveStep::ProbeBegun { asked: client.asked(), node: Str::from_static("third") };
    two.owner.tell(Command::Move { key, step });
    let told = two.from_owner.try_recv();
    assert!(
        matches!(&told, Ok(Input::Move { key, step: MoveStep::Failed(_) }) if key.id == first),
        "{told:?}"
    );
    two.owner.tell(Command::Move { key, step: MoveStep::ProbeGone });
    assert!(two.owner.shard.departures.is_empty());
}

#[test]
fn no_other_stream_of_the_client_takes_a_session_that_is_wanted() {
    let mut two = Two::new();
    let (_, at_taker) = two.another("q");
    let client = two.client(&[]);
    two.opens_stream(&client, &client.sid.encode());
    two.carry();
    two.pass(Duration::from_millis(9_800));
    two.taker.app_says(&at_taker, [broadcast(&[], "early")]);
    client.writes("5");
    two.taker.run();
    assert_eq!(two.carry(), ["take"]);
    two.pass(Duration::from_millis(400));
    let wire = Wire::default();
    let stream = two.owner.adopted(&wire, b"");
    two.owner.tell(Command::Probe { key: client.key, base64_only: false, stream });
    assert_eq!(two.owner.upgrades("refused"), 1);
}

#[test]
fn a_session_that_cannot_be_sent_ends_and_is_not_forgotten() {
    for stage in ["taken", "export"] {
        let mut two = Two::new();
        let client = two.client(&[]);
        two.changes(&client);
        if stage == "taken" {
            two.from_owner = World::of_node(103, |_, _| ()).1;
            assert_eq!(two.carry(), ["take"]);
            assert_eq!(two.at_owner.hears(), [format!("close {} NodeShutdown", client.number.0)]);
            two.owner.app_says(&two.at_owner, [close(client.number, WireReason::AppShutdown)]);
        } else {
            assert_eq!(two.carry(), ["take", "taken"]);
            two.from_owner = World::of_node(103, |_, _| ()).1;
            two.owner.app_says(&two.at_owner, [close(client.number, WireReason::Moved)]);
        }
        assert_eq!(two.owner.closed(CloseReason::MoveFailed), 1, "{stage}");
        assert_eq!(two.owner.slots(), 0, "{stage}");
        assert_eq!((two.owner.sessions("polling"), two.owner.sessions("websocket")), (0, 0));
        assert!(two.owner.shard.departures.is_empty(), "{stage}");
    }
}
