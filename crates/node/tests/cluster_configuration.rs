//! The keys of a cluster: which belong together, which are missing, and what is never shown.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::ffi::OsString;
use std::path::PathBuf;

use trunkline_node::config::{
    self, Advertise, Config, DEVELOPMENT_CLUSTER_KEY, Inputs, Mistakes, Mode, Origin,
};

const KEY: &str = "0123456789abcdef";

type Set<'a> = &'a [(&'a str, &'a str)];

fn load(mode: Mode, set: Set<'_>) -> Result<Config, Mistakes> {
    let env = [("TRUNKLINE_KEY", KEY)].iter().chain(set);
    let env = env.map(|(name, text)| (OsString::from(name), OsString::from(text))).collect();
    config::load(mode, Inputs { env, ..Inputs::default() })
}

fn mistakes(mode: Mode, set: Set<'_>) -> Vec<String> {
    let Mistakes(mistakes) = load(mode, set).expect_err("it was taken");
    mistakes.iter().map(|m| format!("{} ({}): {}", m.key, m.origin, m.wrong)).collect()
}

/// A file for one test, removed at the end.
struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("trunkline-cluster-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

const NAME: (&str, &str) = ("TRUNKLINE_CLUSTER", "eu");
const NATS: (&str, &str) = ("TRUNKLINE_NATS", "nats://10.0.0.4:4222");
const CLUSTER_KEY: (&str, &str) = ("TRUNKLINE_CLUSTER_KEY", "fedcba9876543210");
const ADVERTISE: (&str, &str) = ("TRUNKLINE_ADVERTISE", "http://10.0.0.7:8080/");

#[test]
fn without_a_name_a_node_is_alone() {
    for mode in [Mode::Serve, Mode::Dev, Mode::Inspect] {
        assert!(load(mode, &[]).unwrap().cluster.is_none());
    }
}

#[test]
fn a_cluster_has_a_name_nats_and_a_key() {
    let config = load(Mode::Serve, &[NAME, NATS, CLUSTER_KEY, ADVERTISE]).unwrap();
    assert_eq!(config.warnings, [""; 0]);
    let cluster = config.cluster.unwrap();
    assert_eq!((cluster.name.as_str(), cluster.strict), ("eu", false));
    assert_eq!(cluster.servers.to_string(), "nats://10.0.0.4:4222");
    assert_eq!(cluster.advertise, Advertise::Url("http://10.0.0.7:8080".into()));
}

#[test]
fn what_is_missing_is_named() {
    let cases: [(Set<'_>, &[&str]); 5] = [
        (
            &[NAME],
            &[
                "nats (not set): is missing: the nodes of a cluster find one another through NATS",
                "cluster_key (not set): is missing: without it any program at NATS could pass for a node",
            ],
        ),
        (
            &[NATS, CLUSTER_KEY, ADVERTISE],
            &[
                "nats (TRUNKLINE_NATS): is set without `cluster`",
                "cluster_key (TRUNKLINE_CLUSTER_KEY): is set without `cluster`",
                "advertise (TRUNKLINE_ADVERTISE): is set without `cluster`",
            ],
        ),
        (
            &[NAME, NATS, CLUSTER_KEY, ("TRUNKLINE_CLUSTER_KEY_FILE", "/nowhere")],
            &["cluster_key_file (TRUNKLINE_CLUSTER_KEY_FILE): is set beside `cluster_key`"],
        ),
        (
            &[NAME, NATS, ("TRUNKLINE_CLUSTER_KEY", DEVELOPMENT_CLUSTER_KEY)],
            &[
                "cluster_key (TRUNKLINE_CLUSTER_KEY): the value is the key of development clusters, which everybody knows",
            ],
        ),
        (
            &[NAME, NATS, CLUSTER_KEY, ("TRUNKLINE_CLUSTER_STRICT", "maybe")],
            &["cluster_strict (TRUNKLINE_CLUSTER_STRICT): `maybe` is none of the words"],
        ),
    ];
    for (set, wrong) in cases {
        assert_eq!(mistakes(Mode::Serve, set), wrong);
    }
}

#[test]
fn a_wrong_value_is_one_mistake_and_shows_no_password() {
    let cases: [(Set<'_>, &str); 5] = [
        (
            &[("TRUNKLINE_CLUSTER", "e.u"), NATS, CLUSTER_KEY],
            "cluster (TRUNKLINE_CLUSTER): `e.u` holds `.`",
        ),
        (
            &[NAME, ("TRUNKLINE_NATS", "http://me:secret@a"), CLUSTER_KEY],
            "nats (TRUNKLINE_NATS): the value begins with neither nats:// nor tls://",
        ),
        (
            &[NAME, NATS, ("TRUNKLINE_CLUSTER_KEY", "short")],
            "cluster_key (TRUNKLINE_CLUSTER_KEY): the value is 5 bytes long, which can be guessed",
        ),
        (
            &[NAME, NATS, CLUSTER_KEY, ("TRUNKLINE_ADVERTISE", "10.0.0.7:8080")],
            "advertise (TRUNKLINE_ADVERTISE): `10.0.0.7:8080` is no URL",
        ),
        (
            &[NAME, NATS, CLUSTER_KEY, ("TRUNKLINE_ADVERTISE", "http://me:x@a")],
            "advertise (TRUNKLINE_ADVERTISE): `http://me:x@a` holds `@`",
        ),
    ];
    for (set, wrong) in cases {
        assert_eq!(mistakes(Mode::Serve, set), [wrong]);
    }
}

#[test]
fn the_key_may_be_in_a_file() {
    let good = TempFile::new("good", "\nfedcba9876543210\n");
    let set = [NAME, NATS, ("TRUNKLINE_CLUSTER_KEY_FILE", good.path())];
    assert!(load(Mode::Serve, &set).unwrap().cluster.is_some());
    let two = TempFile::new("two", "fedcba9876543210\nfedcba9876543211\n");
    let short = TempFile::new("short", "short\n");
    for (path, wrong) in [
        (two.path(), "holds more than one line"),
        (short.path(), "is 5 bytes long, which can be guessed"),
        ("/nowhere", "cannot be read: No such file or directory (os error 2)"),
    ] {
        let set = [NAME, NATS, ("TRUNKLINE_CLUSTER_KEY_FILE", path)];
        let [mistake] = mistakes(Mode::Serve, &set).try_into().unwrap();
        assert!(
            mistake.starts_with("cluster_key_file (TRUNKLINE_CLUSTER_KEY_FILE): "),
            "{mistake}"
        );
        assert!(mistake.ends_with(wrong), "{mistake}");
    }
}

#[test]
fn development_needs_only_a_name_and_stays_on_this_machine() {
    let cluster = load(Mode::Dev, &[NAME]).unwrap().cluster.unwrap();
    assert_eq!(cluster.servers.to_string(), "nats://127.0.0.1:4222");
    assert_eq!(cluster.advertise, Advertise::Listener);
    assert_eq!(
        mistakes(Mode::Dev, &[NAME, NATS]),
        [
            "nats (TRUNKLINE_NATS): leads to another machine, and the development cluster's key is public"
        ]
    );
    assert!(load(Mode::Dev, &[NAME, NATS, CLUSTER_KEY]).is_ok());
}

#[test]
fn an_address_that_others_cannot_use_gets_a_warning() {
    let local = ("TRUNKLINE_ADVERTISE", "http://127.0.0.1:8080");
    let warnings = load(Mode::Serve, &[NAME, NATS, CLUSTER_KEY, local]).unwrap().warnings;
    assert!(warnings[0].contains("leads each machine to itself"), "{warnings:?}");
    let near = ("TRUNKLINE_NATS", "nats://localhost");
    let warnings = load(Mode::Serve, &[NAME, near, CLUSTER_KEY, local]).unwrap().warnings;
    assert_eq!(warnings, [""; 0]);
    let warnings = load(Mode::Serve, &[NAME, NATS, CLUSTER_KEY]).unwrap().warnings;
    assert!(warnings[0].starts_with("advertise is not set"), "{warnings:?}");
}

#[test]
fn files_for_nats_must_be_readable() {
    for key in ["TRUNKLINE_NATS_CREDENTIALS_FILE", "TRUNKLINE_NATS_CA_FILE"] {
        let [mistake] = mistakes(Mode::Serve, &[NAME, NATS, CLUSTER_KEY, (key, "/nowhere")])
            .try_into()
            .unwrap();
        assert!(mistake.contains("`/nowhere` cannot be read"), "{mistake}");
    }
}

#[test]
fn nothing_that_is_printed_holds_a_secret() {
    let nats = ("TRUNKLINE_NATS", "nats://me:topsecret@10.0.0.4:4222");
    let config = load(Mode::Serve, &[NAME, nats, CLUSTER_KEY, ADVERTISE]).unwrap();
    let printed = [config.print(), format!("{config:?}")];
    for text in printed {
        assert!(text.contains("[hidden]@10.0.0.4:4222"), "{text}");
        assert!(!text.contains("topsecret") && !text.contains(CLUSTER_KEY.1), "{text}");
    }
    assert_eq!(config.origin("cluster"), Origin::Env("TRUNKLINE_CLUSTER".into()));
}
