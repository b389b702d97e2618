//! Targets of the crate `switchboard`.

use trunkline_testkit::switchboard::{Op, Pair};

/// Operations in five bytes each (see `Op::decode`): attach, join, hold and attach, select, detach.
pub const OPERATIONS_SEEDS: &[&[u8]] = &[
    b"\x00\x00\x00\x07\x00\x00\x01\x01\x07\x00\x08\x01\x00\x00\x00\x0e\x00\x01\x07\x02\x04\x00\x00\x00\x00",
    b"\x05\x06\x00\x00\x00\x00\x06\x00\xff\x00\x00\x07\x04\xff\x00\x07\x06\x00\x00\x00\x0d\x00\x00\x00\x00\x0b\x07\x02\x00\x00",
    b"\x00\x00\x00\x00\x00\x08\x00\x00\x00\x00\x0b\x00\x00\x00\x00\x10\x00\x01\xf0\x00\xff\x00\xff\xff\x01",
];

/// Longer sequences say nothing new, and the oracle is slow.
const OPERATIONS_MAX: usize = 200;

/// Any operations keep the invariants, and the answers are the naive oracle's.
pub fn operations(data: &[u8]) {
    let mut ops = Op::decode_all(data);
    ops.truncate(OPERATIONS_MAX);
    Pair::run(&ops);
}
