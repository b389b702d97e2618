//! Who sends most: the question of the admin port, and the command that asks it.

use core::net::SocketAddr;
use core::time::Duration;
use std::fmt::Write as _;
use std::io;
use std::sync::mpsc;

use serde::Deserialize;
use trunkline_api::{Asked, Refused};
use trunkline_edge::{Running, TalkersBy, TalkersQuestion, TalkersRefused};

use crate::config::Config;
use crate::config::units::parse_duration;
use crate::reload;

const FOR_MAX: Duration = Duration::from_secs(60);
const ROWS_MAX: usize = 200;

/// The answer to `GET /api/v1/talkers` with this query.
pub(crate) fn answer(edge: &Running, query: &str) -> Asked {
    let refused = |status, error, message: String| -> Asked {
        Box::pin(core::future::ready(Err(Refused { status, error, message })))
    };
    let question = match parse(query) {
        Ok(question) => question,
        Err(message) => return refused(400, "talkers_question", message),
    };
    match edge.talkers(question) {
        Ok(top) => Box::pin(async move {
            serde_json::to_vec(&top.await).map_err(|error| Refused {
                status: 500,
                error: "internal",
                message: error.to_string(),
            })
        }),
        Err(why @ TalkersRefused::Busy) => refused(429, "talkers_busy", why.to_string()),
        Err(why @ TalkersRefused::HubUnknown) => refused(404, "hub_unknown", why.to_string()),
    }
}

fn parse(query: &str) -> Result<TalkersQuestion, String> {
    let mut question = TalkersQuestion {
        by: TalkersBy::Bytes,
        span: Duration::from_secs(10),
        hub: None,
        rows_max: 20,
    };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match key {
            "by" => {
                question.by = match value {
                    "bytes" => TalkersBy::Bytes,
                    "messages" => TalkersBy::Messages,
                    "handshakes" => TalkersBy::Handshakes,
                    "failures" => TalkersBy::Failures,
                    _ => return Err("`by` is bytes, messages, handshakes or failures".into()),
                }
            }
            "for" => {
                let span = parse_duration(value).ok();
                let span = span.filter(|span| !span.is_zero() && *span <= FOR_MAX);
                question.span = span.ok_or("`for` is a time of at most 60s, as in 10s or 500ms")?;
            }
            "hub" => question.hub = Some(value.to_owned()),
            "rows" => {
                let rows = value.parse().ok().filter(|rows| (1..=ROWS_MAX).contains(rows));
                question.rows_max = rows.ok_or("`rows` is a number from 1 to 200")?;
            }
            _ => return Err("the question has `by`, `for`, `hub` and `rows`".into()),
        }
    }
    if question.hub.is_some() && matches!(question.by, TalkersBy::Handshakes | TalkersBy::Failures)
    {
        return Err("`hub` is for bytes and messages: others have no hub yet".into());
    }
    Ok(question)
}

/// Why the command has no answer.
#[derive(Debug, thiserror::Error)]
pub enum TalkersError {
    /// There is no admin port to ask, or it has TLS.
    #[error(
        "the configuration has no admin port without TLS; ask with another program: GET /api/v1/talkers"
    )]
    Nowhere,
    /// The question makes no sense.
    #[error("{0}")]
    Question(String),
    /// The admin port does not answer.
    #[error("no answer of the admin port {0}")]
    NoAnswer(SocketAddr, #[source] io::Error),
    /// It has refused the question.
    #[error("the node refused the question: {0}")]
    Refused(String),
}

#[derive(Deserialize)]
struct Answer {
    by: String,
    seconds: f64,
    sum: u64,
    addresses: Vec<Row>,
    sessions: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    session: Option<u32>,
    hub: Option<String>,
    app_server: Option<String>,
    address: Option<String>,
    count: u64,
    at_least: u64,
}

#[derive(Deserialize)]
struct Message {
    message: String,
}

/// Asks the node of this configuration. Blocks for the time of the question, and calls `progress`
/// each second with the seconds that have passed, and all.
///
/// # Errors
///
/// The node cannot be asked, or refuses.
pub fn ask(
    config: &Config,
    query: &str,
    is_json: bool,
    mut progress: impl FnMut(u64, u64),
) -> Result<String, TalkersError> {
    let span = parse(query).map_err(TalkersError::Question)?.span;
    let settings = &config.settings;
    let at = settings.admin.filter(|_| settings.admin_tls_cert_file.is_none());
    let at = at.ok_or(TalkersError::Nowhere)?;
    let (reply, answer) = mpsc::channel();
    let path = format!("/api/v1/talkers?{query}");
    std::thread::spawn(move || {
        // Whoever waits for it may have gone.
        let _ = reply.send(reload::ask_admin(at, &path, span + Duration::from_secs(10)));
    });
    let mut seconds = 0;
    let (is_ok, body) = loop {
        progress(seconds, span.as_secs());
        match answer.recv_timeout(Duration::from_secs(1)) {
            Ok(answer) => break answer.map_err(|error| TalkersError::NoAnswer(at, error))?,
            Err(mpsc::RecvTimeoutError::Timeout) => seconds += 1,
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(TalkersError::NoAnswer(at, io::Error::other("nobody asked")));
            }
        }
    };
    let broken = |error| TalkersError::NoAnswer(at, io::Error::other(error));
    if !is_ok {
        let message: Message = serde_json::from_slice(&body).map_err(broken)?;
        return Err(TalkersError::Refused(message.message));
    }
    if is_json {
        return Ok(format!("{}\n", String::from_utf8_lossy(&body)));
    }
    Ok(table(&serde_json::from_slice(&body).map_err(broken)?))
}

fn table(answer: &Answer) -> String {
    let Answer { by, seconds, sum, addresses, sessions } = answer;
    let mut text = format!("{sum} {by} in {seconds} s\n");
    let line = |text: &mut String, who: &str, row: &Row| {
        let about = if row.count == row.at_least { "" } else { " at most" };
        let _ = writeln!(text, "{:>14}{about}  {who}", row.count);
    };
    let unknown = "(exempt, or a proxy)";
    let _ = writeln!(text, "\n{by:>14}  address");
    for row in addresses {
        line(&mut text, row.address.as_deref().unwrap_or(unknown), row);
    }
    if !sessions.is_empty() {
        let _ = writeln!(text, "\n{by:>14}  session, hub, app server, address");
    }
    for row in sessions {
        let or = |word: &Option<String>| word.as_deref().unwrap_or("?").to_owned();
        let address = row.address.as_deref().unwrap_or(unknown);
        let number = row.session.unwrap_or_default();
        let who = format!("{number}, {}, {}, {address}", or(&row.hub), or(&row.app_server));
        line(&mut text, &who, row);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_bounded() {
        let asked = parse("by=messages&for=500ms&hub=chat&rows=200").expect("a good question");
        assert_eq!((asked.by, asked.rows_max), (TalkersBy::Messages, 200));
        assert_eq!((asked.span, asked.hub), (Duration::from_millis(500), Some("chat".into())));
        assert!(parse("").is_ok());
        for bad in ["by=sids", "for=61s", "for=0s", "for=1", "rows=0", "rows=201", "of=x"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse("by=failures&hub=chat").is_err());
    }
}
