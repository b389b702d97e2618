//! `rooms`: clients in several rooms each, messages to rooms; every member checks that each came once, in order.
//!
//! Each worker has rooms of its own, so that it alone knows when a message has reached every member. A room's first member
//! sends; the app sends the message on to the room, its sender included. Closed loop: `window` messages are under
//! way in each worker; open loop: messages begin at a fixed rate and are timed from when they were meant to begin.

use std::collections::VecDeque;

use crate::error::BenchError;
use crate::fleet::Fleet;
use crate::meter::{Meter, pairs};
use crate::options::Options;
use crate::out::Out;
use crate::packet::{leading_number, name_and_string, stamp};
use crate::report::Report;
use crate::scenario::schedule::Schedule;
use crate::scenario::stamped;
use crate::session::Message;
use crate::swarm::Scenario;
use crate::swarm::Swarm;
use crate::wire::{Command, Job, Line, WorkerReport};

#[derive(Debug, Default)]
struct Room {
    members: u32,
    sent: u32,
    /// Messages that every member has.
    done: u32,
    /// How many members lack each message from `done` on.
    lacking: VecDeque<u32>,
}

#[derive(Debug)]
pub(crate) struct Rooms {
    worker: u32,
    rooms: Vec<Room>,
    rooms_per_client: u32,
    /// The number each client expects next in each of its rooms, client by client.
    expected: Vec<u32>,
    inside: Vec<bool>,
    inside_count: u32,
    inside_said: bool,
    payload_bytes: usize,
    window: u32,
    rate_per_s: f64,
    schedule: Option<Schedule>,
    running: bool,
    under_way: u32,
    next_room: u32,
    measuring: bool,
    messages: u64,
    deliveries: u64,
    measured: u64,
    missing: u64,
    duplicates: u64,
    strays: u64,
    refused_sends: u64,
    latency: Meter,
    payload: Vec<u8>,
}

impl Rooms {
    pub(crate) fn new(job: &Job) -> Self {
        let per_client = job.rooms_per_client;
        let mut rooms: Vec<Room> = Vec::new();
        rooms.resize_with(job.rooms as usize, Room::default);
        for index in 0..u64::from(job.clients) * u64::from(per_client) {
            rooms[(index % u64::from(job.rooms)) as usize].members += 1;
        }
        Self {
            worker: job.worker,
            rooms,
            rooms_per_client: per_client,
            expected: vec![0; job.clients as usize * per_client as usize],
            inside: vec![false; job.clients as usize],
            inside_count: 0,
            inside_said: false,
            payload_bytes: job.payload_bytes,
            window: job.window,
            rate_per_s: job.rate_per_s,
            schedule: None,
            running: false,
            under_way: 0,
            next_room: 0,
            measuring: false,
            messages: 0,
            deliveries: 0,
            measured: 0,
            missing: 0,
            duplicates: 0,
            strays: 0,
            refused_sends: 0,
            latency: Meter::new(),
            payload: Vec::new(),
        }
    }

    /// A client's rooms are consecutive, each client's begin where those of the one before end.
    fn room_of(&self, id: u32, index: u32) -> u32 {
        let first = u64::from(id) * u64::from(self.rooms_per_client);
        ((first + u64::from(index)) % self.rooms.len() as u64) as u32
    }

    /// Which of a client's rooms this is.
    fn index_of(&self, id: u32, room: u32) -> Option<u32> {
        let rooms = self.rooms.len() as u64;
        let first = u64::from(self.room_of(id, 0));
        let index = (u64::from(room) + rooms - first) % rooms;
        (u64::from(room) < rooms && index < u64::from(self.rooms_per_client))
            .then_some(index as u32)
    }

    /// The first client that is in a room.
    fn sender_of(&self, room: u32) -> u32 {
        room / self.rooms_per_client
    }

    fn join(&self, id: u32, out: &mut Out) {
        let names: Vec<String> = (0..self.rooms_per_client)
            .map(|index| format!("\"bench-{}-{}\"", self.worker, self.room_of(id, index)))
            .collect();
        out.emit(Some(0), &[b"\"join\",[", names.join(",").as_bytes(), b"]"]);
    }

