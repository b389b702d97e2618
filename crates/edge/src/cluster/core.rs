//! The cluster's side of this node, without I/O: what the node's tasks and shards ask, what the bus
//! brings, and what both lead to.
//!
//! After each input, [`Core::settle`] must be called until nothing is left.

mod backlog;
mod doors;
mod landing;
mod owner;

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use trunkline_clock::Timestamp;
use trunkline_http::PeerNotice;
use trunkline_mesh::{
    self as mesh, BusEvent, Event, Frame, Load, Mesh, NotNow, PeerKey, RequestId, Str, Transmit,
};

use self::backlog::Backlog;
use super::asking::{Asking, Leaves, PATIENCE};
use super::finding::Finding;
use super::moving::{MoveKey, MoveStep, Moving};
use super::serving::{Serving, ToShard};
use super::{Input, Relayed, Witness, wire};
use crate::environment::Environment;
use crate::hub::Hub;
use crate::shard::{POST_BROKEN, POST_TOO_LARGE};
use crate::sid::Sid;
use crate::unavailable::Unavailable;

/// The interval in which requests and frames that could not be sent are tried again.
const AGAIN: Duration = Duration::from_millis(20);
/// The interval in which the node's load is told to the mesh.
const LOAD: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Debug)]
pub(crate) struct Core {
    env: Arc<Environment>,
    shards: usize,
    mesh: Mesh,
    witness: Box<dyn Witness>,
    asking: Asking,
    serving: Serving,
    finding: Finding,
    moving: Moving,
    backlog: Backlog,
    to_shards: VecDeque<ToShard>,
    again_at: Option<Timestamp>,
    /// While the bus is away: when the requests that were sent are given up.
    cut_off_at: Option<Timestamp>,
    load_at: Timestamp,
    /// Only the totals.
    relayed: Relayed,
}

impl Core {
    pub(crate) fn new(
        env: Arc<Environment>,
        shards: usize,
        mesh: Mesh,
        witness: Box<dyn Witness>,
    ) -> Self {
        Self {
            env,
            shards,
            mesh,
            witness,
            asking: Asking::default(),
            serving: Serving::default(),
            finding: Finding::default(),
            moving: Moving::default(),
            backlog: Backlog::default(),
            to_shards: VecDeque::new(),
            again_at: None,
            cut_off_at: None,
            load_at: Timestamp::ORIGIN,
            relayed: Relayed::default(),
        }
    }

    #[cfg(test)]
    pub(crate) fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// The requests between this node and others.
    pub(crate) fn relayed(&self) -> Relayed {
        Relayed {
            asking: self.asking.len(),
            serving: self.serving.len(),
            moving: self.moving.len(),
            ..self.relayed
        }
    }

    // Input.

    pub(crate) fn handle_bus(&mut self, now: Timestamp, event: BusEvent) {
        self.mesh.handle_bus(now, event);
    }

    pub(crate) fn handle_timeout(&mut self, now: Timestamp) {
        if self.mesh.poll_deadline().is_some_and(|at| at <= now) {
            self.mesh.handle_timeout(now);
        }
        if self.load_at <= now {
            self.load_at = now + LOAD;
            self.tell_load(now);
            self.witness.looked(now, &self.mesh, &self.relayed());
        }
        if self.again_at.is_some_and(|at| at <= now) {
            self.again_at = None;
            self.try_again(now);
        }
        if self.cut_off_at.is_some_and(|at| at <= now) {
            self.cut_off_at = None;
            for (peer, frame) in self.asking.cut_off() {
                self.send(now, peer, frame);
            }
        }
        if let Some(silent) = self.finding.handle_timeout(now) {
            let nodes = silent.into_iter().filter_map(|peer| self.mesh.member(peer));
            let nodes: Vec<String> = nodes.map(|member| member.node_id).collect();
            tracing::warn!(?nodes, "nodes did not say whether they have a session id of the app's");
        }
    }

    pub(crate) fn handle(&mut self, now: Timestamp, input: Input) {
        match input {
            Input::Command(command) => self.ask(now, command),
            Input::Find { hub, id, reply } => {
                let number = self.asking.free_id();
                self.finding.search(now, number, (hub, id), reply);
            }
            Input::BeginMove { id, asked, shard } => self.begin_move(now, id, asked, shard),
            Input::Move { key, step } => {
                if let Some((peer, frame)) = self.moving.send(key, step) {
                    self.send(now, peer, frame);
                }
            }
            Input::Word { to, frame } => self.send(now, to, frame),
            Input::State(state) => self.mesh.set_state(now, state),
            Input::OwnIds => self.tell_load(now),
            Input::Hubs(digest) => self.mesh.set_hubs_digest(now, digest),
            Input::Stop(_) => (), // The thread's.
        }
    }

