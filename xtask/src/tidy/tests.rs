//! Each rule with text that follows it and text that breaks it.

use super::{arrows, crate_source, limits, locks, metrics, purity, source, texts, versions};

fn manifest(name: &str, rest: &str) -> String {
    format!("[package]\nname = \"{name}\"\n{rest}\n")
}

#[test]
fn arrows_that_point_the_right_way_pass() {
    let cases = [
        ("crates/clock", "trunkline-clock", ""),
        (
            "crates/engineio",
            "trunkline-engineio",
            "[dependencies]\ntrunkline-clock.workspace = true",
        ),
        (
            "crates/engineio",
            "trunkline-engineio",
            "[dev-dependencies]\ntrunkline-testkit.workspace = true",
        ),
        ("crates/engineio", "trunkline-engineio", "[dev-dependencies]\nrand = \"0.9\""),
        (
            "crates/testkit",
            "trunkline-testkit",
            "[dependencies]\ntrunkline-switchboard.workspace = true",
        ),
        (
            "crates/edge",
            "trunkline-edge",
            "[dependencies]\ntokio = \"1\"\ntrunkline-trunk.workspace = true",
        ),
        (
            "crates/node",
            "trunkline-node",
            "[dependencies]\ntrunkline-edge.workspace = true\ntrunkline-api.workspace = true",
        ),
        ("crates/cli", "trunkline", "[dependencies]\ntrunkline-node.workspace = true"),
        (
            "fuzz",
            "trunkline-fuzz",
            "[dependencies]\ntrunkline-trunk = { path = \"../crates/trunk\" }",
        ),
        ("xtask", "xtask", "[dependencies]\nserde_json.workspace = true"),
        ("bench/peers/bare", "trunkline-bare", "[dependencies]\nrustix = \"1\""),
        (
            "bench/instructions",
            "trunkline-instructions",
            "[dependencies]\ntrunkline-websocket.workspace = true",
        ),
    ];
    for (folder, name, rest) in cases {
        let findings = arrows::check(&format!("{folder}/Cargo.toml"), &manifest(name, rest));
        assert_eq!(findings, [], "{name}: {rest}");
    }
    assert_eq!(arrows::check("Cargo.toml", "[workspace]\nmembers = []"), []);
}

#[test]
fn every_other_arrow_is_found() {
    let cases = [
        (
            "crates/engineio",
            "trunkline-engineio",
            "[dependencies]\ntrunkline-edge.workspace = true",
            "`edge`",
        ),
        (
            "crates/engineio",
            "trunkline-engineio",
            "[dependencies]\ntrunkline-testkit.workspace = true",
            "`testkit`",
        ),
        ("crates/trunk", "trunkline-trunk", "[dependencies]\ntokio = \"1\"", "`tokio`"),
        (
            "crates/trunk",
            "trunkline-trunk",
            "[dependencies]\nr = { package = \"rand\", version = \"0.9\" }",
            "`rand`",
        ),
        (
            "crates/trunk",
            "trunkline-trunk",
            "[target.'cfg(unix)'.dependencies]\nlibc = \"0.2\"",
            "`libc`",
        ),
        (
            "crates/trunk",
            "trunkline-trunk",
            "[build-dependencies]\ntrunkline-node.workspace = true",
            "`node`",
        ),
        (
            "crates/edge",
            "trunkline-edge",
            "[dependencies]\ntrunkline-api.workspace = true",
            "`api`",
        ),
        (
            "crates/api",
            "trunkline-api",
            "[dependencies]\ntrunkline-edge.workspace = true",
            "`edge`",
        ),
        (
            "crates/http",
            "trunkline-http",
            "[dependencies]\ntrunkline-edge.workspace = true",
            "`edge`",
        ),
        (
            "crates/trunk",
            "trunkline-trunk",
            "[dependencies]\ntrunkline-http.workspace = true",
            "`http`",
        ),
        (
            "crates/azure",
            "trunkline-azure",
            "[dev-dependencies]\ntrunkline-edge.workspace = true",
            "`edge`",
        ),
        (
            "crates/edge",
            "trunkline-edge",
            "[dependencies]\nx = { package = \"trunkline-node\", path = \"../node\" }",
            "`node`",
        ),
        (
            "crates/node",
            "trunkline-node",
            "[dependencies]\ntrunkline-bench.workspace = true",
            "`bench`",
        ),
        ("crates/cli", "trunkline", "[dependencies]\ntrunkline-edge.workspace = true", "`edge`"),
        ("xtask", "xtask", "[dependencies]\ntrunkline-clock.workspace = true", "`clock`"),
        (
            "bench/peers/socketioxide",
            "trunkline-socketioxide",
            "[dependencies]\ntrunkline-clock.workspace = true",
            "`clock`",
        ),
        (
            "bench/instructions",
            "trunkline-instructions",
            "[dependencies]\ntrunkline-edge.workspace = true",
            "`edge`",
        ),
        ("crates/gossip", "trunkline-gossip", "", "no ring is known"),
        ("crates/trunk", "trunkline-edge", "", "no ring is known"),
        ("crates/trunk", "trunkline-trunk", "[dependencies", "is not TOML"),
    ];
    for (folder, name, rest, expected) in cases {
        let findings = arrows::check(&format!("{folder}/Cargo.toml"), &manifest(name, rest));
        assert_eq!(findings.len(), 1, "{name}: {rest}: {findings:?}");
        assert!(findings[0].text.contains(expected), "{findings:?} lacks {expected}");
    }
}

