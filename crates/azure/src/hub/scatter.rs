//! Calls that concern clients of several nodes: each node performs them for its own, and the node that
//! took the call answers when all have.

mod combine;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use trunkline_clock::Timestamp;
use trunkline_mesh::PeerKey;

use self::combine::Rule;
use super::Hub;
use super::calls::Caller;
use super::selecting::parse_filter;
use crate::filter::{Dialect, Reach};
use crate::metrics::Outcome;
use crate::peers::Word;
use crate::rest::{Answer, Operation, RestError, To};

/// The time in which all nodes must have answered.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// Acknowledgements that wait until all nodes have begun with an invocation.
const EARLY_MAX: usize = 4096;

/// A call as it came, for other nodes.
#[derive(Clone, Debug)]
pub(crate) struct RawCall {
    method: Box<str>,
    path: Box<str>,
    query: Box<str>,
    body: Bytes,
}

impl RawCall {
    pub(crate) fn new(method: &str, path: &str, query: &str, body: Bytes) -> Self {
        Self { method: method.into(), path: path.into(), query: query.into(), body }
    }
}

/// The calls that wait for other nodes.
#[derive(Debug, Default)]
pub(super) struct Gathers {
    next: u64,
    running: BTreeMap<u64, Gather>,
    /// When the calls are given up, in order. Those that have ended are in it, too.
    due: VecDeque<(Timestamp, u64)>,
}

#[derive(Debug)]
struct Gather {
    caller: Caller,
    label: &'static str,
    rule: Rule,
    waiting: BTreeSet<PeerKey>,
    /// The answers, each with the node's number.
    parts: Vec<(u16, Answer)>,
    /// The names of the nodes that did not answer, or not as they should.
    silent: Vec<Box<str>>,
    /// Present for an invocation.
    stream: Option<Stream>,
}

/// The acknowledgements of an invocation. `None` among the nodes is this one.
#[derive(Debug)]
struct Stream {
    /// The nodes that have not begun.
    unbegun: BTreeSet<Option<PeerKey>>,
    /// The nodes that have not ended.
    open: BTreeSet<Option<PeerKey>>,
    early: Vec<Bytes>,
}

/// Where the clients of a call may be.
struct Scope {
    here: bool,
    nodes: BTreeSet<PeerKey>,
}

impl Gathers {
    /// Whether no call waits.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    pub(super) fn poll_deadline(&self) -> Option<Timestamp> {
        self.due.front().map(|(at, _)| *at)
    }
}

impl Hub {
    /// Performs a call for the clients of all nodes.
    pub(super) fn perform_everywhere(
        &mut self,
        caller: Caller,
        operation: Operation,
        raw: RawCall,
    ) {
        if self.peers.is_alone() {
            return self.perform(caller, operation);
        }
        let label = operation.label();
        let scope = match self.scope(caller.dialect(), &operation) {
            Ok(scope) if scope.nodes.is_empty() => return self.perform(caller, operation),
            Ok(scope) => scope,
            Err(error) => return self.answer_counted(caller, label, error.answer()),
        };
        let rule = Rule::of(&operation);
        let away = scope.nodes.iter().filter(|node| !self.peers.is_open(**node));
        let away: Vec<_> = away.map(|node| self.peers.name_of(*node)).collect();
        // An app server's call is performed where it can be: its clients here must not suffer.
        if matches!(caller, Caller::Http(_)) && !away.is_empty() && rule != Rule::Exists {
            self.count_outcome("away");
            let error = RestError::NodesAway(combine::in_order(away));
            return self.answer_counted(caller, label, error.answer());
        }
        self.gather(caller, operation, raw, scope);
    }

