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

trunkline_trunk::frame_kinds! {
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
    Post = 0x0e ToOwner,
    ProbeBegun = 0x10 ToOwner,
    ProbeGone = 0x11 ToOwner,
    Take = 0x12 ToOwner,
    Taken = 0x13 ToLanding,
    Export = 0x14 ToLanding,
    MoveFailed = 0x15 Both,
    Arrived = 0x16 ToOwner,
    Door = 0x80 Both,
}
