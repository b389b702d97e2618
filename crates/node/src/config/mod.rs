//! Configuration: one key table, three faces (file, environment, flag), all mistakes reported at
//! once.

mod addresses;
mod cluster;
mod file;
mod given;
mod handlers;
mod hubs;
mod identity;
mod kinds;
mod limits;
mod mistake;
mod readiness;
mod reference;
mod reloading;
mod table;
mod tls;
pub(crate) mod units;
mod warnings;

use core::net::SocketAddr;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub use cluster::{Advertise, Cluster, DEVELOPMENT_CLUSTER_KEY};
pub use hubs::Hub;
pub use kinds::KeyText;
pub use mistake::{Mistake, Mistakes, Origin};
pub use readiness::Unready;
pub use reference::reference;
pub use reloading::Difference;
pub(crate) use reloading::is_reloaded;
pub use table::{ClientTokens, Key, LogFormat, Settings, keys};
pub use tls::Tls;

use given::Given;
use trunkline_edge::AddressRules;

/// The key of `trunkline dev` when none is given. App servers in development use it too.
pub const DEVELOPMENT_KEY: &str = "trunkline-development-key-do-not-use-in-production";

/// The file in the working directory that is read, if it exists, when no other file is named.
pub const FILE_DEFAULT: &str = "trunkline.toml";

/// The environment variable that names the file. As a flag: `--config`.
pub const FILE_ENV: &str = "TRUNKLINE_CONFIG";

/// The purpose of a configuration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// `trunkline serve`: keys are needed.
    Serve,
    /// `trunkline dev`: this machine only; without a key the development key is used.
    Dev,
    /// The configuration is only shown: keys may be missing.
    Inspect,
}

/// The texts from the faces.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// The value of `--config`.
    pub file: Option<PathBuf>,
    /// Flags of keys that were on the command line: the key's name and the text.
    pub flags: Vec<(&'static str, OsString)>,
    /// The whole environment; only `TRUNKLINE_*` variables are used.
    pub env: Vec<(OsString, OsString)>,
    /// The file that is read, if it exists, when neither flag nor environment name one.
    pub file_default: PathBuf,
}

/// A configuration without mistakes.
#[derive(Clone, Debug)]
pub struct Config {
    /// The purpose of the configuration.
    pub mode: Mode,
    /// The value of every key.
    pub settings: Settings,
    /// The hub behind `/socket.io/`.
    pub default_hub: String,
    /// All hubs, the default one first.
    pub hubs: Vec<Hub>,
    /// The rules for addresses, with the lists that were read from files.
    pub addresses: AddressRules,
    /// The cluster that the node joins, if any.
    pub cluster: Option<Cluster>,
    /// The certificates of the ports.
    pub tls: Tls,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// Facts that an operator should know although the node starts. Sentences without secrets.
    pub warnings: Vec<String>,
    given: Given,
    inputs: Again,
}

/// The texts from which the configuration was made, to make it again. Secrets are among them.
#[derive(Clone)]
struct Again(Inputs);

impl core::fmt::Debug for Again {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("[hidden]")
    }
}

impl Config {
    /// Where a key's value was set.
    pub fn origin(&self, key: &str) -> Origin {
        self.given.origin(key)
    }
}

/// Reads all faces. Opens files, binds nothing.
pub fn load(mode: Mode, inputs: Inputs) -> Result<Config, Mistakes> {
    let mut mistakes = Vec::new();
    let mut given = Given::default();
    let inputs_again = inputs.clone();
    let file = choose_file(&inputs);
    let tables = match &file {
        Some((path, origin)) => read_file(path, origin, &mut given, &mut mistakes),
        None => Some(Vec::new()),
    };
    let known = mistakes.len();
    let unread = tables.is_none();
    let mut warnings: Vec<String> = warnings::of_environment(&inputs.env).into_iter().collect();
    given.put_environment(inputs.env, &mut mistakes, &mut warnings);
    given.put_flags(inputs.flags, &mut mistakes);
    let mut settings = Settings::resolve(&given, &mut mistakes);
    settings.place_paths(&given);
    let tables = tables.unwrap_or_default();
    warnings.extend(warnings::of_addresses(mode, &settings, &given));
    warnings.extend(warnings::of_files(&settings, &given, &tables, file.as_ref()));
    let tls = tls::assemble(&settings, &given, &tables, &mut mistakes, &mut warnings);
    let (default_hub, hubs) = hubs::assemble(mode, &settings, &given, tables, &mut mistakes);
    check_addresses(mode, &settings, &given, &mut mistakes);
    let addresses = addresses::assemble(&settings, &given, &mut mistakes);
    let cluster = cluster::assemble(mode, &settings, &given, &mut mistakes, &mut warnings);
    if unread {
        // A missing value may well be in the file that cannot be read, so it is not reported.
        let mut place = 0..;
        mistakes.retain(|mistake| place.next() < Some(known) || mistake.origin != Origin::Default);
    }
    if !mistakes.is_empty() {
        return Err(Mistakes(mistakes));
    }
    let file = file.map(|(path, _)| path);
    let inputs = Again(inputs_again);
    Ok(Config {
        mode,
        settings,
        default_hub,
        hubs,
        addresses,
        cluster,
        tls,
        file,
        warnings,
        given,
        inputs,
    })
}

