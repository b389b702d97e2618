//! Turns batches into steps.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::sync::Arc;

use bytes::Bytes;
use trunkline_clock::Timestamp;

use super::batches::detach;
use super::step::{Greeting, Refused, Restore, Step};
use super::{NodeTrunk, hello};
use crate::credit::SharedCredit;
use crate::decode::{Batch, DecodeError, decode_batch};
use crate::frame::{Frame, Hello};
use crate::kind::FrameKind;
use crate::machine::{LinkEvent, Misbehaved};
use crate::settings::OwnSettings;
use crate::text::Str;
use crate::window::Window;

/// Batches that arrived and have not taken effect.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The batch that is being read.
    batch: Option<Came>,
    /// A broadcast of this batch that waits.
    broadcast: Option<Frame>,
    later: VecDeque<Came>,
    /// Set when the owner wants to look before the next broadcast.
    pub(super) look: bool,
    /// Set while the owner looks.
    pub(super) waits: bool,
}

#[derive(Debug)]
struct Came {
    at: Timestamp,
    bytes: usize,
    frames: Batch,
}

impl Reading {
    pub(super) fn push(&mut self, at: Timestamp, batch: Bytes) {
        let came = Came { at, bytes: batch.len(), frames: decode_batch(batch) };
        if self.batch.is_none() {
            self.batch = Some(came);
        } else {
            self.later.push_back(came);
        }
    }

    /// The next frame of the batch; `None` at its end.
    #[inline]
    fn next(&mut self) -> Option<Result<Frame, DecodeError>> {
        let waited = self.broadcast.take().map(Ok);
        waited.or_else(|| self.batch.as_mut()?.frames.next())
    }

    pub(super) fn has_more(&self) -> bool {
        let mut came = self.batch.iter().chain(&self.later);
        came.any(|came| came.frames.clone().next().is_some())
    }

    pub(super) fn changes_rooms(&self) -> bool {
        let came = self.batch.iter().chain(&self.later);
        let frames = came.flat_map(|came| came.frames.clone()).flatten();
        frames.map(|frame| frame.kind()).any(|kind| {
            use FrameKind::{
                Attach, Beside, Choose, Close, Detach, Join, Leave, Operate, Reattach,
            };
            matches!(
                kind,
                Attach | Beside | Choose | Close | Detach | Join | Leave | Operate | Reattach
            )
        })
    }
}

impl NodeTrunk {
    /// The next step. `None` until another batch arrives, or until the question that was the last
    /// step is answered.
    pub fn poll_step(&mut self) -> Option<Step> {
        loop {
            if let Some(step) = self.steps.pop_front() {
                return Some(step);
            }
            if self.link.is_ended() {
                self.end_reading();
            }
            self.take_events();
            if self.steps.is_empty() && !self.read_on() {
                return None;
            }
        }
    }

