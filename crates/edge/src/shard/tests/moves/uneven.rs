//! App servers that not both nodes have heard to the same point: lost at one of them, or at both.

use trunkline_engineio::CloseReason;
use trunkline_trunk::{CloseReason as WireReason, Frame};

use super::two::{Moved, Two};
use crate::shard::tests::app::{accept, broadcast, close};
use crate::shard::tests::client::Client;

/// Lets the session come after its client has changed, with what the app servers say meanwhile.
fn comes(two: &mut Two, client: Client, meanwhile: impl FnOnce(&mut Two)) -> Moved {
    two.changes(&client);
    assert_eq!(two.carry(), ["take", "taken"]);
    let number = two.adopted();
    meanwhile(two);
    two.owner.app_says(&two.at_owner, [close(client.number, WireReason::Moved)]);
    two.taker.app_says(&two.at_taker, [accept(number)]);
    assert_eq!(two.carry(), ["export", "arrived"]);
    two.moved(client, number)
}

#[test]
fn what_a_dead_app_server_had_said_to_one_node_alone_is_no_gap() {
    let mut two = Two::new();
    let (at_owner, at_taker) = two.another("q");
    let client = two.client(&[]);
    two.owner.app_says(&at_owner, [broadcast(&[], "one")]);
    two.taker.app_says(&at_taker, ["one", "two", "three"].map(|text| broadcast(&[], text)));
    two.owner.app_goes(&at_owner);
    two.taker.app_goes(&at_taker);
    let mut poll = two.owner.poll(&client);
    assert_eq!(poll.said(), "4one");
    let moved = two.moves(client);
    two.taker.app_says(&two.at_taker, [broadcast(&[], "later")]);
    assert_eq!(moved.client.reads(), ["4later"]);
    assert_eq!(two.taker.closed(CloseReason::MoveFailed), 0);
}

#[test]
fn an_app_server_that_the_owner_has_lost_is_not_waited_for() {
    let mut two = Two::new();
    let (at_owner, at_taker) = two.another("q");
    let client = two.client(&[]);
    two.owner.app_says(&at_owner, [broadcast(&[], "one")]);
    two.taker.app_says(&at_taker, ["one", "two"].map(|text| broadcast(&[], text)));
    two.owner.app_goes(&at_owner);
    let mut poll = two.owner.poll(&client);
    assert_eq!(poll.said(), "4one");
    let moved = comes(&mut two, client, |two| {
        two.taker.app_says(&at_taker, [broadcast(&[], "three")]);
    });
    two.taker.app_says(&at_taker, [broadcast(&[], "four")]);
    assert_eq!(moved.client.reads(), ["4three", "4four"]);
}

#[test]
fn an_app_server_that_the_new_node_has_lost_says_nothing_more_there() {
    let mut two = Two::new();
    let (at_owner, at_taker) = two.another("q");
    let client = two.client(&[]);
    two.owner.app_says(&at_owner, [broadcast(&[], "one")]);
    two.taker.app_says(&at_taker, ["one", "two"].map(|text| broadcast(&[], text)));
    two.taker.app_goes(&at_taker);
    let mut poll = two.owner.poll(&client);
    assert_eq!(poll.said(), "4one");
    let moved = two.moves(client);
    assert!(moved.client.reads().is_empty());
    assert_eq!(two.taker.closed(CloseReason::MoveFailed), 0);
}

#[test]
fn a_gap_shows_although_the_app_server_came_to_the_new_node_meanwhile() {
    for says in [true, false] {
        let mut two = Two::new();
        let at_owner = two.owner.numbering_app("q");
        let client = two.client(&[]);
        two.owner.app_says(&at_owner, [broadcast(&[], "one")]);
        let mut poll = two.owner.poll(&client);
        assert_eq!(poll.said(), "4one");
        let moved = comes(&mut two, client, |two| {
            let at_taker = two.taker.app("q");
            two.taker.app_says(&at_taker, [Frame::Number { next: 3 }]);
            if says {
                two.taker.app_says(&at_taker, [broadcast(&[], "three")]);
            }
        });
        assert_eq!(moved.client.reads(), ["close"], "it has not had the second one");
        assert_eq!(two.taker.closed(CloseReason::MoveFailed), 1);
    }
}

#[test]
fn no_session_begins_to_move_while_a_trunk_has_lost_its_stream() {
    let mut two = Two::new();
    let (at_owner, at_taker) = two.another("q");
    let client = two.client(&[]);
    two.taker.app_says(&at_taker, [broadcast(&[], "one")]);
    at_owner.trunk.set_broken(Some(two.owner.now));
    assert!(!two.owner.shard.inspect(&client.asked()).expect("it is there").movable);
    two.opens_stream(&client, &client.sid.encode());
    assert_eq!(two.carry(), ["probe begun", "failed"]);
    assert_eq!(client.reads(), ["3probe", "close"]);
    let mut poll = two.owner.poll(&client);
    at_owner.trunk.set_broken(None);
    two.owner.app_says(&at_owner, [broadcast(&[], "one")]);
    assert_eq!(poll.said(), "4one", "it goes on with polling");
    assert!(two.owner.shard.inspect(&client.asked()).expect("it is there").movable);
}
