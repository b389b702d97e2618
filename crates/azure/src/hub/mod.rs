//! One hub as a pure machine: what clients, app servers and REST callers do goes in, frames and answers come out.
//!
//! No clock, socket or task is used here: the service around it passes the time in and carries the outputs away.

mod outbox;

pub(crate) use outbox::{CallId, Outbox, Output, TunnelId};
