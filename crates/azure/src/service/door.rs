//! Requests on the public port: tunnels, the data plane, health.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout;
use trunkline_http::body::{self, BodyError, Bounds};
use trunkline_http::upgrade::{switch, websocket_key};
use trunkline_http::{
    Ceiling, LogPace, PeerNotice, SideAnswer, SideBody, SideDoor, Visit, is_hub_name,
};
use trunkline_token::{Claims, KeyMark, Names, TokenRefused};

use super::hubs::{HubHandle, Input, next_number};
use super::nodes::Nodes;
use super::spare::Spare;
use super::tunnel::Tunnel;
use super::{Config, DOOR, answer, token};
use crate::hub::{CallId, RawCall, TunnelId};
use crate::identity::Bearer;
use crate::metrics::{CallOutcome, Cause, Metrics};
use crate::rest::{self, Answer, Operation, RestError, TokenWish};

const TUNNEL_PATH: &str = "/server/tunnel";
const HUBS_PREFIX: &str = "/api/hubs/";
const HEALTH_PATH: &str = "/api/health";
/// The longest body of a call.
const BODY_BYTES_MAX: usize = 8 << 20;
/// The longest body while the node's memory is full.
const FULL_BYTES_MAX: usize = 64 << 10;
/// Parts of an answer that may wait for a caller that does not read. Beyond it, the answer ends.
const ANSWERS_MAX: usize = 256;
/// How long a call's body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The body of an answer.
pub(super) type Body = SideBody;

/// The Azure door, for the threads of the public port. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Door(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    hubs: RwLock<Vec<Arc<HubHandle>>>,
    spare: Option<Spare>,
    names: RwLock<Arc<Names>>,
    metrics: Metrics,
    ceiling: Ceiling,
    spawner: Handle,
    /// Distinguishes names that this node invents from those of other nodes.
    tag: u32,
    refused: LogPace,
    nodes: Mutex<Nodes>,
}

impl SideDoor for Door {
    fn claims(&self, path: &str) -> bool {
        path.starts_with(HUBS_PREFIX)
            || [TUNNEL_PATH, HEALTH_PATH].contains(&path.trim_end_matches('/'))
    }

    fn serve(&self, visit: Visit) -> SideAnswer {
        Box::pin(self.clone().answer(visit))
    }

    fn notice(&self, notice: PeerNotice) {
        self.pass_on(notice);
    }
}

impl Door {
    pub(super) fn new(
        config: &Config,
        hubs: Vec<Arc<HubHandle>>,
        spare: Option<Spare>,
        metrics: Metrics,
        ceiling: Ceiling,
        (spawner, tag): (Handle, u32),
    ) -> Self {
        let names = RwLock::new(Arc::new(config.names.clone()));
        let refused = LogPace::default();
        let hubs = RwLock::new(hubs);
        let nodes = Mutex::default();
        let inner = Inner { hubs, spare, names, metrics, ceiling, spawner, tag, refused, nodes };
        Self(Arc::new(inner))
    }

    async fn answer(self, visit: Visit) -> Response<Body> {
        let path = visit.request.uri().path();
        if path.starts_with(HUBS_PREFIX) {
            return self.call(visit.request).await;
        }
        if path.trim_end_matches('/') == HEALTH_PATH {
            return health(visit.request.method());
        }
        self.tunnel(visit).await
    }

    /// The identity providers' judgement of a client's token; `None` when none of them is
    /// responsible.
    pub async fn verify_client(
        &self,
        hub: &str,
        token: &str,
    ) -> Option<Result<Claims, TokenRefused>> {
        self.hub(hub)?.identity.verify(Bearer::Client, token, token::now_s(), token::SKEW_S).await
    }

