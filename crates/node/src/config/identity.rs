//! Identity providers of hubs: their tables in the file.

use trunkline_azure::identity::{
    IdentityProvider, KeySource, ProviderAlgorithm, ProviderUrl, ProviderUrlError, Rules,
};

use super::mistake::{Mistake, Origin};

/// The allowed content of a provider's table.
pub(super) const IDENTITY_ALLOWED: &str = "tables [[hub.NAME.identity_provider]] with issuer = \"URL\", \
     audience = \"TEXT\" or a list of them, and, where they are wanted, jwks_url = \"URL\", algorithms = [\"RS256\", …], \
     for = [\"app_servers\", \"clients\"], claims = { NAME = [\"VALUE\", …] }";

/// The most providers per hub.
const PROVIDERS_MAX: usize = 16;

/// One `[[hub.<name>.identity_provider]]`. Values are not checked yet.
#[derive(Clone, Debug)]
pub(crate) struct IdentityTable {
    origin: Origin,
    /// Fields with one text or a list of texts.
    fields: Vec<(String, Vec<String>, Origin)>,
    pub(super) claims: Vec<(String, Vec<String>)>,
    pub(super) claims_origin: Option<Origin>,
}

impl IdentityTable {
    pub(super) const FIELDS: [&'static str; 6] =
        ["issuer", "audience", "jwks_url", "algorithms", "for", "claims"];
    /// The fields that may have several values.
    const LISTS: [&str; 3] = ["audience", "algorithms", "for"];

    pub(super) fn new(origin: Origin) -> Self {
        Self { origin, fields: Vec::new(), claims: Vec::new(), claims_origin: None }
    }

    /// Sets a field; `None`: there is no such field, or it has tables.
    pub(super) fn put(&mut self, name: &str, texts: Vec<String>, origin: &Origin) -> Option<()> {
        if name == "claims" || !Self::FIELDS.contains(&name) {
            return None;
        }
        self.fields.push((name.to_owned(), texts, origin.clone()));
        Some(())
    }

    /// Sets a field with several values; `None`: there is no such field, or it has one value.
    pub(super) fn put_list(
        &mut self,
        name: &str,
        list: Vec<String>,
        origin: &Origin,
    ) -> Option<()> {
        if Self::LISTS.contains(&name) { self.put(name, list, origin) } else { None }
    }

    fn field(&self, name: &str) -> Option<(&[String], &Origin)> {
        let found = self.fields.iter().find(|(other, ..)| other == name);
        found.map(|(_, texts, origin)| (&**texts, origin))
    }
}

/// The identity providers of a hub's table.
pub(super) fn of_tables(
    hub: &str,
    tables: &[IdentityTable],
    mistakes: &mut Vec<Mistake>,
) -> Vec<IdentityProvider> {
    let key = format!("hub.{hub}.identity_provider");
    if let Some(table) = tables.get(PROVIDERS_MAX) {
        let wrong = format!("{} of them", tables.len());
        let allowed = format!("at most {PROVIDERS_MAX} identity providers per hub");
        mistakes.push(Mistake { key: key.clone(), origin: table.origin.clone(), wrong, allowed });
    }
    let mut checked = Vec::new();
    for table in tables {
        let mut check = Check { key: &key, table, mistakes };
        checked.extend(check.provider());
    }
    checked
}

/// The check of one table. Every mistake is reported, not only the first.
struct Check<'a> {
    key: &'a str,
    table: &'a IdentityTable,
    mistakes: &'a mut Vec<Mistake>,
}

