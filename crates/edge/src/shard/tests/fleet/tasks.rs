//! The HTTP tasks of a node, as far as sessions need them: what a task asks, and what it does when
//! its client has gone.

use bytes::Bytes;
use trunkline_clock::Timestamp;
use trunkline_engineio::{Protocol, TransportKind};

use super::process::Process;
use crate::cluster::{Found, Input};
use crate::door::{Site, Whereabouts, named, whereabouts};
use crate::reply::{self, Awaited, Reply, TryRecvError};
use crate::shard::command::{
    Answer, Asked, Command, Inspected, POST_BROKEN, PostBegun, SlotKey, WholePost,
};
use crate::shard::tests::client::Handshake;
use crate::shard::tests::wire::Wire;
use crate::shard::{ForeignStream, Refusal};
use crate::sid::Sid;
use crate::unavailable::Unavailable;
use trunkline_engineio::HandshakeError;

/// The answer to a request whose reply was dropped: no node may do that.
pub(super) const UNANSWERED: u16 = 599;

/// A client's request.
pub(super) struct Ask {
    /// The id as the client has it; of no meaning for a handshake.
    pub(super) sid: String,
    pub(super) wish: Wish,
    pub(super) reply: Reply<Answer>,
}

pub(super) enum Wish {
    Open,
    Poll,
    /// The body of a post comes at this time of the fleet.
    Post {
        body: String,
        at: Timestamp,
    },
    Upgrade(Wire),
}

/// A request under way.
pub(super) struct Task {
    text: String,
    reply: Reply<Answer>,
    stage: Stage,
}

enum Stage {
    Opening(Handshake),
    Finding { found: Awaited<Found>, wish: Wish },
    Polling { site: Site, sid: Sid, poll: u32, answer: Awaited<Answer> },
    Beginning { begun: Awaited<PostBegun>, body: String, at: Timestamp },
    Reading { key: SlotKey, cut: Awaited<()>, body: String, at: Timestamp },
    Posting(Awaited<Answer>),
    Inspecting { found: Awaited<Result<Inspected, Answer>>, asked: Asked, wire: Wire },
}

fn asked(sid: Sid) -> Asked {
    Asked { sid, protocol: Protocol::V4, hub: 0 }
}

fn unknown(text: &str) -> Answer {
    Answer::Refused(Refusal { error: HandshakeError::UnknownSid, context: text.into() })
}

impl Task {
    /// Begins a request. `None`: it was answered at once.
    pub(super) fn begin(process: &mut Process, ask: Ask) -> Option<Self> {
        let Ask { sid: text, wish, reply } = ask;
        if matches!(wish, Wish::Open) {
            let handshake = process.world.handshake(TransportKind::Polling);
            return Some(Self { text, reply, stage: Stage::Opening(handshake) });
        }
        let (env, hub) = (&process.world.env, &process.world.hub);
        let stage = match named(env, process.shards, hub, &text) {
            Some(sid) => Stage::of(process, sid, wish),
            None => {
                let (reply, found) = reply::pair();
                process.tell_core(Input::Find { hub: 0, id: text.as_str().into(), reply });
                Stage::Finding { found, wish }
            }
        };
        Some(Self { text, reply, stage })
    }

    /// The process's time at which the task goes on by itself.
    pub(super) fn wake_at(&self) -> Option<Timestamp> {
        if let Stage::Reading { at, .. } = &self.stage { Some(*at) } else { None }
    }

    /// Whether another node has been asked, and has not answered.
    pub(super) fn is_elsewhere(&self) -> bool {
        matches!(self.stage, Stage::Polling { site: Site::Elsewhere, .. })
    }

    /// Goes on as far as possible. Whether anything happened.
    pub(super) fn go_on(self, process: &mut Process) -> (Option<Self>, bool) {
        let Self { text, reply, stage } = self;
        if reply.is_closed() {
            stage.abandon(process);
            return (None, true);
        }
        match stage.step(process, &text) {
            Step::Waits(stage) => (Some(Self { text, reply, stage }), false),
            Step::Next(stage) => (Some(Self { text, reply, stage }), true),
            Step::Done(answer) => {
                let _ = reply.send(answer);
                (None, true)
            }
        }
    }
}

enum Step {
    Waits(Stage),
    Next(Stage),
    Done(Answer),
}

/// What came of something awaited: `Err` when it still waits.
fn come<T>(awaited: &mut Awaited<T>) -> Result<Option<T>, ()> {
    match awaited.try_recv() {
        Ok(value) => Ok(Some(value)),
        Err(TryRecvError::Closed) => Ok(None),
        Err(TryRecvError::Empty) => Err(()),
    }
}

impl Stage {
    fn of(process: &mut Process, sid: Sid, wish: Wish) -> Self {
        let asked = asked(sid);
        let site = match whereabouts(&process.world.env, process.shards, &sid) {
            Whereabouts::Known(site) => site,
            Whereabouts::Shared(shard) => match process.world.shard.inspect(&asked) {
                Err(refusal) if refusal.error == HandshakeError::UnknownSid => Site::Elsewhere,
                Ok(_) | Err(_) => Site::Shard(shard),
            },
        };
        match wish {
            Wish::Open => unreachable!("a handshake names no session"),
            Wish::Poll => {
                let (reply, answer) = reply::pair();
                let poll = process.world.poll_number();
                process.tell(site, Command::Poll { asked, poll, reply });
                Self::Polling { site, sid, poll, answer }
            }
            Wish::Post { body, at }
                if site == Site::Elsewhere && at + process.ahead <= process.world.now =>
            {
                // It has come as a whole.
                let (reply, answer) = reply::pair();
                let body = Bytes::from(body);
                let post = WholePost { asked, binary: false, body, reply };
                process.tell(site, Command::Post(Box::new(post)));
                Self::Posting(answer)
            }
            Wish::Post { body, at } => {
                let (reply, begun) = reply::pair();
                process.tell(site, Command::PostBegin { asked, reply });
                Self::Beginning { begun, body, at: at + process.ahead }
            }
            Wish::Upgrade(wire) => {
                let (reply, found) = reply::pair();
                process.tell(site, Command::Inspect { asked, reply });
                Self::Inspecting { found, asked, wire }
            }
        }
    }

