//! HTTP on the public port: one task per connection until it upgrades or ends.

mod answer;
mod calls;
mod clients;
mod compact;
mod connection;
mod direct;
mod engine;
mod exchange;
mod guard;
mod heads;
mod held;
mod io;
mod jsonp;
mod opening;
mod outcome;
mod poll;
mod post;
mod query;
mod requests;
mod rest;
mod serving;
mod under_way;
mod upgrade;
mod verify;
mod visitor;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;

pub(crate) use self::clients::{
    Judged, as_json as claims_as_json, judge as judge_token, unix_seconds,
};
pub(crate) use self::jsonp::payload_of_form;
pub(crate) use self::serving::{serve, serve_again};

/// The error of a request that cannot be answered: the connection is broken off, as npm engine.io
/// does.
#[derive(Debug, thiserror::Error)]
#[error("connection broken off")]
pub(crate) struct Abort;

type Reply = Result<Response<Full<Bytes>>, Abort>;