    fn gather(&mut self, caller: Caller, operation: Operation, mut raw: RawCall, scope: Scope) {
        let Scope { here, nodes } = scope;
        let (label, rule) = (operation.label(), Rule::of(&operation));
        let adapter = caller.dialect() == Dialect::SocketIoAdapter;
        let call = self.gathers.next;
        self.gathers.next += 1;
        let all = || nodes.iter().map(|node| Some(*node)).chain(here.then_some(None));
        let stream = matches!(rule, Rule::Invoke).then(|| Stream {
            unbegun: all().collect(),
            open: all().collect(),
            early: Vec::new(),
        });
        let (waiting, parts, silent) = (nodes.clone(), Vec::new(), Vec::new());
        let gather = Gather { caller, label, rule, waiting, parts, silent, stream };
        self.gathers.running.insert(call, gather);
        self.gathers.due.push_back((self.now.at + CALL_TIMEOUT, call));
        let mut operation = operation;
        if let (Rule::List(page), Operation::List { from, .. }) = (rule, &mut operation) {
            from.skip = page.skip_at(self.peers.number_of(None));
        }
        if here {
            let myself = Caller::Gathered { call, adapter };
            match self.try_perform(myself, untopped(operation)) {
                Ok(Some(answer)) => self.gather_part(call, None, answer),
                Ok(None) => (), // It has begun already.
                Err(error) => {
                    // It is wrong everywhere.
                    self.gathers.running.remove(&call);
                    return self.answer_counted(caller, label, error.answer());
                }
            }
        }
        for node in nodes {
            if !self.gathers.running.contains_key(&call) {
                return;
            }
            if let Rule::List(page) = rule {
                raw.query = page.query_for(self.peers.number_of(Some(node)));
            }
            let target = match &*raw.query {
                "" => raw.path.clone(),
                query => format!("{}?{query}", raw.path).into(),
            };
            let (method, body) = (raw.method.clone(), raw.body.clone());
            if !self.say(node, &Word::Call { call, adapter, method, target, body }) {
                self.gather_silent(call, node);
            }
        }
    }

    /// Takes an answer of another node, or a part of one.
    pub(super) fn gather_answer(
        &mut self,
        call: u64,
        peer: PeerKey,
        more: bool,
        status: u16,
        body: Bytes,
    ) {
        let answer = Answer { status, headers: Vec::new(), body, more };
        self.gather_part(call, Some(peer), answer);
    }

    /// Takes an answer of a node, or a part of one. `None`: of this node.
    pub(super) fn gather_part(&mut self, call: u64, from: Option<PeerKey>, answer: Answer) {
        let number = self.peers.number_of(from);
        let Some(gather) = self.gathers.running.get_mut(&call) else { return };
        let fits = gather.rule.accepts(answer.status);
        if let Some(peer) = from
            && !fits
        {
            return self.gather_silent(call, peer);
        }
        if gather.stream.is_some() {
            return self.stream_part(call, from, answer);
        }
        if from.is_some_and(|peer| !gather.waiting.remove(&peer)) {
            return;
        }
        gather.parts.push((number, answer));
        let found = gather.rule == Rule::Exists
            && gather.parts.last().is_some_and(|(_, answer)| answer.status == 200);
        if found || gather.waiting.is_empty() {
            self.finish_gather(call);
        }
    }

    /// Notes that a node will not answer a call.
    fn gather_silent(&mut self, call: u64, peer: PeerKey) {
        let name = self.peers.name_of(peer);
        let Some(gather) = self.gathers.running.get_mut(&call) else { return };
        let waited = gather.waiting.remove(&peer);
        if let Some(stream) = &mut gather.stream {
            if stream.unbegun.remove(&Some(peer)) {
                gather.silent.push(name);
                self.finish_gather(call);
            } else if stream.open.contains(&Some(peer)) {
                // Its clients are gone for this node: their acknowledgements do not come.
                self.stream_part(call, Some(peer), Answer::part(Bytes::new(), false));
            }
            return;
        }
        if waited {
            gather.silent.push(name);
            if gather.waiting.is_empty() {
                self.finish_gather(call);
            }
        }
    }

