//! Nodes on a bus that loses, repeats, reorders, delays and splits, nodes that are killed, stopped
//! and started again: seeded, in virtual time.
//!
//! `TRUNKLINE_MESHES=10000 cargo test --release -p trunkline-mesh --test simulation` plays more
//! seeds, `TRUNKLINE_MESH=N` begins with seed N.

mod cluster;
mod play;

use std::time::Duration;

use play::{Seen, play};

const CHAOS: Duration = Duration::from_secs(10);

/// Mostly few nodes, sometimes many.
fn nodes_of(seed: u64) -> usize {
    match seed {
        _ if seed % 500 == 499 => 100,
        _ if seed % 200 == 199 => 20,
        _ if seed % 40 == 39 => 12,
        _ => 2 + (seed % 5) as usize,
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn frames_arrive_once_in_order_and_views_agree_in_the_end() {
    let seeds = number("TRUNKLINE_MESHES");
    let first = number("TRUNKLINE_MESH").unwrap_or(0);
    let mut ever = Seen::default();
    for seed in first..first + seeds.unwrap_or(200) {
        let played = std::panic::catch_unwind(|| play(seed, nodes_of(seed), CHAOS));
        let Ok((seen, _)) = played else { panic!("seed {seed}") };
        ever.add(&seen);
    }
    let fields = ever.fields();
    let never = fields.iter().filter(|(_, count)| *count == 0).count();
    assert!(never == 0 || seeds.is_some(), "plays that go nowhere prove nothing: {fields:?}");
    if seeds.is_some() {
        println!("{fields:?}");
    }
}

#[test]
fn the_same_seed_plays_the_same() {
    for seed in 0..5 {
        let (_, first) = play(seed, 4, CHAOS);
        let (_, second) = play(seed, 4, CHAOS);
        assert_eq!(first, second, "seed {seed}");
        let (_, other) = play(seed + 1000, 4, CHAOS);
        assert_ne!(first, other, "the trace says nothing");
    }
}
