//! The composition root: config, build, run, drain.
//!
//! ```text
//! config::load  ->  logging::start  ->  run  (binds, serves, waits for a signal, drains)
//! ```
//!
//! This is the only crate that knows both the public port (`edge`) and the admin port (`api`).

mod admin;
mod audit;
mod azure;
mod cluster;
pub mod config;
mod descriptors;
mod drain;
mod heap;
mod lines;
mod load;
pub mod logging;
mod memory;
mod ready_file;
mod reload;
mod resolve;
mod run;
mod signals;
mod talkers;
mod tls;

pub use ready_file::ReadyFileError;
pub use reload::{AskError, Asked, Outcome, Report, ask as ask_to_reload};
pub use resolve::new_key;
pub use run::{RunError, Started, run};
pub use talkers::{TalkersError, ask as ask_for_talkers};
