//! Sessions whose clients' tokens were signed by a key of the hub, and that move.

use std::time::Duration;

use trunkline_engineio::CloseReason;
use trunkline_trunk::CloseReason as WireReason;

use super::two::Two;
use crate::shard::tests::app::{accept, close};
use crate::shard::tests::revoking::signed_by;

/// Two nodes whose hub has two keys, with sessions from here on that the first one has signed.
fn signed() -> Two {
    let mut two = Two::new();
    for node in [&mut two.owner, &mut two.taker] {
        node.has_keys(&["old", "new"]);
    }
    two.owner.kind.token = signed_by("old");
    two
}

#[test]
fn a_session_that_has_moved_ends_with_its_key() {
    let mut two = signed();
    let client = two.client(&[]);
    let moved = two.moves(client);
    two.owner.kind.token = signed_by("new");
    let client = two.client(&[]);
    let other = two.moves(client);
    two.taker.has_keys(&["new"]);
    two.pass(Duration::from_secs(1));
    assert!(two.taker.has_ended(&moved.client));
    assert!(!two.taker.has_ended(&other.client));
    assert_eq!(two.taker.closed(CloseReason::KeyRemoved), 1);
}

#[test]
fn a_session_whose_key_goes_while_it_moves_ends_where_it_arrives() {
    let mut two = signed();
    let client = two.client(&[]);
    two.changes(&client);
    assert_eq!(two.carry(), ["take", "taken"]);
    let number = two.adopted();
    // The node that the session leaves does not close it any more.
    two.owner.has_keys(&["new"]);
    two.owner.pass(Duration::from_secs(1));
    two.taker.has_keys(&["new"]);
    two.owner.app_says(&two.at_owner, [close(client.number, WireReason::Moved)]);
    assert_eq!(two.carry(), ["export"]);
    two.taker.app_says(&two.at_taker, [accept(number)]);
    assert_eq!(two.taker.closed(CloseReason::KeyRemoved), 1);
    assert_eq!(two.carry(), ["arrived"], "the move itself has succeeded");
    two.taker.app_closes(&two.at_taker, number);
    assert_eq!((two.taker.slots(), two.owner.slots()), (0, 0));
}
