//! The body of a POST, decoded in slices as large as its owner wants.

use alloc::string::String;

use bytes::Bytes;

use super::Session;
use super::transmit::PollAnswer;
use crate::Timestamp;
use crate::close::CloseReason;
use crate::config::Config;
use crate::error::PeerMisbehaved;
use crate::lenient_base64;
use crate::packet::{Data, Packet, PacketType};
use crate::payload::{BinaryRecords, SEPARATOR_V4, TextRecords};
use crate::protocol::{Body, Protocol};

/// A payload of any size may have this many packets.
const PACKETS_MAX: usize = 128 * 1024;
/// A larger payload may have one packet per this many bytes: no packet of Socket.IO is shorter.
const BYTES_PER_PACKET: usize = 8;

/// The part of a POST's body that is not decoded yet.
#[derive(Debug)]
pub struct Post {
    rest: Rest,
    packets_left: usize,
    idle: Idle,
}

#[derive(Debug)]
enum Rest {
    BinaryV3(Bytes),
    Over,
    TextV3 { text: String, taken: usize },
    V4(Bytes),
}

/// Counts of packets without a message for the app.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Idle {
    /// Packets of the type `ping`.
    pub pings: u32,
    /// Packets of the type `pong`.
    pub pongs: u32,
    /// All other packets, such as `noop`.
    pub noops: u32,
}

impl Idle {
    fn count(&mut self, kind: PacketType) {
        let count = match kind {
            PacketType::Ping => &mut self.pings,
            PacketType::Pong => &mut self.pongs,
            PacketType::Close
            | PacketType::Message
            | PacketType::Noop
            | PacketType::Open
            | PacketType::Unknown
            | PacketType::Upgrade => &mut self.noops,
        };
        *count += 1;
    }
}

impl Post {
    /// True when the whole body was decoded, or the rest no longer matters.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.rest, Rest::Over)
    }

    /// Bytes that are not decoded yet.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.rest {
            Rest::BinaryV3(rest) | Rest::V4(rest) => rest.len(),
            Rest::Over => 0,
            Rest::TextV3 { text, taken } => text.len() - taken,
        }
    }

    /// The packets without a message since the last call.
    pub fn take_idle(&mut self) -> Idle {
        core::mem::take(&mut self.idle)
    }

    fn new(rest: Rest, config: &Config) -> Self {
        let packets_left = config
            .payload_packets_max
            .unwrap_or_else(|| PACKETS_MAX.max(config.payload_bytes_max / BYTES_PER_PACKET));
        Self { rest, packets_left, idle: Idle::default() }
    }
}

impl Session {
    /// Takes a POST whose body is complete; [`go_on_with_post`](Self::go_on_with_post) decodes it.
    /// `binary_content_type` means that the content type is exactly `application/octet-stream`.
    ///
    /// # Errors
    ///
    /// Nothing of the body is usable. [`PeerMisbehaved::answer`] has the answer for the client.
    pub fn begin_post(
        &mut self,
        _now: Timestamp,
        binary_content_type: bool,
        body: Bytes,
    ) -> Result<Post, PeerMisbehaved> {
        self.check_polling()?;
        let rest = match (self.protocol, binary_content_type) {
            (Protocol::V4, true) => return Err(self.misbehaved(PeerMisbehaved::BinaryPayload)),
            (Protocol::V4, false) => Rest::V4(body),
            (Protocol::V3, false) => {
                Rest::TextV3 { text: String::from_utf8_lossy(&body).into_owned(), taken: 0 }
            }
            (Protocol::V3, true) => match BinaryRecords::new(&body) {
                Ok(_) => Rest::BinaryV3(body),
                Err(malformed) => {
                    self.undecodable(malformed)?;
                    Rest::Over
                }
            },
        };
        Ok(Post::new(rest, &self.config))
    }