impl Settings {
    /// Resolves paths in the file from the file's folder, so that it does not matter where the node
    /// is started.
    fn place_paths(&mut self, given: &Given) {
        let paths = [
            ("key_file", &mut self.key_file),
            ("ready_file", &mut self.ready_file),
            ("nats_credentials_file", &mut self.nats_credentials_file),
            ("nats_ca_file", &mut self.nats_ca_file),
            ("cluster_key_file", &mut self.cluster_key_file),
            ("allow_file", &mut self.allow_file),
            ("deny_file", &mut self.deny_file),
            ("tls_cert_file", &mut self.tls_cert_file),
            ("tls_key_file", &mut self.tls_key_file),
            ("trunk_tls_cert_file", &mut self.trunk_tls_cert_file),
            ("trunk_tls_key_file", &mut self.trunk_tls_key_file),
            ("trunk_client_ca_file", &mut self.trunk_client_ca_file),
            ("admin_tls_cert_file", &mut self.admin_tls_cert_file),
            ("admin_tls_key_file", &mut self.admin_tls_key_file),
        ];
        for (key, path) in paths {
            if let Some(path) = path {
                *path = given.origin(key).place(path);
            }
        }
    }
}

fn choose_file(inputs: &Inputs) -> Option<(PathBuf, Origin)> {
    if let Some(path) = &inputs.file {
        return Some((path.clone(), Origin::Flag("--config".into())));
    }
    let from_env = inputs.env.iter().find(|(name, _)| name == FILE_ENV);
    if let Some((_, path)) = from_env {
        return Some((path.into(), Origin::Env(FILE_ENV.into())));
    }
    inputs.file_default.exists().then(|| (inputs.file_default.clone(), Origin::Default))
}

/// Reads the file; `None`: it cannot be read, and its content is unknown.
fn read_file(
    path: &Path,
    origin: &Origin,
    given: &mut Given,
    mistakes: &mut Vec<Mistake>,
) -> Option<Vec<file::HubTable>> {
    match file::read_text(path) {
        Ok(text) => file::parse(path, &text, given, mistakes),
        Err(error) => {
            mistakes.push(Mistake {
                key: "config".into(),
                origin: origin.clone(),
                wrong: format!("`{}` cannot be read: {error}", path.display()),
                allowed: "the path of a readable TOML file".into(),
            });
            None
        }
    }
}

fn check_addresses(mode: Mode, settings: &Settings, given: &Given, mistakes: &mut Vec<Mistake>) {
    let named = [
        ("listen", Some(settings.listen)),
        ("trunk_listen", settings.trunk_listen),
        ("admin", settings.admin),
    ];
    let addresses = named.into_iter().filter_map(|(key, address)| Some((key, address?)));
    let outside = |address: SocketAddr| !address.ip().to_canonical().is_loopback();
    for (key, address) in addresses.filter(|(_, address)| mode == Mode::Dev && outside(*address)) {
        mistakes.push(Mistake {
            key: key.into(),
            origin: given.origin(key),
            wrong: format!("`{address}` can be reached from other machines, and the development key is public"),
            allowed: "a loopback address such as 127.0.0.1 or [::1] with `trunkline dev`; `trunkline serve` with a key of your own listens anywhere".into(),
        });
    }
    let mut twice = |key: &str, own: Option<SocketAddr>, other, allowed: &str| {
        if let Some(own) = own.filter(|own| own.port() != 0 && other == Some(*own)) {
            mistakes.push(Mistake {
                key: key.into(),
                origin: given.origin(key),
                wrong: format!("`{own}` is another port as well"),
                allowed: allowed.into(),
            });
        }
    };
    let (listen, trunks) = (Some(settings.listen), settings.trunk_listen);
    twice("admin", settings.admin, listen, "an address and port of its own, or \"off\"");
    twice("admin", settings.admin, trunks, "an address and port of its own, or \"off\"");
    twice(
        "trunk_listen",
        trunks,
        listen,
        "an address and port of its own; without the key, the public port serves app servers",
    );
}