#[test]
fn a_pure_crate_says_no_std_and_names_nothing_impure() {
    let good = "//! Uses no `std::time`.\n#![no_std]\nextern crate alloc;\n\
                // std::net in a comment\nconst A: &str = \"std::thread\";\n\
                #[cfg(test)]\nmod tests {\n    extern crate std;\n    use std::time::Instant;\n}\n";
    assert_eq!(purity::check("crates/trunk/src/lib.rs", good, false), []);
    let in_tests = "use std::time::Instant;";
    assert_eq!(purity::check("crates/trunk/src/tests.rs", in_tests, true), []);
    let cases = [
        ("fn f() {}", "crates/trunk/src/lib.rs"),
        ("#![cfg_attr(not(test), no_std)]", "crates/trunk/src/lib.rs"),
        ("// #![no_std]", "crates/trunk/src/lib.rs"),
        ("use std::time::Instant;", "crates/trunk/src/codec.rs"),
        ("let c = '\"'; use std::net::IpAddr; let d = '\"';", "crates/trunk/src/codec.rs"),
        ("let x = rand::random();", "crates/trunk/src/codec.rs"),
        ("#[cfg(test)]\nmod t { fn a() {} }\nuse std::thread;", "crates/trunk/src/codec.rs"),
        ("#[cfg(test)]\nmod t;\nextern crate std;", "crates/trunk/src/codec.rs"),
    ];
    for (text, place) in cases {
        let findings = purity::check(place, text, false);
        assert_eq!(findings.len(), 1, "{text}: {findings:?}");
    }
}

#[test]
fn unwrap_is_found_in_production_code_only() {
    let good = "/// `a.unwrap()` would be wrong.\nfn f() { a.expect(\"it is there\") }\n\
                const S: &str = r#\"x.unwrap() \" \"#;\nfn g<'a>(b: &'a str) {}\n\
                #[cfg(test)]\nmod tests {\n    fn t() { if x { a.unwrap() } }\n}\n";
    assert_eq!(source::check("crates/edge/src/a.rs", good, false), []);
    assert_eq!(source::check("crates/edge/src/tests.rs", "a.unwrap();", true), []);
    let bad =
        "fn f() {}\n#[cfg(test)]\nmod tests { }\n/* a /* nested */ */\nfn h() { a.unwrap(); }";
    let findings = source::check("crates/edge/src/a.rs", bad, false);
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].place, "crates/edge/src/a.rs:5");
}

#[test]
fn modules_declared_for_tests_are_known() {
    let text = "mod a;\n#[cfg(test)]\nmod b;\n#[cfg(test)]\npub(crate) mod c;\n\
                #[cfg(test)]\nmod d { fn x() { y; } }";
    let found: Vec<&str> = source::test_modules(text).collect();
    assert_eq!(found[..2], ["b", "c"]);
    assert!(!found.contains(&"a") && !found.contains(&"d"));
}

#[test]
fn crate_sources_are_told_from_other_files() {
    assert_eq!(crate_source("crates/edge/src/http/mod.rs"), Some(("edge", "http/mod.rs")));
    assert_eq!(crate_source("crates/edge/tests/a.rs"), None);
    assert_eq!(crate_source("xtask/src/main.rs"), None);
}

#[test]
fn texts_that_keep_the_rules_pass() {
    let cases = [
        ("a.rs", "fn a() {}\n".repeat(500)),
        ("a.mjs", "long\n".repeat(500)),
        ("a.md", "long\n".repeat(2000)),
        // Named as one that is longer.
        ("sdk/node/test/recovery.test.js", "long\n".repeat(560)),
        (
            "package-lock.json",
            "\"resolved\": \"../sdk/node\",\n\"url\": \"https://example.org\"".into(),
        ),
        ("docs/a.md", "A todo list app, METHODOLOGY".into()),
        ("picture.svg", concat!("TO", "DO").into()),
    ];
    for (place, text) in cases {
        assert_eq!(texts::check(place, &text), [], "{place}");
    }
}

