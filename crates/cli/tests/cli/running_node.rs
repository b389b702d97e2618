//! The real binary as a process: start, ready file, admin port, taken ports, signals.

use std::io::{PipeReader, PipeWriter, Write};
use std::net::{TcpListener, TcpStream};

use crate::support::{KEY, PATIENCE, Scratch, lines, until};
use rustix::process::Signal;

#[test]
fn the_ready_file_tells_addresses_that_accept() {
    let scratch = Scratch::new();
    scratch.write("ready.json", "left by an earlier process");
    let node = scratch.start(&["serve"], &[("TRUNKLINE_KEY", KEY)]);
    assert_eq!(node.ready["pid"], node.pid());
    for port in ["listen", "admin"] {
        let address = node.address(port);
        assert_ne!(address.port(), 0);
        TcpStream::connect(address).unwrap();
    }
    let names = std::fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["ready.json"], "nothing is left beside it");
}

#[test]
fn the_admin_port_shows_the_node() {
    let scratch = Scratch::new();
    let node = scratch
        .start(&["serve", "--node-id", "n-test", "--threads", "2"], &[("TRUNKLINE_KEY", KEY)]);
    assert_eq!(node.get("/livez"), (200, "ok\n".into()));
    let (code, body) = node.get("/readyz");
    assert_eq!(code, 200, "no app server is no reason against it: {body}");

    let (code, body) = node.get("/metrics");
    assert_eq!(code, 200);
    for want in [
        "trunkline_build_info{",
        "node=\"n-test\"",
        "trunkline_trunks 0",
        "process_open_fds",
        "# TYPE process_cpu_seconds_total counter",
    ] {
        assert!(body.contains(want), "`{want}` is missing:\n{body}");
    }

    let (code, body) = node.get("/api/v1/status");
    assert_eq!(code, 200);
    let status: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status["node"], "n-test");
    assert_eq!(status["threads"], 2);
    assert_eq!(status["listen"], node.ready["listen"]);
    assert_eq!(status["ready"], true);
    assert_eq!(status["sessions"], 0);
    assert!(!body.contains(KEY));
}

/// A full pipe without a reader, and its other end.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let flags = rustix::fs::fcntl_getfl(&writer).expect("a pipe");
    rustix::fs::fcntl_setfl(&writer, flags | rustix::fs::OFlags::NONBLOCK).expect("a pipe");
    while writer.write(b"x").is_ok() {}
    rustix::fs::fcntl_setfl(&writer, flags).expect("a pipe");
    (reader, writer)
}

#[test]
fn a_standard_error_that_nobody_reads_holds_nobody_up() {
    let scratch = Scratch::new();
    let (reader, writer) = full_pipe();
    let env = [("TRUNKLINE_KEY", KEY)];
    // The node starts, although its first log lines cannot be written.
    let node = scratch.start_with(&["serve", "--threads", "1"], &env, writer.into());
    // Each of these requests makes the shard's thread log a line.
    assert_eq!(node.get_from("listen", "/trunk/v1", "*/*").0, 400);
    assert_eq!(node.get_from("listen", "/server/tunnel?hub=default", "*/*").0, 400);
    let handshake = "/socket.io/?EIO=4&transport=polling";
    assert_eq!(node.get_from("listen", handshake, "*/*").0, 503);
    assert_eq!(node.get("/livez"), (200, "ok\n".into()));
    // No line is lost: there is room for all.
    let log = lines(reader);
    let mut seen = String::new();
    for want in ["trunkline is ready", "trunk refused", "handshakes refused with 503"] {
        while !seen.contains(want) {
            seen = log.recv_timeout(PATIENCE).expect(want);
        }
    }
    assert!(node.get("/metrics").1.contains("\ntrunkline_log_lines_dropped_total 0\n"));
}

#[test]
fn a_node_whose_standard_error_is_full_ends_all_the_same() {
    let scratch = Scratch::new();
    let (_reader, writer) = full_pipe();
    let mut node = scratch.start_with(&["serve"], &[("TRUNKLINE_KEY", KEY)], writer.into());
    node.signal(Signal::TERM);
    assert_eq!(node.wait().code(), Some(0));
}

