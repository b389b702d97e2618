//! The two texts that are made from the table: the reference page and `trunkline config print`.

use core::fmt::Write as _;

use super::{Config, FILE_DEFAULT, FILE_ENV, Origin, is_reloaded, keys};

/// `docs/reference/configuration.md`.
pub fn reference() -> String {
    let mut page = String::from(HEAD);
    let mut section = "";
    for key in keys() {
        if key.section != section {
            section = key.section;
            let _ = write!(page, "\n## {section}\n");
        }
        let default = match key.default.as_str() {
            "" => "not set".to_owned(),
            default => format!("`{default}`"),
        };
        let _ = write!(
            page,
            "\n### `{}`\n\n{}\n\n| | |\n|---|---|\n| environment | `{}` |\n| flag | `{} {}` |\n| default | {default} |\n| allowed | {} |\n| reload | {} |\n",
            key.name,
            key.doc,
            key.env(),
            key.flag(),
            key.placeholder,
            key.allowed.replace('|', "\\|"),
            if is_reloaded(key.name) { "yes" } else { "needs a restart" },
        );
    }
    page.push_str(HUBS);
    page
}

const HEAD: &str = "# Configuration

<!-- Made by `trunkline config doc > docs/reference/configuration.md`; change crates/node/src/config/table.rs instead. -->

Every key has three faces: a line in `trunkline.toml`, an environment variable and a flag. **Flag over environment over
file over default.** An unknown key in the file is an error, and so is a `TRUNKLINE_*` variable that is nearly a key; one
that is none gets a warning. All mistakes are reported together before any port is bound. Values mean the same on every face: `drain = \"10s\"`,
`TRUNKLINE_DRAIN=10s`, `--drain 10s`. Numbers without a unit may be written without quotes in the file.

The file is the one that `--config PATH` or `TRUNKLINE_CONFIG` names, else `trunkline.toml` in the working directory if
there is one. Relative paths in it count from its folder; those in variables and
flags from the working directory.

`trunkline config check` says whether all is well; `trunkline config print` prints every key, its value and where it
was set. `TRUNKLINE_ENDPOINT` belongs to app servers and is ignored, as are the variables that Kubernetes makes for
Services called `trunkline` or `trunkline-…`.

Exit codes: 0 a clean end, 1 something failed while running (such as a taken port), 2 a mistake in flags or
configuration.
";

const HUBS: &str = "
## Hubs in the file

One hub needs no table: `hub` names it and `key` opens it. More hubs, or more keys, are tables:

```toml
[hub.chat]
default = true                     # the hub behind /socket.io/; without a mark it is the one that `hub` names
keys = [\"the key that trunkline key made\", \"the one before it\"]

[hub.support]
key_file = \"/run/secrets/support\"  # one key per line, the current one first
client_tokens = \"required\"         # this hub's own word, whatever the key says
allowed_origins = [\"https://support.example.com\"]  # the same
path = \"/support/\"                 # this hub's own path, or a list; /clients/socketio/hubs/support always is
hub_sessions_max = 50000           # its own limits; likewise the other keys hub_… and app_server_sessions_max
```

A path that no table names belongs to the first hub whose app servers ask for it (the option `path` of their Socket.IO
server), for as long as one of them is connected. Another hub's app server that asks for it, or for a part of it, is
taken, but does not get the path: both logs say so, and its clients connect at `/clients/socketio/hubs/NAME`. `/socket.io/`
is the default hub's unless its own table names other paths.

A hub that webhooks serve while it has no app server ([serverless mode](../guide/serverless.md)) lists its event handlers;
the first that wants an event gets it:

```toml
[[hub.support.event_handler]]
url = \"https://app.example.com/support/{event}?code=secret\"   # {hub} and {event} may stand in path and query
system_events = [\"connect\", \"disconnected\"]               # left out: connect, connected, disconnected
user_events = [\"ask\", \"answer\"]                           # left out: [\"*\"], every event

[[hub.support.event_handler]]
url = \"http://127.0.0.1:3000/rest\"
```

The tokens of an identity provider (OpenID Connect, Entra ID) count beside the hub's keys, for REST calls, tunnels and
clients ([From Azure](../guide/from-azure.md#entra-id)):

```toml
[[hub.support.identity_provider]]
issuer = \"https://login.microsoftonline.com/TENANT/v2.0\"   # the tokens' `iss`, letter for letter
audience = \"api://support\"                                 # their `aud`, letter for letter; or a list
claims = { roles = [\"support.send\"] }                      # left out: every token of this issuer and audience
jwks_url = \"https://login.microsoftonline.com/TENANT/discovery/v2.0/keys\"   # left out: found through the issuer
algorithms = [\"RS256\"]                                     # left out: RS256
for = [\"app_servers\"]                                      # REST and tunnels; \"clients\"; or both. Left out: app_servers
```

Where it says `claims`, a token must have one of the values of each. A hub has at most 16 providers; the key in the file
still signs the tokens that `:generateToken` makes.

A table's keys give way to `TRUNKLINE_KEY`, `--key` and the like for the default hub. A hub has at most 8 keys; two
hubs cannot differ in upper and lower case only.
";

impl Config {
    /// Every key with its value and where it was set, in the form of a file that could be read
    /// again. Secrets are hidden.
    pub fn print(&self) -> String {
        let mut text = match &self.file {
            Some(path) => format!("# file: {}\n", path.display()),
            None => format!("# file: none (--config, {FILE_ENV}, or {FILE_DEFAULT} here)\n"),
        };
        for (key, (name, shown)) in keys().iter().zip(self.settings.shown()) {
            let origin = match self.origin(name) {
                Origin::Default => "default".into(),
                set @ (Origin::File { .. } | Origin::Env(_) | Origin::Flag(_)) => set.to_string(),
            };
            let shown_as_comment = key.secret || shown.is_empty() || self.hub_is_in_a_table(name);
            let sign = if shown_as_comment { "# " } else { "" };
            let value = if shown.is_empty() { "not set".into() } else { quote(&shown) };
            let _ = writeln!(text, "{:<44} # {origin}", format!("{sign}{name} = {value}"));
        }
        for hub in &self.hubs {
            let mark = if hub.name == self.default_hub { ", the default hub" } else { "" };
            let count = hub.keys.len();
            let keys = if count == 1 { "key" } else { "keys" };
            let handlers = match hub.event_handlers.len() {
                0 => String::new(),
                1 => ", 1 event handler".to_owned(),
                count => format!(", {count} event handlers"),
            };
            let providers = match hub.identity_providers.len() {
                0 => String::new(),
                1 => ", 1 identity provider".to_owned(),
                count => format!(", {count} identity providers"),
            };
            let _ = writeln!(text, "# hub {}: {count} {keys}{handlers}{providers}{mark}", hub.name);
        }
        text
    }

    /// Whether the hub's name must be written in a table: a file cannot contain both `hub = "…"`
    /// and tables `[hub.…]`.
    fn hub_is_in_a_table(&self, name: &str) -> bool {
        name == "hub" && (self.hubs.len() > 1 || self.default_hub != self.settings.hub)
    }
}

fn quote(text: &str) -> String {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