    /// Notes that a node will answer no call that it has been asked.
    pub(super) fn gather_lost(&mut self, peer: PeerKey) {
        let running = self.gathers.running.iter();
        let concerned = running.filter_map(|(&call, gather)| {
            let open = gather.stream.as_ref().map(|stream| &stream.open);
            let streams = open.is_some_and(|open| open.contains(&Some(peer)));
            (gather.waiting.contains(&peer) || streams).then_some(call)
        });
        for call in concerned.collect::<Vec<_>>() {
            self.gather_silent(call, peer);
        }
    }

    fn stream_part(&mut self, call: u64, from: Option<PeerKey>, answer: Answer) {
        let Some(gather) = self.gathers.running.get_mut(&call) else { return };
        let (caller, label) = (gather.caller, gather.label);
        let Some(stream) = &mut gather.stream else { return };
        if !stream.open.contains(&from) {
            return;
        }
        let began = stream.unbegun.remove(&from) && stream.unbegun.is_empty();
        if !answer.more {
            stream.open.remove(&from);
        }
        let ended = stream.open.is_empty();
        let mut parts = std::mem::take(&mut stream.early);
        if !answer.body.is_empty() {
            parts.push(answer.body);
        }
        if !stream.unbegun.is_empty() {
            stream.early = parts;
            if stream.early.len() > EARLY_MAX {
                self.metrics.answers_dropped.inc();
                self.finish_gather(call);
            }
            return;
        }
        if ended {
            self.gathers.running.remove(&call);
        }
        if began {
            self.count_call(caller, label, 200);
            self.count_outcome("answered");
            // The first part lets the caller go on with its next call.
            self.answer(caller, Answer::part(Bytes::new(), true));
        }
        for part in parts {
            self.answer(caller, Answer::part(part, true));
        }
        if ended {
            self.answer(caller, Answer::part(Bytes::new(), false));
        }
    }

    /// Answers the caller with what there is.
    fn finish_gather(&mut self, call: u64) {
        let Some(gather) = self.gathers.running.remove(&call) else { return };
        let Gather { caller, label, rule, parts, silent, stream, waiting: _ } = gather;
        if let Some(stream) = stream {
            self.end_stream(call, &stream);
        }
        let found = || combine::has(&parts, 200);
        let answer = if silent.is_empty() || rule == Rule::Exists && found() {
            self.count_outcome("answered");
            combine::combine(rule, parts)
        } else {
            self.count_outcome("silent");
            RestError::NodesSilent(combine::in_order(silent)).answer()
        };
        self.answer_counted(caller, label, answer);
    }

    /// Notes that a caller is gone: nobody waits for the acknowledgements of its invocation.
    pub(super) fn gather_unwanted(&mut self, caller: Caller) {
        let running = self.gathers.running.iter();
        let streams = running.filter(|(_, one)| one.caller == caller && one.stream.is_some());
        for call in streams.map(|(call, _)| *call).collect::<Vec<_>>() {
            if let Some(stream) = self.gathers.running.remove(&call).and_then(|one| one.stream) {
                self.end_stream(call, &stream);
            }
        }
    }

    /// Ends an invocation at all nodes.
    fn end_stream(&mut self, call: u64, stream: &Stream) {
        let ours = |caller| matches!(caller, Caller::Gathered { call: one, .. } if one == call);
        self.drop_invokes_of(ours);
        for node in stream.open.iter().flatten() {
            self.say(*node, &Word::CallGone { call });
        }
    }

    pub(super) fn end_late_gathers(&mut self) {
        let now = self.now.at;
        while let Some((_, call)) = self.gathers.due.pop_front_if(|(at, _)| *at <= now) {
            let Some(gather) = self.gathers.running.get_mut(&call) else { continue };
            let late: Vec<PeerKey> = match &gather.stream {
                Some(stream) => stream.unbegun.iter().copied().flatten().collect(),
                None => gather.waiting.iter().copied().collect(),
            };
            if !late.is_empty() {
                gather.silent.extend(late.iter().map(|node| self.peers.name_of(*node)));
                self.finish_gather(call);
            }
        }
    }