#[test]
fn a_hangup_reloads_and_sessions_would_go_on() {
    let scratch = Scratch::new();
    let mut node = scratch.start(&["serve"], &[("TRUNKLINE_KEY", KEY)]);
    for _ in 0..2 {
        node.signal(Signal::HUP);
        node.line("the configuration was reloaded");
        assert!(node.line("audit").contains("reload"));
    }
    assert_eq!(node.get("/readyz").0, 200);
    node.signal(Signal::TERM);
    node.line("trunkline has stopped");
    assert_eq!(node.wait().code(), Some(0));
}

#[test]
fn a_hangup_ends_what_a_developer_runs_in_a_terminal() {
    let scratch = Scratch::new();
    let mut node = scratch.start(&["dev"], &[]);
    node.signal(Signal::HUP);
    assert_eq!(node.wait().code(), Some(0));
}

#[test]
fn metrics_are_there_from_the_start_in_both_formats() {
    let scratch = Scratch::new();
    let node = scratch.start(&["serve"], &[("TRUNKLINE_KEY", KEY)]);
    let (_, text) = node.get("/metrics");
    let (_, open) = node.get_from("admin", "/metrics", "application/openmetrics-text");
    assert!(open.ends_with("# EOF\n") && !text.contains("# EOF"), "{text}");
    for want in [
        r#"trunkline_edge_handshakes_total{outcome="no_app_server"} 0"#,
        r#"trunkline_trunks_ended_total{cause="silent"} 0"#,
        r#"trunkline_sessions_closed_total{cause="outbox_full",blame="client"} 0"#,
        r#"trunkline_azure_webhook_calls_total{event="user",outcome="timeout"} 0"#,
        r#"trunkline_azure_identity_fetches_total{outcome="unreachable"} 0"#,
    ] {
        assert!(text.lines().any(|line| line == want), "`{want}` is missing:\n{text}");
        assert!(open.lines().any(|line| line == want), "`{want}` is missing:\n{open}");
    }
}

#[test]
fn slips_that_are_allowed_are_said_at_the_start() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path().join("etc")).unwrap();
    scratch.write("etc/hub.key", KEY);
    scratch.set_mode("etc/hub.key", 0o644);
    // A relative path starts at the file's folder; the working directory contains another file,
    // which is not a key.
    scratch.write("etc/node.toml", "key_file = \"hub.key\"\n");
    scratch.write("hub.key", "short");
    let env = [("TRUNKLINE_IMAGE", "x"), ("RUST_LOG", "debug")];
    let node = scratch.start(&["serve", "--config", "etc/node.toml"], &env);
    node.line("RUST_LOG is not read");
    node.line("TRUNKLINE_IMAGE is no key of Trunkline's");
    assert!(node.line("can be read by every user").contains("etc/hub.key"));
    let check = ["config", "check", "--config", "etc/node.toml", "--admin", "0.0.0.0:8081"];
    let ran = scratch.run(&check, &env);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for want in
        ["warning: RUST_LOG", "warning: admin (--admin)", "warning: the variable", "is fine"]
    {
        assert!(ran.stdout.contains(want), "lacks `{want}`: {}", ran.stdout);
    }
    scratch.set_mode("etc/hub.key", 0o600);
    let ran = scratch.run(&["config", "check", "--config", "etc/node.toml"], &[]);
    assert!(!ran.stdout.contains("warning"), "{}", ran.stdout);
}

#[test]
fn both_signals_end_it_cleanly() {
    for signal in [Signal::TERM, Signal::INT] {
        let scratch = Scratch::new();
        let mut node = scratch.start(&["serve"], &[("TRUNKLINE_KEY", KEY)]);
        let listen = node.address("listen");
        node.signal(signal);
        assert_eq!(node.wait().code(), Some(0));
        assert!(!scratch.path().join("ready.json").exists(), "the ready file goes with it");
        assert!(TcpStream::connect(listen).is_err(), "the port is free");
    }
}

