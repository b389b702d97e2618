//! The app's Engine.IO options, as `Hello.settings` carries them (section 3).
//!
//! Names, defaults and units are Socket.IO's. A missing key has Socket.IO's default, an unknown key is
//! ignored, and a value that cannot be honoured is an error that names the option and what is allowed.
//!
//! [`OwnSettings`] are the keys that an SDK sets for itself.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use core::ops::RangeInclusive;
use core::time::Duration;

use serde_json::{Map, Value};

mod own;

pub use self::own::{OwnSettings, Resume};

/// The longest `settings` that is read, in bytes.
pub const SETTINGS_BYTES_MAX: usize = 64 * 1024;
/// The largest number of milliseconds or bytes: the largest delay of a timer in Node.js.
pub const NUMBER_MAX: u32 = i32::MAX as u32;
/// The longest `path`, in bytes.
pub const PATH_BYTES_MAX: usize = 1024;

/// The app's options, with Socket.IO's defaults for the missing ones.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EngineSettings {
    /// `path`, with a leading and without a trailing slash. Default `/socket.io`.
    pub path: String,
    /// `addTrailingSlash`. Default true.
    pub add_trailing_slash: bool,
    /// `pingInterval`. Default 25 s.
    pub ping_interval: Duration,
    /// `pingTimeout`. Default 20 s.
    pub ping_timeout: Duration,
    /// `upgradeTimeout`. Default 10 s.
    pub upgrade_timeout: Duration,
    /// `connectTimeout`. Default 45 s, as is 0.
    pub connect_timeout: Duration,
    /// `maxHttpBufferSize`, in bytes. Default 1,000,000.
    pub max_http_buffer_bytes: u32,
    /// `maxBufferedChunks`: pieces in which the body of a POST may arrive. Default 10,000.
    pub max_buffered_chunks: u32,
    /// `httpRequestBodyTimeout`. Default 30 s.
    pub http_request_body_timeout: Duration,
    /// `transports`. Default both.
    pub transports: Transports,
    /// `allowUpgrades`. Default true.
    pub allow_upgrades: bool,
    /// `allowEIO3`. Default false.
    pub allow_eio3: bool,
    /// `httpCompression`. Default from 1024 bytes.
    pub http_compression: Option<HttpCompression>,
    /// `perMessageDeflate`. Default off.
    pub per_message_deflate: Option<PerMessageDeflate>,
    /// `connectionStateRecovery`. Default off.
    pub connection_state_recovery: Option<ConnectionStateRecovery>,
    /// `everyRequest`, an option of the SDK and not of Engine.IO: whether the app server is asked
    /// about each request of its sessions. Default false.
    pub every_request: bool,
    /// `numbers`, set by the SDK: it numbers its broadcasts (section 9). Default false.
    pub numbers: bool,
}

/// The transports with which a client may open a session. With neither, every handshake is refused,
/// as in Engine.IO.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Transports {
    /// HTTP long-polling.
    pub polling: bool,
    /// WebSocket.
    pub websocket: bool,
}

/// Compression of poll answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HttpCompression {
    /// Answers shorter than this many bytes are not compressed.
    pub threshold_bytes: u32,
}

/// Compression of WebSocket messages (RFC 7692), with the names of the npm package `ws`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PerMessageDeflate {
    /// Messages shorter than this many bytes are not compressed. Default 1024.
    pub threshold_bytes: u32,
    /// `serverNoContextTakeover`. Default false.
    pub server_no_context_takeover: bool,
    /// `clientNoContextTakeover`. Default false.
    pub client_no_context_takeover: bool,
    /// `serverMaxWindowBits`, 8 to 15.
    pub server_max_window_bits: Option<u8>,
    /// `clientMaxWindowBits`, 8 to 15.
    pub client_max_window_bits: Option<u8>,
    /// `zlibDeflateOptions.level`, 0 to 9; None is zlib's own choice.
    pub level: Option<u8>,
    /// `zlibDeflateOptions.memLevel`, 1 to 9.
    pub mem_level: Option<u8>,
}

/// How sockets are kept for clients that lost their connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ConnectionStateRecovery {
    /// `maxDisconnectionDuration`. Default 2 min.
    pub max_disconnection: Duration,
    /// `skipMiddlewares`. Default true.
    pub skip_middlewares: bool,
}