#[test]
fn texts_that_break_a_rule_are_found() {
    let cases = [
        ("a.rs", "fn a() {}\n".repeat(501)),
        ("a.ts", "long\n".repeat(501)),
        ("sdk/node/test/recovery.test.js", "long\n".repeat(561)),
        ("sdk/node/package-lock.json", "{\n  \"resolved\": \"https://host/a.tgz\"\n}".into()),
        ("a.ts", format!("// {}: later", concat!("TO", "DO"))),
        ("b.md", format!("a {}(name)", concat!("FIX", "ME"))),
    ];
    for (place, text) in cases {
        assert_eq!(texts::check(place, &text).len(), 1, "{place}");
    }
}

#[test]
fn metrics_and_their_page_name_each_other() {
    let source = "registry.register(\n\"trunkline_trunks\",\n\"Open trunks\", a);\n\
                  gauge(\"process_cpu\", unit); name(\"trunkline-admin\"); log(\"trunkline_x=debug\");";
    let registered = metrics::registered(source).map(str::to_owned).collect();
    let cases: &[(&str, &[&str])] = &[
        ("| `trunkline_trunks` |\n| `process_cpu_seconds_total` |", &[]),
        ("`trunkline_trunks_ended_total` `process_cpu`", &["`trunkline_trunks`", "_ended_total`"]),
        ("`trunkline_trunks`", &["`process_cpu`"]),
    ];
    for (page, expected) in cases {
        let findings = metrics::check(&registered, page);
        assert_eq!(findings.len(), expected.len(), "{page}: {findings:?}");
        for (finding, part) in findings.iter().zip(*expected) {
            assert!(finding.text.contains(part), "{findings:?} lacks {part}");
        }
    }
}

#[test]
fn the_sdk_has_the_version_of_the_workspace() {
    let workspace = "[workspace.package]\nversion = \"0.3.0\"";
    let sdk = |version: &str| ("sdk/node/package.json", format!("{{\"version\": \"{version}\"}}"));
    assert_eq!(versions::of_texts(workspace, &[sdk("0.3.0"), ("absent", String::new())]), []);
    let findings = versions::of_texts(workspace, &[sdk("0.3.0"), sdk("1.0.0")]);
    assert_eq!(findings.len(), 1);
    assert!(findings[0].text.contains("1.0.0") && findings[0].text.contains("0.3.0"));
}

#[test]
fn limits_and_the_threat_model_name_each_other() {
    let keys = "### `listen`\n\n### `streams_max`\n\n### `header_timeout`\n";
    let metrics = "| `trunkline_refused_total` | counter |";
    let model = |rows: &str| {
        format!(
            "| Who | What |\n|---|---|\n| `a` | b |\n\n| Key | At it | Named by |\n|---|---|---|\n{rows}\nText.\n"
        )
    };
    let row = |key: &str, counter: &str| format!("| `{key}` | what | {counter} |\n");
    let good =
        row("streams_max", "`trunkline_refused_total` `full`") + &row("header_timeout", "none");
    assert_eq!(limits::check(&model(&good), keys, metrics), []);
    // A key that is no limit by its name may have a row.
    assert_eq!(limits::check(&model(&(good.clone() + &row("listen", "none"))), keys, metrics), []);
    let cases = [
        (row("streams_max", "none"), "`header_timeout` has no row"),
        (good.clone() + &row("sessions_max", "none"), "`sessions_max` is no key"),
        (
            row("streams_max", "`trunkline_refusals_total`") + &row("header_timeout", "none"),
            "`trunkline_refusals_total` is no metric",
        ),
    ];
    for (rows, expected) in cases {
        let findings = limits::check(&model(&rows), keys, metrics);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].text.contains(expected), "{findings:?} lacks {expected}");
    }
}

#[test]
fn a_lock_file_that_lacks_an_import_is_old() {
    let lock = "[[package]]\nname = \"trunkline-http\"\nversion = \"0.1.0\"\n\
                dependencies = [\"bytes\", \"rand 0.9.5\"]\n\
                [[package]]\nname = \"hyper\"\nversion = \"1.0.0\"\nsource = \"registry\"\n";
    let found = |name: &str, rest: &str| {
        locks::check(&lock.parse().unwrap(), &manifest(name, rest).parse().unwrap())
    };
    let good = "[dependencies]\nbytes = \"1\"\nr = { package = \"rand\", version = \"0.9\" }\n\
                [dev-dependencies]\nproptest = \"1\"";
    assert_eq!(found("trunkline-http", good), []);
    assert_eq!(found("trunkline-node", "[dependencies]\nhyper = \"1\""), []);
    let findings = found("trunkline-http", "[dependencies]\ntrunkline-mesh.workspace = true");
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].text.starts_with("lacks `trunkline-mesh` of `trunkline-http`"));
}
