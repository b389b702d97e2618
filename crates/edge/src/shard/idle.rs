//! Counts what streams bring in addition to messages: it costs time, and the app does not see it.

use trunkline_engineio::{Body, Idle};

use crate::metrics::Metrics;

/// Counts of frames and packets without a message.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct IdleFrames {
    pub(super) empty_parts: u32,
    pub(super) packets: Idle,
    pub(super) websocket_pings: u32,
    pub(super) websocket_pongs: u32,
}

impl IdleFrames {
    pub(super) fn total(self) -> u32 {
        let Idle { pings, pongs, noops } = self.packets;
        self.empty_parts + self.websocket_pings + self.websocket_pongs + pings + pongs + noops
    }

    /// Counts a packet without a message for the app.
    pub(super) fn count(&mut self, body: Body<'_>) {
        let kind = match body {
            Body::Text(text) => text.bytes().next(),
            Body::Binary(_) => None,
        };
        match kind {
            Some(b'2') => self.packets.pings += 1,
            Some(b'3') => self.packets.pongs += 1,
            Some(_) | None => self.packets.noops += 1,
        }
    }

    /// Adds the counts to the node's metrics.
    pub(super) fn count_into(self, metrics: &Metrics) {
        let Self { empty_parts, packets, websocket_pings, websocket_pongs } = self;
        metrics.count_idle("empty_fragment", empty_parts);
        metrics.count_idle("websocket_ping", websocket_pings);
        metrics.count_idle("websocket_pong", websocket_pongs);
        metrics.count_idle_packets(packets);
    }
}

/// Whether `input` begins with an empty frame that is part of a message, but not the last part.
pub(super) fn is_empty_part(input: &[u8]) -> bool {
    matches!(input, [0x00..=0x02 | 0x40..=0x42, 0x80, ..])
}
