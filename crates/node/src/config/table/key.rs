//! The facts about one key, and its names on each face.

use crate::config::kinds::ValueKind;

/// The facts about a key, without its value.
#[derive(Clone, Debug)]
pub struct Key {
    /// The heading of its section.
    pub section: &'static str,
    /// The name in the file.
    pub name: &'static str,
    /// The documentation; the first sentence says what the key is.
    pub doc: String,
    /// A word for the value in help texts.
    pub placeholder: &'static str,
    /// The allowed values.
    pub allowed: String,
    /// The default as text; empty when there is none.
    pub default: String,
    /// Whether its values must never be printed.
    pub secret: bool,
}

impl Key {
    pub(super) fn new<K: ValueKind>(
        section: &'static str,
        name: &'static str,
        doc: &[&str],
        kind: &K,
        default: String,
    ) -> Self {
        let doc = doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
        let (placeholder, allowed, secret) = (kind.placeholder(), kind.allowed(), kind.secret());
        Self { section, name, doc, placeholder, allowed, default, secret }
    }

    /// The environment variable: `TRUNKLINE_` and the name in capitals.
    pub fn env(&self) -> String {
        env_name(self.name)
    }

    /// The flag: `--` and the name with hyphens.
    pub fn flag(&self) -> String {
        flag_name(self.name)
    }
}

/// The environment variable of a key.
fn env_name(name: &str) -> String {
    format!("TRUNKLINE_{}", name.to_ascii_uppercase())
}

/// The flag of a key.
pub(crate) fn flag_name(name: &str) -> String {
    format!("--{}", name.replace('_', "-"))
}