    fn note_delivery(&mut self, id: u32, room: u32, sequence: u64, asked_ns: u64, now_ns: u64) {
        let Some(index) = self.index_of(id, room) else {
            self.strays += 1;
            return;
        };
        let expected = &mut self.expected[(id * self.rooms_per_client + index) as usize];
        if sequence < u64::from(*expected) {
            self.duplicates += 1;
            return;
        }
        self.missing += sequence - u64::from(*expected);
        *expected = u32::try_from(sequence + 1).unwrap_or(u32::MAX);
        self.deliveries += 1;
        self.measured += u64::from(self.measuring);
        self.latency.record(now_ns.saturating_sub(asked_ns), self.measuring);
        let room = &mut self.rooms[room as usize];
        let position = sequence.checked_sub(u64::from(room.done));
        if let Some(lacking) = position.and_then(|at| room.lacking.get_mut(at as usize)) {
            *lacking = lacking.saturating_sub(1);
        }
        while room.lacking.front() == Some(&0) {
            room.lacking.pop_front();
            room.done += 1;
            self.under_way -= 1;
        }
    }

    fn send(&mut self, at_ns: u64, swarm: &mut Swarm) {
        let number = self.next_room;
        self.next_room = (number + 1) % self.rooms.len() as u32;
        self.payload.clear();
        let room = &self.rooms[number as usize];
        stamped(&mut self.payload, u64::from(room.sent), at_ns, 0);
        let mut tail = format!("{number}:").into_bytes();
        let filler = self.payload_bytes.saturating_sub(self.payload.len() + tail.len());
        tail.resize(tail.len() + filler, b'x');
        self.payload.append(&mut tail);
        let head = format!("\"room\",\"bench-{}-{number}\",\"", self.worker);
        let payload = &self.payload;
        let taken = swarm.send(self.sender_of(number), |out| {
            out.emit(None, &[head.as_bytes(), payload, b"\""]);
        });
        if !taken {
            self.refused_sends += 1;
            return;
        }
        let room = &mut self.rooms[number as usize];
        room.sent += 1;
        room.lacking.push_back(room.members);
        self.under_way += 1;
        self.messages += u64::from(self.measuring);
    }
}

/// The room's number behind the stamp.
fn room_number(text: &[u8]) -> Option<u32> {
    let field = text.split(|byte| *byte == b':').nth(2)?;
    leading_number(field).0.and_then(|number| u32::try_from(number).ok())
}

impl Scenario for Rooms {
    fn message(&mut self, id: u32, now_ns: u64, message: Message<'_>, out: &mut Out) {
        match message {
            Message::Joined(_) => self.join(id, out),
            Message::Ack { .. } if !self.inside[id as usize] => {
                self.inside[id as usize] = true;
                self.inside_count += 1;
            }
            Message::Event(array) => {
                if let Some((b"r", Some(text))) = name_and_string(array)
                    && let (Some((sequence, asked_ns)), Some(room)) =
                        (stamp(text), room_number(text))
                {
                    self.note_delivery(id, room, sequence, asked_ns, now_ns);
                }
            }
            Message::Ack { .. } | Message::Early(_) | Message::Ping => (),
        }
    }

    fn command(&mut self, command: &Command, now_ns: u64, _swarm: &mut Swarm) {
        match command {
            Command::Start => {
                self.running = true;
                let rate = Some(self.rate_per_s).filter(|rate| *rate > 0.0);
                self.schedule = rate.map(|rate| Schedule::new(now_ns, rate, u64::MAX));
            }
            Command::Measure => self.measuring = true,
            Command::Stop { .. } => {
                self.running = false;
                self.measuring = false;
            }
            Command::Broadcast { .. }
            | Command::Cut { .. }
            | Command::Killed { .. }
            | Command::Pause
            | Command::Schedule { .. } => (),
        }
    }