    fn count_outcome(&self, outcome: &'static str) {
        self.metrics.peer_calls.get_or_create(&Outcome { outcome }).inc();
    }

    /// Where the clients of a call may be. Other nodes need not be asked about connections of this one.
    fn scope(&self, dialect: Dialect, operation: &Operation) -> Result<Scope, RestError> {
        let one = |id: &str| Ok(self.scope_of([id].into_iter()));
        match operation {
            Operation::Token(_) => Ok(Scope { here: true, nodes: BTreeSet::new() }),
            Operation::Permission { connection: id, .. }
            | Operation::Send { to: To::Connection(id), .. }
            | Operation::Close { to: To::Connection(id), .. }
            | Operation::Exists(To::Connection(id))
            | Operation::Membership { who: To::Connection(id), .. }
            | Operation::LeaveAll(To::Connection(id)) => one(id),
            Operation::Send { to: To::All, filter: Some(filter), .. }
            | Operation::Invoke { filter: Some(filter), .. }
            | Operation::Regroup { filter, .. } => {
                let filter = parse_filter(filter, dialect)?;
                Ok(match filter.reach() {
                    Reach::Connections(ids) => self.scope_of(ids.iter().map(|id| &**id)),
                    Reach::Nobody => Scope { here: true, nodes: BTreeSet::new() },
                    Reach::Each | Reach::Everyone | Reach::Groups { .. } | Reach::Users(_) => {
                        self.everywhere()
                    }
                })
            }
            Operation::List { from, .. } => {
                let mut scope = self.everywhere();
                let first = from.node.map_or(0, |(node, _)| node);
                scope.here = self.peers.number_of(None) >= first;
                scope.nodes.retain(|node| self.peers.number_of(Some(*node)) >= first);
                Ok(scope)
            }
            Operation::Send { .. }
            | Operation::Close { .. }
            | Operation::Exists(_)
            | Operation::Membership { .. }
            | Operation::LeaveAll(_)
            | Operation::Invoke { .. } => Ok(self.everywhere()),
        }
    }

    fn everywhere(&self) -> Scope {
        Scope { here: true, nodes: self.peers.all().into_iter().collect() }
    }

    /// The nodes of these connections: a sid names its node. Unknown ones are looked for here, in vain.
    fn scope_of<'a>(&self, ids: impl Iterator<Item = &'a str>) -> Scope {
        let mut scope = Scope { here: false, nodes: BTreeSet::new() };
        for id in ids {
            let known = self.registry.by_id(id).is_some();
            let node = if known { None } else { node_of(id) };
            let nodes = node.into_iter().flat_map(|number| self.peers.with_number(number));
            let mut any = false;
            scope.nodes.extend(nodes.inspect(|_| any = true));
            scope.here |= !any;
        }
        scope
    }
}

/// The number of the node that made a sid.
fn node_of(id: &str) -> Option<u16> {
    let mut bytes = [0; 21];
    let length = URL_SAFE_NO_PAD.decode_slice(id, &mut bytes).ok()?;
    (length == bytes.len()).then(|| u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// A list's limit holds for all nodes together.
fn untopped(operation: Operation) -> Operation {
    match operation {
        Operation::List { group, page, from, top: _ } => {
            Operation::List { group, page, top: None, from }
        }
        other @ (Operation::Send { .. }
        | Operation::Invoke { .. }
        | Operation::Close { .. }
        | Operation::Exists(_)
        | Operation::Regroup { .. }
        | Operation::Membership { .. }
        | Operation::LeaveAll(_)
        | Operation::Permission { .. }
        | Operation::Token(_)) => other,
    }
}