    /// Decodes at most `packets_max` packets. `on` receives each message, in order. Bytes that are
    /// not UTF-8 become U+FFFD, as in Node.js.
    ///
    /// # Errors
    ///
    /// The messages before the error have been given to `on`; the post is over.
    pub fn go_on_with_post(
        &mut self,
        now: Timestamp,
        post: &mut Post,
        packets_max: usize,
        on: &mut dyn FnMut(Body<'_>),
    ) -> Result<(), PeerMisbehaved> {
        let rest = core::mem::replace(&mut post.rest, Rest::Over);
        self.check_polling()?;
        post.rest = match rest {
            Rest::Over => Rest::Over,
            Rest::V4(mut body) => {
                let mut over = false;
                for _ in 0..packets_max {
                    let separator =
                        body.iter().position(|byte| u32::from(*byte) == SEPARATOR_V4.into());
                    let packet = body.split_to(separator.unwrap_or(body.len()));
                    over = separator.is_none();
                    let text = String::from_utf8_lossy(&packet);
                    self.handle_packet(now, post, Ok(Body::Text(&text)), on)?;
                    if over || self.is_closed() {
                        break;
                    }
                    let _ = body.split_to(1);
                }
                if over || self.is_closed() { Rest::Over } else { Rest::V4(body) }
            }
            Rest::TextV3 { text, taken } => {
                let mut records = TextRecords::new(&text[taken..]);
                for _ in 0..packets_max {
                    let Some(record) = records.next() else { break };
                    self.handle_packet(now, post, record, on)?;
                    if self.is_closed() {
                        return Ok(());
                    }
                }
                match records.rest_bytes() {
                    0 => Rest::Over,
                    left => Rest::TextV3 { taken: text.len() - left, text },
                }
            }
            Rest::BinaryV3(body) => {
                let mut records = BinaryRecords::valid(&body);
                for _ in 0..packets_max {
                    let Some(record) = records.next() else { break };
                    self.handle_packet(now, post, record, on)?;
                    if self.is_closed() {
                        return Ok(());
                    }
                }
                match records.rest_bytes() {
                    0 => Rest::Over,
                    left => Rest::BinaryV3(body.slice(body.len() - left..)),
                }
            }
        };
        Ok(())
    }

    /// Takes a POST whose body is complete and decodes it at once:
    /// [`begin_post`](Self::begin_post), then [`go_on_with_post`](Self::go_on_with_post).
    ///
    /// # Errors
    ///
    /// The messages before the error have been given to `on`. [`PeerMisbehaved::answer`] has the
    /// answer for the client.
    pub fn handle_post(
        &mut self,
        now: Timestamp,
        binary_content_type: bool,
        body: &[u8],
        on: &mut dyn FnMut(Body<'_>),
    ) -> Result<(), PeerMisbehaved> {
        let mut post = self.begin_post(now, binary_content_type, Bytes::copy_from_slice(body))?;
        while !post.is_over() {
            self.go_on_with_post(now, &mut post, usize::MAX, on)?;
        }
        Ok(())
    }

    fn handle_packet(
        &mut self,
        now: Timestamp,
        post: &mut Post,
        encoded: Result<Body<'_>, PeerMisbehaved>,
        on: &mut dyn FnMut(Body<'_>),
    ) -> Result<(), PeerMisbehaved> {
        let Some(packets_left) = post.packets_left.checked_sub(1) else {
            return self.undecodable(PeerMisbehaved::PacketsTooMany);
        };
        post.packets_left = packets_left;
        let packet = match encoded.and_then(|encoded| Packet::decode(self.protocol, encoded)) {
            Err(misbehaved) => return self.undecodable(misbehaved),
            Ok(packet) => packet,
        };
        if packet.kind == PacketType::Close {
            self.finish(CloseReason::TransportClose, "", PollAnswer::Noop);
            return Ok(());
        }
        match self.on_packet(now, packet)? {
            None => post.idle.count(packet.kind),
            Some(Data::Base64(text)) => on(Body::Binary(&lenient_base64::decode_lenient(text))),
            Some(Data::Binary(bytes)) => on(Body::Binary(bytes)),
            Some(Data::Text(text)) => on(Body::Text(text)),
        }
        Ok(())
    }
}
