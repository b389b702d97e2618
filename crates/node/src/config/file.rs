//! Reads `trunkline.toml`: keys of the table at the top, hubs as tables `[hub.<name>]`.

use std::io;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::given::{self, Given};
use super::handlers::{HANDLER_ALLOWED, HandlerTable};
use super::identity::{IDENTITY_ALLOWED, IdentityTable};
use super::limits;
use super::mistake::{Mistake, Origin};
use super::table;

/// The largest configuration or key file; a larger one is a mistake.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The content of a `[hub.<name>]` table. Values are not checked yet.
#[derive(Debug)]
pub(crate) struct HubTable {
    pub(crate) name: String,
    pub(crate) origin: Origin,
    pub(crate) keys: Vec<(String, Origin)>,
    pub(crate) key_file: Option<(String, Origin)>,
    pub(crate) default: Option<Origin>,
    pub(crate) client_tokens: Option<(String, Origin)>,
    /// The parts of `allowed_origins`.
    pub(crate) allowed_origins: Option<Vec<(String, Origin)>>,
    pub(crate) paths: Vec<(String, Origin)>,
    pub(crate) handlers: Vec<HandlerTable>,
    pub(crate) identity_providers: Vec<IdentityTable>,
    pub(crate) tls_cert_file: Option<(String, Origin)>,
    pub(crate) tls_key_file: Option<(String, Origin)>,
    /// Limits in place of those for all hubs, by name.
    pub(crate) limits: Vec<(&'static str, String, Origin)>,
}

/// Reads a whole text file of limited size.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    use io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 1 MiB"));
    }
    Ok(text)
}

/// Adds the file's texts to `given` and returns its hubs; `None` when the file is not TOML.
pub(crate) fn parse(
    path: &Path,
    text: &str,
    given: &mut Given,
    mistakes: &mut Vec<Mistake>,
) -> Option<Vec<HubTable>> {
    let mut reader = Reader { path, text, given, mistakes, hubs: Vec::new() };
    let (root, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        reader.root(root.get_ref());
        return Some(reader.hubs);
    }
    for error in errors {
        // Only the message: the library's full text would print the line, which may contain a key.
        let start = error.span().map_or(0, |span| span.start);
        let (origin, wrong) = (reader.origin(start), format!("not TOML: {}", error.message()));
        reader.mistake("file", origin, wrong, "a file as https://toml.io describes");
    }
    None
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    given: &'a mut Given,
    mistakes: &'a mut Vec<Mistake>,
    hubs: Vec<HubTable>,
}

type Name<'i> = Spanned<DeString<'i>>;
type Value<'i> = Spanned<DeValue<'i>>;

