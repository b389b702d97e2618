//! The bus as `edge` takes it.

use core::task::{Context, Poll};

use trunkline_backplane::nats::{self, Settings};
use trunkline_backplane::{Events, Opened};
use trunkline_edge::{BusEvents, OpenBus};
use trunkline_mesh::BusEvent;

use super::seen::Shared;

/// Opens NATS. Called on the cluster's thread.
pub(super) fn open(settings: Settings, shared: Shared) -> OpenBus {
    let Opened { bus, events } = nats::open(settings);
    OpenBus { bus, events: Box::new(Observed { events, shared }) }
}

/// Notes whether the bus is there, which the mesh reports only once it was.
struct Observed {
    events: Events,
    shared: Shared,
}

impl BusEvents for Observed {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<BusEvent> {
        let event = self.events.poll_next(context);
        match &event {
            Poll::Ready(BusEvent::Connected { .. }) => self.shared.set_bus(None),
            Poll::Ready(BusEvent::Disconnected { cause }) => self.shared.set_bus(Some(cause)),
            Poll::Ready(
                BusEvent::Datagram { .. } | BusEvent::Unreachable { .. } | BusEvent::Overflowed,
            )
            | Poll::Pending => {}
        }
        event
    }
}