    /// The next time at which [`Self::handle_timeout`] is due.
    pub(crate) fn deadline(&self) -> Timestamp {
        let mesh = self.mesh.poll_deadline();
        let all = [mesh, self.again_at, self.cut_off_at, self.finding.deadline()];
        all.into_iter().flatten().fold(self.load_at, Timestamp::min)
    }

    // Output.

    pub(crate) fn poll_transmit(&mut self, now: Timestamp) -> Option<Transmit> {
        self.mesh.poll_transmit(now)
    }

    pub(crate) fn next_for_shard(&mut self) -> Option<ToShard> {
        self.to_shards.pop_front()
    }

    /// Handles what the mesh and the shards have brought. False when there was nothing.
    pub(crate) fn settle(&mut self, now: Timestamp, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        loop {
            let mut more = false;
            while let Some(event) = self.mesh.poll_event() {
                self.witness.saw(now, &self.mesh, &event);
                self.notify_doors(&event);
                self.handle_event(now, event);
                more = true;
            }
            while let Poll::Ready(Some((peer, id, replied))) = self.serving.poll_reply(now, cx) {
                self.reply(now, peer, id, replied);
                more = true;
            }
            while let Some((id, (hub, name))) = self.finding.next_question(now) {
                self.ask_who_has(now, id, hub, &name);
                more = true;
            }
            if !more {
                return any;
            }
            any = true;
        }
    }

    // Both parts.

    /// Sends a frame of a request that is under way. Nothing of it is lost while the link lasts, unless
    /// too much waits for the peer: then what the frame belongs to ends.
    fn send(&mut self, now: Timestamp, peer: PeerKey, frame: Frame) {
        let lane = frame.fitting_lane();
        if self.backlog.is_behind(peer, lane) {
            return self.keep(now, peer, frame);
        }
        match self.mesh.send(now, peer, lane, &frame) {
            Ok(()) | Err(NotNow::Gone) => (),
            Err(NotNow::TooLong) => self.drop_frame(now, peer, &frame, POST_TOO_LARGE),
            Err(NotNow::Full) => self.keep(now, peer, frame),
        }
    }

    fn keep(&mut self, now: Timestamp, peer: PeerKey, frame: Frame) {
        self.again_at.get_or_insert(now + AGAIN);
        if let Some(frame) = self.backlog.push(peer, frame) {
            self.drop_frame(now, peer, &frame, POST_BROKEN);
        }
    }

    /// Ends what a frame belongs to that cannot be sent. `fault`: what the owner of a post is told.
    #[expect(clippy::wildcard_enum_match_arm, reason = "no other frame can be so long")]
    fn drop_frame(&mut self, now: Timestamp, peer: PeerKey, frame: &Frame, fault: &'static str) {
        let id = frame.id();
        let instead = match frame {
            Frame::PostBody { .. } => {
                self.asking.fail(id.0, Unavailable::MeshDown);
                Frame::PostGone { id, fault: Some(Str::from_static(fault)) }
            }
            Frame::Door { hub, .. } => {
                return self.notify(&PeerNotice::Dropped { peer, hub: hub.clone() });
            }
            Frame::Answered { .. } => {
                // The session must not take the packets for delivered.
                self.to_shards.extend(self.serving.poll_gone((peer, id.0)));
                Frame::Answered { id, answer: mesh::Answer::Abort }
            }
            _ => {
                let cause = Str::from_static("it is too large");
                let key = MoveKey { from: Some(peer), id: id.0 };
                match self.moving.send(key, MoveStep::Failed(cause)) {
                    Some((_, frame)) => frame,
                    None => return,
                }
            }
        };
        self.send(now, peer, instead);
    }

    fn handle_event(&mut self, now: Timestamp, event: Event) {
        match event {
            Event::Ready { number } => {
                self.env.numbers.change(number);
                self.tell_load(now);
            }
            Event::Renumbered { to, .. } => {
                self.env.numbers.change(to);
                self.tell_shared();
            }
            Event::LinkEnded { peer, .. } => {
                self.peer_gone(now, peer);
                self.tell_shared();
            }
            Event::Frame { from, frame } => {
                if let Some(frame) = self.pass_to_doors(from, frame) {
                    self.handle_frame(now, from, frame);
                }
            }
            Event::BusUp => {
                self.cut_off_at = None;
                self.again_at = Some(now);
            }
            Event::LinkUp(_) => {
                self.tell_shared();
                self.again_at = Some(now);
            }
            Event::Trusted(_) => self.again_at = Some(now),
            Event::BusDown { .. } => self.cut_off_at = Some(now + PATIENCE),
            Event::Changed(_) => self.tell_shared(),
            Event::Joined(_)
            | Event::Suspect(_)
            | Event::Dead { .. }
            | Event::Left(_)
            | Event::Stranger(_)
            | Event::DiffersInHubs(_) => (),
        }
    }

