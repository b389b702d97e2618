//! Webhooks: telling a hub's event handlers what happens, over HTTP.
//!
//! [`Handlers`] says which handler gets an event; [`Dispatcher`] calls it: after the handler has allowed it once,
//! again after 1, 3 and 5 s when nobody answers or the answer is a server's error, with bounds on everything. Only
//! URLs of the configuration are called; what clients send fills in `{event}` in path or query, encoded, and
//! redirects are not followed.

mod attempt;
mod call_permits;
mod dispatcher;
mod fair;
mod handlers;
mod metrics;
mod permission;
mod template;

pub use attempt::NoAuthorities;
pub(crate) use attempt::{NoReply, Sender};
pub(crate) use dispatcher::{Dispatcher, Origin};
pub use handlers::{Handler, Handlers, SystemEvent, UserEvents};
pub use metrics::Metrics;
pub use template::{TemplateError, UrlTemplate};

use core::time::Duration;

/// The bounds of one hub's webhooks.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Time for one try, from connecting to the last byte of the answer.
    pub timeout: Duration,
    /// Calls that are on the wire at once; the others wait their turn.
    pub concurrent_max: usize,
    /// Calls that are not done: on the wire, waiting, or between two tries. One beyond it is refused at once.
    pub pending_max: usize,
    /// Bytes of an answer. A longer one counts as none.
    pub answer_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            concurrent_max: 64,
            pending_max: 10_000,
            answer_bytes_max: 1 << 20,
        }
    }
}
