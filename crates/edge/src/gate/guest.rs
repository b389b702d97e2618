//! A session in the count of its client's address.

use std::net::IpAddr;
use std::sync::Arc;

use trunkline_admission::Address;

use super::Gate;

/// One session of an address that is counted; returned when dropped. In a box, so that sessions of
/// addresses that are not counted need no room for it.
#[derive(Debug)]
pub(crate) struct Guest(Box<Inner>);

#[derive(Debug)]
struct Inner {
    gate: Arc<Gate>,
    table: Address,
    counted: Address,
    ip: IpAddr,
}

impl Guest {
    pub(super) fn new(gate: &Arc<Gate>, table: Address, counted: Address, ip: IpAddr) -> Self {
        Self(Box::new(Inner { gate: Arc::clone(gate), table, counted, ip }))
    }

    /// The client's address.
    pub(crate) fn ip(&self) -> IpAddr {
        self.0.ip
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.gate.close_session(self.table, self.counted);
    }
}