impl Check<'_> {
    fn provider(&mut self) -> Option<IdentityProvider> {
        let issuer = self.issuer();
        let source = issuer.as_deref().and_then(|issuer| self.source(issuer));
        let audiences = self.audiences();
        let algorithms = self.algorithms();
        let bearers = self.bearers();
        let claims = self.claims();
        let (app_servers, clients) = bearers?;
        let (issuer, audiences, algorithms, claims) = (issuer?, audiences?, algorithms?, claims?);
        let rules = Rules { issuer, audiences, algorithms, claims };
        Some(IdentityProvider { rules, source: source?, app_servers, clients })
    }

    fn issuer(&mut self) -> Option<String> {
        const ALLOWED: &str = "the claim `iss` of its tokens, letter for letter, as in \
             https://login.microsoftonline.com/TENANT/v2.0";
        match self.table.field("issuer") {
            Some(([issuer], _)) if !issuer.is_empty() => Some(issuer.clone()),
            Some((_, origin)) => self.mistake("issuer", origin.clone(), "is empty", ALLOWED),
            None => self.mistake("issuer", self.table.origin.clone(), "is missing", ALLOWED),
        }
    }

    fn source(&mut self, issuer: &str) -> Option<KeySource> {
        const ALLOWED: &str = "an https:// URL, or http:// on this machine; without jwks_url the keys are looked for \
             through ISSUER/.well-known/openid-configuration";
        let (field, found) = match self.table.field("jwks_url") {
            Some((urls, _)) => {
                let url =
                    urls.first().map_or(Err(ProviderUrlError::Url), |url| ProviderUrl::parse(url));
                ("jwks_url", url.map(KeySource::Keys))
            }
            None => ("issuer", KeySource::of_issuer(issuer)),
        };
        let origin = self.table.field(field).map_or(&self.table.origin, |(_, origin)| origin);
        found
            .map_err(|wrong| self.mistake::<()>(field, origin.clone(), &wrong.to_string(), ALLOWED))
            .ok()
    }

    fn audiences(&mut self) -> Option<Vec<String>> {
        const ALLOWED: &str = "what its tokens have as `aud`, as in https://webpubsub.azure.com";
        match self.table.field("audience") {
            Some((audiences, _))
                if !audiences.is_empty() && !audiences.contains(&String::new()) =>
            {
                Some(audiences.to_vec())
            }
            Some((_, origin)) => self.mistake("audience", origin.clone(), "is empty", ALLOWED),
            None => self.mistake("audience", self.table.origin.clone(), "is missing", ALLOWED),
        }
    }

    fn algorithms(&mut self) -> Option<Vec<ProviderAlgorithm>> {
        let Some((names, origin)) = self.table.field("algorithms") else {
            return Some(vec![ProviderAlgorithm::Rs256]);
        };
        let unknown = names.iter().find(|name| ProviderAlgorithm::of_name(name).is_none());
        let wrong = match unknown {
            Some(name) => format!("names `{}`", name.escape_debug()),
            None if names.is_empty() => "is empty".into(),
            None => return names.iter().map(|name| ProviderAlgorithm::of_name(name)).collect(),
        };
        let known: Vec<&str> = ProviderAlgorithm::ALL.iter().map(|one| one.name()).collect();
        let allowed = format!("{}: those whose key may be public", known.join(", "));
        self.mistake("algorithms", origin.clone(), &wrong, &allowed)
    }

    /// Who may use the tokens: app servers, clients.
    fn bearers(&mut self) -> Option<(bool, bool)> {
        let Some((names, origin)) = self.table.field("for") else { return Some((true, false)) };
        let has = |wanted: &str| names.iter().any(|name| name == wanted);
        let known = |name: &String| ["app_servers", "clients"].contains(&&**name);
        if !names.is_empty() && names.iter().all(known) {
            return Some((has("app_servers"), has("clients")));
        }
        let allowed = "\"app_servers\" (REST and tunnels), \"clients\", or both";
        self.mistake("for", origin.clone(), "names nobody, or somebody else", allowed)
    }

    fn claims(&mut self) -> Option<Vec<(String, Vec<String>)>> {
        let empty = self.table.claims.iter().find(|(_, values)| values.is_empty());
        let Some((name, _)) = empty else { return Some(self.table.claims.clone()) };
        let origin = self.table.claims_origin.clone().unwrap_or(Origin::Default);
        let wrong = format!("has no value for `{}`", name.escape_debug());
        self.mistake(
            "claims",
            origin,
            &wrong,
            "{ NAME = [\"VALUE\", …] }: a token must have one of the values",
        )
    }

    fn mistake<T>(&mut self, field: &str, origin: Origin, wrong: &str, allowed: &str) -> Option<T> {
        let key = format!("{}.{field}", self.key);
        let (wrong, allowed) = (wrong.to_owned(), allowed.to_owned());
        self.mistakes.push(Mistake { key, origin, wrong, allowed });
        None
    }
}
