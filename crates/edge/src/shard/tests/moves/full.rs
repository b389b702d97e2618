//! Moves to a node where the hub has as many sessions as it may.

use trunkline_engineio::TransportKind;

use super::two::Two;
use crate::hub::HubLimits;

const POLLING: TransportKind = TransportKind::Polling;

#[test]
fn a_session_stays_away_from_a_hub_that_is_full_there() {
    let mut two = Two::new();
    let client = two.client(&[]);
    let full = HubLimits { sessions_max: Some(0), ..HubLimits::default() };
    two.taker.has_hub_limits(full);
    two.opens_stream(&client, &client.sid.encode());
    assert_eq!(two.taker.upgrades("refused"), 1);
    let mut poll = two.owner.poll(&client);
    two.owner.app_sends(&two.at_owner, &client, "polling goes on");
    assert_eq!(poll.said(), "4polling goes on");
}

#[test]
fn a_session_that_has_moved_counts_where_it_is() {
    let mut two = Two::new();
    let one = HubLimits { sessions_max: Some(1), ..HubLimits::default() };
    two.taker.has_hub_limits(one);
    let client = two.client(&[]);
    let _moved = two.moves(client);
    assert_eq!([two.owner.hub.sessions(), two.taker.hub.sessions()], [0, 1]);
    let mut handshake = two.taker.handshake(POLLING);
    assert_eq!(handshake.said(), "hub_sessions_full");
}
