//! Handshakes: from a client's request through the app server's answer to a live session.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use trunkline_clock::Timestamp;
use trunkline_engineio::{
    AgreedDeflate, Config as EngineConfig, Deflate, Protocol, Session, Transmit, TransportKind,
};
use trunkline_trunk::settings::{EngineSettings, PerMessageDeflate};
use trunkline_trunk::{
    ClientRequest, CloseReason as WireReason, EioVersion, Header, NumberState, Open, Response,
    SessionNumber, Str,
};
use trunkline_websocket::deflate::ServerSettings;

use super::command::{AdoptedStream, Answer, SlotKey};
use super::poller::{Kind, Token};
use super::slot::{Carrier, Extra, Live, Opening, Polling, State};
use super::streams::Stream;
use super::timers::{Tick, Timers};
use super::tokens::Token as ClientToken;
use super::{Shard, ShardTrunk};
use crate::gate::Guest;
use crate::hub::Hub;
use crate::limits::Limits;
use crate::metrics::Outcome;
use crate::reply::Reply;
use crate::sid::{SLOTS_MAX, Sid};
use crate::unavailable::Unavailable;

/// A client's request for a session.
#[derive(Debug)]
pub(crate) struct OpenRequest {
    pub(crate) hub: Arc<Hub>,
    pub(crate) protocol: Protocol,
    pub(crate) transport: TransportKind,
    /// Set when the client does not accept bytes.
    pub(crate) base64_only: bool,
    /// Set when the client polls with scripts: the digits of its callback's number.
    pub(crate) jsonp: Option<Box<str>>,
    pub(crate) request: ClientRequest,
    /// What the client's token says of the session.
    pub(crate) token: ClientToken,
    /// The session in the count of its client's address.
    pub(crate) guest: Option<Guest>,
    /// The requester's number for the first poll.
    pub(crate) poll: u32,
    pub(crate) reply: Reply<Answer>,
}

/// The engine settings of one app server, in the form that sessions need.
pub(super) fn engine_config(settings: &EngineSettings, limits: &Limits) -> EngineConfig {
    EngineConfig {
        ping_interval: settings.ping_interval,
        ping_timeout: settings.ping_timeout,
        upgrade_timeout: settings.upgrade_timeout,
        payload_bytes_max: settings.max_http_buffer_bytes as usize,
        payload_chunks_max: settings.max_buffered_chunks as usize,
        payload_packets_max: limits.payload_packets_max,
        payload_timeout: settings.http_request_body_timeout.min(limits.body_timeout),
        polling: settings.transports.polling,
        websocket: settings.transports.websocket,
        allow_upgrades: settings.allow_upgrades,
        outbox_bytes_max: limits.outbox_bytes_max,
    }
}

/// The compressor for one app server's sessions, if the app wants compression.
pub(super) fn compressor(
    settings: &EngineSettings,
    budget: &Rc<Cell<usize>>,
) -> Option<Rc<Deflate>> {
    let asked = settings.per_message_deflate.as_ref()?;
    Some(Deflate::within(deflate_settings(asked), Rc::clone(budget)))
}

/// The app's `perMessageDeflate` in the form that the handshake negotiates.
pub(crate) fn deflate_settings(asked: &PerMessageDeflate) -> ServerSettings {
    ServerSettings {
        threshold_bytes: asked.threshold_bytes as usize,
        server_max_window_bits: asked.server_max_window_bits,
        client_max_window_bits: asked.client_max_window_bits,
        level: asked.level.unwrap_or(ServerSettings::default().level),
    }
}

impl ShardTrunk {
    /// The compressor for a session whose handshake agreed on this window.
    pub(super) fn agreed(&self, window_bits: u8) -> Option<AgreedDeflate> {
        let deflate = Rc::clone(self.deflate.as_ref()?);
        Some(AgreedDeflate { deflate, window_bits })
    }
}

