//! The types of frames: number, name and direction of each (section 6). The registry is append-only.

/// Which node may send a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// Either node.
    Both,
    /// To the node where a request landed.
    ToLanding,
    /// To the node that owns a session.
    ToOwner,
}

macro_rules! registry {
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

            /// The node that may send a frame of this kind.
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
    };
}

registry! {
    Poll = 0x01 ToOwner,
    PollGone = 0x02 ToOwner,
    Answered = 0x03 ToLanding,
    PostBegin = 0x04 ToOwner,
    PostBegun = 0x05 ToLanding,
    PostBody = 0x06 ToOwner,
    PostGone = 0x07 ToOwner,
    Cut = 0x08 ToLanding,
    Inspect = 0x09 ToOwner,
    Inspected = 0x0a ToLanding,
    WhoHas = 0x0b ToOwner,
    IHave = 0x0c ToLanding,
    PollBack = 0x0d ToOwner,
    ProbeBegun = 0x10 ToOwner,
    ProbeGone = 0x11 ToOwner,
    Take = 0x12 ToOwner,
    Taken = 0x13 ToLanding,
    Export = 0x14 ToLanding,
    MoveFailed = 0x15 Both,
    Arrived = 0x16 ToOwner,
    Door = 0x80 Both,
}

impl core::fmt::Display for FrameKind {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        out.write_str(self.name())
    }
}