    /// The names by which tokens may address this node.
    fn names(&self) -> Arc<Names> {
        Arc::clone(&self.0.names.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set_names(&self, names: Names) {
        *self.0.names.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(names);
    }

    /// The hubs at present.
    pub(super) fn hubs(&self) -> Vec<Arc<HubHandle>> {
        self.0.hubs.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_hubs(&self, hubs: Vec<Arc<HubHandle>>) {
        let mut present = self.0.hubs.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = |hub: &&Arc<HubHandle>| {
            !present.iter().any(|one| one.name.eq_ignore_ascii_case(&hub.name))
        };
        // Locked after the hubs, as when a hub is made.
        let nodes = self.0.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        for hub in hubs.iter().filter(is_new) {
            nodes.notices().for_each(|notice| hub.inbox.notify(notice));
        }
        *present = hubs;
    }

    fn hub(&self, name: &str) -> Option<Arc<HubHandle>> {
        let hubs = self.0.hubs.read().unwrap_or_else(PoisonError::into_inner);
        hubs.iter().find(|hub| hub.name.eq_ignore_ascii_case(name)).map(Arc::clone)
    }

    /// Checks a token for a hub and returns the hub, which may be created now.
    async fn enter<T, E: From<TokenRefused>>(
        &self,
        name: &str,
        unknown: E,
        check: impl AsyncFnOnce(&HubHandle) -> Result<T, TokenRefused>,
    ) -> Result<(Arc<HubHandle>, T), E> {
        if let Some(hub) = self.hub(name) {
            let checked = check(&hub).await?;
            return Ok((hub, checked));
        }
        let spare = self.0.spare.as_ref().filter(|_| is_hub_name(name));
        let Some(spare) = spare else { return Err(unknown) };
        let checked = check(spare.stranger()).await?;
        self.make_hub(spare, name).map(|hub| (hub, checked)).ok_or(unknown)
    }

    /// Creates a hub on demand.
    fn make_hub(&self, spare: &Spare, name: &str) -> Option<Arc<HubHandle>> {
        let mut hubs = self.0.hubs.write().unwrap_or_else(PoisonError::into_inner);
        // Another request may have created the hub meanwhile.
        if let Some(hub) = hubs.iter().find(|hub| hub.name.eq_ignore_ascii_case(name)) {
            return Some(Arc::clone(hub));
        }
        if hubs.len() >= spare.hubs_max() {
            return None;
        }
        match spare.make(name) {
            Ok(hub) => {
                let hub = Arc::new(hub);
                hubs.push(Arc::clone(&hub));
                let nodes = self.0.nodes.lock().unwrap_or_else(PoisonError::into_inner);
                nodes.notices().for_each(|notice| hub.inbox.notify(notice));
                Some(hub)
            }
            Err(error) => {
                drop(hubs);
                if let Some(times) = self.0.refused.note("hub_not_made", Instant::now()) {
                    tracing::warn!(hub = name, times, %error, "a hub could not be made");
                }
                None
            }
        }
    }

    /// Gives a notice of the other nodes to the hubs that it concerns.
    fn pass_on(&self, notice: PeerNotice) {
        if let PeerNotice::Word { hub: name, .. } | PeerNotice::Dropped { hub: name, .. } = &notice
        {
            if matches!(notice, PeerNotice::Word { door, .. } if door != DOOR) {
                return;
            }
            // An app server has created the hub at another node.
            let spare = || self.0.spare.as_ref().filter(|_| is_hub_name(name));
            let hub = self.hub(name).or_else(|| self.make_hub(spare()?, name));
            if let Some(hub) = hub {
                hub.inbox.notify(notice);
            }
            return;
        }
        let hubs = self.0.hubs.read().unwrap_or_else(PoisonError::into_inner);
        // Locked after the hubs, as when a hub is made.
        let mut nodes = self.0.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.note(&notice);
        for hub in &*hubs {
            hub.inbox.notify(notice.clone());
        }
    }

    /// Handles an app server that asks for a tunnel.
    async fn tunnel(&self, visit: Visit) -> Response<Body> {
        let Visit { mut request, from, lease } = visit;
        let Ok(key) = websocket_key(&request) else {
            return self.refuse_tunnel(from, TunnelRefused::BadRequest);
        };
        let (hub, server, mark) = match self.authorise(&request).await {
            Ok(accepted) => accepted,
            Err(refused) => return self.refuse_tunnel(from, refused),
        };
        let tunnel = Tunnel {
            id: TunnelId(next_number()),
            server,
            key: mark,
            inbox: hub.inbox.clone(),
            metrics: self.0.metrics.clone(),
            lease,
        };
        let upgraded = hyper::upgrade::on(&mut request);
        self.0.spawner.spawn(async move {
            if let Ok(upgraded) = upgraded.await {
                tunnel.run(upgraded).await;
            }
        });
        switching(&key)
    }

    fn refuse_tunnel(&self, from: SocketAddr, refused: TunnelRefused) -> Response<Body> {
        let slug = refused.slug();
        self.0.metrics.tunnels_refused.get_or_create(&Cause { cause: slug }).inc();
        if let Some(times) = self.0.refused.note(slug, Instant::now()) {
            tracing::warn!(address = %from, times, "a tunnel was refused: {refused}");
        }
        let mut response = answer::error(refused.status(), slug, &refused.to_string());
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }

    async fn authorise<B>(
        &self,
        request: &Request<B>,
    ) -> Result<(Arc<HubHandle>, String, Option<KeyMark>), TunnelRefused> {
        let query = request.uri().query().unwrap_or_default();
        let name = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "hub");
        let name = name.ok_or(TunnelRefused::HubUnknown)?.1;
        let names = self.names();
        let check = async |hub: &HubHandle| token::check_tunnel(request, hub, &names).await;
        let (hub, verified) = self.enter(&name, TunnelRefused::HubUnknown, check).await?;
        // A tunnel whose token has no name for the app server is an app server of its own. An
        // identity provider's subject is not such a name: all app servers of an app share it.
        let subject = verified.claims.text("sub").filter(|_| verified.by_hub_key.is_some());
        let server = subject.filter(|sub| !sub.is_empty());
        let server = server
            .map_or_else(|| format!("unnamed-{:08x}-{}", self.0.tag, next_number()), str::to_owned);
        Ok((hub, server, verified.by_hub_key))
    }

    /// Handles a REST call.
    async fn call(&self, request: Request<Incoming>) -> Response<Body> {
        match self.try_call(request).await {
            Ok(response) => response,
            Err(error) => {
                let label =
                    CallOutcome { operation: "refused", via: "http", status: error.status() };
                self.0.metrics.calls.get_or_create(&label).inc();
                answer::whole(error.answer())
            }
        }
    }

    async fn try_call(&self, request: Request<Incoming>) -> Result<Response<Body>, RestError> {
        let path = request.uri().path().to_owned();
        let name = path[HUBS_PREFIX.len()..].split('/').next().unwrap_or_default();
        let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
        let names = self.names();
        let check = async |hub: &HubHandle| {
            let checked = token::check_call(&request, hub, &names).await;
            if let Err(refused) = &checked {
                let cause = Cause { cause: refused.slug() };
                self.0.metrics.calls_unauthorized.get_or_create(&cause).inc();
            }
            checked
        };
        let (hub, ()) = self.enter(&name, RestError::HubUnknown, check).await?;
        let hub = &*hub;
        let (parts, body) = request.into_parts();
        let body = self.read_body(hub, body).await?;
        let body_bytes = body.len();
        let query = parts.uri.query().unwrap_or_default();
        let raw = RawCall::new(parts.method.as_str(), &path, query, body.clone());
        let call = rest::parse(parts.method.as_str(), &path, query, body)?;
        if let Operation::Token(wish) = &call.operation {
            return self.client_token(hub, &parts.headers, wish);
        }
        let (first, rest) = ask(hub, call.operation, raw, body_bytes).await?;
        if first.more {
            return Ok(answer::streamed(first, rest));
        }
        let next = |place: &str| next_link(&parts.headers, &path, query, place);
        Ok(answer::whole(answer::with_next_page(first, next)))
    }

    /// Reads a call's body. The bodies of one hub share a limit, so that slow callers only delay
    /// calls of their own hub.
    async fn read_body(&self, hub: &HubHandle, body: Incoming) -> Result<Bytes, RestError> {
        let length = body.size_hint().upper().and_then(|length| usize::try_from(length).ok());
        let length = length.unwrap_or(usize::MAX).min(BODY_BYTES_MAX);
        let room = timeout(BODY_TIMEOUT, hub.bodies.room(length)).await;
        let _room = room.map_err(|_| RestError::Busy)?;
        let bounds = Bounds {
            bytes_max: BODY_BYTES_MAX,
            chunks_max: usize::MAX,
            timeout: BODY_TIMEOUT,
            full_bytes_max: FULL_BYTES_MAX,
            is_full: &|| self.0.ceiling.is_full(),
        };
        body::read(body, &bounds).await.map_err(|error| match error {
            BodyError::Broken => RestError::Parameter("the body broke off"),
            BodyError::MemoryFull => RestError::MemoryFull,
            BodyError::Slow => RestError::Parameter("the body did not come in time"),
            BodyError::TooLarge | BodyError::TooManyChunks => RestError::TooLarge(BODY_BYTES_MAX),
        })
    }

    fn client_token(
        &self,
        hub: &HubHandle,
        headers: &HeaderMap,
        wish: &TokenWish,
    ) -> Result<Response<Body>, RestError> {
        // The name that the caller used, if it is one of ours; with another name, its token would
        // not be valid here.
        let endpoint = format!("{}/", self.names().called(&origin_of(headers)));
        let token = token::for_client(hub, &endpoint, wish)
            .ok_or(RestError::Parameter("the node cannot sign: the hub has no key"))?;
        let label = CallOutcome { operation: "generate_token", via: "http", status: 200 };
        self.0.metrics.calls.get_or_create(&label).inc();
        Ok(answer::whole(Answer::json(200, &serde_json::json!({ "token": token }))))
    }
}

/// Notifies the hub's task when the caller has gone before its answer came.
struct Waiting<'a> {
    hub: &'a HubHandle,
    id: CallId,
    answered: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.answered {
            // A full inbox does no harm: the answer then has no receiver.
            self.hub.inbox.try_send(Input::CallerGone { id: self.id });
        }
    }
}