impl Shard {
    /// Sends a handshake to an app server of the hub. The reply may come at once or much later. The
    /// key names the handshake in case the client goes away first; it changes whenever another app
    /// server is asked.
    pub(super) fn open(&mut self, now: Timestamp, open: OpenRequest) -> Option<Rc<Cell<SlotKey>>> {
        self.begin_turn(now);
        let key = Rc::new(Cell::new(SlotKey::here(self.index, u32::MAX, 0)));
        let opened = if self.newcomers.wait_at(open.hub.number) {
            Err((open, Unavailable::AppServersBusy))
        } else {
            self.try_open(open, &key)
        };
        let refused = match opened {
            Err((open, why @ Unavailable::AppServersBusy)) => {
                self.let_wait(open, &key).err().map(|open| (open, why))
            }
            opened => opened.err(),
        };
        let is_open = refused.is_none();
        if let Some((open, why)) = refused {
            open.hub.note_refused(why);
            self.count_handshake(why.slug());
            // If the client has gone, the answer is not needed.
            let _ = open.reply.send(Answer::Unavailable(why));
        }
        self.finish_turn();
        is_open.then_some(key)
    }

    /// Gives a handshake to an app server, or back.
    #[expect(clippy::result_large_err, reason = "moved once, and only when there is no room")]
    pub(super) fn try_open(
        &mut self,
        open: OpenRequest,
        key: &Rc<Cell<SlotKey>>,
    ) -> Result<(), (OpenRequest, Unavailable)> {
        let limits = &self.env.limits;
        if self.env.directory.draining.load(Ordering::Relaxed) {
            return Err((open, Unavailable::Draining));
        }
        if self.env.numbers.present().is_none() {
            return Err((open, Unavailable::Joining));
        }
        if self.memory_full {
            return Err((open, Unavailable::MemoryFull));
        }
        if self.env.sessions_total() >= limits.sessions_max || self.slots.len() >= SLOTS_MAX {
            return Err((open, Unavailable::SessionsFull));
        }
        let Some(seat) = open.hub.seat() else {
            return Err((open, Unavailable::HubSessionsFull));
        };
        let trunk = match open.hub.pick(limits, self.now) {
            Ok(trunk) => trunk,
            Err(why) => return Err((open, why.into())),
        };
        let OpenRequest { hub, protocol, transport, base64_only, jsonp, .. } = open;
        let OpenRequest { request, token, guest, poll, reply, .. } = open;
        let eio = match protocol {
            Protocol::V3 => EioVersion::V3,
            Protocol::V4 => EioVersion::V4,
        };
        let opening = Opening {
            protocol,
            transport,
            base64_only,
            jsonp,
            token,
            guest,
            seat,
            poll,
            reply,
            trunk,
            key: Rc::clone(key),
            // Number and sid are set when the handshake gets a slot.
            open: Open { session: SessionNumber(0), eio, sid: Str::EMPTY, request },
            asked_at: self.now,
            until: self.now + limits.handshake_timeout,
            tried: Vec::new(),
        };
        if let Err(opening) = self.place(Box::new(opening)) {
            let why = Unavailable::NoAppServer;
            hub.note_refused(why);
            self.count_handshake(why.slug());
            // If the client has gone, the answer is not needed.
            let _ = opening.reply.send(Answer::Unavailable(why));
        }
        Ok(())
    }

