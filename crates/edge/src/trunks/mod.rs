//! Trunks: the check of who may open one, and the task that carries its frames.

mod auth;
mod carry;
mod out;
mod resume;
mod stream;
mod unhomed;

pub(crate) use auth::{TrunkRefused, authorise};
pub(crate) use stream::{run, run_inside};