#[test]
fn start_and_stop_are_told_in_json_lines() {
    let scratch = Scratch::new();
    let mut node = scratch.start(
        &["serve", "--log-format", "json", "--node-id", "n-json"],
        &[("TRUNKLINE_KEY", KEY)],
    );
    assert!(node.line("this process may hold").starts_with('{'));
    let line: serde_json::Value = serde_json::from_str(&node.line("trunkline is ready")).unwrap();
    assert_eq!(line["node"], "n-json");
    assert_eq!(line["listen"], node.ready["listen"]);
    assert_eq!(line["admin"], node.ready["admin"]);
    assert_eq!(line["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(line["hubs"], "default");
    node.signal(Signal::TERM);
    let line: serde_json::Value = serde_json::from_str(&node.line("draining")).unwrap();
    assert_eq!(line["signal"], "SIGTERM");
    node.line("trunkline has stopped");
    assert_eq!(node.wait().code(), Some(0));
}

#[test]
fn a_node_whose_nats_is_away_does_not_say_that_it_is_ready() {
    let scratch = Scratch::new();
    // Bound and never accepted: whatever comes there, no NATS answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let nats = format!("nats://{}", silent.local_addr().unwrap());
    let cluster = ["serve", "--cluster", "test", "--nats", &nats, "--cluster-key", KEY];
    let node = scratch.start(
        &[&cluster[..], &["--advertise", "http://127.0.0.1:1"]].concat(),
        &[("TRUNKLINE_KEY", KEY)],
    );
    let line = node.line("trunkline has started");
    assert!(line.contains("once it has joined its cluster"), "{line}");
    assert!(!line.contains("trunkline is ready"), "{line}");
    let (code, body) = node.get("/readyz");
    assert_eq!(code, 503, "{body}");
    assert!(body.contains("joining"), "{body}");
}

#[test]
fn a_taken_port_names_the_key_and_who_to_ask() {
    let scratch = Scratch::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (key, other) in [("--admin", "--listen"), ("--listen", "--admin")] {
        let arguments = ["serve", "--key", KEY, key, &address, other, "127.0.0.1:0"];
        let ran = scratch.run(&arguments, &[]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        for want in [
            format!("cannot listen on {address} ("),
            format!("from {key}"),
            "the port is taken".into(),
            format!("`ss -ltnp sport = :{}`", taken.local_addr().unwrap().port()),
        ] {
            assert!(ran.stderr.contains(&want), "`{want}` is missing:\n{}", ran.stderr);
        }
    }
}

#[test]
fn dev_says_what_to_do_next() {
    let scratch = Scratch::new();
    let mut node = scratch.start(&["dev"], &[]);
    node.line("trunkline is ready");
    let (listen, admin) = (node.address("listen"), node.address("admin"));
    node.signal(Signal::TERM);
    assert_eq!(node.wait().code(), Some(0));
    let text = node.stdout();
    for want in [
        "import { useTrunkline } from \"@trunkline/socket.io\";".into(),
        format!("useTrunkline(io, {{ endpoint: \"http://{listen}\" }});"),
        format!("http://{admin}/"),
        "trunkline-development-key-do-not-use-in-production".into(),
        "WARNING".into(),
        "Ctrl-C".into(),
    ] {
        assert!(text.contains(&want), "`{want}` is missing:\n{text}");
    }
}

#[test]
fn the_admin_port_can_be_off() {
    let scratch = Scratch::new();
    let arguments = ["dev", "--listen", "127.0.0.1:0", "--ready-file", "ready.json"];
    let mut child = scratch.command(&arguments, &[("TRUNKLINE_ADMIN", "off")]).spawn().unwrap();
    let path = scratch.path().join("ready.json");
    let ready = until("the ready file", || std::fs::read_to_string(&path).ok());
    child.kill().unwrap();
    child.wait().unwrap();
    let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
    assert_eq!(ready["admin"], serde_json::Value::Null);
}

#[test]
fn a_ready_file_that_cannot_be_written_stops_the_start() {
    let scratch = Scratch::new();
    let arguments = ["dev", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let ran = scratch.run(&[&arguments[..], &["--ready-file", "no/such/folder"]].concat(), &[]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("the ready file no/such/folder"), "{}", ran.stderr);
}
