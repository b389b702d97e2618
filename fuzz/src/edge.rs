//! Targets of the crate `edge`: a shard's core, without a kernel and in virtual time.

/// Operations encoded as bytes: clients that connect, poll, post, upgrade and leave; app servers
/// that answer, send, close, grant credit and leave.
pub const SHARD_SEEDS: &[&[u8]] = &[
    b"\x00\x80\x02\x04\x80\x0d\x00\x01\x01\x01\x80\x05\x00\x01\x80\x07\x00\x02\x03\x80\x10\x00\x02\x80",
    b"\x01\x80\x02\x04\x80\x09\x00\x05\x01\x80\x0b\x00\x00\x80\x0d\x03\x03\x01\x80\x0b\x00\x04\x80\x0f\x00\x80",
    b"\x00\x80\x02\x04\x80\x0c\x00\x03\x05\x05\x05\x80\x13\x0b\x00\x80\x11\x05\x80",
];

/// Longer sequences find nothing new, and take long.
const PLAY_BYTES_MAX: usize = 2_000;

/// Whatever clients and app servers do, no message is lost and no state is left over.
pub fn shard(data: &[u8]) {
    trunkline_edge::fuzzing::shard_operations(&data[..data.len().min(PLAY_BYTES_MAX)]);
}

/// Sessions on their way to another node: one with nothing, and one with a socket and a cut.
pub const EXPORT_SEEDS: &[&[u8]] = &[
    b"\x01\x06\x01\x02\x00\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    b"\x01\x09\x01\x02\x00\x01\x01\x01\x0a\x01x\x01\x01y\x01\x01n\x01v\x01\x00\x01m\x00\x01\x01\x05\x01\x01/\x01s\x01\x01r\x01\x01\x01o\x01\x01p\x01z\x01\x01q\x11",
];

/// Bytes from another node are a session or are refused.
pub fn export(data: &[u8]) {
    trunkline_edge::fuzzing::export(data);
}
