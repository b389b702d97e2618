//! Decodes bytes into messages.
//!
//! A message that lies complete in one read is unmasked in place and lent to the caller. Only
//! messages that are split between reads, or sent in fragments, are copied into a [`Partial`],
//! which exists as long as it has something to keep. A compressed message is inflated when it is
//! complete.

use alloc::boxed::Box;
use core::ops::ControlFlow;
use core::str;

use crate::deflate::inflate;
use crate::error::PeerMisbehaved;
use crate::frame::{Control, Data, Header, Kind, Role, Rules};
use crate::mask;
use crate::partial::{Message, Partial};

/// One complete message or control frame, borrowed from the input or from the decoder.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Incoming<'a> {
    /// A binary message.
    Binary(&'a [u8]),
    /// The peer closes the connection. Input after it is dropped.
    Close {
        /// The status code; none when the frame had no body.
        code: Option<u16>,
        /// The reason in the peer's words; often empty.
        reason: &'a str,
    },
    /// A ping, to be answered with a pong of the same payload.
    Ping(&'a [u8]),
    /// A pong: the answer to a ping, or unsolicited.
    Pong(&'a [u8]),
    /// A text message.
    Text(&'a str),
}

/// The receiving half of one WebSocket connection.
#[derive(Debug, Default)]
pub struct Decoder {
    partial: Option<Box<Partial>>,
}

/// The caller's callback.
type On<'f> = dyn FnMut(Incoming<'_>) -> ControlFlow<()> + 'f;
/// How many bytes of the input were consumed, and whether to continue.
type Step = Result<(usize, ControlFlow<()>), PeerMisbehaved>;

impl Decoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub const fn new() -> Self {
        Self { partial: None }
    }

    /// [`decode_with`](Self::decode_with) on a connection without extensions.
    ///
    /// # Errors
    ///
    /// The rule that the peer broke. Messages before the violation were given to `on`.
    pub fn decode(
        &mut self,
        role: Role,
        message_bytes_max: usize,
        input: &mut [u8],
        on: &mut dyn FnMut(Incoming<'_>) -> ControlFlow<()>,
    ) -> Result<(), PeerMisbehaved> {
        self.decode_with(Rules { role, message_bytes_max, deflate: false }, input, on)
    }

    /// Consumes all of `input`, unmasking it in place, and calls `on` for each complete message and
    /// control frame in order.
    ///
    /// A data message longer than `message_bytes_max` is refused when its header (or the header of
    /// the fragment that makes it too long) is read; memory is taken only for bytes that arrived. A
    /// compressed one is refused too when it inflates to more; until then it takes as much again.
    ///
    /// The decoder has *ended* after an error, after a close frame, and after `on` answered
    /// [`ControlFlow::Break`]: the rest of this input and all later input is dropped without a
    /// word.
    ///
    /// # Errors
    ///
    /// The rule that the peer broke. What came before it was handed to `on`.
    pub fn decode_with(
        &mut self,
        rules: Rules,
        input: &mut [u8],
        on: &mut dyn FnMut(Incoming<'_>) -> ControlFlow<()>,
    ) -> Result<(), PeerMisbehaved> {
        let mut taken = 0;
        while let Some(rest) = input.get_mut(taken..).filter(|rest| !rest.is_empty()) {
            taken += self.decode_frame(rules, rest, on)?;
        }
        Ok(())
    }

    /// Like [`decode_with`](Self::decode_with), for one frame or as much of it as has arrived: for
    /// a caller that may have to keep the rest of `input` for later. Returns how many bytes were
    /// consumed: at least one if there is one, and all after the end.
    ///
    /// # Errors
    ///
    /// The rule that the peer broke.
    #[inline]
    pub fn decode_frame(
        &mut self,
        rules: Rules,
        input: &mut [u8],
        on: &mut dyn FnMut(Incoming<'_>) -> ControlFlow<()>,
    ) -> Result<usize, PeerMisbehaved> {
        let len = input.len();
        if len == 0 {
            return Ok(0);
        }
        let (taken, flow) = self.step(rules, input, on).inspect_err(|_| self.end())?;
        if flow.is_break() {
            self.end();
            return Ok(len);
        }
        Ok(taken)
    }

    /// True when no frame and no fragmented message is half received.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.partial.as_ref().is_none_or(|partial| partial.ended)
    }

    /// The bytes held for an incomplete message.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| partial.held_bytes())
    }

    fn end(&mut self) {
        self.partial = Some(Box::new(Partial::ended()));
    }

    /// Consumes a part of `input`, which is not empty: a frame, or as much of it as has arrived.
    fn step(&mut self, rules: Rules, input: &mut [u8], on: &mut On<'_>) -> Step {
        match &mut self.partial {
            None => self.frame(rules, input, on),
            Some(partial) if partial.ended => Ok((input.len(), ControlFlow::Break(()))),
            Some(partial) if partial.frame.is_some() => self.payload(rules, input, on),
            Some(partial) if partial.head.is_started() => self.rest_of_header(rules, input, on),
            Some(_) => self.frame(rules, input, on),
        }
    }

    /// Handles a frame that starts with `input`. If it is complete and a message by itself, nothing
    /// is copied.
    fn frame(&mut self, rules: Rules, input: &mut [u8], on: &mut On<'_>) -> Step {
        let inside_message = self.partial.as_ref().is_some_and(|partial| partial.data.is_some());
        let Some(header) = Header::read(rules, inside_message, input)? else {
            return Ok((self.partial_mut().head.extend(input), ControlFlow::Continue(())));
        };
        rules.check_message_len(&header, self.partial.as_deref())?;
        let by_itself = header.fin && header.kind != Kind::Continuation;
        if let Some(payload) = header.whole_payload(input).filter(|_| by_itself) {
            let taken = header.len + payload.len();
            if let Some(key) = header.mask {
                mask::apply(payload, key);
            }
            let flow = deliver_inflated(rules, header.kind, header.deflated, payload, on)?;
            return Ok((taken, flow));
        }
        self.partial_mut().start_frame(&header);
        let (taken, flow) = self.payload(rules, &mut input[header.len..], on)?;
        Ok((header.len + taken, flow))
    }

    /// Handles the rest of a header that was split between reads: `input` continues it.
    fn rest_of_header(&mut self, rules: Rules, input: &mut [u8], on: &mut On<'_>) -> Step {
        let partial = self.partial_mut();
        let had = partial.head.len();
        let taken = partial.head.extend(input);
        let Some(header) = Header::read(rules, partial.data.is_some(), partial.head.as_bytes())?
        else {
            return Ok((taken, ControlFlow::Continue(())));
        };
        rules.check_message_len(&header, Some(partial))?;
        partial.start_frame(&header);
        // The header may have ended within the bytes that were just stored.
        let header_rest = header.len - had;
        let (taken, flow) = self.payload(rules, &mut input[header_rest..], on)?;
        Ok((header_rest + taken, flow))
    }

    /// Handles the payload of the started frame, which `input` continues. `input` and payload may
    /// be empty.
    fn payload(&mut self, rules: Rules, input: &mut [u8], on: &mut On<'_>) -> Step {
        let partial = self.partial_mut();
        let taken = partial.extend_payload(input);
        let flow = match partial.finish_frame() {
            None => return Ok((taken, ControlFlow::Continue(()))),
            Some(Message { kind, deflated, payload }) => {
                deliver_inflated(rules, kind, deflated, &payload, on)?
            }
        };
        if partial.is_empty() {
            self.partial = None;
        }
        Ok((taken, flow))
    }

    fn partial_mut(&mut self) -> &mut Partial {
        self.partial.get_or_insert_default()
    }
}

impl Rules {
    fn check_message_len(
        self,
        header: &Header,
        partial: Option<&Partial>,
    ) -> Result<(), PeerMisbehaved> {
        let collected = partial.map_or(0, |partial| partial.message.len() as u64);
        let is_data = !matches!(header.kind, Kind::Control(_));
        if is_data && header.payload_len.saturating_add(collected) > self.message_bytes_max as u64 {
            return Err(PeerMisbehaved::MessageTooBig);
        }
        Ok(())
    }
}

/// Inflates a complete, unmasked payload if it is compressed, and delivers it.
#[inline]
fn deliver_inflated(
    rules: Rules,
    kind: Kind,
    deflated: bool,
    payload: &[u8],
    on: &mut On<'_>,
) -> Result<ControlFlow<()>, PeerMisbehaved> {
    if !deflated {
        return deliver(kind, payload, on);
    }
    deliver(kind, &inflate(payload, rules.message_bytes_max)?, on)
}

/// Checks a complete, unmasked payload and delivers it. `kind` is the message's, so never a
/// continuation's.
#[inline]
fn deliver(kind: Kind, payload: &[u8], on: &mut On<'_>) -> Result<ControlFlow<()>, PeerMisbehaved> {
    let incoming = match kind {
        Kind::Continuation | Kind::Start(Data::Binary) => Incoming::Binary(payload),
        Kind::Start(Data::Text) => {
            Incoming::Text(str::from_utf8(payload).map_err(|_| PeerMisbehaved::TextNotUtf8)?)
        }
        Kind::Control(Control::Ping) => Incoming::Ping(payload),
        Kind::Control(Control::Pong) => Incoming::Pong(payload),
        Kind::Control(Control::Close) => {
            let (code, reason) = close_body(payload)?;
            // The answer does not matter: nothing comes after a close.
            let _ = on(Incoming::Close { code, reason });
            return Ok(ControlFlow::Break(()));
        }
    };
    Ok(on(incoming))
}

/// RFC 6455, sections 5.5.1 and 7.4, with the codes that `ws` accepts.
fn close_body(payload: &[u8]) -> Result<(Option<u16>, &str), PeerMisbehaved> {
    let &[high, low, ref reason @ ..] = payload else { return Ok((None, "")) };
    let code = u16::from_be_bytes([high, low]);
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(PeerMisbehaved::CloseCodeInvalid);
    }
    let reason = str::from_utf8(reason).map_err(|_| PeerMisbehaved::CloseReasonNotUtf8)?;
    Ok((Some(code), reason))
}
