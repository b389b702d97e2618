//! The part of a trunk that knows no sessions: opening, pings, credit, drain, errors.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::ToString;
use core::time::Duration;

use bytes::Bytes;
use trunkline_clock::Timestamp;

use super::misbehaved::Misbehaved;
use crate::credit::{CreditReceiver, CreditSender};
use crate::decode::DecodeError;
use crate::frame::{Frame, Hello, Welcome};
use crate::kind::{Direction, FrameKind};
use crate::text::Str;
use crate::values::ErrorCode;
use crate::{VERSION_MAX, VERSION_MIN};

/// Ping intervals without a frame after which the trunk is given up (section 10).
const SILENT_INTERVALS_MAX: u8 = 3;

/// One end of a trunk, without its sessions. See the crate's contract for callers.
///
/// [`Self::handle_frame`] checks phase, direction and credit of each frame, and passes frames for
/// sessions, namespaces and requests on to their owner.
#[derive(Debug)]
pub struct Link {
    role: Role,
    config: LinkConfig,
    phase: Phase,
    /// The version that `Welcome` named.
    version: u32,
    sending: CreditSender,
    receiving: CreditReceiver,
    batch_bytes_max: u32,
    ping_interval: Duration,
    draining: bool,
    outbox: VecDeque<Frame>,
    events: VecDeque<LinkEvent>,
}

/// The limits that one end sets. Both ends have the same fields so that tests can swap them.
#[derive(Clone, Copy, Debug)]
pub struct LinkConfig {
    /// Bytes of data frames that the peer may send before we return credit.
    pub credit_window_bytes: u32,
    /// How long the node waits for `Hello`, and the app server for `Welcome`. The spec says 10 s.
    pub opening_timeout: Duration,
    /// The time without a frame after which the node sends a `Ping`.
    pub ping_interval: Duration,
    /// The longest batch that either end may send; the node sets it.
    pub batch_bytes_max: u32,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            credit_window_bytes: 4 << 20,
            opening_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(10),
            batch_bytes_max: 4 << 20,
        }
    }
}

/// What an app server writes into its `Hello` (section 3).
#[derive(Clone, Debug, Default)]
pub struct AppHello {
    /// The id of the process.
    pub server: Str,
    /// The SDK's name and version.
    pub sdk: Str,
    /// JSON object of the app's options.
    pub settings: Str,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Role {
    App,
    Node,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    AwaitingHello {
        until: Timestamp,
    },
    AwaitingWelcome {
        until: Timestamp,
    },
    /// The node's owner checks the settings.
    Choosing {
        version: u32,
    },
    Ended,
    /// `silent` intervals passed without a frame; the present one ends at `next`.
    Up {
        next: Timestamp,
        silent: u8,
    },
}

/// What happened on a trunk.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LinkEvent {
    /// Sending of data was stopped for lack of credit and may continue.
    CreditReturned,
    /// Send what [`Link::poll_transmit`] still has, then close the WebSocket with 1008. Comes once,
    /// as the last event.
    Ended(EndCause),
    /// For the node: check the settings, then call [`Link::welcome`] or [`Link::give_up`].
    Hello(Box<Hello>),
    /// The peer wants no new sessions.
    PeerDrains {
        /// Milliseconds until it closes the trunk.
        deadline_ms: u32,
    },
    /// For the app server: the trunk is up.
    Welcome(Welcome),
}

/// Why a trunk ended, other than by the end of its stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum EndCause {
    /// Our owner gave it up.
    GivenUp(ErrorCode),
    /// The peer broke a rule.
    Misbehaved(Misbehaved),
    /// The peer gave the trunk up.
    PeerError {
        /// The reason.
        code: ErrorCode,
        /// The reason in words.
        message: Str,
    },
}

impl Link {
    /// The node's end of a trunk whose WebSocket has just opened.
    pub fn node(now: Timestamp, config: LinkConfig) -> Self {
        let phase = Phase::AwaitingHello { until: now + config.opening_timeout };
        Self::new(Role::Node, phase, config)
    }

