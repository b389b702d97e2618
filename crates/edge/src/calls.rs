//! What app servers ask the node to do about clients' tokens: over their trunks, or over HTTP.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use trunkline_token::{TextMark, TokenRefused};
use trunkline_trunk::SessionNumber;

use crate::door::{Door, Site};
use crate::http::{Judged, claims_as_json, judge_token};
use crate::hub::{Full, Hub, Revoked, TrunkNumber};
use crate::reply;
use crate::shard::{Command, NotRefreshed, Refresh, TokenCommand, Whose};

/// For how long tokens are revoked unless the app server says.
const KEPT_S: u64 = 24 * 60 * 60;
/// The longest time for which they may be.
const KEPT_S_MAX: u64 = 90 * 24 * 60 * 60;

/// The longest arguments: a token, and some more.
pub(crate) const ARGUMENTS_BYTES_MAX: usize = 64 * 1024;
/// The most calls of one trunk without an answer: an identity provider may be slow.
pub(crate) const UNDER_WAY_MAX: usize = 1_024;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Caller {
    /// An app server, over this trunk: it names sessions by their numbers.
    Trunk(TrunkNumber),
    /// Whoever has a key of the hub, over HTTP: it names sessions by their ids.
    Http,
}

/// The reason why something was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotDone {
    #[error("this node has no call of that name; it has tokens.refresh and tokens.revoke")]
    Unknown,
    #[error("the arguments are not right: {0}")]
    Arguments(String),
    #[error("name either user or tokenId")]
    Whom,
    #[error("keepFor is a number of seconds from 1 to {KEPT_S_MAX}")]
    KeepFor,
    #[error("another node has this session: ask that one, or its app server over its trunk")]
    Elsewhere,
    #[error("this trunk has {UNDER_WAY_MAX} calls without an answer; wait for some of them")]
    Busy,
    #[error("{0}")]
    Token(#[from] TokenRefused),
    #[error("{0}")]
    Refresh(#[from] NotRefreshed),
    #[error(
        "this hub has as many revocations as it may (token_revocations_max); shorten keepFor, or raise the limit"
    )]
    Full,
}

impl NotDone {
    pub(crate) fn slug(&self) -> &'static str {
        match self {
            Self::Unknown => "call_unknown",
            Self::Arguments(_) | Self::Whom | Self::KeepFor => "arguments",
            Self::Elsewhere => "session_elsewhere",
            Self::Busy => "calls_full",
            Self::Token(refused) => refused.slug(),
            Self::Refresh(NotRefreshed::Gone) => "session_unknown",
            Self::Refresh(NotRefreshed::NoToken) => "session_without_token",
            Self::Refresh(NotRefreshed::OtherUser) => "token_of_other_user",
            Self::Refresh(NotRefreshed::Moving) => "session_moving",
            Self::Refresh(NotRefreshed::Revoked) => "token_revoked",
            Self::Full => "revocations_full",
        }
    }

    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Unknown | Self::Elsewhere | Self::Refresh(NotRefreshed::Gone) => 404,
            Self::Arguments(_) | Self::Whom | Self::KeepFor => 400,
            Self::Token(refused) => refused.status(),
            Self::Refresh(NotRefreshed::NoToken | NotRefreshed::OtherUser) => 403,
            Self::Refresh(NotRefreshed::Moving) | Self::Full | Self::Busy => 503,
            Self::Refresh(NotRefreshed::Revoked) => 401,
        }
    }

    /// The error as JSON, for whoever asked.
    pub(crate) fn to_json(&self) -> String {
        json!({ "error": self.slug(), "message": self.to_string() }).to_string()
    }
}

/// Does what is asked; the answer is a JSON object.
pub(crate) async fn call(
    door: &Door,
    hub: &Arc<Hub>,
    caller: Caller,
    (name, arguments): (&str, &[u8]),
) -> Result<String, NotDone> {
    if arguments.len() > ARGUMENTS_BYTES_MAX {
        return Err(NotDone::Arguments("they are too long".into()));
    }
    match name {
        "tokens.refresh" => refresh(door, hub, caller, parse(arguments)?).await,
        "tokens.revoke" => revoke(door, hub, parse(arguments)?).await,
        _ => Err(NotDone::Unknown),
    }
}

