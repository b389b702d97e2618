//! Batches from an app server, from bytes to the shares of the shards.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use trunkline_clock::Timestamp;
use trunkline_trunk::{
    Frame, Hello, LinkConfig, NamespaceNumber, NodeInfo, NodeTrunk, NodeTrunkConfig, Step,
};

use crate::Case;
use crate::records::{FRAMES, broadcast, sends};

const SHARDS: u16 = 4;

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "trunk: Send frame of 64 B dealt out to one of 4 shards",
        each: FRAMES,
        run: |times| deal(times, &sends()),
    },
    Case {
        name: "trunk: Broadcast frame to two rooms dealt out to 4 shards",
        each: 1,
        run: |times| deal(times, &broadcast()),
    },
];

/// Gives the batch to a trunk this many times and takes all its steps. The returned cost depends on the
/// work, so that the compiler cannot remove it.
fn deal(times: u32, batch: &Bytes) -> u64 {
    let mut trunk = trunk();
    let mut seen = 0;
    for _ in 0..times {
        trunk.handle_batch(Timestamp::ORIGIN, black_box(batch).clone());
        while let Some(step) = trunk.poll_step() {
            let Step::Shares(shares) = black_box(step) else { continue };
            seen += shares.cost_bytes;
            trunk.processed(shares.cost_bytes);
        }
        while let Some(frame) = trunk.poll_transmit() {
            black_box(frame);
        }
    }
    seen
}

/// A trunk that is up, with the namespace that the batches use.
fn trunk() -> NodeTrunk {
    let config = NodeTrunkConfig {
        link: LinkConfig::default(),
        namespaces_max: 10,
        shards: SHARDS,
        abandoned_max: 0,
    };
    let mut trunk = NodeTrunk::new(Timestamp::ORIGIN, config);
    let mut opening = BytesMut::new();
    Frame::Hello(Box::new(Hello {
        version_min: 1,
        version_max: 1,
        credit: 1 << 20,
        server: "app".into(),
        sdk: "bench/1".into(),
        settings: "{}".into(),
    }))
    .encode(&mut opening);
    Frame::Namespace { nsp: NamespaceNumber(0), name: "/".into() }.encode(&mut opening);
    trunk.handle_batch(Timestamp::ORIGIN, opening.freeze());
    while let Some(step) = trunk.poll_step() {
        if let Step::Hello(_) = step {
            trunk.welcome(Timestamp::ORIGIN, NodeInfo::new("node", "1", &[]));
        }
    }
    trunk
}