async fn ask(
    hub: &HubHandle,
    operation: Operation,
    raw: RawCall,
    body_bytes: usize,
) -> Result<(Answer, mpsc::Receiver<Answer>), RestError> {
    let id = CallId(next_number());
    let (reply, mut answers) = mpsc::channel(ANSWERS_MAX);
    let stops = || RestError::Unavailable;
    let room = hub.inbox.room(body_bytes).await.ok_or_else(stops)?;
    if !hub.inbox.send(Input::Call { id, operation, raw, reply, room }).await {
        return Err(stops());
    }
    let mut waiting = Waiting { hub, id, answered: false };
    let first = answers.recv().await.ok_or_else(stops)?;
    waiting.answered = true;
    Ok((first, answers))
}

/// The node's address as the caller named it.
fn origin_of(headers: &HeaderMap) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(HOST.as_str()).unwrap_or("localhost");
    // A proxy that terminates TLS sets this header.
    let scheme = text("x-forwarded-proto").filter(|scheme| *scheme == "https").unwrap_or("http");
    format!("{scheme}://{host}")
}

fn next_link(headers: &HeaderMap, path: &str, query: &str, place: &str) -> String {
    let mut pairs = form_urlencoded::Serializer::new(String::new());
    let others = form_urlencoded::parse(query.as_bytes());
    pairs.extend_pairs(others.filter(|(name, _)| name != "continuationToken"));
    pairs.append_pair("continuationToken", place);
    format!("{}{path}?{}", origin_of(headers), pairs.finish())
}

fn health(method: &Method) -> Response<Body> {
    let known = [Method::GET, Method::HEAD].contains(method);
    answer::whole(Answer::empty(if known { 200 } else { 405 }))
}

fn switching(key: &str) -> Response<Body> {
    let mut response = answer::whole(Answer::empty(101));
    switch(response.headers_mut(), key);
    response
}

/// One variant per reason for refusing a tunnel's request, in alphabetical order.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
enum TunnelRefused {
    #[error("this is no WebSocket upgrade")]
    BadRequest,
    #[error("this node does not serve the hub that the query names")]
    HubUnknown,
    #[error(transparent)]
    Token(#[from] TokenRefused),
}

impl TunnelRefused {
    const fn slug(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::HubUnknown => "hub_unknown",
            Self::Token(refused) => refused.slug(),
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::HubUnknown => StatusCode::NOT_FOUND,
            Self::Token(refused) => {
                StatusCode::from_u16(refused.status()).unwrap_or(StatusCode::UNAUTHORIZED)
            }
        }
    }
}