    /// Shows this node's tasks which of its numbers others have as well.
    fn tell_shared(&self) {
        let is_shared = |number: &u16| {
            let mut claimants = self.mesh.claimants(*number);
            claimants.any(|claimant| matches!(claimant, mesh::Owner::Peer(_)))
        };
        let own = self.mesh.numbers().iter().copied();
        self.env.numbers.share(own.filter(is_shared).collect());
    }

    fn peer_gone(&mut self, now: Timestamp, peer: PeerKey) {
        self.backlog.peer_gone(peer);
        self.asking.peer_gone(peer);
        self.finding.peer_gone(now, peer);
        if self.finding.has_later() {
            self.again_at.get_or_insert(now + AGAIN);
        }
        let ends = self.serving.peer_gone(peer);
        self.to_shards.extend(ends);
        let ends = self.moving.peer_gone(peer);
        self.to_shards.extend(ends);
    }

    fn handle_frame(&mut self, now: Timestamp, from: PeerKey, frame: Frame) {
        let id = frame.id().0;
        if matches!(
            frame,
            Frame::Poll { .. }
                | Frame::PostBegin { .. }
                | Frame::Post { .. }
                | Frame::Inspect { .. }
        ) {
            self.relayed.served += 1;
        }
        if self.goes_on_elsewhere(now, (from, id), &frame) {
            return;
        }
        match frame {
            Frame::Answered { answer, .. } => {
                let metrics = &self.env.metrics;
                let leaves = self.asking.answered(now, (from, id), answer, metrics);
                if let Leaves::Tell(frame) = leaves {
                    self.send(now, from, frame);
                }
            }
            Frame::PostBegun { begun, .. } => {
                if let Leaves::Tell(frame) = self.asking.post_begun(from, id, begun) {
                    self.send(now, from, frame);
                }
            }
            Frame::Cut { .. } => self.asking.cut(from, id),
            Frame::Inspected { inspected, .. } => self.asking.inspected(from, id, inspected),
            Frame::IHave { sid, .. } => {
                let sid = sid.map(|sid| Sid::from_bytes(sid.0));
                self.finding.answered(now, from, id, sid);
                if self.finding.has_later() {
                    self.again_at.get_or_insert(now + AGAIN);
                }
            }
            Frame::Taken { .. } => self.owner_steps(from, id, MoveStep::Taken),
            Frame::Export { snapshot, .. } => {
                self.owner_steps(from, id, MoveStep::Export(snapshot));
            }
            Frame::MoveFailed { cause, .. } => {
                let ours = self.moving.owner_steps(from, id, MoveStep::Failed(cause.clone()));
                let theirs = || self.moving.landing_steps(from, id, MoveStep::Failed(cause));
                self.to_shards.extend(ours.or_else(theirs));
            }
            asked @ (Frame::Poll { .. }
            | Frame::PollBack { .. }
            | Frame::PollGone { .. }
            | Frame::PostBegin { .. }
            | Frame::Post { .. }
            | Frame::PostBody { .. }
            | Frame::PostGone { .. }
            | Frame::Inspect { .. }) => self.serve(now, (from, id), asked),
            Frame::WhoHas { hub, sid, .. } => {
                let hub = self.env.directory.by_name(&hub);
                let found = hub.and_then(|hub| hub.own_sid(&sid));
                let sid = found.map(|sid| mesh::Sid(sid.to_bytes()));
                self.send(now, from, Frame::IHave { id: RequestId(id), sid });
            }
            Frame::ProbeBegun { sid, hub, .. } => match self.asked_here(sid, &hub, 4) {
                Ok(asked) => {
                    let node = self.mesh.member(from).map(|member| member.node_id);
                    let node = Str::from(node.unwrap_or_default());
                    self.to_shards.push_back(self.moving.probe_begun(from, id, (asked, node)));
                }
                Err(_) => {
                    let cause = Str::from_static("there is no such session");
                    self.send(now, from, Frame::MoveFailed { id: RequestId(id), cause });
                }
            },
            Frame::ProbeGone { .. } => self.landing_steps(from, id, MoveStep::ProbeGone),
            Frame::Take { positions, .. } => {
                self.landing_steps(from, id, MoveStep::Take(positions));
            }
            Frame::Arrived { .. } => self.landing_steps(from, id, MoveStep::Arrived),
            Frame::Door { .. } => (), // A door has it.
        }
    }

