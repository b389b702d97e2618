//! What a mesh costs when nothing goes wrong: beats, links at rest, and requests.
//!
//! `TRUNKLINE_MESH_COST=1 cargo test --release -p trunkline-mesh --test cost -- --nocapture` prints
//! the figures.

mod cluster;

use std::time::Duration;

use cluster::{Cluster, short};
use trunkline_mesh::{Lane, Mesh};

const SPAN: Duration = Duration::from_secs(60);

fn nodes_max() -> usize {
    if std::env::var_os("TRUNKLINE_MESH_COST").is_some() { 100 } else { 20 }
}

#[test]
fn at_rest_only_beats_travel_and_each_is_short() {
    for nodes in [3, 20, 100].into_iter().filter(|nodes| *nodes <= nodes_max()) {
        let mut cluster = Cluster::new(1);
        for _ in 0..nodes {
            cluster.start_new();
        }
        cluster.run(Duration::from_secs(5));
        let joined = cluster.tally;
        for at in 0..nodes {
            assert_eq!(cluster.members(at).len(), nodes - 1);
        }
        cluster.run(SPAN);
        let seconds = SPAN.as_secs();
        let beats = (cluster.tally.beats - joined.beats) / seconds;
        let delivered = (cluster.tally.delivered - joined.delivered) / seconds;
        let bytes = (cluster.tally.bytes - joined.bytes) / seconds;
        println!(
            "{nodes} nodes: joining took {} datagrams and {} beats, {} KiB; at rest {beats} beats/s \
             sent, {delivered}/s delivered, {bytes} B/s sent, {} B/s received by each node",
            joined.datagrams,
            joined.beats,
            joined.bytes >> 10,
            bytes * (nodes as u64 - 1) / nodes as u64,
        );
        assert_eq!(cluster.tally.datagrams, joined.datagrams, "links at rest send nothing");
        let nodes = nodes as u64;
        assert!((nodes * 95 / 100..=nodes * 105 / 100 + 1).contains(&beats), "{beats}");
        assert!(bytes <= beats * 130, "a beat has {} bytes", bytes / beats);
        // Two ends of each link open it: at most six datagrams.
        assert!(joined.datagrams <= nodes * (nodes - 1) / 2 * 6, "{}", joined.datagrams);
    }
}

#[test]
fn a_request_and_its_answer_are_three_datagrams_alone_and_few_when_there_are_many() {
    let mut cluster = Cluster::of(2, 1);
    let peers = [cluster.peer(0, 1), cluster.peer(1, 0)];
    let before = cluster.tally;
    for id in 0..100 {
        for (at, peer) in peers.into_iter().enumerate() {
            cluster.send(at, peer, Lane::Control, &short(id));
            cluster.run(Duration::from_millis(1));
        }
        cluster.run(Duration::from_millis(50));
    }
    let alone = cluster.tally.datagrams - before.datagrams;
    assert_eq!(alone, 300);
    let bytes = cluster.tally.bytes - before.bytes;
    let before = cluster.tally;
    // Ten requests in each turn of a millisecond, in both directions.
    for turn in 0..100 {
        for (at, peer) in peers.into_iter().enumerate() {
            cluster.with(at, |mesh, now| {
                (0..10).for_each(|id| {
                    let sent = mesh.send(now, peer, Lane::Control, &short(turn * 10 + id));
                    assert_eq!(sent, Ok(()));
                });
            });
            cluster.pump(at);
            cluster.run(Duration::from_micros(500));
        }
    }
    let busy = cluster.tally.datagrams - before.datagrams;
    println!("alone {} B a request and answer; {busy} datagrams for 1000 of them", bytes / 100);
    assert!(busy <= 210, "{busy}");
}

#[test]
fn a_mesh_is_small() {
    println!("a mesh: {} B", size_of::<Mesh>());
    // What the crates for hashes keep of a key differs with the features that others ask of them.
    assert!(size_of::<Mesh>() <= 2048);
}