/// An option that cannot be honoured (error 3).
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("option \"{option}\" is {found}; allowed is {allowed}")]
pub struct SettingsError {
    /// The option's name; the parts of an option follow a dot.
    pub option: &'static str,
    /// The value that was found, shortened.
    pub found: String,
    /// The values that are allowed.
    pub allowed: &'static str,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            path: "/socket.io".to_owned(),
            add_trailing_slash: true,
            ping_interval: Duration::from_millis(25_000),
            ping_timeout: Duration::from_millis(20_000),
            upgrade_timeout: Duration::from_millis(10_000),
            connect_timeout: Duration::from_millis(45_000),
            max_http_buffer_bytes: 1_000_000,
            max_buffered_chunks: 10_000,
            http_request_body_timeout: Duration::from_millis(30_000),
            transports: Transports { polling: true, websocket: true },
            allow_upgrades: true,
            allow_eio3: false,
            http_compression: Some(HttpCompression { threshold_bytes: 1024 }),
            per_message_deflate: None,
            connection_state_recovery: None,
            every_request: false,
            numbers: false,
        }
    }
}

impl Default for PerMessageDeflate {
    fn default() -> Self {
        Self {
            threshold_bytes: 1024,
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: None,
            client_max_window_bits: None,
            level: None,
            mem_level: None,
        }
    }
}

impl EngineSettings {
    /// Reads `Hello.settings`.
    pub fn from_json(json: &str) -> Result<Self, SettingsError> {
        let root = parse(json)?;
        let options = Options(&root);
        let mut settings = Self::default();
        options.bool("addTrailingSlash", &mut settings.add_trailing_slash)?;
        options.bool("allowUpgrades", &mut settings.allow_upgrades)?;
        options.bool("allowEIO3", &mut settings.allow_eio3)?;
        options.bool("everyRequest", &mut settings.every_request)?;
        options.millis("pingInterval", &mut settings.ping_interval)?;
        options.millis("pingTimeout", &mut settings.ping_timeout)?;
        options.millis("upgradeTimeout", &mut settings.upgrade_timeout)?;
        // Socket.IO takes 0 as "not set" for this option only.
        if options.number("connectTimeout", 0, MILLIS_FROM_0)? != Some(0) {
            options.millis("connectTimeout", &mut settings.connect_timeout)?;
        }
        if let Some(bytes) = options.number("maxHttpBufferSize", 1, BYTES_FROM_1)? {
            settings.max_http_buffer_bytes = bytes;
        }
        if let Some(chunks) = options.number("maxBufferedChunks", 0, CHUNKS)? {
            settings.max_buffered_chunks = chunks;
        }
        options.millis("httpRequestBodyTimeout", &mut settings.http_request_body_timeout)?;
        if let Some(path) = options.path()? {
            settings.path = path;
        }
        if let Some(transports) = options.transports()? {
            settings.transports = transports;
        }
        if let Some(compression) = options.http_compression()? {
            settings.http_compression = compression;
        }
        settings.per_message_deflate = options.per_message_deflate()?;
        settings.connection_state_recovery = options.connection_state_recovery()?;
        options.bool("numbers", &mut settings.numbers)?;
        Ok(settings)
    }

    /// The prefix of the path of clients' requests: `path`, with a slash if `addTrailingSlash`.
    pub fn request_prefix(&self) -> String {
        let slash = if self.add_trailing_slash { "/" } else { "" };
        [self.path.as_str(), slash].concat()
    }
}

const BOOL: &str = "true or false";
const BYTES_FROM_0: &str = "a whole number of bytes from 0 to 2147483647";
const BYTES_FROM_1: &str = "a whole number of bytes from 1 to 2147483647";
const CHUNKS: &str = "a whole number from 0 to 2147483647";
const MILLIS_FROM_0: &str = "a whole number of milliseconds from 0 to 2147483647";
const MILLIS_FROM_1: &str = "a whole number of milliseconds from 1 to 2147483647";
const PATH: &str =
    "a string of at most 1024 bytes that starts with \"/\", without query and spaces";
const SETTINGS: &str = "a JSON object of at most 65536 bytes";
const SWITCH: &str = "true, false or an object";
const TRANSPORTS: &str = "a list of names such as \"polling\" and \"websocket\"";
const WINDOW_BITS: &str = "a whole number from 8 to 15";

