//! Answers to streams that no shard serves, whatever they ask for.

use std::net::{IpAddr, TcpStream};
use std::time::Instant;

use trunkline_tls::{ACCESS_DENIED, Certificates, INTERNAL_ERROR};

use super::Streams;
use super::last_words::say;
use crate::gate::Refused;
use crate::metrics::Cause;
use crate::unavailable::Unavailable;

/// What the peer of a stream understands, as long as it has said nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Speech {
    /// HTTP.
    Plain,
    /// TLS. A handshake costs a hundred times what an alert costs, and its words would not be worth it.
    Tls,
}

impl Speech {
    pub(super) fn of(tls: Option<&Certificates>) -> Self {
        if tls.is_some() { Self::Tls } else { Self::Plain }
    }
}

/// Refuses a stream because the node has no room for it, and counts that.
pub(super) fn refuse_full(
    (stream, speech): (&TcpStream, Speech),
    cause: &'static str,
    streams: &Streams,
) {
    streams.metrics.streams_refused.get_or_create(&Cause { cause }).inc();
    let why = Unavailable::StreamsFull;
    if let Some(times) = streams.refused.note(cause, Instant::now()) {
        tracing::warn!(cause, times, "streams refused with 503: {why}");
    }
    if speech == Speech::Tls {
        return say(stream, INTERNAL_ERROR);
    }
    let retry_after_s = Some(why.retry_after_s());
    answer(stream, "503 Service Unavailable", (why.slug(), &why.to_string()), retry_after_s);
}

/// Refuses a stream because of its address. An answer costs a few calls, so not every stream of a
/// flood gets one.
pub(super) fn refuse_address(
    (stream, speech): (&TcpStream, Speech),
    ip: IpAddr,
    why: Refused,
    streams: &Streams,
) {
    streams.gate.note(why, ip);
    if streams.gate.affords_answer() {
        if speech == Speech::Tls {
            return say(stream, ACCESS_DENIED);
        }
        let status = why.status();
        let reason = status.canonical_reason().unwrap_or_default();
        let status = format!("{} {reason}", status.as_str());
        answer(stream, &status, (why.slug(), &why.to_string()), why.retry_after_s());
    }
}

fn answer(
    stream: &TcpStream,
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
    say(stream, answer.as_bytes());
}
