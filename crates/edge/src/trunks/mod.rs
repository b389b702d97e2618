//! Trunks: who may open one, and the task that carries what passes over it.

mod auth;
mod carry;
mod stream;

pub(crate) use auth::{TrunkRefused, authorise};
pub(crate) use stream::{run, run_inside};
