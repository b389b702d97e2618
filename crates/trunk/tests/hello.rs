//! `Hello`: it is checked and limited, and it is answered before any later frame counts.

mod owner;
mod pair;

use std::time::Duration;

use owner::{INFO, NOW, batch, config, greeted, hello, join, send, steps, told, up, words};
use trunkline_trunk::settings::OwnSettings;
use trunkline_trunk::{
    EndCause, ErrorCode, Frame, FrameKind, Hello, LinkConfig, NamespaceNumber, NodeInfo, NodeTrunk,
    NodeTrunkConfig, Refused, ResumeInfo, SDK_BYTES_MAX, SERVER_ID_BYTES_MAX, Step, Str,
};

fn text(bytes: usize) -> Str {
    Str::from("x".repeat(bytes))
}

/// The reason why this app server is refused, and the error that it receives.
fn refusal(hello: Hello) -> (Refused, ErrorCode, Str) {
    let mut trunk = NodeTrunk::new(NOW, config(1));
    let told = told(&mut trunk, &[Frame::Hello(Box::new(hello)), join(0)]);
    let Ok([Step::Refused(refused), Step::Ended(EndCause::GivenUp(code))]) =
        <[Step; 2]>::try_from(told)
    else {
        panic!("it was not refused")
    };
    let Some(Frame::Error { message, .. }) = trunk.poll_transmit() else { panic!("no Error") };
    assert_eq!(trunk.poll_transmit(), None);
    (refused, code, message)
}

#[test]
fn nothing_behind_hello_means_anything_until_it_is_answered() {
    let mut trunk = NodeTrunk::new(NOW, config(2));
    let name = Frame::Namespace { nsp: NamespaceNumber(0), name: "/".into() };
    let first = told(&mut trunk, &[Frame::Hello(Box::new(hello())), name, join(1)]);
    assert_eq!(words(&first), ["hello app"]);
    assert!(told(&mut trunk, &[join(2)]).is_empty(), "a later batch waits, too");
    assert_eq!(trunk.poll_transmit(), None);
    trunk.welcome(NOW, INFO);
    assert_eq!(words(&steps(&mut trunk)), ["Namespace | Namespace Join", "Join | "]);
}

#[test]
fn nothing_behind_a_hello_that_is_given_up_means_anything() {
    let (mut trunk, _) = greeted(config(1), hello());
    trunk.handle_batch(NOW, batch(&[join(0)]));
    trunk.give_up(ErrorCode::Settings, "option \"path\"".into());
    assert_eq!(words(&steps(&mut trunk)), ["given up"]);
    assert!(told(&mut trunk, &[join(0)]).is_empty());
    trunk.welcome(NOW, INFO);
    assert!(matches!(trunk.poll_transmit(), Some(Frame::Error { .. })));
    assert_eq!(trunk.poll_transmit(), None, "an Error is the last frame");
}

#[test]
fn a_server_id_and_an_sdk_have_a_length_that_is_allowed() {
    for (server, sdk) in [(0, 1), (SERVER_ID_BYTES_MAX + 1, 1), (1, 0), (1, SDK_BYTES_MAX + 1)] {
        let hello = Hello { server: text(server), sdk: text(sdk), ..hello() };
        let (refused, code, message) = refusal(hello);
        assert_eq!(code, ErrorCode::Limit, "{refused}");
        assert!(message.contains("bytes; 1 to "), "{message}");
    }
    let hello = Hello { server: text(SERVER_ID_BYTES_MAX), sdk: text(SDK_BYTES_MAX), ..hello() };
    let (_, greeting) = greeted(config(1), hello);
    assert_eq!(greeting.server.len(), SERVER_ID_BYTES_MAX);
}