    /// Reads until there is a step or a question. False when there is nothing to read, or a
    /// question is not answered.
    fn read_on(&mut self) -> bool {
        if self.reading.waits || self.link.is_choosing() {
            return false;
        }
        while self.steps.is_empty() && !self.link.has_events() {
            let Some(Came { at, bytes, .. }) = self.reading.batch else { return false };
            let frame = match self.reading.next() {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    self.link.handle_undecodable(error);
                    break;
                }
                None => {
                    self.end_batch();
                    continue;
                }
            };
            if self.reading.look && is_broadcast(&frame) {
                self.reading.look = false;
                self.reading.waits = true;
                self.reading.broadcast = Some(frame);
                self.steps.push_back(Step::BroadcastAhead);
            } else {
                self.take_frame(at, bytes, frame);
            }
        }
        true
    }

    /// Ends the reading, because the trunk has ended: what came before takes effect, and nothing
    /// after it.
    fn end_reading(&mut self) {
        self.reading.later.clear();
        self.reading.broadcast = None;
        self.reading.waits = false;
        if self.reading.batch.is_some() {
            self.end_batch();
        }
    }

    fn end_batch(&mut self) {
        self.reading.batch = self.reading.later.pop_front();
        self.deal_out();
        self.steps.append(&mut self.behind);
        if self.reading.batch.is_none() {
            self.reading.look = false;
        }
    }

    #[inline]
    fn take_frame(&mut self, at: Timestamp, batch_bytes: usize, mut frame: Frame) {
        detach(&mut frame, batch_bytes);
        let granted = if let Frame::Credit { bytes } = frame { Some(bytes) } else { None };
        let measured = if let Frame::Pong { token } = &frame { Some(token.clone()) } else { None };
        let before = self.link.receiving().unprocessed_bytes();
        // The link has recorded the error and has ended.
        let Ok(passed) = self.link.handle_frame(at, frame) else { return };
        // The bytes that the link has counted are those to be returned as credit.
        self.dealt.cost_bytes += self.link.receiving().unprocessed_bytes() - before;
        if let Some(bytes) = granted
            && self.credit.grant(bytes)
        {
            self.steps.push_back(Step::CreditReturned);
        }
        if let Some(token) = measured {
            self.measured(at, &token);
        }
        if let Some(frame) = passed
            && let Err(rule) = self.deal(frame)
        {
            self.link.handle_misbehaved(rule);
        }
    }

    /// Puts a frame into the share of the shard, or of all shards, that it concerns, or turns it
    /// into a step.
    #[inline]
    fn deal(&mut self, frame: Frame) -> Result<(), Misbehaved> {
        self.namespaces.handle(&frame)?;
        if let Some(session) = frame.session() {
            if let Frame::Prove { request_id, .. } = &frame
                && !self.proves.insert(*request_id)
            {
                return Err(Misbehaved::NumberInUse(FrameKind::Prove));
            }
            self.dealt.push(session, frame);
            return Ok(());
        }
        #[expect(clippy::wildcard_enum_match_arm, reason = "the others are every shard's")]
        match frame {
            Frame::Response { request_id, response } => {
                if let Some(key) = self.requests.answered(request_id)? {
                    self.steps.push_back(Step::Response { key, response });
                }
            }
            Frame::Settings { settings } => self.change_settings(&settings),
            Frame::Relay { to, payload } => self.behind.push_back(Step::Relay { to, payload }),
            Frame::Restore { request_id, nsp, pid, offset } => {
                if !self.restores.insert(request_id) {
                    return Err(Misbehaved::NumberInUse(FrameKind::Restore));
                }
                let nsp = self.namespaces.name(nsp)?.clone();
                self.behind.push_back(Step::Restore(Restore { request_id, nsp, pid, offset }));
            }
            Frame::GiveBack { nsp, pid } => {
                let nsp = self.namespaces.name(nsp)?.clone();
                self.behind.push_back(Step::GiveBack { nsp, pid });
            }
            Frame::Call { request_id, name, arguments } => {
                self.behind.push_back(Step::Call { request_id, name, arguments });
            }
            Frame::Load { sessions, lag_ms } => {
                self.steps.push_back(Step::Load { sessions, lag_ms });
            }
            Frame::Got { batches } => self.counts.retained.handle_got(batches)?,
            Frame::Handled { begun, done } => self.counts.retained.handle_handled(begun, done)?,
            other => self.dealt.push_to_all(other),
        }
        Ok(())
    }

    fn take_events(&mut self) {
        while let Some(event) = self.link.poll_event() {
            match event {
                LinkEvent::Hello(hello) => self.greet(&hello),
                LinkEvent::PeerDrains { deadline_ms } => {
                    self.steps.push_back(Step::Draining { deadline_ms });
                }
                LinkEvent::Ended(cause) => self.steps.push_back(Step::Ended(cause)),
                // The remaining credit for sending is counted where all shards can see it.
                LinkEvent::CreditReturned | LinkEvent::Welcome(_) => (),
            }
        }
    }

    fn greet(&mut self, hello: &Hello) {
        match hello::check(hello, self.config.link.batch_bytes_max) {
            Ok((settings, warnings)) => {
                self.credit = Arc::new(SharedCredit::new(hello.credit));
                self.window = Window::new(hello.credit);
                self.settings = Some(settings.clone());
                self.steps.push_back(Step::Hello(Box::new(Greeting {
                    server: hello.server.clone(),
                    sdk: hello.sdk.clone(),
                    own: OwnSettings::from_json(&hello.settings),
                    settings,
                    warnings,
                    credit: Arc::clone(&self.credit),
                })));
            }
            Err(refused) => self.refuse(refused),
        }
    }

    fn change_settings(&mut self, settings: &str) {
        let Some(before) = &self.settings else { return };
        match hello::check_change(settings, before, self.config.link.batch_bytes_max) {
            Ok(changed) => {
                // Earlier frames came under the earlier options.
                self.deal_out();
                self.steps.push_back(Step::Settings(Box::new(changed)));
            }
            Err(refused) => self.refuse(refused),
        }
    }

    fn refuse(&mut self, refused: Refused) {
        self.link.give_up(refused.code(), Str::from(format!("{refused}")));
        self.steps.push_back(Step::Refused(refused));
    }
}

const fn is_broadcast(frame: &Frame) -> bool {
    matches!(frame, Frame::Broadcast(_) | Frame::Recorded { .. })
}
