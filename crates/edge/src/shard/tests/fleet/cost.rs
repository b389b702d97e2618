//! What a cluster costs as it grows.
//!
//! `FLEET_COST=1 cargo test --release -p trunkline-edge --lib fleet::cost -- --nocapture` prints the
//! figures up to 100 nodes.

use std::time::Duration;

use super::bus::Tally;
use super::{Fleet, Make};

const SPAN: u32 = 20;

fn make(nodes: usize) -> Make {
    let servers = (nodes / 5).max(2);
    let lag = Duration::from_millis(1);
    let (slow, recovers, own_ids, clash, checked) = (false, false, false, false, false);
    Make { nodes, servers, lag, slow, recovers, own_ids, clash, checked }
}

/// What the bus has carried for each node in each second.
fn rates(before: Tally, after: Tally, nodes: usize) -> [f64; 5] {
    let share = |before: u64, after: u64| (after - before) as f64 / f64::from(SPAN) / nodes as f64;
    [
        share(before.beats, after.beats),
        share(before.datagrams, after.datagrams),
        share(before.delivered, after.delivered),
        share(before.bytes, after.bytes),
        share(before.delivered_bytes, after.delivered_bytes),
    ]
}

#[test]
fn at_rest_only_beats_travel_and_a_request_costs_the_same_in_a_cluster_of_any_size() {
    let is_asked = std::env::var_os("FLEET_COST").is_some();
    let sizes: &[usize] = if is_asked { &[3, 10, 20, 50, 100] } else { &[3, 8] };
    let mut alike = Vec::new();
    for nodes in sizes.iter().copied() {
        let mut fleet = Fleet::new(1, make(nodes));
        fleet.pass(Duration::from_secs(8));
        let joined = fleet.tally;
        fleet.pass(Duration::from_secs(SPAN.into()));
        let rest = rates(joined, fleet.tally, nodes);
        assert_eq!(fleet.tally.datagrams, joined.datagrams, "links at rest send nothing");
        for _ in 0..2 * nodes {
            fleet.client_comes();
        }
        fleet.pass(Duration::from_secs(1));
        let (before, polls) = (fleet.tally, fleet.seen.polls + fleet.seen.posts);
        for _ in 0..SPAN {
            for place in 0..fleet.players.len() {
                fleet.client_says(place);
            }
            for server in 0..fleet.servers.len() {
                fleet.app_broadcasts(server, None);
            }
            fleet.pass(Duration::from_secs(1));
        }
        let busy = rates(before, fleet.tally, nodes);
        let requests = (fleet.seen.polls + fleet.seen.posts - polls) as f64;
        let each = (fleet.tally.datagrams - before.datagrams) as f64 / requests;
        println!(
            "{nodes} nodes, {} app servers: joining {} datagrams; at rest, for each node and second, \
             beats sent {:.2}, received {:.1}, bytes sent {:.0}, received {:.0}; with {:.1} requests/s \
             for each node: datagrams sent {:.1}, received {:.1} of beats and links, bytes sent {:.0}, \
             received {:.0}; datagrams for each request {each:.2}",
            fleet.servers.len(),
            joined.datagrams,
            rest[0],
            rest[2],
            rest[3],
            rest[4],
            requests / f64::from(SPAN) / nodes as f64,
            busy[1],
            busy[2],
            busy[3],
            busy[4],
        );
        assert!((0.9..1.15).contains(&rest[0]), "one beat a second: {}", rest[0]);
        assert!(rest[3] < 150.0, "a beat is short: {} B", rest[3]);
        alike.push(each);
    }
    for each in alike {
        assert!((0.5..8.0).contains(&each), "{each} datagrams for each request");
    }
}