    /// The app server's end of a trunk whose WebSocket has just opened; `Hello` is in the outbox.
    pub fn app(now: Timestamp, config: LinkConfig, hello: AppHello) -> Self {
        let phase = Phase::AwaitingWelcome { until: now + config.opening_timeout };
        let mut link = Self::new(Role::App, phase, config);
        link.outbox.push_back(Frame::Hello(Box::new(Hello {
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            credit: config.credit_window_bytes,
            server: hello.server,
            sdk: hello.sdk,
            settings: hello.settings,
        })));
        link
    }

    fn new(role: Role, phase: Phase, config: LinkConfig) -> Self {
        Self {
            role,
            config,
            phase,
            version: VERSION_MAX,
            sending: CreditSender::new(0),
            receiving: CreditReceiver::new(config.credit_window_bytes),
            batch_bytes_max: config.batch_bytes_max,
            ping_interval: config.ping_interval,
            draining: false,
            outbox: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Handles a frame. `Some`: the frame is for the owner of the sessions. An error has already
    /// ended the trunk.
    ///
    /// After the end all frames are ignored.
    pub fn handle_frame(
        &mut self,
        now: Timestamp,
        frame: Frame,
    ) -> Result<Option<Frame>, Misbehaved> {
        self.take_frame(now, frame).inspect_err(|misbehaved| self.handle_misbehaved(*misbehaved))
    }

    /// Ends the trunk because the batch cannot be decoded any further.
    pub fn handle_undecodable(&mut self, error: DecodeError) {
        self.handle_misbehaved(error.into());
    }

    /// Ends the trunk because an owner of sessions found that the peer broke a rule; sends the peer
    /// an `Error`.
    pub fn handle_misbehaved(&mut self, misbehaved: Misbehaved) {
        self.end_with(
            misbehaved.code(),
            misbehaved.to_string().into(),
            EndCause::Misbehaved(misbehaved),
        );
    }

    /// How often a silent peer is sent a `Ping`.
    pub const fn ping_interval(&self) -> Duration {
        self.ping_interval
    }

    /// Notes input that is no frame of this version: it still counts as a sign of life.
    pub fn handle_life(&mut self, now: Timestamp) {
        if let Phase::Up { .. } = self.phase {
            self.phase = Phase::Up { next: now + self.ping_interval, silent: 0 };
        }
    }

    /// The deadline from [`Self::poll_deadline`] has passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        match self.phase {
            Phase::AwaitingHello { until } if until <= now => {
                self.handle_misbehaved(Misbehaved::HelloTimeout);
            }
            Phase::AwaitingWelcome { until } if until <= now => {
                self.handle_misbehaved(Misbehaved::WelcomeTimeout);
            }
            Phase::Up { next, silent } if next <= now => self.handle_silence(now, silent + 1),
            // A timer that fires early is not an error: the caller's clock is coarse.
            Phase::AwaitingHello { .. }
            | Phase::AwaitingWelcome { .. }
            | Phase::Choosing { .. }
            | Phase::Ended
            | Phase::Up { .. } => (),
        }
    }

    /// Accepts the app server; `info` is the JSON object of section 3.
    pub fn welcome(&mut self, now: Timestamp, info: Str) {
        let Phase::Choosing { version } = self.phase else { return };
        self.version = version;
        let welcome = self.welcome_with(info);
        self.outbox.push_back(welcome);
        self.phase = Phase::Up { next: now + self.ping_interval, silent: 0 };
    }

    /// Continues on another stream, which counts as a sign of life. Returns the `Welcome` to begin
    /// it with; `None` when the trunk is not up.
    pub(super) fn resume(&mut self, now: Timestamp, info: Str) -> Option<Frame> {
        if !self.is_up() {
            return None;
        }
        self.handle_life(now);
        Some(self.welcome_with(info))
    }

    fn welcome_with(&self, info: Str) -> Frame {
        let ping_interval_ms = self.ping_interval.as_millis();
        Frame::Welcome(Welcome {
            version: self.version,
            credit: self.config.credit_window_bytes,
            ping_interval_ms: u32::try_from(ping_interval_ms).unwrap_or(u32::MAX).max(1),
            batch_bytes_max: self.batch_bytes_max,
            info,
        })
    }

