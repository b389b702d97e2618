//! Webhooks: they send a hub's events to its event handlers, over HTTP.
//!
//! [`Handlers`] chooses the handler for an event; [`Dispatcher`] calls it. A handler must have
//! allowed events once; failed calls are tried again after 1, 3 and 5 s when there is no answer or
//! a server error; everything is bounded. Only URLs from the configuration are called: input from
//! clients only fills in `{event}` in path or query, encoded, and redirects are not followed.

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
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Time for one try, from connecting to the last byte of the answer.
    pub timeout: Duration,
    /// Calls that may be on the wire at once; the others wait.
    pub concurrent_max: usize,
    /// Unfinished calls: on the wire, waiting, or between two tries. Further calls are refused at
    /// once.
    pub pending_max: usize,
    /// The longest answer in bytes. A longer one counts as no answer.
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
