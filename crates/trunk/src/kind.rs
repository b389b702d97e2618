//! The types of frames: number, name and direction of each (section 2). The registry is append-only.

/// Which end may send a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// Either end.
    Both,
    /// Node to app server.
    ToApp,
    /// App server to node.
    ToNode,
}

/// Makes `FrameKind` out of rows `Name = number Direction`; the `Direction` is the caller's. Frames
/// between nodes (the crate `mesh`) have a registry of the same form.
#[doc(hidden)]
#[macro_export]
macro_rules! frame_kinds {
    ($($name:ident = $number:literal $direction:ident),* $(,)?) => {
        /// The type of a frame, with its number on the wire.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "the frame of the same name tells")]
        pub enum FrameKind { $($name = $number),* }

        impl FrameKind {
            /// Every type, in the order of the numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The type of a number; `None` for a number that no version uses.
            #[must_use]
            pub const fn from_wire(wire: u8) -> Option<Self> {
                match wire { $($number => Some(Self::$name),)* _ => None }
            }

            /// The end that may send a frame of this kind.
            #[must_use]
            pub const fn direction(self) -> Direction {
                match self { $(Self::$name => Direction::$direction),* }
            }

            /// The name in the spec.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }
        }

        impl core::fmt::Display for FrameKind {
            fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                out.write_str(self.name())
            }
        }
    };
}

frame_kinds! {
    Hello = 0x01 ToNode,
    Welcome = 0x02 ToApp,
    Error = 0x03 Both,
    Ping = 0x04 Both,
    Pong = 0x05 Both,
    Credit = 0x06 Both,
    Drain = 0x07 Both,
    Settings = 0x08 ToNode,
    Open = 0x10 ToApp,
    Accept = 0x11 ToNode,
    Reject = 0x12 ToNode,
    Message = 0x13 ToApp,
    Send = 0x14 ToNode,
    Close = 0x15 Both,
    Upgraded = 0x16 ToApp,
    Request = 0x17 ToApp,
    Response = 0x18 ToNode,
    Adopt = 0x19 ToApp,
    Mark = 0x1a ToNode,
    Marked = 0x1b ToApp,
    Namespace = 0x20 ToNode,
    Attach = 0x21 ToNode,
    Detach = 0x22 ToNode,
    Join = 0x23 ToNode,
    Leave = 0x24 ToNode,
    Broadcast = 0x25 ToNode,
    Recorded = 0x26 ToNode,
    Reattach = 0x27 ToNode,
    Release = 0x28 ToNode,
    Beside = 0x29 ToNode,
    Choose = 0x2a ToNode,
    Peers = 0x30 ToApp,
    Relay = 0x31 ToNode,
    Relayed = 0x32 ToApp,
    Persist = 0x33 ToNode,
    Restore = 0x34 ToNode,
    Restored = 0x35 ToApp,
    State = 0x36 ToNode,
    Handled = 0x37 ToNode,
    Standing = 0x38 ToNode,
    Number = 0x39 ToNode,
    Operate = 0x3b Both,
    Got = 0x3f Both,
    RestoredAt = 0x40 ToApp,
    Prove = 0x41 ToNode,
    Proved = 0x42 ToApp,
    GiveBack = 0x43 ToNode,
    Call = 0x44 ToNode,
    Called = 0x45 ToApp,
    Nodes = 0x80 ToApp,
    Load = 0x81 ToNode,
    Unhomed = 0x82 ToApp,
}

impl FrameKind {
    /// Whether the frame costs credit (section 5).
    pub const fn is_data(self) -> bool {
        matches!(
            self,
            Self::Message
                | Self::Send
                | Self::Broadcast
                | Self::Recorded
                | Self::Persist
                | Self::Relay
                | Self::State
        )
    }
}
