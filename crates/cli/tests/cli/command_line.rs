//! The commands that end by themselves: help, configuration, keys, and every kind of misuse.

use crate::support::{KEY, Scratch};

#[test]
fn help_names_what_a_new_user_needs() {
    let scratch = Scratch::new();
    let cases: &[(&[&str], &[&str])] = &[
        (&["--help"], &["serve", "dev", "config", "key", "version", "Examples:", "Exit codes:"]),
        (
            &["serve", "--help"],
            &[
                "--listen <ADDR>",
                "[env: TRUNKLINE_LISTEN] [default: 127.0.0.1:8080]",
                "--ready-file <PATH>",
                "--key-file <PATH>",
                "--outbox-bytes-max <SIZE>",
                "Allowed: a time from 10ms to 10m, as in 30s or 500ms",
                "Limits:",
                "Examples:",
            ],
        ),
        (&["dev", "--help"], &["loopback", "--listen <ADDR>", "Examples:"]),
        (&["config", "--help"], &["check", "print", "Examples:"]),
        (
            &["bench", "--help"],
            &[
                "jitter:",
                "--url <URL>",
                "--html <FILE>",
                "Exit codes:",
                "export function benchEvents(io)",
                "socket.on(\"echo\", (text, acknowledge) => acknowledge(text));",
            ],
        ),
    ];
    for (arguments, wanted) in cases {
        let ran = scratch.run(arguments, &[]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        for want in *wanted {
            let text = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(text.contains(want), "{arguments:?} lacks `{want}`:\n{}", ran.stdout);
        }
    }
}

#[test]
fn help_never_shows_a_key_from_the_environment() {
    let ran = Scratch::new().run(&["serve", "--help"], &[("TRUNKLINE_KEY", KEY)]);
    assert!(!ran.stdout.contains(KEY));
}

#[test]
fn a_load_without_a_server_fails_soon_in_every_scenario() {
    let scratch = Scratch::new();
    // Port 1 of the loopback address: nothing listens there.
    for scenario in ["idle", "fanout", "upgrade", "avalanche", "jitter"] {
        let ran = scratch.run(&["bench", scenario, "--url", "http://127.0.0.1:1"], &[]);
        assert_eq!(ran.code, Some(1), "{scenario}: {ran:?}");
        assert!(ran.stderr.contains("no client could connect"), "{scenario}: {}", ran.stderr);
        assert!(ran.stderr.contains("Connection refused"), "{scenario}: {}", ran.stderr);
    }
}

/// The output does not depend on the width of the terminal: a wrapped line would be broken
/// JavaScript.
#[test]
fn the_file_for_the_app_is_printed_as_it_is() {
    let file = include_str!("../../../../bench/apps/events.mjs");
    for arguments in [&["bench", "--help"][..], &["help", "bench"]] {
        let ran = Scratch::new().run(arguments, &[("COLUMNS", "40")]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.stdout.ends_with(file), "{}", ran.stdout);
    }
    let short = Scratch::new().run(&["bench", "-h"], &[]).stdout;
    assert!(!short.contains("benchEvents"), "{short}");
}

/// Arguments, environment, and the expected standard error.
type Misuse =
    (&'static [&'static str], &'static [(&'static str, &'static str)], &'static [&'static str]);

#[test]
fn misuse_ends_with_code_2_and_says_what_to_do() {
    let scratch = Scratch::new();
    scratch.write("bad.toml", "listen = \"nowhere\"\nsesions_max = 5\n");
    scratch.write("broken.toml", "key = \"unclosed\n");
    let hub = "keyfile = \"x\"\n[[hub.a.event_handler]]\nulr = \"y\"\n";
    scratch.write("hubs.toml", &format!("[hub.a]\nkey = \"{KEY}\"\n{hub}"));
    let cases: &[Misuse] = &[
        (&[], &[], &["Usage: trunkline <COMMAND>"]),
        (&["bench", "idle"], &[], &["--url <URL>"]),
        (
            &["bench", "idle", "--url", "http://192.0.2.1"],
            &[],
            &["http://192.0.2.1 is not a loopback address", "--i-own-this-server"],
        ),
        (&["bench", "idle", "--url", "https://127.0.0.1"], &[], &["the generator has no TLS"]),
        (&["bench", "reconnect", "--url", "http://127.0.0.1:1"], &[], &["--kill PID"]),
        (
            &["bench", "idle", "--url", "http://127.0.0.1:1", "--process", "app=2147483647"],
            &[],
            &["--process app=2147483647: there is no such process"],
        ),
        (
            &["bench", "idle", "--url", "http://127.0.0.1:1", "--json", "/nowhere/report.json"],
            &[],
            &["--json /nowhere/report.json"],
        ),
        (
            &["bench", "idle", "--url", "http://127.0.0.1:1", "--auth", "token"],
            &[],
            &["--auth wants a JSON object"],
        ),
        (&["sevre"], &[], &["unrecognized subcommand 'sevre'", "'serve'"]),
        (&["serve", "--lisen", "x"], &[], &["unexpected argument '--lisen'", "'--listen'"]),
        (
            &["serve"],
            &[],
            &[
                "the configuration has a mistake:",
                "key (not set): hub `default` has no key",
                "`trunkline key` prints a new key",
                "`trunkline dev`",
            ],
        ),
        (
            &["serve"],
            &[("TRUNKLINE_KEY", KEY), ("TRUNKLINE_LISEN", "1")],
            &["lisen (TRUNKLINE_LISEN): no such key", "did you mean TRUNKLINE_LISTEN?"],
        ),
        (
            &["serve", "--config", "bad.toml", "--threads", "0"],
            &[("TRUNKLINE_DRAIN", "10"), ("TRUNKLINE_KEY", "hunter2")],
            &[
                "the configuration has 5 mistakes:",
                "listen (bad.toml line 1): `nowhere` is not an address",
                "sesions_max (bad.toml line 2): no such key",
                "did you mean `sessions_max`?",
                "drain (TRUNKLINE_DRAIN): `10` needs a unit, as in 10s or 10ms",
                "key (TRUNKLINE_KEY): the value is 7 bytes long, which can be guessed",
                "threads (--threads): `0` is below the least, 1",
            ],
        ),
        (
            &["dev", "--listen", "0.0.0.0:8080"],
            &[],
            &[
                "listen (--listen): `0.0.0.0:8080` can be reached from other machines",
                "`trunkline serve`",
            ],
        ),
        (
            &["serve", "--config", "broken.toml"],
            &[],
            &["the configuration has a mistake:", "file (broken.toml line 1): not TOML"],
        ),
        (
            &["serve", "--config", "hubs.toml"],
            &[],
            &[
                "hub.a.key (hubs.toml line 2): no such key",
                "did you mean `keys`?",
                "did you mean `key_file`?",
                "did you mean `url`?",
            ],
        ),
        (
            &["config", "check", "--config", "none.toml"],
            &[("TRUNKLINE_KEY", KEY)],
            &["config (--config): `none.toml` cannot be read"],
        ),
    ];
    for (arguments, env, wanted) in cases {
        let ran = scratch.run(arguments, env);
        assert_eq!(ran.code, Some(2), "{arguments:?}: {ran:?}");
        for want in *wanted {
            assert!(ran.stderr.contains(want), "{arguments:?} lacks `{want}`:\n{}", ran.stderr);
        }
        assert!(!ran.stderr.contains("hunter2"), "a key is shown");
    }
}

#[test]
fn check_and_print_tell_what_serve_would_do() {
    let scratch = Scratch::new();
    scratch.write(
        "trunkline.toml",
        "drain = \"3s\"\n[hub.chat]\ndefault = true\nkeys = [\"0123456789abcdef\"]\n",
    );
    let ran = scratch.run(&["config", "check"], &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.stdout, "the configuration is fine (trunkline.toml; hubs: chat)\n");

    let env = [("TRUNKLINE_LOG", "debug"), ("TRUNKLINE_KEY", KEY)];
    let ran = scratch.run(&["config", "print", "--threads", "2"], &env);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let lines: Vec<String> = ran
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    for want in [
        "# file: trunkline.toml",
        "listen = \"127.0.0.1:8080\" # default",
        "threads = 2 # --threads",
        "log = \"debug\" # TRUNKLINE_LOG",
        "drain = \"3s\" # trunkline.toml line 1",
        "# key = \"[hidden]\" # TRUNKLINE_KEY",
        "# hub chat: 1 key, the default hub",
    ] {
        assert!(lines.iter().any(|line| line == want), "`{want}` is missing:\n{}", ran.stdout);
    }
    assert!(!ran.stdout.contains(KEY) && !ran.stdout.contains("0123456789abcdef"));
}

#[test]
fn what_print_says_can_be_read_again() {
    let scratch = Scratch::new();
    let printed = scratch.run(&["config", "print", "--drain", "1500ms"], &[]).stdout;
    scratch.write("again.toml", &printed);
    let again = scratch.run(&["config", "print", "--config", "again.toml"], &[]);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.stdout.contains("drain = \"1500ms\""));
}

#[test]
fn a_new_key_is_long_new_and_taken() {
    let scratch = Scratch::new();
    let [first, second] = [(); 2].map(|()| scratch.run(&["key"], &[]).stdout);
    assert_ne!(first, second);
    assert_eq!(first.trim_end().len(), 64);
    scratch.write("key.txt", &first);
    let ran = scratch.run(&["config", "check", "--key-file", "key.txt"], &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn version_is_said_in_two_ways() {
    let scratch = Scratch::new();
    let want = format!("trunkline {}\n", env!("CARGO_PKG_VERSION"));
    for arguments in [["version"], ["--version"]] {
        assert_eq!(scratch.run(&arguments, &[]).stdout, want);
    }
}

#[test]
fn the_reference_page_is_up_to_date() {
    let made = Scratch::new().run(&["config", "doc"], &[]).stdout;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/configuration.md");
    let kept = std::fs::read_to_string(path).unwrap();
    assert!(
        made == kept,
        "run `cargo run -p trunkline -- config doc > docs/reference/configuration.md`"
    );
}
