//! Event handlers of hubs without app servers: the types of their values, and their tables in the
//! file.

use trunkline_azure::webhook::{Handler, SystemEvent, UrlTemplate, UserEvents};

use super::given::Given;
use super::kinds::ValueKind;
use super::mistake::{Mistake, Origin};
use super::table::{self, Settings};

/// The allowed content of a handler's table.
pub(super) const HANDLER_ALLOWED: &str = "tables [[hub.NAME.event_handler]] with url = \"URL\", and, if not all events are \
     wanted, system_events = [\"connect\", …] and user_events = [\"NAME\", …]";

/// The keys of the simple case: one handler for the default hub.
const SIMPLE: [&str; 3] =
    ["event_handler", "event_handler_system_events", "event_handler_user_events"];

/// The most handlers per hub.
const HANDLERS_MAX: usize = 64;

/// The address of a handler. It is treated as a secret, because it may contain `?code=…`.
pub(crate) struct HandlerUrl;

impl ValueKind for HandlerUrl {
    type Value = UrlTemplate;

    fn placeholder(&self) -> &'static str {
        "URL"
    }

    fn allowed(&self) -> String {
        "an http:// or https:// URL, as in https://app.example.com/{hub}/{event}; {hub} and {event} may stand in path and query"
            .into()
    }

    fn parse(&self, text: &str) -> Result<UrlTemplate, String> {
        UrlTemplate::parse(text).map_err(|error| error.to_string())
    }

    fn show(&self, _: &UrlTemplate) -> String {
        "[hidden]".into()
    }

    fn secret(&self) -> bool {
        true
    }
}

/// Names of system events, separated by commas.
pub(crate) struct SystemEvents;

impl ValueKind for SystemEvents {
    type Value = Vec<SystemEvent>;

    fn placeholder(&self) -> &'static str {
        "EVENTS"
    }

    fn allowed(&self) -> String {
        "connect, connected and disconnected, between commas; or \"none\"".into()
    }

    fn parse(&self, text: &str) -> Result<Vec<SystemEvent>, String> {
        if text == "none" {
            return Ok(Vec::new());
        }
        text.split(',').map(str::trim).map(system_event).collect()
    }

    fn show(&self, value: &Vec<SystemEvent>) -> String {
        let names: Vec<&str> = value.iter().map(|event| event.name()).collect();
        if names.is_empty() { "none".into() } else { names.join(",") }
    }
}

/// Names of clients' events, separated by commas.
pub(crate) struct EventNames;

impl ValueKind for EventNames {
    type Value = UserEvents;

    fn placeholder(&self) -> &'static str {
        "EVENTS"
    }

    fn allowed(&self) -> String {
        "names of events, between commas; * for all; or \"none\"".into()
    }

    fn parse(&self, text: &str) -> Result<UserEvents, String> {
        let names: Vec<&str> = text.split(',').map(str::trim).collect();
        match *names.as_slice() {
            ["none"] => Ok(UserEvents::Named(Vec::new())),
            _ if names.contains(&"") => Err("holds an empty name".into()),
            _ => user_events(&names),
        }
    }

    fn show(&self, value: &UserEvents) -> String {
        match value {
            UserEvents::All => "*".into(),
            UserEvents::Named(names) if names.is_empty() => "none".into(),
            UserEvents::Named(names) => names.join(","),
        }
    }
}

fn system_event(name: &str) -> Result<SystemEvent, String> {
    let found = SystemEvent::ALL.into_iter().find(|event| event.name() == name);
    found.ok_or_else(|| format!("names `{}`, which is no system event", name.escape_debug()))
}

fn user_events(names: &[&str]) -> Result<UserEvents, String> {
    match names {
        ["*"] => Ok(UserEvents::All),
        names if names.contains(&"*") => Err("has `*` beside other names".into()),
        names => Ok(UserEvents::Named(names.iter().map(|&name| name.to_owned()).collect())),
    }
}

