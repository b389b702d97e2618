//! Trunks: who may open one, what passes over it, and the handle that everybody else holds of it.

mod auth;
mod carry;
mod handle;
mod peer;
mod precedence;
mod stream;

pub(crate) use auth::{TrunkRefused, authorise};
pub(crate) use handle::{Answered, BatchCredit, Ending, Trunk, TrunkNumber};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use peer::Origin;
pub(crate) use precedence::Precedence;
pub(crate) use stream::{run, run_inside};
