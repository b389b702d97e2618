//! The answer to a stream that no shard serves.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

/// Says something to a new stream before it is closed.
///
/// Errors are ignored: the send buffer of a new stream has room for the answer, and the peer reads
/// it or does not. What the peer has already sent is read, because closing with unread bytes would
/// reset the stream, and the answer would be lost.
pub(super) fn say(mut stream: &TcpStream, answer: &[u8]) {
    let _ = stream.write_all(answer);
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read(&mut [0; 4096]);
}
