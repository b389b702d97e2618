//! The hubs, and the keys that authorise for them.

use std::path::Path;

use trunkline_admission::OriginPattern;
use trunkline_azure::identity::IdentityProvider;
use trunkline_azure::webhook::Handler;
use trunkline_edge::HubLimits;

use super::addresses::ORIGINS;
use super::file::{self, HubTable};
use super::given::Given;
use super::handlers;
use super::identity;
use super::kinds::{HubKey, KeyText, Name, ValueKind};
use super::limits;
use super::mistake::{Mistake, Origin};
use super::table::{ClientTokens, Settings, TOKENS};
use super::{DEVELOPMENT_KEY, Mode};

/// Keys that may be valid for one hub at once: the current one, and older ones that app servers
/// still use.
const KEYS_PER_HUB_MAX: usize = 8;

/// One hub, ready to be served.
#[derive(Clone, Debug)]
pub struct Hub {
    /// The name that clients and app servers use.
    pub name: String,
    /// Each of these keys opens a trunk; the first is the current one. Empty only in
    /// [`Mode::Inspect`].
    pub keys: Vec<KeyText>,
    /// The handlers that receive events while there is no app server; the first that accepts an
    /// event gets it.
    pub event_handlers: Vec<Handler>,
    /// Identity providers whose tokens authorise in addition to those that the keys sign.
    pub identity_providers: Vec<IdentityProvider>,
    /// Whether its clients need tokens.
    pub client_tokens: ClientTokens,
    /// The origins of web pages that may connect; `None`: all.
    pub allowed_origins: Option<Vec<OriginPattern>>,
    /// Paths that belong to this hub, whichever app servers are connected.
    pub paths: Vec<String>,
    /// How much it may have on each node.
    pub limits: HubLimits,
}

/// The default hub's name and all hubs, the default one first.
pub(crate) fn assemble(
    mode: Mode,
    settings: &Settings,
    given: &Given,
    tables: Vec<HubTable>,
    mistakes: &mut Vec<Mistake>,
) -> (String, Vec<Hub>) {
    let mut book = Book { mode, settings, given, mistakes };
    let default = book.default_name(&tables);
    book.names(&default, &tables);
    let own_table = tables.iter().find(|table| table.name == default);
    let mut hubs = vec![Hub {
        keys: book.keys_of_default(&default, &tables),
        event_handlers: book.handlers_of_default(&default, &tables),
        client_tokens: book.client_tokens(own_table),
        allowed_origins: book.allowed_origins(own_table),
        limits: limits::of_hub(settings, own_table, book.mistakes),
        paths: own_table.map(|table| book.paths(table, &tables)).unwrap_or_default(),
        identity_providers: own_table
            .map(|table| identity::of_tables(&table.name, &table.identity_providers, book.mistakes))
            .unwrap_or_default(),
        name: default.clone(),
    }];
    for table in tables.iter().filter(|table| table.name != default) {
        let keys = book.keys_of_table(table);
        if keys.is_empty() && table.keys.is_empty() && table.key_file.is_none() {
            book.no_key(&format!("hub.{}", table.name), table.origin.clone(), &table.name);
        }
        let event_handlers = handlers::of_tables(&table.name, &table.handlers, book.mistakes);
        let client_tokens = book.client_tokens(Some(table));
        let allowed_origins = book.allowed_origins(Some(table));
        let identity_providers =
            identity::of_tables(&table.name, &table.identity_providers, book.mistakes);
        let name = table.name.clone();
        let paths = book.paths(table, &tables);
        let limits = limits::of_hub(settings, Some(table), book.mistakes);
        hubs.push(Hub {
            name,
            keys,
            event_handlers,
            identity_providers,
            client_tokens,
            allowed_origins,
            paths,
            limits,
        });
    }
    (default, hubs)
}

struct Book<'a> {
    mode: Mode,
    settings: &'a Settings,
    given: &'a Given,
    mistakes: &'a mut Vec<Mistake>,
}

