//! What the machine wants done, in order.

use std::collections::VecDeque;

use bytes::Bytes;
use trunkline_trunk::Frame;

use crate::rest::Answer;
use crate::serverless::{CallKey, Event};

/// One tunnel connection; unique for the life of the process.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct TunnelId(pub(crate) u64);

/// One REST call over HTTP; unique for the life of the process.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct CallId(pub(crate) u64);

/// Something for the world outside.
#[derive(Debug)]
pub(crate) enum Output {
    /// To the node's edge, over the hub's link.
    Frame(Frame),
    /// One whole tunnel message.
    Message(TunnelId, Bytes),
    /// Ends a tunnel at once, for a cause that is counted; what it has not taken is lost.
    EndTunnel(TunnelId, &'static str),
    /// A whole answer, or a part of one, to a REST call over HTTP.
    Answer(CallId, Answer),
    /// An event for the hub's handlers; [`super::Hub::handle_webhook_answer`] if it has a key.
    Webhook(Option<CallKey>, Event),
    /// The edge's data of this many bytes has been worked off.
    Processed(u64),
}

/// Outputs in their order; drained after every input.
#[derive(Debug, Default)]
pub(crate) struct Outbox(VecDeque<Output>);

impl Outbox {
    pub(crate) fn push(&mut self, output: Output) {
        self.0.push_back(output);
    }

    pub(crate) fn frame(&mut self, frame: Frame) {
        self.push(Output::Frame(frame));
    }

    pub(crate) fn pop(&mut self) -> Option<Output> {
        self.0.pop_front()
    }
}