#[test]
fn options_that_nobody_can_carry_out_refuse_the_app_server() {
    let hello = Hello { settings: r#"{"pingInterval":-1}"#.into(), ..hello() };
    let (refused, code, message) = refusal(hello);
    assert!(matches!(refused, Refused::Settings(_)));
    assert_eq!(code, ErrorCode::Settings);
    assert!(message.contains("pingInterval"), "{message}");
}

#[test]
fn the_largest_message_fits_into_a_batch_and_the_app_is_told() {
    let link = LinkConfig { batch_bytes_max: 10_000, ..LinkConfig::default() };
    let small = NodeTrunkConfig { link, ..config(1) };
    let settings = |bytes: u32| Str::from(format!(r#"{{"maxHttpBufferSize":{bytes}}}"#));
    for (asked, got, warnings) in [(8_976, 8_976, 0), (8_977, 8_976, 1), (1_000_000, 8_976, 1)] {
        let (_, greeting) = greeted(small, Hello { settings: settings(asked), ..hello() });
        assert_eq!(greeting.settings.max_http_buffer_bytes, got);
        assert_eq!(greeting.warnings.len(), warnings, "{:?}", greeting.warnings);
    }
}

#[test]
fn recovery_without_numbers_is_a_warning() {
    for (settings, warns) in [
        (r#"{"connectionStateRecovery":{}}"#, true),
        (r#"{"connectionStateRecovery":{},"numbers":true}"#, false),
        ("{}", false),
    ] {
        let (_, greeting) = greeted(config(1), Hello { settings: settings.into(), ..hello() });
        let told = greeting.warnings.iter().any(|text| text.contains("test/1 does not number"));
        assert_eq!(told, warns, "{settings}");
    }
}

#[test]
fn welcome_says_what_the_node_takes() {
    let (mut trunk, _) = greeted(config(1), hello());
    let warnings = ["careful".to_owned()];
    trunk.welcome(NOW, NodeInfo { warnings: &warnings, ..INFO });
    let Some(Frame::Welcome(welcome)) = trunk.poll_transmit() else { panic!("no Welcome") };
    let info: serde_json::Value = serde_json::from_str(&welcome.info).unwrap();
    assert_eq!(info["node"], "node");
    assert_eq!(info["version"], "1.2.3");
    assert_eq!(info["warnings"], serde_json::json!(["careful"]));
    assert_eq!(info["namespaces_max"], 8);
    assert_eq!(info["everyRequest"], true);
    let frames = info["frames"].as_array().unwrap();
    for kind in [
        "Mark", "Release", "Beside", "Choose", "Number", "Reattach", "Prove", "GiveBack", "Call",
        "Load",
    ] {
        assert!(frames.contains(&kind.into()), "{kind}");
    }
}

#[test]
fn welcome_says_how_the_trunk_is_resumed_only_when_it_can_be() {
    let info_of = |info: trunkline_trunk::NodeInfo<'_>| -> serde_json::Value {
        let (mut trunk, _) = greeted(config(1), hello());
        trunk.welcome(NOW, info);
        let Some(Frame::Welcome(welcome)) = trunk.poll_transmit() else { panic!("no Welcome") };
        serde_json::from_str(&welcome.info).unwrap()
    };
    let plain = info_of(INFO);
    assert_eq!((plain.get("resume"), plain.get("resumed")), (None, None));
    assert!(!plain["frames"].as_array().unwrap().contains(&"Got".into()));

    let resume = ResumeInfo { trunk: "secret", window: Duration::from_millis(2000) };
    let frames = &[FrameKind::Got];
    let full = info_of(NodeInfo { frames, resume: Some(resume), resumed: Some(1 << 40), ..INFO });
    assert_eq!(full["resume"], serde_json::json!({ "trunk": "secret", "ms": 2000 }));
    assert_eq!(full["resumed"], serde_json::json!({ "received": 1u64 << 40 }));
    let frames = full["frames"].as_array().unwrap();
    assert!(frames.contains(&"Got".into()) && frames.contains(&"Mark".into()));
    assert_eq!(full.get("handledAhead"), None);
    let handled = info_of(NodeInfo { frames: &[FrameKind::Handled], ..INFO });
    assert_eq!(handled["handledAhead"], true);
}

#[test]
fn the_sdks_own_settings_are_told_apart_from_the_apps_options() {
    let settings = r#"{"rehome":true,"resumable":true,"from":"127.0.0.1:4711","numbers":true,"moves":true,"moveEnds":true}"#;
    let (_, greeting) = greeted(config(1), Hello { settings: settings.into(), ..hello() });
    let from = "127.0.0.1:4711".parse().ok();
    let own = OwnSettings {
        rehome: true,
        moves: true,
        move_ends: true,
        resumable: true,
        from,
        ..OwnSettings::default()
    };
    assert_eq!(greeting.own, own);
    assert!(greeting.settings.numbers);
}

#[test]
fn an_sdk_says_which_of_its_trunks_this_is_and_which_others_it_has() {
    let own = |settings: &str| OwnSettings::from_json(settings);
    let told = own(r#"{"nodes":true,"opening":3,"beside":[1,2]}"#);
    assert_eq!((told.nodes, told.opening, told.beside), (true, 3, vec![1, 2]));
    let untold = own(r#"{"nodes":1,"opening":-3,"beside":[1.5,"2",4]}"#);
    assert_eq!((untold.nodes, untold.opening, untold.beside), (false, 0, vec![4]));
}

#[test]
fn load_is_told_to_the_owner() {
    let mut trunk = up(config(1));
    let told = told(&mut trunk, &[Frame::Load { sessions: 7, lag_ms: 30 }]);
    assert!(matches!(told[..], [Step::Load { sessions: 7, lag_ms: 30 }]), "{told:?}");
}

#[test]
fn no_deadline_runs_while_the_owner_decides() {
    let (mut trunk, _) = greeted(config(1), hello());
    assert_eq!(trunk.poll_deadline(), None);
    trunk.handle_timeout(NOW + Duration::from_secs(60));
    trunk.welcome(NOW + Duration::from_secs(60), INFO);
    assert_eq!(trunk.poll_deadline(), Some(NOW + Duration::from_secs(70)));
    assert!(trunk.is_up());
}

#[test]
fn options_change_behind_what_came_before_and_before_what_comes_behind() {
    let mut trunk = up(config(1));
    let settings = Frame::Settings { settings: r#"{"pingInterval":7,"path":"/other"}"#.into() };
    let told = told(&mut trunk, &[join(0), settings, send(0, "x".into())]);
    assert_eq!(words(&told), ["Join", "settings", "Send"]);
    let Step::Settings(settings) = &told[1] else { panic!("{told:?}") };
    assert_eq!(settings.ping_interval, Duration::from_millis(7));
    assert_eq!(settings.path, "/socket.io", "the path is the trunk's, from Hello on");
}

#[test]
fn new_options_that_nobody_can_carry_out_end_the_trunk_behind_what_came_before() {
    let mut trunk = up(config(1));
    let settings = Frame::Settings { settings: r#"{"pingTimeout":"soon"}"#.into() };
    let told = told(&mut trunk, &[join(0), settings, join(0)]);
    assert_eq!(words(&told), ["refused", "Join", "given up"]);
}
