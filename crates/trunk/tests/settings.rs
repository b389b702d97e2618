//! The app's options in `Hello.settings`: Socket.IO's names, defaults and units.

use std::time::Duration;

use trunkline_trunk::settings::{
    ConnectionStateRecovery, EngineSettings, HttpCompression, OwnSettings, PerMessageDeflate,
    Resume, Transports,
};

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[track_caller]
fn read(json: &str) -> EngineSettings {
    EngineSettings::from_json(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

#[test]
fn missing_keys_have_socket_ios_defaults_and_unknown_keys_are_ignored() {
    let defaults = EngineSettings {
        path: "/socket.io".into(),
        add_trailing_slash: true,
        ping_interval: millis(25_000),
        ping_timeout: millis(20_000),
        upgrade_timeout: millis(10_000),
        connect_timeout: millis(45_000),
        max_http_buffer_bytes: 1_000_000,
        max_buffered_chunks: 10_000,
        http_request_body_timeout: millis(30_000),
        transports: Transports { polling: true, websocket: true },
        allow_upgrades: true,
        allow_eio3: false,
        http_compression: Some(HttpCompression { threshold_bytes: 1024 }),
        per_message_deflate: None,
        connection_state_recovery: None,
        every_request: false,
        numbers: false,
    };
    assert_eq!(read("{}"), defaults);
    assert_eq!(read(r#"{"cors":{"origin":"*"},"serveClient":null,"":[1]}"#), defaults);
}

#[test]
fn every_option_is_read() {
    let json = r#"{
        "path": "/my/path/", "addTrailingSlash": false, "pingInterval": 1, "pingTimeout": 2.0,
        "upgradeTimeout": 3e0, "connectTimeout": 2147483647, "maxHttpBufferSize": 1e8,
        "maxBufferedChunks": 7, "httpRequestBodyTimeout": 8,
        "transports": ["websocket", "webtransport"], "allowUpgrades": false, "allowEIO3": true,
        "httpCompression": {"threshold": 5},
        "perMessageDeflate": {
            "threshold": 0, "serverNoContextTakeover": true, "clientNoContextTakeover": true,
            "serverMaxWindowBits": 8, "clientMaxWindowBits": 15, "concurrencyLimit": 10,
            "zlibDeflateOptions": {"level": 3, "memLevel": 7, "chunkSize": 1024}
        },
        "connectionStateRecovery": {"maxDisconnectionDuration": 9, "skipMiddlewares": false},
        "everyRequest": true,
        "numbers": true
    }"#;
    let expected = EngineSettings {
        path: "/my/path".into(),
        add_trailing_slash: false,
        ping_interval: millis(1),
        ping_timeout: millis(2),
        upgrade_timeout: millis(3),
        connect_timeout: millis(2_147_483_647),
        max_http_buffer_bytes: 100_000_000,
        max_buffered_chunks: 7,
        http_request_body_timeout: millis(8),
        transports: Transports { polling: false, websocket: true },
        allow_upgrades: false,
        allow_eio3: true,
        http_compression: Some(HttpCompression { threshold_bytes: 5 }),
        per_message_deflate: Some(PerMessageDeflate {
            threshold_bytes: 0,
            server_no_context_takeover: true,
            client_no_context_takeover: true,
            server_max_window_bits: Some(8),
            client_max_window_bits: Some(15),
            level: Some(3),
            mem_level: Some(7),
        }),
        connection_state_recovery: Some(ConnectionStateRecovery {
            max_disconnection: millis(9),
            skip_middlewares: false,
        }),
        every_request: true,
        numbers: true,
    };
    assert_eq!(read(json), expected);
}

#[test]
fn a_list_without_a_transport_of_ours_lets_nobody_in() {
    for json in [r#"{"transports":[]}"#, r#"{"transports":["webtransport"]}"#] {
        assert_eq!(read(json).transports, Transports { polling: false, websocket: false });
    }
}

#[test]
fn the_request_prefix_follows_path_and_trailing_slash() {
    for (json, prefix) in [
        ("{}", "/socket.io/"),
        (r#"{"path":"/a/b"}"#, "/a/b/"),
        (r#"{"path":"/a/"}"#, "/a/"),
        (r#"{"path":"/"}"#, "/"),
        (r#"{"path":"/a/","addTrailingSlash":false}"#, "/a"),
    ] {
        assert_eq!(read(json).request_prefix(), prefix, "{json}");
    }
}

#[test]
fn switches_take_booleans_and_null() {
    let http = |json| read(json).http_compression.map(|http| http.threshold_bytes);
    assert_eq!(http(r#"{"httpCompression":false}"#), None);
    assert_eq!(http(r#"{"httpCompression":null}"#), None);
    // As in engine.io, where the option replaces its default as a whole.
    assert_eq!(http(r#"{"httpCompression":true}"#), Some(0));
    assert_eq!(http(r#"{"httpCompression":{}}"#), Some(0));
    let deflate = |json| read(json).per_message_deflate;
    assert_eq!(deflate(r#"{"perMessageDeflate":false}"#), None);
    assert_eq!(deflate(r#"{"perMessageDeflate":true}"#), Some(PerMessageDeflate::default()));
    assert_eq!(deflate(r#"{"perMessageDeflate":{}}"#), Some(PerMessageDeflate::default()));
    let level =
        r#"{"perMessageDeflate":{"clientMaxWindowBits":true,"zlibDeflateOptions":{"level":-1}}}"#;
    assert_eq!(deflate(level), Some(PerMessageDeflate::default()));
    let recovery =
        ConnectionStateRecovery { max_disconnection: millis(120_000), skip_middlewares: true };
    let recovers = |json| read(json).connection_state_recovery;
    assert_eq!(recovers(r#"{"connectionStateRecovery":{}}"#), Some(recovery));
    assert_eq!(recovers(r#"{"connectionStateRecovery":false}"#), None);
    assert_eq!(read(r#"{"connectTimeout":0}"#).connect_timeout, millis(45_000));
}

#[test]
fn a_value_that_cannot_be_honoured_names_its_option_and_what_is_allowed() {
    let number = "a whole number of";
    for (option, values, allowed) in [
        ("pingInterval", "0|-1|-25000|1.5|2147483648|1e10|\"25000\"|null|true|[]|{}", number),
        ("pingTimeout", "0|-1|0.5|1e300|\"\"|null", number),
        ("upgradeTimeout", "0|-1|null", number),
        ("connectTimeout", "-1|2147483648|null|\"1\"", number),
        ("maxHttpBufferSize", "0|-1|2147483648|null|\"1mb\"|4294967297", number),
        ("maxBufferedChunks", "-1|1.5|null|\"1\"", "a whole number from 0"),
        ("httpRequestBodyTimeout", "0|-1|null", number),
        ("transports", "\"polling\"|[1]|[\"polling\",1]|null|{}", "\"polling\""),
        (
            "path",
            "\"\"|\"socket.io\"|\"/a?b\"|\"/a#b\"|\"/a b\"|\"/a\\n\"|null|1|[\"/a\"]",
            "starts with",
        ),
        ("allowUpgrades", "0|1|\"true\"|null", "true or false"),
        ("allowEIO3", "1", "true or false"),
        ("everyRequest", "1", "true or false"),
        ("addTrailingSlash", "\"\"", "true or false"),
        ("httpCompression", "1|\"yes\"|[]", "true, false or an object"),
        ("perMessageDeflate", "1|\"yes\"|[]", "true, false or an object"),
        ("connectionStateRecovery", "120000|\"yes\"", "true, false or an object"),
    ] {
        for value in values.split('|') {
            let json = format!("{{\"{option}\":{value}}}");
            let error = EngineSettings::from_json(&json).expect_err(&json);
            assert_eq!(error.option, option, "{json}");
            assert!(error.to_string().contains(allowed), "{json}: {error}");
        }
    }
}

#[test]
fn a_part_of_an_option_is_named_with_its_whole() {
    for (json, option) in [
        (r#"{"httpCompression":{"threshold":-1}}"#, "httpCompression.threshold"),
        (r#"{"perMessageDeflate":{"threshold":"1kb"}}"#, "perMessageDeflate.threshold"),
        (
            r#"{"perMessageDeflate":{"serverMaxWindowBits":7}}"#,
            "perMessageDeflate.serverMaxWindowBits",
        ),
        (
            r#"{"perMessageDeflate":{"zlibDeflateOptions":{"level":10}}}"#,
            "perMessageDeflate.zlibDeflateOptions.level",
        ),
        (
            r#"{"connectionStateRecovery":{"maxDisconnectionDuration":0}}"#,
            "connectionStateRecovery.maxDisconnectionDuration",
        ),
        (
            r#"{"connectionStateRecovery":{"skipMiddlewares":1}}"#,
            "connectionStateRecovery.skipMiddlewares",
        ),
    ] {
        assert_eq!(EngineSettings::from_json(json).expect_err(json).option, option);
    }
}

#[test]
fn what_is_not_an_object_of_bearable_size_is_refused_and_quoted_in_short() {
    let long = format!("{{\"x\":\"{}\"}}", "é".repeat(40_000));
    let deep = "[".repeat(60_000);
    for json in ["", "null", "[]", "\"{}\"", "{", "{}{}", "{\"a\":1,}", &long, &deep] {
        let error = EngineSettings::from_json(json).unwrap_err();
        assert_eq!(error.option, "settings");
        assert!(error.to_string().len() < 400, "{error}");
    }
    let wide = format!("{{\"path\":\"{}\"}}", "é".repeat(4_000));
    let error = EngineSettings::from_json(&wide).unwrap_err();
    assert!(error.found.chars().count() <= 81, "{error}");
}

#[test]
fn own_settings_that_make_no_sense_are_as_if_they_were_missing() {
    assert_eq!(OwnSettings::from_json("{}"), OwnSettings::default());
    for json in [
        "nonsense",
        r#"{"moves":true}"#,
        r#"{"moves":true,"numbers":1}"#,
        r#"{"moveEnds":true,"numbers":true}"#,
        r#"{"rehome":1,"resumable":"yes","from":4711,"resume":true}"#,
        r#"{"from":"localhost:80","resume":{"trunk":"t"}}"#,
        r#"{"from":"10.0.0.1","resume":{"received":1}}"#,
        r#"{"from":"fe80::1:80","resume":{"trunk":7,"received":1}}"#,
        r#"{"resume":{"trunk":"t","received":-1}}"#,
        r#"{"resume":{"trunk":"t","received":1.5}}"#,
    ] {
        assert_eq!(OwnSettings::from_json(json), OwnSettings::default(), "{json}");
    }
    let json = r#"{"from":"[::1]:80","resume":{"trunk":"t","received":9007199254740991}}"#;
    let own = OwnSettings::from_json(json);
    assert_eq!(own.from, "[::1]:80".parse().ok());
    assert_eq!(own.resume, Some(Resume { trunk: "t".into(), received: (1 << 53) - 1 }));
}
