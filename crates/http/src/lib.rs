//! HTTP on the public port: the code that its servers share.
//!
//! The Engine.IO server in `edge` and the Azure door read bodies and open WebSockets by the same
//! rules. With one copy of these rules, no server can miss one.

pub mod body;
mod ceiling;
mod hub_name;
mod log_pace;
mod peers;
mod side_door;
pub mod upgrade;

pub use ceiling::Ceiling;
pub use hub_name::is_hub_name;
pub use log_pace::LogPace;
pub use peers::PeerNotice;
pub use side_door::{Lease, SideAnswer, SideBody, SideDoor, Visit};