    fn step(mut self, process: &mut Process, text: &str) -> Step {
        let unanswered = Answer::Status(UNANSWERED);
        match &mut self {
            Self::Opening(handshake) => match come(&mut handshake.answer) {
                Ok(answer) => Step::Done(answer.unwrap_or(unanswered)),
                Err(()) => Step::Waits(self),
            },
            Self::Polling { answer, .. } => match come(answer) {
                Ok(answer) => Step::Done(answer.unwrap_or(unanswered)),
                Err(()) => Step::Waits(self),
            },
            // The session has ended.
            Self::Posting(answer) => match come(answer) {
                Ok(answer) => Step::Done(answer.unwrap_or(Answer::Abort)),
                Err(()) => Step::Waits(self),
            },
            Self::Finding { found, .. } => match come(found) {
                Ok(found) => {
                    let Self::Finding { wish, .. } = self else { unreachable!() };
                    match found {
                        Some(Ok(Some(sid))) => Step::Next(Self::of(process, sid, wish)),
                        Some(Ok(None)) => Step::Done(unknown(text)),
                        Some(Err(why)) => Step::Done(Answer::Unavailable(why)),
                        None => Step::Done(unanswered),
                    }
                }
                Err(()) => Step::Waits(self),
            },
            Self::Beginning { begun, .. } => match come(begun) {
                Ok(begun) => {
                    let Self::Beginning { body, at, .. } = self else { unreachable!() };
                    match begun {
                        Some(PostBegun::Wanted { key, cut, .. }) => {
                            Step::Next(Self::Reading { key, cut, body, at })
                        }
                        Some(PostBegun::Refused(refusal)) => Step::Done(Answer::Refused(refusal)),
                        Some(PostBegun::Status(status)) => Step::Done(Answer::Status(status)),
                        Some(PostBegun::Unavailable(why)) => Step::Done(Answer::Unavailable(why)),
                        None => Step::Done(unanswered),
                    }
                }
                Err(()) => Step::Waits(self),
            },
            Self::Reading { key, cut, body, at } => {
                let site = key.site();
                if come(cut).is_ok() {
                    let gone = Command::PostGone { key: *key, fault: Some(POST_BROKEN) };
                    process.tell(site, gone);
                    return Step::Done(Answer::Abort);
                }
                if process.world.now < *at {
                    return Step::Waits(self);
                }
                let (reply, answer) = reply::pair();
                let body = Bytes::from(std::mem::take(body));
                let command = Command::PostBody { key: *key, binary: false, body, reply };
                process.tell(site, command);
                Step::Next(Self::Posting(answer))
            }
            Self::Inspecting { found, asked, wire } => match come(found) {
                Ok(Some(Ok(found))) => Step::Done(upgrade(process, found, *asked, wire, text)),
                Ok(Some(Err(answer))) => Step::Done(answer),
                Ok(None) => Step::Done(unanswered),
                Err(()) => Step::Waits(self),
            },
        }
    }

    /// Its client has gone.
    fn abandon(self, process: &mut Process) {
        match self {
            Self::Opening(handshake) if handshake.key.is_some() => {
                process.world.handshake_gone(handshake);
            }
            Self::Polling { site, sid, poll, answer } => {
                drop(answer);
                process.tell(site, Command::PollGone { sid, poll });
            }
            Self::Reading { key, .. } => {
                process.tell(key.site(), Command::PostGone { key, fault: Some(POST_BROKEN) });
            }
            Self::Opening(_)
            | Self::Finding { .. }
            | Self::Beginning { .. }
            | Self::Posting(_)
            | Self::Inspecting { .. } => (),
        }
    }
}

/// Accepts a client's second WebSocket, as `http/opening.rs` does.
fn upgrade(
    process: &mut Process,
    found: Inspected,
    asked: Asked,
    wire: &Wire,
    text: &str,
) -> Answer {
    let Inspected { key, movable, owner, .. } = found;
    let may_begin = process.world.hub.may_begin_to_move();
    let owner = owner.filter(|owner| movable && owner.own.moves && may_begin);
    if !key.elsewhere {
        let stream = process.world.adopted(wire, b"");
        process.world.tell(Command::Probe { key, base64_only: false, stream });
        return Answer::Ok { lasting: None };
    }
    let Some(owner) = owner else { return Answer::Unavailable(Unavailable::CannotMove) };
    let stream = process.world.adopted(wire, b"");
    let trunk = owner.number;
    let foreign = ForeignStream {
        asked,
        sid_text: text.into(),
        trunk,
        base64_only: false,
        client: [127, 0, 0, 1].into(),
        stream,
    };
    process.world.tell(Command::ForeignProbe(Box::new(foreign)));
    Answer::Ok { lasting: None }
}
