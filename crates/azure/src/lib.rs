//! The door for app servers and tools that speak Azure Web PubSub for Socket.IO: tunnels, the REST data plane, webhooks.
//!
//! To the node's edge this crate is one app server per hub: it speaks the trunk protocol over a link that `node` gives
//! it. It gives each session to one of the app servers behind its tunnels.

mod cloudevents;
pub mod filter;
mod group;
mod hub;
pub mod identity;
mod metrics;
mod payload;
mod registry;
mod rest;
mod serverless;
mod service;
mod tunnel;
pub mod webhook;

pub use metrics::Metrics;
pub use service::{
    Config, Door, HubConfig, InnerTrunks, Names, Secret, Serverless, Service, start,
};