fn parse(json: &str) -> Result<Map<String, Value>, SettingsError> {
    let refuse = |found: &str| SettingsError {
        option: "settings",
        found: shortened(found),
        allowed: SETTINGS,
    };
    if json.len() > SETTINGS_BYTES_MAX {
        return Err(refuse("longer than that"));
    }
    match serde_json::from_str(json) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(other) => Err(refuse(&other.to_string())),
        Err(error) => Err(refuse(&error.to_string())),
    }
}

/// The options of one object, by their full names: the key is the part after the last dot.
struct Options<'a>(&'a Map<String, Value>);

impl<'a> Options<'a> {
    fn find(&self, option: &'static str) -> Option<&'a Value> {
        self.0.get(option.rsplit('.').next()?)
    }

    fn bool(&self, option: &'static str, setting: &mut bool) -> Result<(), SettingsError> {
        if let Some(value) = self.find(option) {
            *setting = value.as_bool().ok_or_else(|| refuse(option, value, BOOL))?;
        }
        Ok(())
    }

    fn millis(&self, option: &'static str, setting: &mut Duration) -> Result<(), SettingsError> {
        if let Some(millis) = self.number(option, 1, MILLIS_FROM_1)? {
            *setting = Duration::from_millis(millis.into());
        }
        Ok(())
    }

    fn number(
        &self,
        option: &'static str,
        min: u32,
        allowed: &'static str,
    ) -> Result<Option<u32>, SettingsError> {
        let Some(value) = self.find(option) else { return Ok(None) };
        match whole(value) {
            Some(number) if (min..=NUMBER_MAX).contains(&number) => Ok(Some(number)),
            Some(_) | None => Err(refuse(option, value, allowed)),
        }
    }

    /// Reads a whole number in a range that fits a byte.
    fn small(
        &self,
        option: &'static str,
        range: RangeInclusive<u8>,
        allowed: &'static str,
    ) -> Result<Option<u8>, SettingsError> {
        let Some(value) = self.find(option) else { return Ok(None) };
        let number = whole(value).and_then(|number| u8::try_from(number).ok());
        match number.filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(refuse(option, value, allowed)),
        }
    }

    /// Reads an option that is an object, or true for all of its defaults, or false or null for
    /// off.
    fn switch(&self, option: &'static str) -> Result<Option<Switch<'a>>, SettingsError> {
        match self.find(option) {
            None => Ok(None),
            Some(Value::Null | Value::Bool(false)) => Ok(Some(Switch::Off)),
            Some(Value::Bool(true)) => Ok(Some(Switch::On)),
            Some(Value::Object(map)) => Ok(Some(Switch::Set(Options(map)))),
            Some(value @ (Value::Number(_) | Value::String(_) | Value::Array(_))) => {
                Err(refuse(option, value, SWITCH))
            }
        }
    }

    fn path(&self) -> Result<Option<String>, SettingsError> {
        let Some(value) = self.find("path") else { return Ok(None) };
        let path = value.as_str().filter(|path| {
            let plain = |byte: u8| byte > b' ' && byte != 0x7f && byte != b'?' && byte != b'#';
            path.starts_with('/') && path.len() <= PATH_BYTES_MAX && path.bytes().all(plain)
        });
        let path = path.ok_or_else(|| refuse("path", value, PATH))?;
        Ok(Some(path.strip_suffix('/').unwrap_or(path).to_owned()))
    }

    fn transports(&self) -> Result<Option<Transports>, SettingsError> {
        let Some(value) = self.find("transports") else { return Ok(None) };
        let refused = || refuse("transports", value, TRANSPORTS);
        let list = value.as_array().ok_or_else(refused)?;
        if list.iter().any(|name| !name.is_string()) {
            return Err(refused());
        }
        // Other transports, such as webtransport, are offered by the app and not by this node.
        let has = |wanted: &str| list.iter().any(|name| name.as_str() == Some(wanted));
        Ok(Some(Transports { polling: has("polling"), websocket: has("websocket") }))
    }

    fn http_compression(&self) -> Result<Option<Option<HttpCompression>>, SettingsError> {
        Ok(match self.switch("httpCompression")? {
            None => None,
            Some(Switch::Off) => Some(None),
            // The object replaces the default as a whole: without a threshold every answer is
            // compressed.
            Some(Switch::On) => Some(Some(HttpCompression { threshold_bytes: 0 })),
            Some(Switch::Set(options)) => {
                let threshold = options.number("httpCompression.threshold", 0, BYTES_FROM_0)?;
                Some(Some(HttpCompression { threshold_bytes: threshold.unwrap_or(0) }))
            }
        })
    }

    fn per_message_deflate(&self) -> Result<Option<PerMessageDeflate>, SettingsError> {
        let mut deflate = PerMessageDeflate::default();
        let options = match self.switch("perMessageDeflate")? {
            None | Some(Switch::Off) => return Ok(None),
            Some(Switch::On) => return Ok(Some(deflate)),
            Some(Switch::Set(options)) => options,
        };
        if let Some(bytes) = options.number("perMessageDeflate.threshold", 0, BYTES_FROM_0)? {
            deflate.threshold_bytes = bytes;
        }
        options.bool(
            "perMessageDeflate.serverNoContextTakeover",
            &mut deflate.server_no_context_takeover,
        )?;
        options.bool(
            "perMessageDeflate.clientNoContextTakeover",
            &mut deflate.client_no_context_takeover,
        )?;
        deflate.server_max_window_bits =
            options.window_bits("perMessageDeflate.serverMaxWindowBits")?;
        deflate.client_max_window_bits =
            options.window_bits("perMessageDeflate.clientMaxWindowBits")?;
        options.zlib(&mut deflate)?;
        Ok(Some(deflate))
    }

    /// `ws` also takes a boolean, for the client's size or the default size.
    fn window_bits(&self, option: &'static str) -> Result<Option<u8>, SettingsError> {
        match self.find(option) {
            Some(Value::Null | Value::Bool(_)) => Ok(None),
            Some(Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_))
            | None => self.small(option, 8..=15, WINDOW_BITS),
        }
    }

