//! What is told to a handler.

use std::sync::Arc;

/// What is known of a connection for all of its life.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Facts {
    /// Where it comes from: the client's IP address as the node sees it.
    pub(crate) address: Box<str>,
    /// The connection id: the session's sid.
    pub(crate) connection: Box<str>,
    /// Whose it is.
    pub(crate) user: Option<Box<str>>,
    /// The body of a `connect` event: a JSON object of claims, query, headers, …
    pub(crate) connect_body: Box<str>,
}

/// What is known of a socket for all of its life.
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
    /// Counts the events of a connection.
    pub(crate) number: u64,
    pub(crate) body: String,
}

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
    /// As `ce-eventName` has it.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Connect => "connect",
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
            Self::User(name) => name,
        }
    }

    /// As `ce-type` has it.
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

/// The body of a `connect` event, with what the client passed as `auth`. Azure leaves that out; whoever does not
/// know the key does not see it.
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
