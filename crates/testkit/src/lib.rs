//! Shared test tools. Nothing here ships: other crates name it under `[dev-dependencies]` only.

mod alloc;
mod clock;
mod hex;
pub mod oracle;
pub mod switchboard;

pub use alloc::CountingAllocator;
pub use clock::Clock;
pub use hex::{from_hex, to_hex};
