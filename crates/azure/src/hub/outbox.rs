//! The outputs of the machine, in order.

use std::collections::VecDeque;

use bytes::Bytes;
use trunkline_mesh::PeerKey;
use trunkline_trunk::Frame;

use crate::rest::Answer;
use crate::serverless::{CallKey, Event};

/// One tunnel connection; unique for the life of the process.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct TunnelId(pub(crate) u64);

/// One REST call over HTTP; unique for the life of the process.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct CallId(pub(crate) u64);

/// An output: something for the service to do.
#[derive(Debug)]
pub(crate) enum Output {
    /// Sends a frame to the node's edge, over the inner trunk.
    Frame(Frame),
    /// Sends one whole tunnel message.
    Message(TunnelId, Bytes),
    /// Ends a tunnel at once, for a cause that is counted; data that it has not accepted is lost.
    EndTunnel(TunnelId, &'static str),
    /// Sends a whole answer, or a part of one, to a REST call over HTTP.
    Answer(CallId, Answer),
    /// Sends an event to the hub's handlers; with a key, the answer goes to
    /// [`super::Hub::handle_webhook_answer`].
    Webhook(Option<CallKey>, Event),
    /// Sends a word to the same hub at another node, with its number there.
    Word(PeerKey, u32, Bytes),
    /// Returns credit: this many bytes from the edge have been processed.
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
