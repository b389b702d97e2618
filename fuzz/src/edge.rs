//! Targets of the crate `edge`: a shard's core, without a kernel and in virtual time.

/// Operations as bytes choose them: clients that come, poll, post, upgrade and go, and app servers that answer, send,
/// close, grant credit and go.
pub const SHARD_SEEDS: &[&[u8]] = &[
    b"\x00\x80\x02\x04\x80\x0d\x00\x01\x01\x01\x80\x05\x00\x01\x80\x07\x00\x02\x03\x80\x10\x00\x02\x80",
    b"\x01\x80\x02\x04\x80\x09\x00\x05\x01\x80\x0b\x00\x00\x80\x0d\x03\x03\x01\x80\x0b\x00\x04\x80\x0f\x00\x80",
    b"\x00\x80\x02\x04\x80\x0c\x00\x03\x05\x05\x05\x80\x13\x0b\x00\x80\x11\x05\x80",
];

/// Longer plays say nothing new, and take their time.
const PLAY_BYTES_MAX: usize = 2_000;

/// Whatever clients and app servers do, nothing is lost and nothing is left.
pub fn shard(data: &[u8]) {
    trunkline_edge::fuzzing::shard_operations(&data[..data.len().min(PLAY_BYTES_MAX)]);
}