    fn zlib(&self, deflate: &mut PerMessageDeflate) -> Result<(), SettingsError> {
        let Some(value) = self.find("zlibDeflateOptions") else { return Ok(()) };
        let map = value.as_object().ok_or_else(|| {
            refuse("perMessageDeflate.zlibDeflateOptions", value, "an object of zlib options")
        })?;
        let options = Options(map);
        deflate.level = match options.find("level") {
            Some(level) if level.as_i64() == Some(-1) => None,
            Some(_) | None => options.small(
                "perMessageDeflate.zlibDeflateOptions.level",
                0..=9,
                "a whole number from -1 (zlib's own choice) to 9",
            )?,
        };
        deflate.mem_level = options.small(
            "perMessageDeflate.zlibDeflateOptions.memLevel",
            1..=9,
            "a whole number from 1 to 9",
        )?;
        Ok(())
    }

    fn connection_state_recovery(&self) -> Result<Option<ConnectionStateRecovery>, SettingsError> {
        let mut recovery = ConnectionStateRecovery {
            max_disconnection: Duration::from_millis(120_000),
            skip_middlewares: true,
        };
        let options = match self.switch("connectionStateRecovery")? {
            None | Some(Switch::Off) => return Ok(None),
            Some(Switch::On) => return Ok(Some(recovery)),
            Some(Switch::Set(options)) => options,
        };
        options.millis(
            "connectionStateRecovery.maxDisconnectionDuration",
            &mut recovery.max_disconnection,
        )?;
        options.bool("connectionStateRecovery.skipMiddlewares", &mut recovery.skip_middlewares)?;
        Ok(Some(recovery))
    }
}

enum Switch<'a> {
    Off,
    On,
    Set(Options<'a>),
}

/// The value as a whole number; JSON may write one as `1e6` or `25000.0`.
fn whole(value: &Value) -> Option<u32> {
    if let Some(number) = value.as_u64() {
        return u32::try_from(number).ok();
    }
    let number = value.as_f64()?;
    // The cast saturates, so only a number that is whole and in range survives the way back.
    let whole = number as u32;
    (f64::from(whole) == number).then_some(whole)
}

fn refuse(option: &'static str, value: &Value, allowed: &'static str) -> SettingsError {
    SettingsError { option, found: shortened(&value.to_string()), allowed }
}

/// The beginning of what the app server sent: it goes into logs and back over the trunk.
fn shortened(found: &str) -> String {
    const CHARS_MAX: usize = 80;
    match found.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => [&found[..end], "…"].concat(),
        None => found.to_owned(),
    }
}
