//! The events that handlers receive.

use std::sync::Arc;

/// The facts of a connection that never change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Facts {
    /// The client's IP address as the node sees it.
    pub(crate) address: Box<str>,
    /// The connection id: the session's sid.
    pub(crate) connection: Box<str>,
    /// The user of the connection.
    pub(crate) user: Option<Box<str>>,
    /// The body of a `connect` event: a JSON object of claims, query, headers, …
    pub(crate) connect_body: Box<str>,
}

/// The facts of a socket that never change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct SocketFacts {
    pub(crate) connection: Arc<Facts>,
    pub(crate) namespace: Box<str>,
    /// The Socket.IO id.
    pub(crate) id: Box<str>,
}

/// One call of a handler.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Event {
    pub(crate) kind: EventKind,
    pub(crate) socket: Arc<SocketFacts>,
    /// The number of the event on its connection.
    pub(crate) number: u64,
    pub(crate) body: String,
}

/// The type of an event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum EventKind {
    /// A client asks to join a namespace; the handler's answer decides.
    Connect,
    /// The client has joined.
    Connected,
    /// The client has left.
    Disconnected,
    /// The client emitted this.
    User(Box<str>),
}

impl EventKind {
    /// The name in `ce-eventName`.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Connect => "connect",
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
            Self::User(name) => name,
        }
    }

    /// The type in `ce-type`.
    pub(crate) fn ce_type(&self) -> &'static str {
        match self {
            Self::Connect => "azure.webpubsub.sys.connect",
            Self::Connected => "azure.webpubsub.sys.connected",
            Self::Disconnected => "azure.webpubsub.sys.disconnected",
            Self::User(_) => "azure.webpubsub.user.message",
        }
    }

    pub(crate) fn content_type(&self) -> &'static str {
        match self {
            Self::Connect | Self::Connected | Self::Disconnected => {
                "application/json; charset=utf-8"
            }
            Self::User(_) => "text/plain; charset=utf-8",
        }
    }
}

/// The body of a `connect` event, with the client's `auth` in addition. Azure leaves `auth` out;
/// handlers that do not know the key ignore it.
pub(crate) fn connect_body(facts: &Facts, auth: &str) -> String {
    let body = &*facts.connect_body;
    match body.strip_suffix('}') {
        Some(rest) if !auth.is_empty() => {
            let comma = if rest.ends_with('{') { "" } else { "," };
            format!("{rest}{comma}\"auth\":{auth}}}")
        }
        _ => body.to_owned(),
    }
}

/// The body of a `disconnected` event; an empty reason is a normal end.
pub(crate) fn disconnected_body(reason: &str) -> String {
    format!("{{\"reason\":{}}}", trunkline_socketio::quote(reason))
}