    /// Ends the trunk for a reason of our own; the message goes to the peer's log.
    pub fn give_up(&mut self, code: ErrorCode, message: Str) {
        self.end_with(code, message, EndCause::GivenUp(code));
    }

    /// Refuses new sessions, and closes the trunk after that many milliseconds. Does nothing before
    /// the trunk is up, nor the second time.
    pub fn drain(&mut self, deadline_ms: u32) {
        if self.is_up() && !self.draining {
            self.draining = true;
            self.outbox.push_back(Frame::Drain { deadline_ms });
        }
    }

    /// Sends a frame that the owner has made. Does nothing while the trunk is not up: no frame may
    /// come before `Welcome` or after `Error`.
    pub(super) fn send(&mut self, frame: Frame) {
        if self.is_up() {
            self.outbox.push_back(frame);
        }
    }

    /// Takes the cost of a data frame that is sent now.
    pub fn spend(&mut self, cost_bytes: u32) {
        self.sending.spend(cost_bytes);
    }

    /// Notes that data frames of this cost are processed, ignored ones included; credit is returned
    /// in portions.
    pub fn processed(&mut self, bytes: u64) {
        if let Some(bytes) = self.receiving.processed(bytes)
            && self.is_up()
        {
            self.outbox.push_back(Frame::Credit { bytes });
        }
    }

