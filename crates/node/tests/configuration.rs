//! Configuration from all faces: which text wins, the resulting hubs, and the text of every
//! mistake.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use trunkline_node::config::{self, Config, DEVELOPMENT_KEY, Inputs, Mistakes, Mode, Origin};

const KEY: &str = "0123456789abcdef";
const KEY_2: &str = "fedcba9876543210";

/// A file for one test, removed at the end.
struct TempFile(PathBuf);

impl TempFile {
    fn new(text: &str) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("trunkline-node-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[derive(Default)]
struct Faces<'a> {
    file: &'a str,
    env: &'a [(&'a str, &'a str)],
    flags: &'a [(&'static str, &'a str)],
}

fn load(mode: Mode, faces: &Faces<'_>) -> Result<Config, Mistakes> {
    let file = TempFile::new(faces.file);
    config::load(
        mode,
        Inputs {
            file: Some(file.0.clone()),
            flags: faces.flags.iter().map(|(key, text)| (*key, OsString::from(text))).collect(),
            env: faces.env.iter().map(|(name, text)| (name.into(), text.into())).collect(),
            file_default: PathBuf::new(),
        },
    )
}

/// Each mistake as `key (origin): wrong`, without the file's own path.
fn mistakes(mode: Mode, faces: &Faces<'_>) -> Vec<String> {
    let Mistakes(mistakes) = load(mode, faces).expect_err("it was taken");
    let place = |origin: &Origin| match origin {
        Origin::File { line, .. } => format!("line {line}"),
        Origin::Default | Origin::Env(_) | Origin::Flag(_) => origin.to_string(),
    };
    mistakes.iter().map(|m| format!("{} ({}): {}", m.key, place(&m.origin), m.wrong)).collect()
}

fn serve_file(file: &str) -> Vec<String> {
    mistakes(Mode::Serve, &Faces { file, ..Faces::default() })
}

#[test]
fn flag_over_environment_over_file_over_default() {
    let file = "drain = \"1s\"\n";
    let env: &[_] = &[("TRUNKLINE_DRAIN", "2s")];
    let flags: &[_] = &[("drain", "3s")];
    let cases = [
        (Faces::default(), None, "not set"),
        (Faces { file, ..Faces::default() }, Some(1), "line 1"),
        (Faces { file, env, ..Faces::default() }, Some(2), "TRUNKLINE_DRAIN"),
        (Faces { file, env, flags }, Some(3), "--drain"),
        (Faces { env: &[], file, flags }, Some(3), "--drain"),
    ];
    for (faces, seconds, origin) in cases {
        let config = load(Mode::Inspect, &faces).unwrap();
        assert_eq!(config.settings.drain, seconds.map(Duration::from_secs));
        assert!(config.origin("drain").to_string().ends_with(origin), "{origin}");
    }
}

#[test]
fn the_file_takes_numbers_and_texts() {
    let file = "threads = 3\nsessions_max = \"7\"\noutbox_bytes_max = 0x10_0000\nadmin = 'off'\n";
    let settings = load(Mode::Inspect, &Faces { file, ..Faces::default() }).unwrap().settings;
    assert_eq!(settings.threads, Some(3));
    assert_eq!(settings.limits.sessions_max, 7);
    assert_eq!(settings.limits.outbox_bytes_max, 1 << 20);
    assert_eq!(settings.admin, None);
}

#[test]
fn a_text_that_is_overridden_must_be_right_too() {
    let faces = Faces {
        file: "threads = 0",
        env: &[("TRUNKLINE_THREADS", "none")],
        flags: &[("threads", "1")],
    };
    let want = [
        "threads (line 1): `0` is below the least, 1",
        "threads (TRUNKLINE_THREADS): `none` is not a whole number",
    ];
    assert_eq!(mistakes(Mode::Inspect, &faces), want);
}

#[test]
fn the_file_named_in_the_environment_is_read_unless_a_flag_names_one() {
    let [by_env, by_flag] = ["drain = '1s'", "drain = '2s'"].map(TempFile::new);
    let env = vec![("TRUNKLINE_CONFIG".into(), by_env.0.clone().into_os_string())];
    for (file, seconds) in [(None, 1), (Some(by_flag.0.clone()), 2)] {
        let inputs = Inputs { file, env: env.clone(), ..Inputs::default() };
        let config = config::load(Mode::Inspect, inputs).unwrap();
        assert_eq!(config.settings.drain, Some(Duration::from_secs(seconds)));
    }
}

#[test]
fn the_default_file_may_be_missing_and_a_named_one_may_not() {
    let missing = std::env::temp_dir().join("trunkline-node-there-is-no-such-file");
    let inputs = Inputs { file_default: missing.clone(), ..Inputs::default() };
    assert!(config::load(Mode::Inspect, inputs).is_ok());
    let inputs = Inputs { file: Some(missing), ..Inputs::default() };
    let Mistakes(mistakes) = config::load(Mode::Inspect, inputs).unwrap_err();
    assert!(mistakes[0].wrong.contains("cannot be read"), "{mistakes:?}");
}

#[test]
fn hubs_and_how_many_keys_they_have() {
    let two = format!(
        "[hub.chat]\ndefault = true\nkeys = ['{KEY}', '{KEY_2}']\n[hub.b]\nkeys = ['{KEY}']\n"
    );
    let named = format!("[hub.default]\nkeys = ['{KEY}', '{KEY_2}']\n");
    let keys = TempFile::new(&format!("\n{KEY}\n\n{KEY_2}\r\n"));
    let key_file = keys.0.to_str().unwrap();
    let in_table = format!("[hub.default]\nkey_file = '{key_file}'\n");
    let cases: [(Faces<'_>, &[(&str, usize)]); 8] = [
        (Faces { env: &[("TRUNKLINE_KEY", KEY)], ..Faces::default() }, &[("default", 1)]),
        (
            Faces {
                flags: &[("hub", "x"), ("key", KEY), ("key_previous", KEY_2)],
                ..Faces::default()
            },
            &[("x", 2)],
        ),
        (Faces { flags: &[("key_file", key_file)], ..Faces::default() }, &[("default", 2)]),
        (Faces { file: &in_table, ..Faces::default() }, &[("default", 2)]),
        (Faces { file: &two, ..Faces::default() }, &[("chat", 2), ("b", 1)]),
        (
            Faces { file: &two, env: &[("TRUNKLINE_HUB", "b")], ..Faces::default() },
            &[("b", 1), ("chat", 2)],
        ),
        (Faces { file: &named, ..Faces::default() }, &[("default", 2)]),
        (
            Faces { file: &named, env: &[("TRUNKLINE_KEY", KEY)], ..Faces::default() },
            &[("default", 1)],
        ),
    ];
    for (number, (faces, want)) in cases.iter().enumerate() {
        let config = load(Mode::Serve, faces).unwrap_or_else(|m| panic!("case {number}: {m}"));
        let got: Vec<_> =
            config.hubs.iter().map(|hub| (hub.name.as_str(), hub.keys.len())).collect();
        assert_eq!(got, *want, "case {number}");
        assert_eq!(config.default_hub, want[0].0, "case {number}");
    }
}

#[test]
fn development_needs_no_key_and_stays_on_this_machine() {
    let config = load(Mode::Dev, &Faces::default()).unwrap();
    assert_eq!((config.hubs.len(), config.hubs[0].keys.len()), (1, 1));

    let flags: &[_] = &[("listen", "0.0.0.0:8080"), ("admin", "10.0.0.1:1")];
    let reachable = "can be reached from other machines, and the development key is public";
    assert_eq!(
        mistakes(Mode::Dev, &Faces { flags, ..Faces::default() }),
        [
            format!("listen (--listen): `0.0.0.0:8080` {reachable}"),
            format!("admin (--admin): `10.0.0.1:1` {reachable}"),
        ]
    );
    for listen in ["127.0.0.2:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "localhost:1"] {
        let flags: &[_] = &[("listen", listen)];
        assert!(load(Mode::Dev, &Faces { flags, ..Faces::default() }).is_ok(), "{listen}");
    }
}

#[test]
fn serving_wants_keys_of_its_own() {
    let no_key = |hub| format!("hub `{hub}` has no key, so no app server could connect");
    let public = "the value is the development key, which everybody knows";
    let other = format!("[hub.chat]\nkeys = ['{KEY}']\n");
    let empty = format!("key = '{KEY}'\n[hub.chat]\n").replace("key =", "log = 'info'\n#");
    let cases = [
        (Faces::default(), vec![format!("key (not set): {}", no_key("default"))]),
        (
            Faces { file: &other, ..Faces::default() },
            vec![format!("key (not set): {}", no_key("default"))],
        ),
        (
            Faces { file: &empty, env: &[("TRUNKLINE_KEY", KEY)], ..Faces::default() },
            vec![format!("hub.chat (line 3): {}", no_key("chat"))],
        ),
        (
            Faces { env: &[("TRUNKLINE_KEY", DEVELOPMENT_KEY)], ..Faces::default() },
            vec![format!("key (TRUNKLINE_KEY): {public}")],
        ),
    ];
    for (faces, want) in cases {
        assert_eq!(mistakes(Mode::Serve, &faces), want);
    }
}

#[test]
fn keys_given_in_two_ways_are_refused() {
    let cases: [(Faces<'_>, &[&str]); 4] = [
        (
            Faces { flags: &[("key_previous", KEY)], ..Faces::default() },
            &["key_previous (--key-previous): is set without `key`"],
        ),
        (
            Faces { flags: &[("key_file", "/dev/null"), ("key", KEY)], ..Faces::default() },
            &[
                "key_file (--key-file): is set beside `key` or `key_previous`",
                "key_file (--key-file): `/dev/null` holds no key",
            ],
        ),
        (
            Faces {
                file: "key = '0123456789abcdef'\nhub = 'a'\n",
                env: &[("TRUNKLINE_KEY_FILE", "/no/such/file")],
                ..Faces::default()
            },
            &[
                "key_file (TRUNKLINE_KEY_FILE): is set beside `key` or `key_previous`",
                "key_file (TRUNKLINE_KEY_FILE): `/no/such/file` cannot be read: No such file or directory (os error 2)",
            ],
        ),
        (
            Faces {
                file: "key = '0123456789abcdef'\n[hub.default]\nkeys = ['0123456789abcdef']\n",
                ..Faces::default()
            },
            &["key (line 1): is set beside the table [hub.default]"],
        ),
    ];
    for (faces, want) in cases {
        assert_eq!(mistakes(Mode::Serve, &faces), want);
    }
}

#[test]
fn every_mistake_in_a_file_has_its_line() {
    let cases: [(&str, &[&str]); 14] = [
        (
            "[hub.a]\nkeys = ['0123456789abcdef']\npath = ['/own/', 'own', '/api/x', '/', '/a?b', '/own']\n",
            &[
                "hub.a.path (line 3): `own` does not begin with a slash",
                "hub.a.path (line 3): `/api/x` is, or may become, a path of the node's own",
                "hub.a.path (line 3): `/` is, or may become, a path of the node's own",
                "hub.a.path (line 3): `/a?b` holds what no path may hold",
            ],
        ),
        (
            "[hub.a]\nkeys = ['0123456789abcdef']\npath = '/own/'\n[hub.b]\nkeys = ['0123456789abcdef']\npath = '/own'\n",
            &["hub.b.path (line 6): `/own` is a path of hub `a` already"],
        ),
        (
            "listen = \"x\"\n\nadmin = 8081\n",
            &["listen (line 1): `x` is not an address", "admin (line 3): `8081` is not an address"],
        ),
        ("sesions_max = 1\n", &["sesions_max (line 1): no such key"]),
        ("log-format = 'json'\n", &["log-format (line 1): no such key"]),
        ("threads = [1]\n", &["threads (line 1): is not one value"]),
        ("threads = 1.5\n", &["threads (line 1): `1.5` is not a whole number"]),
        ("hub = 5\n", &["hub (line 1): `5` begins with `5`"]),
        ("[hub]\nx = 1\n", &["hub.x (line 2): is not a table"]),
        (
            "[hub.a]\nkeys = 'one'\nkey = 'x'\nkey_file = 1\ndefault = 'yes'\n",
            &[
                "hub.a.default (line 5): is of the wrong type",
                "hub.a.key (line 3): no such key",
                "hub.a.key_file (line 4): is of the wrong type",
                "hub.a.keys (line 2): is of the wrong type",
            ],
        ),
        (
            "[hub.a]\nkeys = ['0123456789abcdef',\n  'short']\n",
            &["hub.a.keys (line 3): the value is 5 bytes long, which can be guessed"],
        ),
        (
            "[hub.a]\nkeys = ['0123456789abcdef']\n[hub.A]\nkeys = ['0123456789abcdef']\n[hub.'b c']\nkeys = ['0123456789abcdef']\n",
            &[
                "hub.a (line 1): another hub has this name but for upper and lower case",
                "hub.b c (line 5): `b c` holds ` `",
            ],
        ),
        (
            "[hub.a]\ndefault = true\nkeys = ['0123456789abcdef']\n[hub.b]\ndefault = true\nkeys = ['0123456789abcdef']\n",
            &["hub.b.default (line 5): a second hub is marked as the default"],
        ),
        (
            "[hub.a]\nkeys = ['0123456789abcdef']\nkey_file = 'x'\n",
            &["hub.a.key_file (line 3): is set beside `keys`"],
        ),
    ];
    for (file, want) in cases {
        let faces = Faces { file, ..Faces::default() };
        assert_eq!(mistakes(Mode::Inspect, &faces), want, "{file}");
    }
}

#[test]
fn what_is_not_toml_is_told_without_repeating_the_line() {
    let got = serve_file("drain = '1s'\nkey = \"my secret key 0123\n");
    assert!(got.iter().any(|mistake| mistake.starts_with("file (line 2): not TOML: ")), "{got:?}");
    assert!(!got.iter().any(|mistake| mistake.contains("secret")), "{got:?}");
}

#[test]
fn too_many_keys_are_refused() {
    let keys = vec![format!("'{KEY}'"); 9].join(", ");
    let got = serve_file(&format!("[hub.default]\nkeys = [{keys}]\n"));
    assert_eq!(got, ["hub.default.keys (line 2): holds 9 keys"]);
}

#[test]
fn the_environment_is_read_strictly_but_for_what_others_put_there() {
    let env: &[_] = &[
        ("PATH", "/bin"),
        ("TRUNKLINE_ENDPOINT", "http://127.0.0.1:8080"),
        ("TRUNKLINE_SERVICE_HOST", "10.0.0.1"),
        ("TRUNKLINE_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("TRUNKLINE_IMAGE", "trunkline:1"),
        ("TRUNKLINE_DRIAN", "1s"),
        ("TRUNKLINE_LOG", ""),
    ];
    let want = [
        "drian (TRUNKLINE_DRIAN): no such key",
        "log (TRUNKLINE_LOG): `` holds ``, which is not a level",
    ];
    assert_eq!(mistakes(Mode::Inspect, &Faces { env, ..Faces::default() }), want);
}

#[test]
fn the_ports_must_differ() {
    let flags: &[_] = &[("listen", "127.0.0.1:8081")];
    assert_eq!(
        mistakes(Mode::Inspect, &Faces { flags, ..Faces::default() }),
        ["admin (not set): `127.0.0.1:8081` is another port as well"]
    );
}

#[test]
fn no_debug_text_holds_a_key() {
    let config =
        load(Mode::Serve, &Faces { env: &[("TRUNKLINE_KEY", KEY)], ..Faces::default() }).unwrap();
    assert!(!format!("{:?} {:?}", config.settings, config.hubs).contains(KEY));
    assert!(!format!("{config:?}").contains(KEY));
}

const HANDLERS: &str = r#"
[hub.default]
keys = ["0123456789abcdef"]

[hub.chat]
keys = ["0123456789abcdef"]

[[hub.chat.event_handler]]
url = "https://app.example.com/{hub}/{event}?code=1"
system_events = ["connect"]
user_events = ["a", "b"]

[[hub.chat.event_handler]]
url = "http://127.0.0.1:3000/"
"#;

/// Each handler of a hub: URL without its query, events.
fn handlers(config: &Config, hub: &str) -> Vec<String> {
    let hub = config.hubs.iter().find(|other| other.name == hub).unwrap();
    let shown = hub.event_handlers.iter();
    shown
        .map(|one| format!("{:?} {:?} {:?}", one.url, one.system_events, one.user_events))
        .collect()
}

#[test]
fn event_handlers_come_from_tables_or_for_the_default_hub_from_keys() {
    let config = load(Mode::Serve, &Faces { file: HANDLERS, ..Faces::default() }).unwrap();
    assert_eq!(handlers(&config, "default"), [""; 0]);
    assert_eq!(
        handlers(&config, "chat"),
        [
            "https://app.example.com/{hub}/{event} [Connect] Named([\"a\", \"b\"])",
            "http://127.0.0.1:3000/ [Connect, Connected, Disconnected] All",
        ]
    );
    let faces = Faces {
        file: HANDLERS,
        env: &[("TRUNKLINE_EVENT_HANDLER", "http://h/?code=1")],
        flags: &[("event_handler_system_events", "none"), ("event_handler_user_events", "a, b")],
    };
    let config = load(Mode::Serve, &faces).unwrap();
    assert_eq!(handlers(&config, "default"), ["http://h/ [] Named([\"a\", \"b\"])"]);
    assert!(!config.print().contains("code=1"), "an event handler's URL is a secret");
    assert!(config.print().contains("# hub chat: 1 key, 2 event handlers"));
}

const PROVIDERS: &str = r#"
[hub.chat]
default = true
keys = ["0123456789abcdef"]

[[hub.chat.identity_provider]]
issuer = "https://id.example.com/tenant/"
audience = "https://webpubsub.azure.com"

[[hub.chat.identity_provider]]
issuer = "accounts.example.com"
audience = ["a", "b"]
jwks_url = "http://127.0.0.1:9/keys"
algorithms = ["ES256", "EdDSA"]
for = ["clients"]
claims = { roles = ["x", "y"], sub = ["z"] }
"#;

#[test]
fn identity_providers_come_from_tables() {
    let config = load(Mode::Serve, &Faces { file: PROVIDERS, ..Faces::default() }).unwrap();
    let [plain, full] = &*config.hubs[0].identity_providers else { panic!("two of them") };
    let shown = format!("{:?} {:?}", plain.source, plain.rules.algorithms);
    assert!(shown.contains("https://id.example.com/tenant/.well-known/openid-configuration"));
    assert!(shown.ends_with("[Rs256]"), "{shown}");
    assert!(plain.app_servers && !plain.clients && plain.rules.claims.is_empty());
    assert_eq!(full.rules.issuer, "accounts.example.com");
    assert_eq!(full.rules.audiences, ["a", "b"]);
    assert!(full.clients && !full.app_servers);
    let claims = format!("{:?} {:?}", full.rules.claims, full.rules.algorithms);
    let expected = r#"[("roles", ["x", "y"]), ("sub", ["z"])] [Es256, EdDsa]"#;
    assert_eq!(claims, expected);
    assert!(config.print().contains("# hub chat: 1 key, 2 identity providers, the default hub"));
}

#[test]
fn mistakes_in_identity_providers() {
    let hub = "[hub.default]\nkeys = [\"0123456789abcdef\"]\n";
    let good = "issuer = \"https://id.example.com\"\naudience = \"a\"\n";
    let table =
        |lines: &str| serve_file(&format!("{hub}[[hub.default.identity_provider]]\n{lines}\n"));
    let cases = [
        ("audience = \"a\"".to_owned(), "issuer (line 4): is missing"),
        ("issuer = \"https://id.example.com\"".into(), "audience (line 4): is missing"),
        ("issuer = [\"https://id.example.com\"]".into(), "issuer (line 4): is of the wrong type"),
        ("issuer = \"\"\naudience = \"a\"".into(), "issuer (line 4): is empty"),
        (
            "issuer = \"http://id.example.com\"\naudience = \"a\"".into(),
            "issuer (line 4): does not begin with https:// (http:// is for 127.0.0.1, [::1] and localhost only)",
        ),
        (
            format!("{good}jwks_url = \"http://id.example.com/keys\""),
            "jwks_url (line 6): does not begin with https:// (http:// is for 127.0.0.1, [::1] and localhost only)",
        ),
        (format!("{good}algorithms = [\"HS256\"]"), "algorithms (line 6): names `HS256`"),
        (format!("{good}algorithms = [\"none\"]"), "algorithms (line 6): names `none`"),
        (format!("{good}algorithms = []"), "algorithms (line 6): is empty"),
        (format!("{good}for = [\"everybody\"]"), "for (line 6): names nobody, or somebody else"),
        (format!("{good}for = []"), "for (line 6): names nobody, or somebody else"),
        (format!("{good}claims = {{ roles = [] }}"), "claims (line 6): has no value for `roles`"),
        (format!("{good}claims = {{ roles = 1 }}"), "claims (line 6): is of the wrong type"),
        (format!("{good}audiences = [\"b\"]"), "audiences (line 6): no such key"),
    ];
    for (lines, expected) in cases {
        let expected = format!("hub.default.identity_provider.{expected}");
        assert!(table(&lines).contains(&expected), "{:?} lacks {expected}", table(&lines));
    }
    let all = table("jwks_url = \"\"\nalgorithms = []\nfor = []\nclaims = { roles = [] }");
    assert_eq!(all.len(), 5, "{all:?}");
}

#[test]
fn mistakes_in_event_handlers() {
    let hub = "[hub.default]\nkeys = [\"0123456789abcdef\"]\n";
    let handler =
        |lines: &str| serve_file(&format!("{hub}[[hub.default.event_handler]]\n{lines}\n"));
    let cases = [
        ("user_events = []", "url (line 4): is missing"),
        ("url = 1", "url (line 4): is of the wrong type"),
        ("url = \"ftp://h/\"", "url (line 4): the value does not begin with http:// or https://"),
        ("url = \"http://{hub}/\"", "url (line 4): the value has `{…}` in its host"),
        (
            "url = \"http://h/{x}\"",
            "url (line 4): the value has a parameter other than {hub} and {event}",
        ),
        (
            "url = \"http://h/\"\nsystem_events = \"connect\"",
            "system_events (line 5): is of the wrong type",
        ),
        (
            "url = \"http://h/\"\nsystem_events = [\"conect\"]",
            "system_events (line 5): names `conect`, which is no system event",
        ),
        (
            "url = \"http://h/\"\nuser_events = [\"*\", \"a\"]",
            "user_events (line 5): has `*` beside other names",
        ),
        ("url = \"http://h/\"\nevents = []", "events (line 5): no such key"),
    ];
    for (lines, expected) in cases {
        let expected = format!("hub.default.event_handler.{expected}");
        assert!(handler(lines).contains(&expected), "{:?} lacks {expected}", handler(lines));
    }
    let flags: &[_] = &[("event_handler", "http://h/")];
    let file = format!("{hub}[[hub.default.event_handler]]\nurl = \"http://h/\"\n");
    assert_eq!(
        mistakes(Mode::Serve, &Faces { file: &file, flags, ..Faces::default() }),
        ["event_handler (--event-handler): is set beside the tables [[hub.default.event_handler]]"]
    );
    let env: &[_] = &[("TRUNKLINE_EVENT_HANDLER_USER_EVENTS", "a")];
    assert_eq!(
        mistakes(Mode::Dev, &Faces { env, ..Faces::default() }),
        [
            "event_handler_user_events (TRUNKLINE_EVENT_HANDLER_USER_EVENTS): is set without `event_handler`"
        ]
    );
    let flags: &[_] = &[("event_handler", "h"), ("event_handler_system_events", "connect,x")];
    assert_eq!(
        mistakes(Mode::Dev, &Faces { flags, ..Faces::default() }),
        [
            "event_handler (--event-handler): the value does not begin with http:// or https://",
            "event_handler_system_events (--event-handler-system-events): `connect,x` names `x`, which is no system event",
        ]
    );
}
