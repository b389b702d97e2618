//! Serverless mode: a hub whose handlers are webhooks instead of app servers.
//!
//! [`Machine`] is the whole Socket.IO server: it accepts namespaces, makes socket ids, sends events
//! to the handlers and their answers to clients. It is pure: no clock, no socket, no task, no
//! random source.
//!
//! Contract for its caller:
//!
//! 1. Feed input with `handle_*` or a command.
//! 2. Then drain [`Machine::poll_output`].
//! 3. Then wait until [`Machine::poll_deadline`], at most.
//!
//! Promises, each with a test in `tests`:
//!
//! * The events of one socket are sent one after another, in the order in which the client sent
//!   them.
//! * `disconnected` is sent exactly once for each socket that was accepted, after its last event.
//! * Waiting events are bounded, per socket and in total; beyond the bound the connection that sent
//!   the last one is closed.

mod answer;
mod event;
mod ids;
mod machine;
mod settings;
mod socket;
#[cfg(test)]
mod tests;
mod waiting;

pub(crate) use answer::Answered;
pub(crate) use event::{Event, EventKind, Facts};
pub(crate) use ids::SocketIds;
pub(crate) use machine::{CallKey, CloseCause, Ignored, Machine, Output};
pub(crate) use settings::Settings;