    /// Whether `Welcome` was sent or received and the trunk has not ended.
    pub const fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Up { .. })
    }

    /// Whether the node's owner has not answered `Hello` yet.
    pub(super) const fn is_choosing(&self) -> bool {
        matches!(self.phase, Phase::Choosing { .. })
    }

    pub(super) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    pub(super) const fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    /// Whether a data frame may be started now.
    pub const fn may_send_data(&self) -> bool {
        self.is_up() && self.sending.may_send()
    }

    /// The longest batch that may be sent.
    pub const fn batch_bytes_max(&self) -> u32 {
        self.batch_bytes_max
    }

    /// The credit that is left to send with.
    pub const fn sending(&self) -> &CreditSender {
        &self.sending
    }

    /// The credit that the peer has, and the bytes that are not processed yet.
    pub const fn receiving(&self) -> &CreditReceiver {
        &self.receiving
    }

    /// The next frame to send. Send it before frames of sessions, except `Error`, which is the
    /// last.
    pub fn poll_transmit(&mut self) -> Option<Frame> {
        self.outbox.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<LinkEvent> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] is due.
    pub const fn poll_deadline(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::AwaitingHello { until } | Phase::AwaitingWelcome { until } => Some(until),
            Phase::Up { next, .. } => Some(next),
            Phase::Choosing { .. } | Phase::Ended => None,
        }
    }

    fn take_frame(&mut self, now: Timestamp, frame: Frame) -> Result<Option<Frame>, Misbehaved> {
        let kind = frame.kind();
        match self.phase {
            Phase::Ended => return Ok(None),
            _ if kind == FrameKind::Error => (),
            Phase::AwaitingHello { .. } if kind != FrameKind::Hello => {
                return Err(Misbehaved::BeforeHello(kind));
            }
            Phase::AwaitingWelcome { .. } if kind != FrameKind::Welcome => {
                return Err(Misbehaved::BeforeWelcome(kind));
            }
            Phase::Choosing { .. } => return Err(Misbehaved::BeforeWelcome(kind)),
            Phase::Up { .. } | Phase::AwaitingHello { .. } | Phase::AwaitingWelcome { .. } => (),
        }
        self.check_direction(kind)?;
        self.handle_life(now);
        if let Some(cost_bytes) = frame.data_cost() {
            self.receiving.received(cost_bytes)?;
        }
        self.take_own(now, frame)
    }

    fn check_direction(&self, kind: FrameKind) -> Result<(), Misbehaved> {
        match (kind.direction(), self.role) {
            (Direction::Both, _)
            | (Direction::ToApp, Role::App)
            | (Direction::ToNode, Role::Node) => Ok(()),
            (Direction::ToApp, Role::Node) | (Direction::ToNode, Role::App) => {
                Err(Misbehaved::WrongDirection(kind))
            }
        }
    }

    /// Handles the link's own frames and returns the others.
    fn take_own(&mut self, now: Timestamp, frame: Frame) -> Result<Option<Frame>, Misbehaved> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "all others are the sessions'")]
        match frame {
            Frame::Hello(hello) => self.take_hello(hello)?,
            Frame::Welcome(welcome) => self.take_welcome(now, welcome)?,
            Frame::Error { code, message } => {
                self.end(EndCause::PeerError { code, message });
            }
            Frame::Ping { token } => self.outbox.push_back(Frame::Pong { token }),
            // A pong is a sign of life and has no other effect.
            Frame::Pong { .. } => (),
            Frame::Credit { bytes } => {
                if self.sending.grant(bytes) {
                    self.events.push_back(LinkEvent::CreditReturned);
                }
            }
            Frame::Drain { deadline_ms } => {
                self.events.push_back(LinkEvent::PeerDrains { deadline_ms });
            }
            other => return Ok(Some(other)),
        }
        Ok(None)
    }

    fn take_hello(&mut self, hello: Box<Hello>) -> Result<(), Misbehaved> {
        if !matches!(self.phase, Phase::AwaitingHello { .. }) {
            return Err(Misbehaved::HelloTwice);
        }
        let version = hello.version_max.min(VERSION_MAX);
        if version < hello.version_min.max(VERSION_MIN) {
            return Err(Misbehaved::NoCommonVersion {
                min: hello.version_min,
                max: hello.version_max,
                our_min: VERSION_MIN,
                our_max: VERSION_MAX,
            });
        }
        self.sending = CreditSender::new(hello.credit);
        self.phase = Phase::Choosing { version };
        self.events.push_back(LinkEvent::Hello(hello));
        Ok(())
    }

    fn take_welcome(&mut self, now: Timestamp, welcome: Welcome) -> Result<(), Misbehaved> {
        if !matches!(self.phase, Phase::AwaitingWelcome { .. }) {
            return Err(Misbehaved::WelcomeTwice);
        }
        let offered = (VERSION_MIN..=VERSION_MAX).contains(&welcome.version);
        if !offered || welcome.ping_interval_ms == 0 || welcome.batch_bytes_max == 0 {
            return Err(Misbehaved::WelcomeValues);
        }
        self.sending = CreditSender::new(welcome.credit);
        self.ping_interval = Duration::from_millis(welcome.ping_interval_ms.into());
        self.batch_bytes_max = welcome.batch_bytes_max;
        self.phase = Phase::Up { next: now + self.ping_interval, silent: 0 };
        self.events.push_back(LinkEvent::Welcome(welcome));
        Ok(())
    }

    /// Intervals are counted from when the last `Ping` left, not from the last sign of life: after
    /// a stall of our own the peer's answer may still be unread in the stream.
    fn handle_silence(&mut self, now: Timestamp, silent: u8) {
        if silent == SILENT_INTERVALS_MAX {
            return self.handle_misbehaved(Misbehaved::Silence);
        }
        self.outbox.push_back(Frame::Ping { token: Bytes::new() });
        self.phase = Phase::Up { next: now + self.ping_interval, silent };
    }

    fn end_with(&mut self, code: ErrorCode, message: Str, cause: EndCause) {
        if !matches!(self.phase, Phase::Ended) {
            // Even before `Hello`, when the node sends nothing else: the `Error` tells the app's log
            // what was wrong, and every version can read it.
            self.outbox.push_back(Frame::Error { code, message });
            self.end(cause);
        }
    }

    fn end(&mut self, cause: EndCause) {
        if !matches!(self.phase, Phase::Ended) {
            self.phase = Phase::Ended;
            self.events.push_back(LinkEvent::Ended(cause));
        }
    }
}
