//! The texts that were given for each key, by face. A flag overrides the environment, the
//! environment the file.

use core::fmt;
use std::ffi::OsString;

use super::kinds::ValueKind;
use super::mistake::{Mistake, Origin};
use super::table::{self, Key};

/// All texts of all keys, weakest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given(Vec<Entry>);

#[derive(Clone)]
struct Entry {
    key: &'static str,
    text: String,
    origin: Origin,
}

/// Leaves out the text, which may be a secret.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.key, self.origin)
    }
}

impl Given {
    /// Adds a text for a key. Later texts override earlier ones.
    pub(crate) fn put(&mut self, key: &'static str, text: String, origin: Origin) {
        self.0.push(Entry { key, text, origin });
    }

    /// Where the strongest text of the key was set.
    pub(crate) fn origin(&self, key: &str) -> Origin {
        self.strongest(key).map_or(Origin::Default, |entry| entry.origin.clone())
    }

    fn strongest(&self, key: &str) -> Option<&Entry> {
        self.0.iter().rev().find(|entry| entry.key == key)
    }

    /// The value of the strongest text. Every wrong text is reported, including overridden ones,
    /// which would cause trouble later.
    pub(crate) fn value<K: ValueKind>(
        &self,
        key: &'static str,
        kind: &K,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<K::Value> {
        let mut strongest = None;
        for entry in self.0.iter().filter(|entry| entry.key == key) {
            match kind.parse(&entry.text) {
                Ok(value) => strongest = Some(value),
                Err(wrong) => mistakes.push(Mistake {
                    key: key.into(),
                    origin: entry.origin.clone(),
                    wrong: describe(kind, &entry.text, &wrong),
                    allowed: kind.allowed(),
                }),
            }
        }
        strongest
    }

    /// Adds every `TRUNKLINE_*` variable. A variable that resembles a key is a mistake. Any other
    /// may belong to another program, such as a deployment's own `TRUNKLINE_IMAGE`, and only gets a
    /// warning.
    pub(crate) fn put_environment(
        &mut self,
        variables: Vec<(OsString, OsString)>,
        mistakes: &mut Vec<Mistake>,
        warnings: &mut Vec<String>,
    ) {
        let mut variables: Vec<(String, OsString)> = variables
            .into_iter()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name.starts_with("TRUNKLINE_") && name != super::FILE_ENV)
            .collect();
        variables.sort();
        for (name, value) in variables {
            let Some(key) = table::keys().iter().find(|key| key.env() == name) else {
                match unknown_variable(&name, &value) {
                    Unknown::Mistake(mistake) => mistakes.push(mistake),
                    Unknown::Warning(warning) => warnings.push(warning),
                    Unknown::OfOthers => (),
                }
                continue;
            };
            match value.into_string() {
                Ok(text) => self.put(key.name, text, Origin::Env(name)),
                Err(_) => mistakes.push(not_text(key, Origin::Env(name))),
            }
        }
    }

