//! One connection to NATS, from the addresses to the first answer.

use core::time::Duration;

use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use tokio::sync::mpsc::{self, Receiver};

use super::Settings;
use super::cause;
use super::servers::Login;

/// Without an answer to two of these pings the connection is given up.
const PING_INTERVAL: Duration = Duration::from_secs(1);
/// The longest time for one server to answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// Messages that may wait between the connection's task and ours. Ours always runs next, so it is
/// full only when one read brings more than this.
const MESSAGES_MAX: usize = 65_536;
/// Changes of the connection that may wait.
const CHANGES_MAX: usize = 64;
/// Servers that NATS named in addition to the configured ones.
const LEARNED_MAX: usize = 16;

/// Connects to the configured servers, and to others of the same NATS that they named.
#[derive(Debug)]
pub(super) struct Connector<'a> {
    settings: &'a Settings,
    learned: Vec<ServerAddr>,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) client: Client,
    /// What happens to it; ends with it.
    pub(super) changes: Receiver<Event>,
}

impl<'a> Connector<'a> {
    pub(super) fn new(settings: &'a Settings) -> Self {
        Self { settings, learned: Vec::new() }
    }

    fn servers(&self) -> Vec<ServerAddr> {
        let configured = self.settings.servers.addresses();
        configured.iter().chain(&self.learned).cloned().collect()
    }

    /// Tries each server once. Error: what to tell the operator.
    pub(super) async fn connect(&self) -> Result<Connected, String> {
        let servers = self.servers();
        let (sender, changes) = mpsc::channel(CHANGES_MAX);
        let options = self.options(servers.len(), sender).await?;
        match options.connect(servers).await {
            Ok(client) => Ok(Connected { client, changes }),
            Err(error) => Err(cause::of(&error)),
        }
    }

    async fn options(
        &self,
        servers: usize,
        changes: mpsc::Sender<Event>,
    ) -> Result<ConnectOptions, String> {
        let mut options = ConnectOptions::new()
            .name(format!("trunkline {}", self.settings.node_id))
            .no_echo()
            .ping_interval(PING_INTERVAL)
            .connection_timeout(ANSWER_MAX)
            .max_reconnects(servers)
            .reconnect_delay_callback(|_| Duration::ZERO)
            .subscription_capacity(MESSAGES_MAX)
            .skip_subject_validation(true)
            .event_callback(move |event| {
                let changes = changes.clone();
                async move {
                    // Nobody listens once the connection has been given up.
                    let _ = changes.send(event).await;
                }
            });
        match self.settings.servers.login() {
            Some(Login::User { name, password }) => {
                options = options.user_and_password(name.clone(), password.clone());
            }
            Some(Login::Token(token)) => options = options.token(token.clone()),
            None => {}
        }
        if let Some(path) = &self.settings.ca_file {
            options = options.add_root_certificates(path.clone()).require_tls(true);
        }
        if let Some(path) = &self.settings.credentials_file {
            let read = options.credentials_file(path).await;
            options = read.map_err(|error| {
                format!("nats_credentials_file `{}` cannot be used: {error}", path.display())
            })?;
        }
        Ok(options)
    }

    /// Remembers the servers that NATS itself names.
    pub(super) async fn learn(&mut self, client: &Client) {
        let Ok(pool) = client.server_pool().await else { return };
        let configured = self.settings.servers.addresses();
        let others = pool.into_iter().map(|server| server.addr);
        self.learned = others.filter(|one| !configured.contains(one)).take(LEARNED_MAX).collect();
    }
}
