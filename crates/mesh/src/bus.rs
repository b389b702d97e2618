//! What the mesh needs of a bus: an at-most-once messenger among nodes.

use alloc::string::String;

use bytes::Bytes;

/// The part of a link that a frame travels on. Neither lane delays the other; order is kept within
/// a lane only.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Lane {
    /// Short frames: requests and answers.
    Control,
    /// Long frames: large bodies, snapshots.
    Bulk,
}

/// The receivers of a datagram.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Destination {
    /// Every node of the cluster: `tl.<cluster>.beat`.
    Everybody,
    /// One node's inbox: `tl.<cluster>.n.<number>.<incarnation>.<c|b>`.
    Node {
        /// The number under which the node has subscribed.
        number: u16,
        /// The life of the node's process.
        incarnation: u64,
        /// The inbox of this lane.
        lane: Lane,
    },
}

/// Something that the bus reports.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum BusEvent {
    /// A datagram arrived.
    Datagram {
        /// The inbox that it came to; `None` for the place of beats.
        lane: Option<Lane>,
        /// Its bytes.
        payload: Bytes,
    },
    /// Nobody listens at this node's inbox (NATS: no responders): its process is probably gone. This
    /// has no tag, so anybody on the bus may have said it.
    Unreachable {
        /// The number in the destination.
        number: u16,
        /// The incarnation in the destination.
        incarnation: u64,
    },
    /// The bus can be used. Datagrams sent before may have been lost.
    Connected {
        /// The longest datagram that the bus carries, in bytes.
        payload_max: usize,
    },
    /// The bus cannot be used until the next [`Self::Connected`].
    Disconnected {
        /// The reason, for a log line.
        cause: String,
    },
    /// The bus dropped datagrams that should have come here.
    Overflowed,
}

/// A bus that may lose, repeat, reorder and delay datagrams, as the I/O crates implement it.
///
/// No method blocks. A full queue drops datagrams: links repeat what was lost. A node receives
/// what is sent to [`Destination::Everybody`] without a subscription, and never what it sent itself.
pub trait Bus: Send {
    /// Subscribes to this node's own inboxes under a number. Earlier subscriptions stay: frames for
    /// a former number still arrive.
    fn subscribe(&mut self, number: u16);

    /// Sends a datagram. A destination without a subscriber may be reported as
    /// [`BusEvent::Unreachable`].
    fn publish(&mut self, to: &Destination, payload: Bytes);
}

/// Something that the mesh wants of the bus.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Transmit {
    /// Call [`Bus::subscribe`].
    Subscribe {
        /// The node's number.
        number: u16,
    },
    /// Call [`Bus::publish`].
    Publish {
        /// The receivers.
        to: Destination,
        /// The datagram.
        payload: Bytes,
    },
}

impl Transmit {
    /// Carries it out.
    pub fn apply(self, bus: &mut dyn Bus) {
        match self {
            Self::Subscribe { number } => bus.subscribe(number),
            Self::Publish { to, payload } => bus.publish(&to, payload),
        }
    }
}
