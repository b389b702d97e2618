//! The scenarios, and their properties before they run.

use clap::builder::PossibleValue;
use serde::{Deserialize, Serialize};

/// The scenarios.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ScenarioKind {
    Avalanche,
    Echo,
    Fanout,
    Idle,
    Jitter,
    Reconnect,
    Rooms,
    Upgrade,
}

impl ScenarioKind {
    pub(crate) const ALL: [Self; 8] = [
        Self::Idle,
        Self::Echo,
        Self::Fanout,
        Self::Rooms,
        Self::Upgrade,
        Self::Avalanche,
        Self::Jitter,
        Self::Reconnect,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Avalanche => "avalanche",
            Self::Echo => "echo",
            Self::Fanout => "fanout",
            Self::Idle => "idle",
            Self::Jitter => "jitter",
            Self::Reconnect => "reconnect",
            Self::Rooms => "rooms",
            Self::Upgrade => "upgrade",
        }
    }

    /// The scenario's name and explanation for the command line.
    pub(crate) fn possible_value(self) -> PossibleValue {
        PossibleValue::new(self.name()).help(match self {
            Self::Avalanche => "all clients are cut off at once and return: a stampede",
            Self::Echo => "events and their acknowledgements: round trips",
            Self::Fanout => "one client asks, the app broadcasts to all",
            Self::Idle => "holds sessions: memory, heartbeats, losses",
            Self::Jitter => {
                "clients are cut off, stay away and return, amid broadcasts: what was missed?"
            }
            Self::Reconnect => "kill -9 of an app server: how its clients come back",
            Self::Rooms => "clients in many rooms, messages to rooms",
            Self::Upgrade => "polling first, then WebSocket, with messages meanwhile",
        })
    }

    /// The default size of a message.
    pub(crate) fn payload_bytes_default(self) -> usize {
        if matches!(self, Self::Fanout | Self::Jitter | Self::Rooms) { 128 } else { 64 }
    }

    /// The default of the shortest time that clients stay away after a cut.
    pub(crate) fn away_s_default(self) -> f64 {
        if self == Self::Jitter { 2.0 } else { 0.0 }
    }

    /// Whether clients come back by themselves.
    pub(crate) fn reconnects(self) -> bool {
        matches!(self, Self::Avalanche | Self::Jitter | Self::Reconnect)
    }

    /// The counter that CPU time and rates are related to.
    pub(crate) fn operation(self) -> &'static str {
        match self {
            Self::Avalanche | Self::Reconnect => "came_back",
            Self::Echo => "round_trips",
            Self::Fanout | Self::Jitter | Self::Rooms => "deliveries",
            Self::Idle => "pings_answered",
            Self::Upgrade => "upgraded",
        }
    }
}
