//! The answer to an operator who asks who sends most.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::Running;
use crate::gate::TalkersBy;

/// A question: what is counted, for how long, and how much of it is told.
#[derive(Clone, Debug)]
pub struct TalkersQuestion {
    /// What is counted.
    pub by: TalkersBy,
    /// How long.
    pub span: Duration,
    /// Only sessions of this hub.
    pub hub: Option<String>,
    /// The rows of each list.
    pub rows_max: usize,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TalkersRefused {
    /// Another question is under way.
    #[error("somebody else asks at present; ask again when that is over")]
    Busy,
    /// No hub has that name.
    #[error("no hub of this node has that name")]
    HubUnknown,
}

/// Who sent most while the question was open.
#[derive(Debug, Serialize)]
pub struct TopTalkers {
    by: TalkersBy,
    seconds: f64,
    hub: Option<String>,
    /// What all together have sent.
    sum: u64,
    addresses: Vec<AddressRow>,
    sessions: Vec<SessionRow>,
}

/// At least `at_least`, at most `count`.
#[derive(Debug, Serialize)]
struct AddressRow {
    /// An IPv4 address, or an IPv6 network of 64 bits; null: not counted by the limits per address.
    address: Option<String>,
    count: u64,
    at_least: u64,
}

#[derive(Debug, Serialize)]
struct SessionRow {
    /// The number that log lines name, too; it is of no use to clients.
    session: u32,
    hub: Option<String>,
    app_server: Option<String>,
    address: Option<String>,
    count: u64,
    at_least: u64,
}

impl Running {
    /// Counts who sends most for the time of the question. It ends when the future is dropped.
    ///
    /// # Errors
    ///
    /// Somebody else asks already, or the hub is unknown.
    pub fn talkers(
        &self,
        question: TalkersQuestion,
    ) -> Result<impl Future<Output = TopTalkers> + Send + use<>, TalkersRefused> {
        let TalkersQuestion { by, span, hub, rows_max } = question;
        let env = Arc::clone(&self.env);
        let known = hub.as_deref().map(|name| env.directory.by_name(name));
        let number = match known {
            None => None,
            Some(None) => return Err(TalkersRefused::HubUnknown),
            Some(Some(hub)) => Some(hub.number),
        };
        let asked = env.gate.talkers.ask(by, number).ok_or(TalkersRefused::Busy)?;
        Ok(async move {
            tokio::time::sleep(span).await;
            let counted = asked.end(rows_max);
            let trunks = env.directory.all_trunks();
            let hub_of =
                |number| env.directory.hub(usize::from(number)).map(|hub| hub.name.clone());
            let server_of = |number| {
                let trunk = trunks.iter().find(|trunk| trunk.number == number);
                trunk.map(|trunk| trunk.server_id.clone())
            };
            let addresses = counted.addresses.into_iter().map(|(ip, count)| AddressRow {
                address: ip.map(|ip| match ip {
                    IpAddr::V4(ip) => ip.to_string(),
                    IpAddr::V6(ip) => format!("{ip}/64"),
                }),
                count: count.count,
                at_least: count.count - count.error,
            });
            let sessions = counted.sessions.into_iter().map(|(talker, count)| SessionRow {
                session: talker.number,
                hub: hub_of(talker.hub),
                app_server: server_of(talker.trunk),
                address: talker.ip.map(|ip| ip.to_string()),
                count: count.count,
                at_least: count.count - count.error,
            });
            let (addresses, sessions) = (addresses.collect(), sessions.collect());
            TopTalkers {
                by,
                seconds: span.as_secs_f64(),
                hub,
                sum: counted.sum,
                addresses,
                sessions,
            }
        })
    }
}
