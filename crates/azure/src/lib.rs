//! The Azure door: an entrance for app servers and tools that use Azure Web PubSub for Socket.IO,
//! with tunnels, the REST API and webhooks.
//!
//! To the node's edge this crate is one app server per hub: it speaks the trunk protocol over an
//! inner trunk that `node` opens. It gives each session to one of the app servers that connect
//! through tunnels.

mod cloudevents;
pub mod filter;
mod group;
mod hub;
pub mod identity;
mod metrics;
mod payload;
mod peers;
mod registry;
mod rest;
mod serverless;
mod service;
mod tunnel;
pub mod webhook;

pub use metrics::Metrics;
pub use service::{
    Config, Door, Edge, HubConfig, Names, Reload, Secret, Serverless, Service, start,
};
