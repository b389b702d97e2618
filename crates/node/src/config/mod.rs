//! Configuration: one key table, three faces (file, environment, flag), all mistakes at once.

mod file;
mod given;
mod handlers;
mod hubs;
mod kinds;
mod mistake;
mod reference;
mod table;
mod units;

use core::net::SocketAddr;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub use hubs::Hub;
pub use kinds::KeyText;
pub use mistake::{Mistake, Mistakes, Origin};
pub use reference::reference;
pub use table::{ClientTokens, Key, LogFormat, Settings, keys};

use given::Given;

/// The key that `trunkline dev` takes when none is given. App servers in development use it too.
pub const DEVELOPMENT_KEY: &str = "trunkline-development-key-do-not-use-in-production";

/// The file that is read when none is named and it exists, in the working directory.
pub const FILE_DEFAULT: &str = "trunkline.toml";

/// The environment variable that names the file. As a flag: `--config`.
pub const FILE_ENV: &str = "TRUNKLINE_CONFIG";

/// What the configuration is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// `trunkline serve`: keys are needed.
    Serve,
    /// `trunkline dev`: this machine only; the development key stands in.
    Dev,
    /// Only to be looked at: keys may be missing.
    Inspect,
}

/// The texts that the faces give.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// The value of `--config`.
    pub file: Option<PathBuf>,
    /// Flags of keys that were on the command line: the key's name and the text.
    pub flags: Vec<(&'static str, OsString)>,
    /// The whole environment; only `TRUNKLINE_*` is looked at.
    pub env: Vec<(OsString, OsString)>,
    /// Read when neither flag nor environment name a file, if it exists.
    pub file_default: PathBuf,
}

/// A configuration without mistakes.
#[derive(Clone, Debug)]
pub struct Config {
    /// What it is for.
    pub mode: Mode,
    /// The value of every key.
    pub settings: Settings,
    /// The hub behind `/socket.io/`.
    pub default_hub: String,
    /// All hubs, the default one first.
    pub hubs: Vec<Hub>,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    given: Given,
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
    let file = choose_file(&inputs);
    let tables = match &file {
        Some((path, origin)) => read_file(path, origin, &mut given, &mut mistakes),
        None => Vec::new(),
    };
    given.put_environment(inputs.env, &mut mistakes);
    given.put_flags(inputs.flags, &mut mistakes);
    let settings = Settings::resolve(&given, &mut mistakes);
    let (default_hub, hubs) = hubs::assemble(mode, &settings, &given, tables, &mut mistakes);
    check_addresses(mode, &settings, &given, &mut mistakes);
    if !mistakes.is_empty() {
        return Err(Mistakes(mistakes));
    }
    let file = file.map(|(path, _)| path);
    Ok(Config { mode, settings, default_hub, hubs, file, given })
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

fn read_file(
    path: &Path,
    origin: &Origin,
    given: &mut Given,
    mistakes: &mut Vec<Mistake>,
) -> Vec<file::HubTable> {
    match file::read_text(path) {
        Ok(text) => file::parse(path, &text, given, mistakes),
        Err(error) => {
            mistakes.push(Mistake {
                key: "config".into(),
                origin: origin.clone(),
                wrong: format!("`{}` cannot be read: {error}", path.display()),
                allowed: "the path of a readable TOML file".into(),
            });
            Vec::new()
        }
    }
}

fn check_addresses(mode: Mode, settings: &Settings, given: &Given, mistakes: &mut Vec<Mistake>) {
    let named = [("listen", Some(settings.listen)), ("admin", settings.admin)];
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
    if settings.listen.port() != 0 && settings.admin == Some(settings.listen) {
        mistakes.push(Mistake {
            key: "admin".into(),
            origin: given.origin("admin"),
            wrong: format!("`{}` is the public port as well", settings.listen),
            allowed: "an address and port of its own, or \"off\"".into(),
        });
    }
}
