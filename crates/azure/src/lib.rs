//! The door for Microsoft's own SDK and REST clients: Azure Web PubSub for Socket.IO's contract.

pub mod filter;
