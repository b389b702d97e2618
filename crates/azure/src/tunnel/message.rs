//! The messages of a tunnel.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Names and values; each name occurs once.
pub(crate) type Headers = BTreeMap<String, Vec<String>>;

/// One message. An app server ends its process when it receives any other type, so there are no
/// more.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Message {
    /// 1: an event for the app server, or an app server's REST call.
    Request(Request),
    /// 2: the answer to a request, or a part of it.
    Response(Response),
    /// 5: a text for the log; keeps a quiet tunnel alive.
    Status { message: String },
    /// 6: close this tunnel and open another.
    Reconnect { target: String, endpoint: String, message: String },
    /// 7: close this tunnel for good.
    Close { message: String },
    /// 8: open one more tunnel.
    Rebalance { target: String, endpoint: String, message: String },
    /// 10: the first message of a tunnel.
    Connected { connection_id: String },
}

/// An HTTP request inside of a tunnel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    /// The number that the sender gave it.
    pub(crate) ack_id: u64,
    #[serde(default)]
    pub(crate) local_routing: bool,
    #[serde(default)]
    pub(crate) channel_name: Option<String>,
    pub(crate) http_method: String,
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) headers: Option<Headers>,
    #[serde(skip)]
    pub(crate) content: Bytes,
}

/// An HTTP response inside of a tunnel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    /// The number of the request.
    pub(crate) ack_id: u64,
    #[serde(default)]
    pub(crate) local_routing: bool,
    pub(crate) status_code: u16,
    #[serde(default)]
    pub(crate) channel_name: Option<String>,
    /// Whether more parts follow.
    #[serde(default)]
    pub(crate) not_completed: bool,
    #[serde(default)]
    pub(crate) headers: Option<Headers>,
    #[serde(skip)]
    pub(crate) content: Bytes,
}

/// The numbers of the types.
pub(super) mod number {
    pub(crate) const REQUEST: u64 = 1;
    pub(crate) const RESPONSE: u64 = 2;
    pub(crate) const STATUS: u64 = 5;
    pub(crate) const RECONNECT: u64 = 6;
    pub(crate) const CLOSE: u64 = 7;
    pub(crate) const REBALANCE: u64 = 8;
    pub(crate) const CONNECTED: u64 = 10;
}