    /// Handles what another node asks for a client of a session that lives here.
    fn serve(&mut self, now: Timestamp, (from, id): (PeerKey, u32), asked: Frame) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the caller has the others")]
        match asked {
            Frame::Poll { sid, hub, protocol, .. } => match self.asked_here(sid, &hub, protocol) {
                Ok(asked) => {
                    let ask = self.serving.poll((from, id), asked);
                    self.to_shards.extend(ask);
                }
                Err(refused) => self.answer(now, from, id, mesh::Answer::Refused(refused)),
            },
            Frame::PollBack { .. } => self.to_shards.extend(self.serving.poll_back((from, id))),
            Frame::PollGone { .. } => self.to_shards.extend(self.serving.poll_gone((from, id))),
            Frame::PostBegin { sid, hub, protocol, .. } => {
                match self.asked_here(sid, &hub, protocol) {
                    Ok(asked) => {
                        let ask = self.serving.post_begin((from, id), asked);
                        self.to_shards.extend(ask);
                    }
                    Err(refused) => {
                        let begun = mesh::PostBegun::Refused(refused);
                        self.send(now, from, Frame::PostBegun { id: RequestId(id), begun });
                    }
                }
            }
            Frame::Post { sid, hub, protocol, binary, body, .. } => {
                match self.asked_here(sid, &hub, protocol) {
                    Ok(asked) => {
                        let ask = self.serving.post((from, id), asked, (binary, body));
                        self.to_shards.extend(ask);
                    }
                    Err(refused) => self.answer(now, from, id, mesh::Answer::Refused(refused)),
                }
            }
            Frame::PostBody { binary, body, .. } => {
                self.to_shards.extend(self.serving.post_body((from, id), binary, body));
            }
            Frame::PostGone { fault, .. } => {
                let fault = fault.map(|fault| wire::fault(&fault));
                self.to_shards.extend(self.serving.post_gone((from, id), fault));
            }
            Frame::Inspect { sid, hub, protocol, .. } => {
                match self.asked_here(sid, &hub, protocol) {
                    Ok(asked) => {
                        let ask = self.serving.inspect((from, id), asked);
                        self.to_shards.extend(ask);
                    }
                    Err(refused) => {
                        let inspected = mesh::Inspected::Refused(refused);
                        self.send(now, from, Frame::Inspected { id: RequestId(id), inspected });
                    }
                }
            }
            _ => (),
        }
    }

    /// Asks the next node with the sid's number when a frame says that this one has no such session.
    fn goes_on_elsewhere(
        &mut self,
        now: Timestamp,
        (from, id): (PeerKey, u32),
        frame: &Frame,
    ) -> bool {
        if !is_unknown_sid(frame) {
            self.asking.is_known_at(from, id);
            return false;
        }
        if self.asking.is_unknown_at(from, id) {
            self.try_or_wait(now, id);
            return true;
        }
        if let Some(sid) = self.asking.sid_of(id) {
            self.finding.forget(&sid);
        }
        false
    }

    fn owner_steps(&mut self, from: PeerKey, id: u32, step: MoveStep) {
        self.to_shards.extend(self.moving.owner_steps(from, id, step));
    }

    fn landing_steps(&mut self, from: PeerKey, id: u32, step: MoveStep) {
        self.to_shards.extend(self.moving.landing_steps(from, id, step));
    }

    fn hub(&self, number: u16) -> Option<Arc<Hub>> {
        self.env.directory.hub(usize::from(number)).map(Arc::clone)
    }

    fn tell_load(&mut self, now: Timestamp) {
        let own_sids = self.env.directory.hubs().any(|hub| hub.has_own_sids());
        let sessions = self.env.sessions_total() as u64;
        let app_servers_digest = self.env.directory.app_servers_digest();
        let whole_posts = true;
        self.mesh.set_load(now, Load { sessions, own_sids, whole_posts, app_servers_digest });
    }
}

/// Whether the owner has no such session.
#[expect(clippy::wildcard_enum_match_arm, reason = "no other frame refuses")]
fn is_unknown_sid(frame: &Frame) -> bool {
    let refused = match frame {
        Frame::Answered { answer: mesh::Answer::Refused(refused), .. }
        | Frame::PostBegun { begun: mesh::PostBegun::Refused(refused), .. }
        | Frame::Inspected { inspected: mesh::Inspected::Refused(refused), .. } => refused,
        _ => return false,
    };
    refused.code == trunkline_engineio::HandshakeError::UnknownSid.code()
}