/// One `[[hub.<name>.event_handler]]`. Values are not checked yet.
#[derive(Clone, Debug)]
pub(crate) struct HandlerTable {
    pub(crate) origin: Origin,
    pub(crate) url: Option<(String, Origin)>,
    pub(crate) system_events: Option<(Vec<String>, Origin)>,
    pub(crate) user_events: Option<(Vec<String>, Origin)>,
}

/// The handlers of a hub's table.
pub(super) fn of_tables(
    hub: &str,
    tables: &[HandlerTable],
    mistakes: &mut Vec<Mistake>,
) -> Vec<Handler> {
    let key = format!("hub.{hub}.event_handler");
    if let Some(table) = tables.get(HANDLERS_MAX) {
        let wrong = format!("{} of them", tables.len());
        let allowed = format!("at most {HANDLERS_MAX} event handlers per hub");
        mistakes.push(Mistake { key: key.clone(), origin: table.origin.clone(), wrong, allowed });
    }
    tables.iter().filter_map(|table| of_table(&key, table, mistakes)).collect()
}

fn of_table(key: &str, table: &HandlerTable, mistakes: &mut Vec<Mistake>) -> Option<Handler> {
    let mut mistake = |field: &str, origin: &Origin, wrong: String, allowed: String| {
        let (key, origin) = (format!("{key}.{field}"), origin.clone());
        mistakes.push(Mistake { key, origin, wrong, allowed });
    };
    let Some((url, origin)) = &table.url else {
        mistake("url", &table.origin, "is missing".into(), HandlerUrl.allowed());
        return None;
    };
    let url = HandlerUrl.parse(url).map_err(|wrong| {
        mistake("url", origin, format!("the value {wrong}"), HandlerUrl.allowed())
    });
    let system_events = match &table.system_events {
        None => Ok(SystemEvent::ALL.to_vec()),
        Some((names, origin)) => {
            names.iter().map(|name| system_event(name)).collect::<Result<Vec<_>, _>>().map_err(
                |wrong| {
                    let allowed = "\"connect\", \"connected\", \"disconnected\"".into();
                    mistake("system_events", origin, wrong, allowed);
                },
            )
        }
    };
    let user_events = match &table.user_events {
        None => Ok(UserEvents::All),
        Some((names, origin)) => {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            user_events(&names).map_err(|wrong| {
                mistake("user_events", origin, wrong, "names of events, or \"*\" alone".into());
            })
        }
    };
    Some(Handler {
        url: url.ok()?,
        system_events: system_events.ok()?,
        user_events: user_events.ok()?,
    })
}

/// The handler of the simple case, if it is configured.
pub(super) fn simple(
    settings: &Settings,
    given: &Given,
    table: Option<(&str, &[HandlerTable])>,
    mistakes: &mut Vec<Mistake>,
) -> Vec<Handler> {
    // A default that is written out, as `config print` does, is not a choice of the operator.
    let shown = settings.shown();
    let is_default = |name: &str| {
        let key = table::keys().iter().find(|key| key.name == name);
        let value = shown.iter().find(|(other, _)| *other == name);
        key.zip(value).is_some_and(|(key, (_, value))| key.default == *value)
    };
    let set = |key: &&str| given.origin(key) != Origin::Default && !is_default(key);
    let Some(first) = SIMPLE.into_iter().find(set) else { return Vec::new() };
    let mut mistake = |wrong: String, allowed: &str| {
        let (key, origin) = (first.to_owned(), given.origin(first));
        mistakes.push(Mistake { key, origin, wrong, allowed: allowed.to_owned() });
        Vec::new()
    };
    if let Some((hub, _)) = table.filter(|(_, handlers)| !handlers.is_empty()) {
        let wrong = format!("is set beside the tables [[hub.{hub}.event_handler]]");
        return mistake(wrong, "the event handlers of a hub in one place");
    }
    let Some(url) = settings.event_handler.clone() else {
        if first == "event_handler" {
            return Vec::new(); // Its value is wrong, and that has been said.
        }
        return mistake("is set without `event_handler`".into(), "beside `event_handler`");
    };
    vec![Handler {
        url,
        system_events: settings.event_handler_system_events.clone(),
        user_events: settings.event_handler_user_events.clone(),
    }]
}