impl Book<'_> {
    fn default_name(&mut self, tables: &[HubTable]) -> String {
        let mut marked = tables.iter().filter_map(|hub| Some((&hub.name, hub.default.clone()?)));
        let first = marked.next();
        if let Some((name, origin)) = marked.next() {
            let wrong = "a second hub is marked as the default".into();
            let allowed = "default = true in one table".to_owned();
            self.mistakes.push(Mistake {
                key: format!("hub.{name}.default"),
                origin,
                wrong,
                allowed,
            });
        }
        match (first, self.given.origin("hub")) {
            (Some((name, _)), Origin::Default) => name.clone(),
            _ => self.settings.hub.clone(),
        }
    }

    /// Checks the names in the tables; the name in the key `hub` was checked as a value.
    fn names(&mut self, default: &str, tables: &[HubTable]) {
        let rule = Name { what: "a hub's name", length_max: 128, letter_first: true };
        let mut seen = vec![default.to_owned()];
        for table in tables {
            let wrong = match rule.parse(&table.name) {
                Err(wrong) => format!("`{}` {wrong}", table.name.escape_debug()),
                Ok(_) if table.name == default => continue,
                Ok(name) if seen.iter().any(|other| other.eq_ignore_ascii_case(&name)) => {
                    "another hub has this name but for upper and lower case".into()
                }
                Ok(name) => {
                    seen.push(name);
                    continue;
                }
            };
            let (key, origin) = (format!("hub.{}", table.name), table.origin.clone());
            self.mistakes.push(Mistake { key, origin, wrong, allowed: rule.allowed() });
        }
    }

    fn keys_of_default(&mut self, default: &str, tables: &[HubTable]) -> Vec<KeyText> {
        let table = tables.iter().find(|table| table.name == default);
        let simple: Vec<&'static str> = ["key", "key_previous", "key_file"]
            .into_iter()
            .filter(|key| self.given.origin(key) != Origin::Default)
            .collect();
        let keys = match (simple.first(), table) {
            (None, Some(table)) => self.keys_of_table(table),
            (None, None) => Vec::new(),
            (Some(key), Some(table)) if matches!(self.given.origin(key), Origin::File { .. }) => {
                self.twice(key, &table.name);
                return Vec::new();
            }
            (Some(_), _) => self.simple_keys(),
        };
        let nothing_given =
            simple.is_empty() && table.is_none_or(|t| t.keys.is_empty() && t.key_file.is_none());
        if nothing_given && self.mode == Mode::Dev {
            return vec![KeyText(DEVELOPMENT_KEY.into())];
        }
        if nothing_given {
            self.no_key("key", Origin::Default, default);
        }
        keys
    }

    fn handlers_of_default(&mut self, default: &str, tables: &[HubTable]) -> Vec<Handler> {
        let table = tables.iter().find(|table| table.name == default);
        let listed = table.map(|table| (&*table.name, &*table.handlers));
        let mut found = handlers::simple(self.settings, self.given, listed, self.mistakes);
        if let Some((name, tables)) = listed {
            found.extend(handlers::of_tables(name, tables, self.mistakes));
        }
        found
    }

    /// The keys of the simple case: `key` and `key_previous`, or `key_file`.
    fn simple_keys(&mut self) -> Vec<KeyText> {
        let origin = |key| self.given.origin(key);
        let Settings { key, key_previous, key_file, .. } = self.settings;
        if let Some(path) = key_file {
            if origin("key") != Origin::Default || origin("key_previous") != Origin::Default {
                let wrong = "is set beside `key` or `key_previous`".into();
                let allowed = "a key file, or keys, not both".into();
                let key = "key_file".into();
                self.mistakes.push(Mistake { key, origin: origin("key_file"), wrong, allowed });
            }
            return self.read_key_file("key_file", path, &origin("key_file"));
        }
        if origin("key") == Origin::Default {
            let wrong = "is set without `key`".into();
            let allowed = "`key_previous` beside `key` while keys change".into();
            let (key, origin) = ("key_previous".into(), origin("key_previous"));
            self.mistakes.push(Mistake { key, origin, wrong, allowed });
        }
        let given = [("key", key), ("key_previous", key_previous)];
        let mut keys = Vec::new();
        for (name, key) in given.into_iter().filter_map(|(name, key)| Some((name, key.clone()?))) {
            keys.extend(self.fit_for_mode(name, &origin(name), key));
        }
        keys
    }

    /// The setting in the hub's table, or else the key for all hubs.
    fn client_tokens(&mut self, table: Option<&HubTable>) -> ClientTokens {
        let own = table.and_then(|table| Some((&table.name, table.client_tokens.as_ref()?)));
        let Some((name, (word, origin))) = own else { return self.settings.client_tokens };
        TOKENS.parse(word).unwrap_or_else(|wrong| {
            let key = format!("hub.{name}.client_tokens");
            let wrong = format!("`{}` {wrong}", word.escape_debug());
            let (origin, allowed) = (origin.clone(), TOKENS.allowed());
            self.mistakes.push(Mistake { key, origin, wrong, allowed });
            self.settings.client_tokens
        })
    }

    /// The origins in the hub's table, or else the key for all hubs.
    fn allowed_origins(&mut self, table: Option<&HubTable>) -> Option<Vec<OriginPattern>> {
        let own = table.and_then(|table| Some((&table.name, table.allowed_origins.as_ref()?)));
        let Some((name, parts)) = own else { return self.settings.allowed_origins.clone() };
        let mut origins = Vec::new();
        for (part, origin) in parts {
            match ORIGINS.parse(part) {
                Ok(Some(more)) => origins.extend(more),
                Ok(None) => return None,
                Err(wrong) => self.mistakes.push(Mistake {
                    key: format!("hub.{name}.allowed_origins"),
                    origin: origin.clone(),
                    wrong: format!("`{}` {wrong}", part.escape_debug()),
                    allowed: ORIGINS.allowed(),
                }),
            }
        }
        Some(origins)
    }

    /// The paths in a hub's table. Each belongs to one hub, in one place.
    fn paths(&mut self, table: &HubTable, all: &[HubTable]) -> Vec<String> {
        let mut own: Vec<String> = Vec::new();
        for (path, origin) in &table.paths {
            let earlier = all.iter().take_while(|other| other.name != table.name);
            let taken =
                earlier.flat_map(|other| other.paths.iter().map(move |p| (&p.0, &other.name)));
            let taken =
                taken.filter(|(other, _)| bare(other) == bare(path)).map(|(_, hub)| hub).next();
            let wrong = match (path_error(path), taken) {
                (Some(wrong), _) => format!("`{}` {wrong}", path.escape_debug()),
                (None, Some(hub)) => format!("`{path}` is a path of hub `{hub}` already"),
                (None, None) if own.iter().any(|one| bare(one) == bare(path)) => continue,
                (None, None) => {
                    own.push(path.clone());
                    continue;
                }
            };
            let (key, origin) = (format!("hub.{}.path", table.name), origin.clone());
            let allowed = "a path such as \"/chat/\", of one hub only".into();
            self.mistakes.push(Mistake { key, origin, wrong, allowed });
        }
        own
    }

    fn keys_of_table(&mut self, table: &HubTable) -> Vec<KeyText> {
        if let Some((path, origin)) = &table.key_file {
            let key = format!("hub.{}.key_file", table.name);
            if !table.keys.is_empty() {
                let wrong = "is set beside `keys`".into();
                let allowed = "a key file, or keys, not both".into();
                self.mistakes.push(Mistake { key, origin: origin.clone(), wrong, allowed });
                return Vec::new();
            }
            return self.read_key_file(&key, &origin.place(Path::new(path)), origin);
        }
        let key = format!("hub.{}.keys", table.name);
        self.check_keys(&key, &table.keys)
    }

    fn read_key_file(&mut self, key: &str, path: &Path, origin: &Origin) -> Vec<KeyText> {
        let lines: Vec<(String, Origin)> = match file::read_text(path) {
            Ok(text) => (1..)
                .zip(text.lines())
                .filter(|(_, text)| !text.trim().is_empty())
                .map(|(line, text)| (text.into(), Origin::File { path: path.into(), line }))
                .collect(),
            Err(error) => {
                let wrong = format!("`{}` cannot be read: {error}", path.display());
                return self.bad_key_file(key, origin, wrong);
            }
        };
        if lines.is_empty() {
            return self.bad_key_file(key, origin, format!("`{}` holds no key", path.display()));
        }
        self.check_keys(key, &lines)
    }

    fn bad_key_file(&mut self, key: &str, origin: &Origin, wrong: String) -> Vec<KeyText> {
        let allowed = "a readable file with one key per line, the current one first".into();
        self.mistakes.push(Mistake { key: key.into(), origin: origin.clone(), wrong, allowed });
        Vec::new()
    }

    fn check_keys(&mut self, key: &str, texts: &[(String, Origin)]) -> Vec<KeyText> {
        if let Some((_, origin)) = texts.get(KEYS_PER_HUB_MAX) {
            let wrong = format!("holds {} keys", texts.len());
            let allowed = format!("at most {KEYS_PER_HUB_MAX} keys per hub");
            self.mistakes.push(Mistake { key: key.into(), origin: origin.clone(), wrong, allowed });
        }
        let mut keys = Vec::new();
        for (text, origin) in texts {
            match HubKey.parse(text) {
                Ok(text) => keys.extend(self.fit_for_mode(key, origin, text)),
                Err(wrong) => {
                    let (origin, wrong) = (origin.clone(), format!("the value {wrong}"));
                    let allowed = HubKey.allowed();
                    self.mistakes.push(Mistake { key: key.into(), origin, wrong, allowed });
                }
            }
        }
        keys
    }

    /// Checks a key for the mode. The development key is in every copy of Trunkline: outside of
    /// development it would open the hub to everyone.
    fn fit_for_mode(&mut self, name: &str, origin: &Origin, key: KeyText) -> Option<KeyText> {
        if self.mode == Mode::Dev || key.0 != DEVELOPMENT_KEY {
            return Some(key);
        }
        let wrong = "the value is the development key, which everybody knows".into();
        let allowed = "a key of your own; `trunkline key` prints a new one".into();
        self.mistakes.push(Mistake { key: name.into(), origin: origin.clone(), wrong, allowed });
        None
    }

    fn twice(&mut self, key: &'static str, hub: &str) {
        let wrong = format!("is set beside the table [hub.{hub}]");
        let allowed = format!("the keys of hub `{hub}` in one place of the file");
        let origin = self.given.origin(key);
        self.mistakes.push(Mistake { key: key.into(), origin, wrong, allowed });
    }

    fn no_key(&mut self, key: &str, origin: Origin, hub: &str) {
        if self.mode == Mode::Inspect {
            return;
        }
        let wrong = format!("hub `{hub}` has no key, so no app server could connect");
        let allowed = format!(
            "TRUNKLINE_KEY, key_file, or keys in a table [hub.{hub}]; `trunkline key` prints a new key; \
             for a trial on this machine run `trunkline dev`, which needs none"
        );
        self.mistakes.push(Mistake { key: key.into(), origin, wrong, allowed });
    }
}

/// A path in the form for comparison: with and without the slash at its end it is the same.
fn bare(path: &str) -> &str {
    path.trim_end_matches('/')
}

/// Why clients cannot connect at a path.
fn path_error(path: &str) -> Option<&'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.~%!$&'()*+,;=:@".contains(c);
    let below = |own: &str| bare(path) == own || path.starts_with(&format!("{own}/"));
    if !path.starts_with('/') {
        Some("does not begin with a slash")
    } else if !path.chars().all(plain) {
        Some("holds what no path may hold")
    } else if bare(path).is_empty() || ["/api", "/clients", "/trunk"].into_iter().any(below) {
        Some("is, or may become, a path of the node's own")
    } else {
        None
    }
}
