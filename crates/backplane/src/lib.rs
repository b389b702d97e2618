//! What carries datagrams between nodes, below [`trunkline_mesh`]: it may lose, repeat, reorder and
//! delay them, and the mesh repairs that.
//!
//! [`nats`] is the real one. [`loopback`] connects nodes of one process, for tests, and behaves as
//! badly as it is told.
//!
//! ```text
//! nats::Servers::parse  ->  nats::open (on the cluster's thread)  ->  Opened { bus, events }
//! ```
//!
//! Nothing here blocks. Each direction has one queue with a limit in entries and one in bytes. A
//! full queue drops datagrams, counts them and reports [`BusEvent::Overflowed`].
//!
//! [`BusEvent::Overflowed`]: trunkline_mesh::BusEvent::Overflowed

mod events;
mod figures;
pub mod loopback;
pub mod nats;
mod outgoing;
mod subjects;

pub use events::Events;
pub use figures::{BusFigures, Figure};

use core::fmt;

use trunkline_mesh::Bus;

/// An open bus: the side that sends, and what comes in.
pub struct Opened {
    /// Sends; never blocks.
    pub bus: Box<dyn Bus>,
    /// Datagrams and changes of the connection, in order.
    pub events: Events,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("events", &self.events).finish_non_exhaustive()
    }
}