    /// Opens the session, which the app server has accepted.
    pub(super) fn accept(
        &mut self,
        index: u32,
        custom_sid: &str,
        headers: &[Header],
        lasting: &[Header],
    ) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let key = SlotKey::here(self.index, index, slot.generation);
        let State::Opening(opening) = std::mem::replace(&mut slot.state, State::Ended) else {
            return;
        };
        // Copies, because slices would keep the batch that they arrived in for the session's life.
        let headers = own_copies(headers);
        let lasting = own_copies(lasting);
        let asked_at = opening.asked_at;
        let Opening { protocol, transport, base64_only, jsonp, token, .. } = *opening;
        let Opening { guest, seat, poll, reply, trunk, open, .. } = *opening;
        self.answered(index, asked_at);
        let mut extra = Extra {
            lasting: (!lasting.is_empty()).then(|| Arc::from(lasting)),
            jsonp,
            custom_sid: None,
        };
        if !custom_sid.is_empty() {
            let sid = Sid::parse(&open.sid);
            let is_first = !trunk.hub.has_own_sids();
            if !sid.is_some_and(|sid| trunk.hub.remember_custom_sid(custom_sid, sid)) {
                self.refuse_duplicate_sid(index, reply);
                return;
            }
            extra.custom_sid = Some(custom_sid.into());
            if let Some(cluster) = self.env.cluster.as_ref().filter(|_| is_first) {
                cluster.has_own_ids();
            }
        }
        let Some(shard_trunk) = self.trunks.get(&trunk.number) else { return };
        let sid_text = if custom_sid.is_empty() { &*open.sid } else { custom_sid };
        let config = Rc::clone(&shard_trunk.config);
        let mut session = Session::new(self.now, config, protocol, transport, sid_text);
        session.set_base64_only(base64_only);
        // The open packet is sent in one write with the `101`, unless it might have to be
        // compressed.
        let first = match (transport, &shard_trunk.deflate) {
            (TransportKind::WebSocket, None) => match session.poll_transmit() {
                Some(Transmit::Frame(open)) => open,
                Some(_) | None => Bytes::new(),
            },
            (TransportKind::WebSocket | TransportKind::Polling, _) => Bytes::new(),
        };
        let has_extra =
            extra.lasting.is_some() || extra.jsonp.is_some() || extra.custom_sid.is_some();
        let (carrier, promised) = match transport {
            TransportKind::Polling => (
                Carrier::Polling(Box::new(Polling { first: headers, ..Polling::default() })),
                Err(reply),
            ),
            TransportKind::WebSocket => {
                let mut all = headers;
                all.extend(extra.lasting.iter().flat_map(|lasting| lasting.iter().cloned()));
                (Carrier::Promised, Ok((reply, all)))
            }
        };
        let extra = has_extra.then(|| Box::new(extra));
        let keepsake = self.keepsake(&trunk, protocol, &open.request);
        let slot = self.slots.at(index);
        slot.counted = transport;
        slot.guest = guest;
        slot.state =
            State::Live(Live { session, carrier, probe: None, held: None, keepsake, extra });
        self.count_session(transport, 1);
        seat.keep();
        self.count_handshake("accepted");
        match promised {
            Err(reply) => {
                self.hold_poll(key, poll, reply);
                // The open packet is an answer of its own; messages that the app sends in the same
                // batch are the next.
                self.flush(index);
            }
            Ok((reply, headers)) => {
                if reply.send(Answer::Switch { key, headers, first }).is_err() {
                    self.handshake_gone(key, poll);
                }
            }
        }
        self.mark_dirty(index);
        self.note_token(index, &trunk.hub, token);
        self.check_guest(index);
    }

    /// Refuses a session as a bad request, because its id is already in use.
    fn refuse_duplicate_sid(&mut self, index: u32, reply: Reply<Answer>) {
        let _ = reply.send(Answer::Refused(super::Refusal {
            error: trunkline_engineio::error::HandshakeError::BadRequest,
            context: r#"{"name":"ID_GENERATION_ERROR"}"#.into(),
        }));
        self.count_handshake("duplicate_sid");
        self.close_number(
            index,
            WireReason::GoneBeforeAnswer,
            "generateId returned an id that is in use",
        );
        self.release(index);
    }

    /// Answers a handshake that the app server has rejected.
    pub(super) fn reject(&mut self, index: u32, response: Response) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        if let State::Opening(opening) = std::mem::replace(&mut slot.state, State::Ended) {
            self.answered(index, opening.asked_at);
            let _ = opening.reply.send(Answer::Relayed(response));
            self.count_handshake("rejected");
        }
        self.release(index);
    }

    /// Fails a handshake because the app server took too long.
    pub(super) fn opening_timed_out(&mut self, index: u32) {
        self.fail_opening(
            index,
            Unavailable::AppServerSilent,
            "the handshake was not answered in time",
        );
    }

    /// Answers a handshake with 503, and frees its slot once the app server is done with it.
    pub(super) fn fail_opening(&mut self, index: u32, why: Unavailable, description: &str) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        if !matches!(slot.state, State::Opening(_)) {
            return;
        }
        if let State::Opening(opening) = std::mem::replace(&mut slot.state, State::Ended) {
            let _ = opening.reply.send(Answer::Unavailable(why));
        }
        self.note_refused(index, why);
        self.close_number(index, WireReason::GoneBeforeAnswer, description);
        self.release(index);
    }

    /// Counts and logs that the handshake in a slot was refused.
    pub(super) fn note_refused(&self, index: u32, why: Unavailable) {
        self.count_handshake(why.slug());
        let slot = self.slots.get(index);
        if let Some(hub) = slot.and_then(|slot| self.env.directory.hub(usize::from(slot.hub))) {
            hub.note_refused(why);
        }
    }

    /// Handles that the client of a handshake went away, before or after the app server's answer.
    pub(super) fn handshake_gone(&mut self, key: SlotKey, poll: u32) {
        let Some(slot) = self.slot(key) else { return };
        match &mut slot.state {
            State::Opening(_) => {
                slot.state = State::Ended;
                self.count_handshake("client_gone");
                self.close_number(key.slot, WireReason::GoneBeforeAnswer, "");
                self.release(key.slot);
            }
            State::Live(live) if matches!(live.carrier, Carrier::Promised) => {
                live.carrier = Carrier::Gone;
                self.with_key(key, |live, now| live.session.handle_stream_closed(now));
            }
            State::Live(_) => self.held_poll_gone(key, poll),
            State::Arriving(_) | State::Ended => (),
        }
    }

    /// Adopts the direct WebSocket of an accepted handshake.
    pub(super) fn adopt(&mut self, key: SlotKey, adopted: AdoptedStream) {
        let (stream, leftover) = Stream::adopt(adopted);
        let token = Token::new(Kind::Session, key.slot, key.generation);
        let now = self.now;
        let added = self.poller.add(&stream.socket, token);
        let trunk = self.slot(key).map(|slot| slot.trunk);
        let trunk = trunk.and_then(|number| self.trunks.get(&number));
        let deflate = stream.deflate_window.and_then(|bits| trunk?.agreed(bits));
        let Some(live) = self.live(key) else { return };
        if !matches!(live.carrier, Carrier::Promised) {
            return;
        }
        live.carrier = Carrier::Stream(stream);
        live.session.set_deflate(deflate);
        if let Err(error) = added {
            live.session.handle_stream_error(now, "cannot watch the stream");
            if let Some(times) = self.env.directory.note("cannot_watch") {
                tracing::warn!(times, %error, "cannot watch a stream");
            }
        }
        self.mark_dirty(key.slot);
        if !leftover.is_empty() {
            self.read_leftover(key.slot, &leftover);
        }
        self.read_what_is_hidden(key.slot);
    }

    pub(super) fn count_handshake(&self, outcome: &'static str) {
        self.env.metrics.handshakes.get_or_create(&Outcome { outcome }).inc();
    }

    /// Changes the number of sessions of this transport.
    pub(super) fn count_session(&self, transport: TransportKind, change: i64) {
        let transport = crate::metrics::Carrier { transport: transport.name() };
        self.env.metrics.sessions.get_or_create(&transport).inc_by(change);
    }

    /// Arms the slot's single timer entry for this deadline, unless a valid entry comes first.
    pub(super) fn arm(&mut self, index: u32, deadline: Option<Timestamp>) {
        let Some(deadline) = deadline else { return };
        let tick = Timers::tick_of(self.now, deadline);
        let slot = self.slots.at(index);
        if tick < slot.armed {
            slot.armed = tick;
            self.timers.arm(index, tick);
        }
    }

    /// Handles a timer entry of a slot that is due.
    pub(super) fn timer_fired(&mut self, index: u32, tick: Tick) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        if slot.armed != tick {
            return;
        }
        slot.armed = Tick::NONE;
        match &slot.state {
            State::Opening(_) => self.look_at_opening(index),
            State::Live(_) => {
                self.session_timed_out(index);
                self.look_at_departure(index);
            }
            State::Arriving(_) => self.look_at_arrival(index),
            State::Ended => (),
        }
    }

    /// Handles that a session's deadline has passed.
    pub(super) fn session_timed_out(&mut self, index: u32) {
        let now = self.now;
        let Some(slot) = self.slots.get_mut(index) else { return };
        // A client cannot be blamed for its silence while the shard does not read from it.
        let waits = slot.live().is_some_and(|live| live.held.is_some())
            || slot.is_between()
            || slot.number == NumberState::Leaving;
        let unheard = waits
            || slot.paused
            || slot.slowed.is_slowed()
            || !self.trunks.contains_key(&slot.trunk);
        let State::Live(live) = &mut slot.state else { return };
        if unheard {
            live.session.excuse_silence(now);
        }
        live.session.handle_timeout(now);
        self.mark_dirty(index);
    }
}

fn own_copies(headers: &[Header]) -> Vec<Header> {
    let own = |text: &Str| Str::from(text.as_str().to_owned());
    headers
        .iter()
        .map(|header| Header { name: own(&header.name), value: own(&header.value) })
        .collect()
}
