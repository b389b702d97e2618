//! Answers to streams that no shard serves, whatever they ask for.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::time::Instant;

use super::Streams;
use crate::gate::Refused;
use crate::metrics::Cause;
use crate::unavailable::Unavailable;

/// Refuses a stream because the node has no room for it, and counts that.
pub(super) fn refuse_full(stream: &TcpStream, cause: &'static str, streams: &Streams) {
    streams.metrics.streams_refused.get_or_create(&Cause { cause }).inc();
    let why = Unavailable::StreamsFull;
    if let Some(times) = streams.refused.note(cause, Instant::now()) {
        tracing::warn!(cause, times, "streams refused with 503: {why}");
    }
    let retry_after_s = Some(why.retry_after_s());
    answer(stream, "503 Service Unavailable", (why.slug(), &why.to_string()), retry_after_s);
}

/// Refuses a stream because of its address. An answer costs a few calls, so not every stream of a
/// flood gets one.
pub(super) fn refuse_address(stream: &TcpStream, ip: IpAddr, why: Refused, streams: &Streams) {
    streams.gate.note(why, ip);
    if streams.gate.affords_answer() {
        let status = why.status();
        let reason = status.canonical_reason().unwrap_or_default();
        let status = format!("{} {reason}", status.as_str());
        answer(stream, &status, (why.slug(), &why.to_string()), why.retry_after_s());
    }
}

fn answer(
    mut stream: &TcpStream,
    status: &str,
    (slug, message): (&str, &str),
    retry_after_s: Option<u16>,
) {
    let body = serde_json::json!({ "error": slug, "message": message }).to_string();
    let retry_after = retry_after_s.map(|seconds| format!("retry-after: {seconds}\r\n"));
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         {}connection: close\r\n\r\n{body}",
        body.len(),
        retry_after.unwrap_or_default(),
    );
    // Errors are ignored: the send buffer of a new stream has room for the answer, and the peer
    // reads it or does not. What the peer has already sent is read, because closing with unread
    // bytes would reset the stream, and the answer would be lost.
    let _ = stream.write_all(answer.as_bytes());
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read(&mut [0; 4096]);
}
