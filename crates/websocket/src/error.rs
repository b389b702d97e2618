//! The rules of RFC 6455 that a peer can break.

/// One variant per rule. Alphabetical. After any of them the connection is over: send a close frame
/// with [`close_code`](Self::close_code) and end the stream.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum PeerMisbehaved {
    /// Section 5.5.1: a close frame's body is empty or starts with a two-byte code.
    #[error("a close frame's body is one byte long")]
    CloseBodyTooShort,
    /// Section 7.4: the code is reserved or outside 1000–4999.
    #[error("a close frame's code is not one that may be sent")]
    CloseCodeInvalid,
    /// Section 5.5.1: the reason is UTF-8.
    #[error("a close frame's reason is not UTF-8")]
    CloseReasonNotUtf8,
    /// Section 5.4: a continuation belongs to a message that was started.
    #[error("a continuation frame came outside of a message")]
    ContinuationWithoutStart,
    /// Section 5.5: control frames are never fragmented.
    #[error("a control frame is fragmented")]
    ControlFragmented,
    /// Section 5.5: a control frame carries at most 125 bytes.
    #[error("a control frame carries more than 125 bytes")]
    ControlTooLong,
    /// Section 5.4: messages are not interleaved.
    #[error("a message began inside of a fragmented message")]
    DataInsideMessage,
    /// RFC 7692, section 7.2.2: the payload of a compressed message is DEFLATE (RFC 1951).
    #[error("a compressed message cannot be inflated")]
    DeflateInvalid,
    /// Section 5.2: the length's highest bit is clear; as in `ws`, lengths beyond 2^53-1 are
    /// refused too.
    #[error("a frame's length is out of range")]
    LengthOutOfRange,
    /// Section 5.1: a client must mask every frame.
    #[error("a client's frame is not masked")]
    MaskMissing,
    /// Section 5.1: a server must not mask frames.
    #[error("a server's frame is masked")]
    MaskUnexpected,
    /// Section 10.4: the receiver's own limit, over all fragments of a message, and for what a
    /// compressed one inflates to.
    #[error("a message is longer than the limit")]
    MessageTooBig,
    /// Section 5.2: the three reserved bits are clear, but for the first one at the start of a
    /// message, where permessage-deflate was agreed on (RFC 7692, section 6).
    #[error("a reserved bit is set")]
    ReservedBits,
    /// Section 5.2: opcodes 3–7 and 11–15 have no meaning.
    #[error("a frame's opcode is reserved")]
    ReservedOpcode,
    /// Section 8.1: a text message is UTF-8.
    #[error("a text message is not UTF-8")]
    TextNotUtf8,
}

impl PeerMisbehaved {
    /// The code of the close frame that answers this: 1002, 1007 or 1009.
    #[must_use]
    pub const fn close_code(self) -> u16 {
        match self {
            Self::LengthOutOfRange | Self::MessageTooBig => 1009,
            Self::CloseReasonNotUtf8 | Self::DeflateInvalid | Self::TextNotUtf8 => 1007,
            Self::CloseBodyTooShort
            | Self::CloseCodeInvalid
            | Self::ContinuationWithoutStart
            | Self::ControlFragmented
            | Self::ControlTooLong
            | Self::DataInsideMessage
            | Self::MaskMissing
            | Self::MaskUnexpected
            | Self::ReservedBits
            | Self::ReservedOpcode => 1002,
        }
    }

    /// A metric label: one of a fixed set of `snake_case` words.
    #[must_use]
    pub const fn slug(self) -> &'static str {
        match self {
            Self::CloseBodyTooShort => "close_body_too_short",
            Self::CloseCodeInvalid => "close_code_invalid",
            Self::CloseReasonNotUtf8 => "close_reason_not_utf8",
            Self::ContinuationWithoutStart => "continuation_without_start",
            Self::ControlFragmented => "control_fragmented",
            Self::ControlTooLong => "control_too_long",
            Self::DataInsideMessage => "data_inside_message",
            Self::DeflateInvalid => "deflate_invalid",
            Self::LengthOutOfRange => "length_out_of_range",
            Self::MaskMissing => "mask_missing",
            Self::MaskUnexpected => "mask_unexpected",
            Self::MessageTooBig => "message_too_big",
            Self::ReservedBits => "reserved_bits",
            Self::ReservedOpcode => "reserved_opcode",
            Self::TextNotUtf8 => "text_not_utf8",
        }
    }
}
