//! Serverless mode: a hub whose handlers are webhooks instead of app servers.
//!
//! [`Machine`] plays the whole Socket.IO server: it accepts namespaces, makes socket ids, tells the handlers what
//! happens and gives clients what they answer. It is pure: no clock, no socket, no task, no random source.
//!
//! Contract for its caller:
//!
//! 1. Feed input with `handle_*` or a command.
//! 2. Then drain [`Machine::poll_output`].
//! 3. Then wait until [`Machine::poll_deadline`], at most.
//!
//! Promises, each with a test in `tests`:
//!
//! * One socket's events are told one after another, in the order in which the client sent them.
//! * `disconnected` is told exactly once for each socket that was accepted, behind its last event.
//! * What waits is bounded, per socket and in all; beyond it the connection that sent it is closed.

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