impl Reader<'_> {
    fn root(&mut self, root: &DeTable<'_>) {
        for (name, value) in root {
            match (name.get_ref().as_ref(), value.get_ref()) {
                ("hub", DeValue::Table(hubs)) => self.hubs(hubs),
                _ => self.key(name, value),
            }
        }
    }

    fn key(&mut self, name: &Name<'_>, value: &Value<'_>) {
        let origin = self.origin(name.span().start);
        let Some(key) = table::keys().iter().find(|key| key.name == name.get_ref()) else {
            return self.unknown_key(name.get_ref(), origin);
        };
        match scalar(value.get_ref()) {
            Some(text) => self.given.put(key.name, text, origin),
            None => self.mistake(key.name, origin, "is not one value".into(), &key.allowed),
        }
    }

    fn unknown_key(&mut self, name: &str, origin: Origin) {
        let allowed = match given::nearest(&name.replace('-', "_")) {
            Some(near) => format!("did you mean `{}`?", near.name),
            None => "the keys that `trunkline config print` lists".into(),
        };
        self.mistake(name, origin, "no such key".into(), &allowed);
    }

    fn hubs(&mut self, hubs: &DeTable<'_>) {
        for (name, value) in hubs {
            let origin = self.origin(name.span().start);
            match value.get_ref().as_table() {
                Some(table) => self.hub(name.get_ref(), origin, table),
                None => {
                    let key = format!("hub.{}", name.get_ref());
                    self.mistake(&key, origin, "is not a table".into(), HUB_ALLOWED);
                }
            }
        }
    }

    fn hub(&mut self, name: &str, origin: Origin, table: &DeTable<'_>) {
        let name = name.to_owned();
        let mut hub = HubTable {
            name,
            origin,
            keys: Vec::new(),
            key_file: None,
            default: None,
            client_tokens: None,
            allowed_origins: None,
            paths: Vec::new(),
            handlers: Vec::new(),
            identity_providers: Vec::new(),
            tls_cert_file: None,
            tls_key_file: None,
            limits: Vec::new(),
        };
        for (field, value) in table {
            let origin = self.origin(field.span().start);
            let read = match (field.get_ref().as_ref(), value.get_ref()) {
                ("keys", DeValue::Array(keys)) => keys.iter().try_for_each(|key| {
                    let origin = self.origin(key.span().start);
                    hub.keys.push((key.get_ref().as_str()?.to_owned(), origin));
                    Some(())
                }),
                ("key_file", DeValue::String(path)) => {
                    hub.key_file = Some((path.clone().into_owned(), origin.clone()));
                    Some(())
                }
                ("tls_cert_file", DeValue::String(path)) => {
                    hub.tls_cert_file = Some((path.clone().into_owned(), origin.clone()));
                    Some(())
                }
                ("tls_key_file", DeValue::String(path)) => {
                    hub.tls_key_file = Some((path.clone().into_owned(), origin.clone()));
                    Some(())
                }
                ("path", DeValue::String(path)) => {
                    hub.paths.push((path.clone().into_owned(), origin.clone()));
                    Some(())
                }
                ("path", DeValue::Array(paths)) => paths.iter().try_for_each(|path| {
                    let origin = self.origin(path.span().start);
                    hub.paths.push((path.get_ref().as_str()?.to_owned(), origin));
                    Some(())
                }),
                ("client_tokens", DeValue::String(word)) => {
                    hub.client_tokens = Some((word.clone().into_owned(), origin.clone()));
                    Some(())
                }
                ("allowed_origins", DeValue::String(list)) => {
                    hub.allowed_origins = Some(vec![(list.clone().into_owned(), origin.clone())]);
                    Some(())
                }
                ("allowed_origins", DeValue::Array(list)) => {
                    let into = hub.allowed_origins.get_or_insert_default();
                    list.iter().try_for_each(|one| {
                        let origin = self.origin(one.span().start);
                        into.push((one.get_ref().as_str()?.to_owned(), origin));
                        Some(())
                    })
                }
                ("default", DeValue::Boolean(default)) => {
                    hub.default = default.then(|| origin.clone());
                    Some(())
                }
                ("event_handler", DeValue::Array(handlers)) => {
                    handlers.iter().try_for_each(|one| {
                        let handler = self.handler(&hub.name, one.get_ref().as_table()?, &origin);
                        hub.handlers.push(handler);
                        Some(())
                    })
                }
                ("identity_provider", DeValue::Array(providers)) => {
                    providers.iter().try_for_each(|one| {
                        let table = one.get_ref().as_table()?;
                        let provider = self.identity_provider(&hub.name, table, &origin);
                        hub.identity_providers.push(provider);
                        Some(())
                    })
                }
                (name, value) => limits::name_of(name).and_then(|name| {
                    hub.limits.push((name, scalar(value)?, origin.clone()));
                    Some(())
                }),
            };
            if read.is_none() {
                self.bad_field(&format!("hub.{}", hub.name), field, &HUB_FIELDS, HUB_ALLOWED);
            }
        }
        self.hubs.push(hub);
    }

    /// Reads one handler; `place` is where the list of handlers begins.
    fn handler(&mut self, hub: &str, table: &DeTable<'_>, place: &Origin) -> HandlerTable {
        let first = table.iter().next().map(|(field, _)| self.origin(field.span().start));
        let origin = first.unwrap_or_else(|| place.clone());
        let mut handler =
            HandlerTable { origin, url: None, system_events: None, user_events: None };
        for (field, value) in table {
            let origin = self.origin(field.span().start);
            let read =
                match (field.get_ref().as_ref(), value.get_ref()) {
                    ("url", DeValue::String(url)) => {
                        handler.url = Some((url.clone().into_owned(), origin.clone()));
                        Some(())
                    }
                    ("system_events", DeValue::Array(names)) => texts(names)
                        .map(|names| handler.system_events = Some((names, origin.clone()))),
                    ("user_events", DeValue::Array(names)) => texts(names)
                        .map(|names| handler.user_events = Some((names, origin.clone()))),
                    _ => None,
                };
            if read.is_none() {
                let table = format!("hub.{hub}.event_handler");
                self.bad_field(&table, field, &HANDLER_FIELDS, HANDLER_ALLOWED);
            }
        }
        handler
    }

    /// Reads one provider; `place` is where the list of providers begins.
    fn identity_provider(
        &mut self,
        hub: &str,
        table: &DeTable<'_>,
        place: &Origin,
    ) -> IdentityTable {
        let first = table.iter().next().map(|(field, _)| self.origin(field.span().start));
        let mut provider = IdentityTable::new(first.unwrap_or_else(|| place.clone()));
        for (field, value) in table {
            let origin = self.origin(field.span().start);
            let name = field.get_ref().as_ref();
            let known = match (name, value.get_ref()) {
                ("claims", DeValue::Table(claims)) => {
                    claims.iter().try_for_each(|(claim, values)| {
                        let values = texts(values.get_ref().as_array()?)?;
                        provider.claims.push((claim.get_ref().clone().into_owned(), values));
                        provider.claims_origin = Some(origin.clone());
                        Some(())
                    })
                }
                (_, DeValue::String(text)) => {
                    provider.put(name, vec![text.clone().into_owned()], &origin)
                }
                (_, DeValue::Array(list)) => {
                    texts(list).and_then(|list| provider.put_list(name, list, &origin))
                }
                _ => None,
            };
            if known.is_none() {
                let table = format!("hub.{hub}.identity_provider");
                self.bad_field(&table, field, &IdentityTable::FIELDS, IDENTITY_ALLOWED);
            }
        }
        provider
    }

    /// Reports a field of a table that is unknown, or has a value of the wrong type.
    fn bad_field(&mut self, table: &str, field: &Name<'_>, known: &[&'static str], allowed: &str) {
        let name = field.get_ref().as_ref();
        let (key, origin) = (format!("{table}.{name}"), self.origin(field.span().start));
        if known.contains(&name) {
            return self.mistake(&key, origin, "is of the wrong type".into(), allowed);
        }
        let near = given::nearest_of(known.iter().copied(), &name.replace('-', "_"));
        let allowed = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => allowed.to_owned(),
        };
        self.mistake(&key, origin, "no such key".into(), &allowed);
    }

    fn origin(&self, at: usize) -> Origin {
        let line = self.text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1;
        Origin::File { path: self.path.to_owned(), line }
    }

    fn mistake(&mut self, key: &str, origin: Origin, wrong: String, allowed: &str) {
        self.mistakes.push(Mistake { key: key.into(), origin, wrong, allowed: allowed.into() });
    }
}