    /// Adds the flags that were on the command line, as (key, text).
    pub(crate) fn put_flags(
        &mut self,
        flags: Vec<(&'static str, OsString)>,
        mistakes: &mut Vec<Mistake>,
    ) {
        for (name, value) in flags {
            let origin = Origin::Flag(table::flag_name(name));
            match value.into_string() {
                Ok(text) => self.put(name, text, origin),
                Err(_) => {
                    let key = table::keys().iter().find(|key| key.name == name);
                    mistakes.extend(key.map(|key| not_text(key, origin)));
                }
            }
        }
    }
}

fn describe<K: ValueKind>(kind: &K, text: &str, wrong: &str) -> String {
    if kind.secret() {
        format!("the value {wrong}")
    } else {
        format!("`{}` {wrong}", text.escape_debug())
    }
}

fn not_text(key: &Key, origin: Origin) -> Mistake {
    let wrong = "the value is not UTF-8 text".into();
    Mistake { key: key.name.into(), origin, wrong, allowed: key.allowed.clone() }
}

/// The judgement of a variable that is no key.
enum Unknown {
    Mistake(Mistake),
    Warning(String),
    /// The variable is known to belong to another program.
    OfOthers,
}

fn unknown_variable(name: &str, value: &OsString) -> Unknown {
    // The SDK's own variable: app servers and nodes often share an environment file.
    if name == "TRUNKLINE_ENDPOINT" || is_service_link(name, &value.to_string_lossy()) {
        return Unknown::OfOthers;
    }
    let key = name.trim_start_matches("TRUNKLINE_").to_ascii_lowercase();
    let Some(near) = nearest(&key) else {
        return Unknown::Warning(format!(
            "the variable {name} is no key of Trunkline's and is ignored; `trunkline serve --help` lists them"
        ));
    };
    let allowed = format!("did you mean {}?", near.env());
    let wrong = "no such key".into();
    Unknown::Mistake(Mistake { key, origin: Origin::Env(name.into()), wrong, allowed })
}

/// Kubernetes puts variables of this form into every container when a Service is called `trunkline`
/// or `trunkline-…`, so they are no mistake of the operator.
fn is_service_link(name: &str, value: &str) -> bool {
    let tail = |mark: &str| name.rfind(mark).map(|at| &name[at + mark.len()..]);
    let about_service = tail("_SERVICE_HOST") == Some("")
        || tail("_SERVICE_PORT").is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
    let about_port = tail("_PORT_").is_some_and(|rest| {
        let mut parts = rest.split('_');
        let number = parts.next().is_some_and(|number| number.parse::<u16>().is_ok());
        let protocol = parts.next().is_some_and(|p| matches!(p, "TCP" | "UDP" | "SCTP"));
        number && protocol
    });
    let url = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    about_service || about_port || (tail("_PORT") == Some("") && url)
}

/// The key that was probably meant.
pub(crate) fn nearest(name: &str) -> Option<&'static Key> {
    let near = nearest_of(table::keys().iter().map(|key| key.name), name)?;
    table::keys().iter().find(|key| key.name == near)
}

/// The name among these that was probably meant.
pub(crate) fn nearest_of(
    names: impl Iterator<Item = &'static str>,
    given: &str,
) -> Option<&'static str> {
    names
        .map(|name| (name, strsim::jaro_winkler(name, given)))
        .filter(|(name, similarity)| {
            // The first measure is too strict for short names, and too kind to a common beginning:
            // `TRUNKLINE_HOME` is hardly meant for `home_wait`.
            let changes = strsim::damerau_levenshtein(name, given);
            changes <= 1 || (*similarity > 0.85 && changes * 2 <= name.len())
        })
        .max_by(|(_, a), (_, b)| a.total_cmp(b))
        .map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_links_of_kubernetes_are_not_mistakes() {
        let cases = [
            ("TRUNKLINE_SERVICE_HOST", "10.0.0.1", true),
            ("TRUNKLINE_SERVICE_PORT", "8080", true),
            ("TRUNKLINE_SERVICE_PORT_HTTP", "8080", true),
            ("TRUNKLINE_PORT", "tcp://10.0.0.1:8080", true),
            ("TRUNKLINE_PORT", "8080", false),
            ("TRUNKLINE_PORT_8080_TCP", "tcp://10.0.0.1:8080", true),
            ("TRUNKLINE_PORT_8080_TCP_ADDR", "10.0.0.1", true),
            ("TRUNKLINE_ADMIN_PORT_8081_TCP_PROTO", "tcp", true),
            ("TRUNKLINE_ADMIN_SERVICE_HOST", "10.0.0.1", true),
            ("TRUNKLINE_PORT_A_TCP", "x", false),
            ("TRUNKLINE_LISTE", "x", false),
        ];
        for (name, value, link) in cases {
            assert_eq!(is_service_link(name, value), link, "{name}={value}");
        }
    }

    #[test]
    fn the_nearest_key_is_offered_only_when_near() {
        assert_eq!(nearest("sesions_max").map(|key| key.name), Some("sessions_max"));
        assert_eq!(nearest("adminn").map(|key| key.name), Some("admin"));
        assert_eq!(nearest("lgo").map(|key| key.name), Some("log"));
        for none in ["zzz", "image", "version", "tag", "port", "url", "home", "dir"] {
            assert_eq!(nearest(none).map(|key| key.name), None, "{none}");
        }
    }
}