    fn turn(&mut self, now_ns: u64, swarm: &mut Swarm, lines: &mut Vec<Line>) -> u64 {
        if !self.inside_said && swarm.is_settled() && self.inside_count == swarm.joined() {
            self.inside_said = true;
            lines.push(Line::Known);
        }
        if !self.running {
            return u64::MAX;
        }
        let Some(mut schedule) = self.schedule else {
            // A refused send is not tried again in this turn.
            let refused_before = self.refused_sends;
            while self.under_way < self.window && self.refused_sends == refused_before {
                self.send(now_ns, swarm);
            }
            return u64::MAX;
        };
        loop {
            match schedule.due(now_ns) {
                Ok((_, at_ns)) => self.send(at_ns, swarm),
                Err(again_ns) => {
                    self.schedule = Some(schedule);
                    return again_ns;
                }
            }
        }
    }

    fn is_drained(&self, _swarm: &Swarm) -> bool {
        self.under_way == 0
    }

    fn meter(&mut self) -> Option<&mut Meter> {
        Some(&mut self.latency)
    }

    fn operations(&self) -> u64 {
        self.deliveries
    }

    fn report(&mut self, swarm: &Swarm, report: &mut WorkerReport) {
        let mut tail = 0;
        for id in (0..self.inside.len() as u32).filter(|id| swarm.is_joined(*id)) {
            for index in 0..self.rooms_per_client {
                let sent = self.rooms[self.room_of(id, index) as usize].sent;
                let expected = self.expected[(id * self.rooms_per_client + index) as usize];
                tail += u64::from(sent.saturating_sub(expected));
            }
        }
        for (name, value) in [
            ("deliveries", self.measured),
            ("messages", self.messages),
            ("missing", self.missing + tail),
            ("duplicates", self.duplicates),
            ("strays", self.strays),
            ("refused_sends", self.refused_sends),
        ] {
            report.counters.insert(name.into(), value);
        }
        report.histograms.insert("delivery".into(), pairs(self.latency.total()));
    }
}

pub(super) fn direct(
    fleet: &mut Fleet,
    options: &Options,
    report: &mut Report,
) -> Result<(), BenchError> {
    fleet.wait_known()?;
    super::load_for_a_while(fleet, options, report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::tests::job;

    fn rooms(clients: u32, rooms: u32, rooms_per_client: u32) -> Rooms {
        Rooms::new(&Job { rooms, rooms_per_client, ..job(clients) })
    }

    #[test]
    fn every_room_has_its_members_and_the_first_is_one() {
        for (clients, count, per_client) in [(10, 5, 2), (7, 3, 3), (100, 40, 3), (5, 5, 1)] {
            let rooms = rooms(clients, count, per_client);
            for room in 0..count {
                let members = (0..clients)
                    .filter(|id| rooms.index_of(*id, room).is_some())
                    .collect::<Vec<_>>();
                assert_eq!(members.len() as u32, rooms.rooms[room as usize].members);
                assert_eq!(members.first(), Some(&rooms.sender_of(room)), "room {room} of {count}");
            }
            assert_eq!(rooms.index_of(0, count), None, "no such room");
        }
    }

    #[test]
    fn a_message_is_done_when_every_member_has_it_once() {
        let mut rooms = rooms(4, 2, 1);
        rooms.rooms[1].sent = 2;
        rooms.rooms[1].lacking = [2, 2].into();
        rooms.under_way = 2;
        for (id, sequence) in [(1, 0), (1, 0), (3, 0), (3, 1)] {
            rooms.note_delivery(id, 1, sequence, 10, 20);
        }
        assert_eq!((rooms.under_way, rooms.duplicates, rooms.missing), (1, 1, 0));
        rooms.note_delivery(0, 1, 1, 10, 20);
        assert_eq!(rooms.strays, 1, "client 0 is not in room 1");
        rooms.note_delivery(1, 1, 1, 10, 20);
        assert_eq!((rooms.under_way, rooms.deliveries), (0, 4));
    }

    #[test]
    fn a_room_is_read_from_behind_the_stamp() {
        assert_eq!(room_number(b"7:8:12:xx"), Some(12));
        assert_eq!(room_number(b"7:8:"), None);
        assert_eq!(room_number(b"7:8"), None);
    }
}
