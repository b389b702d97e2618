//! Chooses the handler for an event: the first in the hub's list that accepts it.

use super::template::UrlTemplate;
use crate::serverless::EventKind;

/// The events that the system makes, not the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SystemEvent {
    /// A client asks to join a namespace.
    Connect,
    /// The client has joined.
    Connected,
    /// The client has left.
    Disconnected,
}

impl SystemEvent {
    /// Every system event.
    pub const ALL: [Self; 3] = [Self::Connect, Self::Connected, Self::Disconnected];

    /// The name in the configuration and in events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
        }
    }
}

/// The clients' own events that a handler accepts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum UserEvents {
    /// Every event: `*`.
    All,
    /// The events with these names; may be empty.
    Named(Vec<String>),
}

/// One event handler.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Handler {
    /// The address of the handler.
    pub url: UrlTemplate,
    /// The system events that it accepts.
    pub system_events: Vec<SystemEvent>,
    /// The clients' events that it accepts.
    pub user_events: UserEvents,
}

impl Handler {
    fn wants(&self, kind: &EventKind) -> bool {
        let system = match kind {
            EventKind::Connect => SystemEvent::Connect,
            EventKind::Connected => SystemEvent::Connected,
            EventKind::Disconnected => SystemEvent::Disconnected,
            EventKind::User(name) => {
                let wanted = match &self.user_events {
                    UserEvents::All => true,
                    UserEvents::Named(names) => names.iter().any(|other| **other == **name),
                };
                return wanted && self.url.holds(name);
            }
        };
        self.system_events.contains(&system)
    }
}

/// A hub's handlers; the first that accepts an event gets it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Handlers(pub Vec<Handler>);

impl Handlers {
    /// The position of the handler that gets this event.
    pub(crate) fn pick(&self, kind: &EventKind) -> Option<usize> {
        self.0.iter().position(|handler| handler.wants(kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handler(system_events: &[SystemEvent], user_events: UserEvents) -> Handler {
        let url = UrlTemplate::parse("http://h/").expect("a URL");
        Handler { url, system_events: system_events.to_vec(), user_events }
    }

    fn named(names: &[&str]) -> UserEvents {
        UserEvents::Named(names.iter().map(|&name| name.to_owned()).collect())
    }

    #[test]
    fn the_first_that_wants_an_event_gets_it() {
        use SystemEvent::{Connect, Disconnected};
        let handlers = Handlers(vec![
            handler(&[Connect], named(&["a"])),
            handler(&[Connect, Disconnected], named(&["a", "b"])),
            handler(&[], UserEvents::All),
        ]);
        let user = |name: &str| EventKind::User(name.into());
        let cases = [
            (EventKind::Connect, Some(0)),
            (EventKind::Connected, None),
            (EventKind::Disconnected, Some(1)),
            (user("a"), Some(0)),
            (user("b"), Some(1)),
            (user("A"), Some(2)),
            (user("connected"), Some(2)),
        ];
        for (kind, place) in cases {
            assert_eq!(handlers.pick(&kind), place, "{kind:?}");
        }
    }
}