/// The fields of an event handler's table.
const HANDLER_FIELDS: [&str; 3] = ["url", "system_events", "user_events"];

/// The fields of a hub's table.
const HUB_FIELDS: [&str; 15] = [
    "keys",
    "key_file",
    "default",
    "client_tokens",
    "allowed_origins",
    "event_handler",
    "identity_provider",
    "path",
    "tls_cert_file",
    "tls_key_file",
    "hub_sessions_max",
    "hub_app_servers_max",
    "app_server_sessions_max",
    "hub_messages_per_second",
    "hub_bytes_per_second",
];

/// What a hub's table may hold.
const HUB_ALLOWED: &str = "a table [hub.NAME] with keys = [\"…\"] or key_file = \"PATH\", default = true on one of them, client_tokens = \"required\" or \"optional\", allowed_origins = \"ORIGINS\" or a list of origins, path = \"/PATH/\" or a list of paths, tls_cert_file and tls_key_file, limits of hubs (hub_sessions_max and others), and tables [[hub.NAME.event_handler]] and [[hub.NAME.identity_provider]]";

/// A list of texts; `None` if one value is not a text.
fn texts(values: &[Value<'_>]) -> Option<Vec<String>> {
    values.iter().map(|value| value.get_ref().as_str().map(str::to_owned)).collect()
}

/// A key's value, written as in environment and flags.
fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Integer(number) => {
            // 0x…, 0o… and 0b… are read as numbers; a number that is too large for any key stays as
            // it is.
            let decimal = i64::from_str_radix(number.as_str(), number.radix());
            Some(decimal.map_or_else(|_| number.to_string(), |decimal| decimal.to_string()))
        }
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(flag) => Some(flag.to_string()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}
