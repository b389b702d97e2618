//! HTTP on the public port: what everybody who serves there shares.
//!
//! Clients, Azure's data plane and whatever comes next read bodies and open WebSockets under the same rules, so that no
//! copy of them can miss one.

pub mod body;
mod ceiling;
mod hub_name;
mod log_pace;
mod side_door;
pub mod upgrade;

pub use ceiling::Ceiling;
pub use hub_name::is_hub_name;
pub use log_pace::LogPace;
pub use side_door::{Lease, SideAnswer, SideBody, SideDoor, Visit};