fn parse<'a, T: Deserialize<'a>>(arguments: &'a [u8]) -> Result<T, NotDone> {
    serde_json::from_slice(arguments).map_err(|error| NotDone::Arguments(error.to_string()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RefreshArguments {
    /// The session's number on the trunk.
    session: Option<u32>,
    /// The session's id.
    sid: Option<String>,
    token: String,
}

async fn refresh(
    door: &Door,
    hub: &Arc<Hub>,
    caller: Caller,
    asked: RefreshArguments,
) -> Result<String, NotDone> {
    let RefreshArguments { session, sid, token } = asked;
    let (whose, shard) = match (caller, session, sid) {
        (Caller::Trunk(trunk), Some(number), None) => {
            let shards = u32::try_from(door.peers().len()).unwrap_or(u32::MAX);
            let shard = u8::try_from(number % shards).unwrap_or(u8::MAX);
            (Whose::Number(trunk, SessionNumber(number)), shard)
        }
        (Caller::Http, None, Some(sid)) => {
            let found = door.find_sid(hub, &sid).await.unwrap_or_default();
            let sid = found.ok_or(NotRefreshed::Gone)?;
            match door.site_of_sid(hub, &sid).await {
                Site::Shard(shard) => (Whose::Sid(sid), shard),
                Site::Elsewhere => return Err(NotDone::Elsewhere),
            }
        }
        (Caller::Trunk(_), ..) => {
            return Err(NotDone::Arguments("session is the session's number".into()));
        }
        (Caller::Http, ..) => return Err(NotDone::Arguments("sid is the session's id".into())),
    };
    let Judged { claims, token } = judge_token(door.env(), hub, &token, None).await?;
    let expires = claims.seconds("exp");
    let claims = claims_as_json(claims);
    let (reply, refreshed) = reply::pair();
    let refresh = Refresh { hub: hub.number, whose, token, claims: claims.clone(), reply };
    door.tell(shard, Command::Token(Box::new(TokenCommand::Refresh(refresh)))).await;
    // A shard that stops has no sessions any longer.
    refreshed.await.unwrap_or(Err(NotRefreshed::Gone))?;
    let claims: serde_json::Value = serde_json::from_str(&claims).unwrap_or_default();
    Ok(json!({ "expiresAt": expires, "claims": claims }).to_string())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RevokeArguments {
    user: Option<serde_json::Value>,
    token_id: Option<serde_json::Value>,
    /// Seconds since 1970.
    signed_before: Option<u64>,
    /// Seconds.
    keep_for: Option<u64>,
}

/// The mark of a claim's value, which is a text or a number.
fn mark_of(value: &serde_json::Value) -> Result<TextMark, NotDone> {
    let is_name = value.is_string() || value.is_number();
    let mark = TextMark::of_value(value).filter(|_| is_name);
    mark.ok_or_else(|| NotDone::Arguments("user and tokenId are texts or numbers".into()))
}

async fn revoke(door: &Door, hub: &Arc<Hub>, asked: RevokeArguments) -> Result<String, NotDone> {
    let RevokeArguments { user, token_id, signed_before, keep_for } = asked;
    let revoked = match (user, token_id, signed_before) {
        // Without a time: every token that anybody has signed until now.
        (Some(user), None, before) => {
            let before = before.unwrap_or_else(|| crate::http::unix_seconds() + 1);
            Revoked::User(mark_of(&user)?, before)
        }
        (None, Some(id), None) => Revoked::Id(mark_of(&id)?),
        (None, Some(_), Some(_)) => {
            return Err(NotDone::Arguments("signedBefore belongs to user".into()));
        }
        (Some(_), Some(_), _) | (None, None, _) => return Err(NotDone::Whom),
    };
    let keep_for = keep_for.unwrap_or(KEPT_S);
    if !(1..=KEPT_S_MAX).contains(&keep_for) {
        return Err(NotDone::KeepFor);
    }
    let env = door.env();
    let (now, max) = (env.now(), env.limits.token_revocations_max);
    let until = now + Duration::from_secs(keep_for);
    // Before sessions are looked at: whoever comes meanwhile finds it.
    let is_news = hub.revocations.add(now, revoked, until, max).map_err(|Full| NotDone::Full)?;
    let mut sessions = 0;
    if !is_news {
        return Ok(json!({ "sessions": sessions }).to_string());
    }
    for shard in 0..door.peers().len() {
        let (reply, ended) = reply::pair();
        let command = TokenCommand::Revoke { hub: hub.number, revoked, reply };
        let shard = u8::try_from(shard).unwrap_or(u8::MAX);
        door.tell(shard, Command::Token(Box::new(command))).await;
        sessions += ended.await.unwrap_or_default();
    }
    let what = if matches!(revoked, Revoked::Id(_)) { "a token" } else { "the tokens of a user" };
    tracing::info!(hub = %hub.name, sessions, keep_for_s = keep_for, "an app server has revoked {what}");
    Ok(json!({ "sessions": sessions }).to_string())
}
