//! Sessions that move, and what their clients' tokens say of them.

use std::time::Duration;

use trunkline_engineio::CloseReason;
use trunkline_token::TextMark;
use trunkline_trunk::CloseReason as WireReason;

use super::two::Two;
use crate::HubConfig;
use crate::hub::{Revoked, UserSessions};
use crate::shard::tests::app::{accept, close};
use crate::shard::tests::revoking::signed_by;
use crate::shard::tests::tokens::of_user;
use crate::shard::{ClientToken, NotRefreshed, Whose};

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

/// The clocks of two nodes have nothing in common: what travels is the time that is left.
#[test]
fn a_session_that_has_moved_ends_with_its_token_and_takes_its_place_along() {
    let mut two = Two::new();
    two.owner.pass(Duration::from_secs(50));
    let limit = UserSessions { max: 3, refuses: false };
    let user = TextMark::of("anna");
    let place = two.owner.hub.enter_user(user, limit);
    two.owner.kind.token = ClientToken { ends: Some(two.owner.in_s(30)), place, ..of_user("anna") };
    two.taker.is_configured(&[HubConfig {
        name: "chat".into(),
        user_sessions: limit,
        ..HubConfig::default()
    }]);
    let client = two.client(&[]);
    two.owner.kind.token = ClientToken::default();
    two.pass(Duration::from_secs(10));
    let moved = two.moves(client);
    assert!(!two.owner.hub.has_users() && two.taker.hub.has_users());
    two.pass(Duration::from_secs(19));
    assert!(!two.taker.has_ended(&moved.client));
    two.pass(Duration::from_secs(2));
    assert!(two.taker.has_ended(&moved.client));
    assert_eq!(two.taker.closed(CloseReason::TokenExpired), 1);
    assert!(!two.taker.hub.has_users());
}

#[test]
fn a_session_too_many_of_its_user_ends_where_it_arrives_if_newcomers_are_refused() {
    for refuses in [true, false] {
        let mut two = Two::new();
        let limit = UserSessions { max: 1, refuses };
        let user_sessions = limit;
        let hub = HubConfig { name: "chat".into(), user_sessions, ..HubConfig::default() };
        two.taker.is_configured(&[hub]);
        two.owner.kind.token = of_user("anna");
        let first = two.client(&[]);
        let first = two.moves(first);
        let user = TextMark::of("anna");
        assert!(!two.taker.hub.has_beyond(user, 1));
        let second = two.client(&[]);
        two.changes(&second);
        assert_eq!(two.carry(), ["take", "taken"]);
        let number = two.adopted();
        two.owner.app_says(&two.at_owner, [close(second.number, WireReason::Moved)]);
        two.taker.app_says(&two.at_taker, [accept(number)]);
        assert_eq!(two.carry(), ["export", "arrived"]);
        two.pass(Duration::from_secs(1));
        assert!(!two.taker.has_ended(&first.client));
        assert_eq!(two.taker.closed(CloseReason::UserSessionsFull), u64::from(refuses));
        // The next handshake closes the oldest.
        let beyond = two.taker.hub.beyond(user, 1);
        assert_eq!(beyond.is_empty(), refuses);
    }
}

#[test]
fn a_token_that_is_revoked_while_its_session_moves_ends_it_where_it_arrives() {
    let mut two = Two::new();
    two.owner.kind.token = of_user("anna");
    let client = two.client(&[]);
    two.changes(&client);
    assert_eq!(two.carry(), ["take", "taken"]);
    let number = two.adopted();
    let whose = Whose::Number(two.at_taker.trunk.number, number);
    let asked = two.taker.refresh(whose, of_user("anna"));
    assert_eq!(asked, Err(NotRefreshed::Gone), "its app server has not taken it yet");
    let until = two.taker.in_s(60);
    let revoked = Revoked::User(TextMark::of("anna"), 101);
    two.taker.hub.revocations.add(two.taker.now, revoked, until, 1).expect("there is room");
    two.taker.app_says(&two.at_taker, [accept(number)]);
    let asked = two.taker.refresh(whose, of_user("anna"));
    assert_eq!(asked, Err(NotRefreshed::Moving), "it is not here yet");
    two.owner.app_says(&two.at_owner, [close(client.number, WireReason::Moved)]);
    assert_eq!(two.carry(), ["export", "arrived"]);
    assert_eq!(two.taker.closed(CloseReason::TokenRevoked), 1);
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
