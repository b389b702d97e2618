//! Groups are rooms, in this door and in the node.

use super::*;

fn room_frames(world: &mut World) -> Vec<String> {
    let list = |rooms: &[Str]| rooms.iter().map(Str::as_str).collect::<Vec<_>>().join("+");
    #[expect(clippy::wildcard_enum_match_arm, reason = "only rooms are looked at")]
    let frames = world.take_frames().into_iter().filter_map(|frame| match frame {
        Frame::Namespace { nsp, name } => Some(format!("namespace {} {name}", nsp.0)),
        Frame::Attach { session, nsp, socket, rooms } => {
            Some(format!("attach {} {} {socket} {}", session.0, nsp.0, list(&rooms)))
        }
        Frame::Detach { session, nsp } => Some(format!("detach {} {}", session.0, nsp.0)),
        Frame::Join { session, rooms, .. } => Some(format!("join {} {}", session.0, list(&rooms))),
        Frame::Leave { session, rooms, .. } => {
            Some(format!("leave {} {}", session.0, list(&rooms)))
        }
        Frame::Broadcast(broadcast) => Some(format!(
            "broadcast {} to {} but {}: {}",
            broadcast.nsp.0,
            list(&broadcast.rooms),
            list(&broadcast.except),
            String::from_utf8_lossy(&broadcast.parts[0].data)
        )),
        _ => None,
    });
    frames.collect()
}

fn regroup(world: &mut World, verb: &str, session: u32, rooms: &[&str]) {
    let groups: Vec<String> = rooms.iter().map(|room| Group::room_name("/", room)).collect();
    let filter = format!("connectionId eq 'c{session}'");
    let body = json!({ "groups": groups, "filter": filter }).to_string();
    assert_eq!(world.call("POST", verb, &body).status_code, 200);
}

#[test]
fn entering_a_namespace_attaches_with_the_rooms_from_before() {
    let mut world = World::with_server();
    world.open(1, &json!({}));
    let connect = world.take_requests().pop().expect("a connect event");
    world.reply(&connect, 200, &accepted("c1"));
    regroup(&mut world, ":addToGroups", 1, &["early"]);
    assert_eq!(room_frames(&mut world).len(), 0, "the node knows of no socket yet");
    world.enter(1, "/");
    let frames = room_frames(&mut world);
    assert_eq!(frames, ["namespace 0 /", "attach 1 0 s1 early"]);
}

#[test]
fn joins_and_leaves_reach_the_node_once() {
    let mut world = World::with_server();
    world.client(1);
    regroup(&mut world, ":addToGroups", 1, &["a", "b"]);
    regroup(&mut world, ":addToGroups", 1, &["a"]);
    regroup(&mut world, ":removeFromGroups", 1, &["a", "c"]);
    let path = format!("groups/{}/connections/c1", Group::room_name("/", "b"));
    assert_eq!(world.call("DELETE", &path, "").status_code, 204);
    let frames = room_frames(&mut world);
    assert_eq!(frames, ["join 1 a", "join 1 b", "leave 1 a", "leave 1 b"]);
}

#[test]
fn a_room_is_served_by_one_broadcast_for_both_doors() {
    let mut world = World::with_server();
    world.client(1);
    let group = Group::room_name("/", "a");
    let except = format!("not+('{}'+in+groups)", Group::room_name("/", "s1"));
    let send = |world: &mut World, path: String| {
        assert_eq!(world.call("POST", &path, "42[\"x\"]").status_code, 202);
        room_frames(world)
    };
    let frames = send(&mut world, format!("groups/{group}/:send"));
    assert_eq!(frames, ["broadcast 0 to a but : 2[\"x\"]"]);
    let frames = send(&mut world, format!("groups/{group}/:send?filter={except}"));
    assert_eq!(frames, ["broadcast 0 to a but s1: 2[\"x\"]"]);
    let whole = Group::room_name("/", "");
    let frames = send(&mut world, format!(":send?filter='{whole}'+in+groups"));
    assert_eq!(frames, ["broadcast 0 to  but : 2[\"x\"]"]);
}

#[test]
fn an_exception_is_of_all_rooms() {
    let mut world = World::with_server();
    world.client(1);
    let in_group = |room: &str| format!("'{}'+in+groups", Group::room_name("/", room));
    let filter = format!("{}+or+{}+and+not+({})", in_group("a"), in_group("b"), in_group("s1"));
    world.call("POST", &format!(":send?filter={filter}"), "42[\"x\"]");
    assert_eq!(room_frames(&mut world), ["broadcast 0 to a+b but s1: 2[\"x\"]"]);
}

#[test]
fn leaving_a_namespace_drops_its_groups_whoever_says_so() {
    for by_client in [true, false] {
        let mut world = World::with_server();
        world.client(1);
        regroup(&mut world, ":addToGroups", 1, &["a"]);
        world.take_frames();
        if by_client {
            world.hear(1, "1");
        } else {
            world.send_to(1, "41");
        }
        assert_eq!(room_frames(&mut world), ["detach 1 0"]);
        assert_eq!(world.hub.registry.groups_of(SessionNumber(1)).len(), 0);
    }
}

#[test]
fn the_adapters_last_word_to_a_room_that_is_gone_is_nothing() {
    let mut world = World::with_server();
    world.client(1);
    world.hear(1, "1");
    world.take_frames();
    let own = Group::room_name("/", "s1");
    let answer = world.call("POST", &format!("groups/{own}/:send"), "41");
    assert_eq!(answer.status_code, 202);
    assert_eq!(world.take_frames().len(), 0);
}

#[test]
fn disconnect_sockets_tells_client_and_app_server() {
    for close in [false, true] {
        let mut world = World::with_server();
        world.client(1);
        world.client(2);
        let whole = Group::room_name("/", "");
        let body = format!("41{{\"close\":{close}}}");
        world.call("POST", &format!(":send?filter='{whole}'+in+groups"), &body);
        let sent = world.take_sent();
        let expected: &[&str] =
            if close { &["1:1", "1:close", "2:1", "2:close"] } else { &["1:1", "2:1"] };
        assert_eq!(sent, expected);
        let events = world.take_requests();
        let contents: Vec<&str> = events
            .iter()
            .filter(|event| header(event, "ce-eventName") == "message")
            .map(content)
            .collect();
        assert_eq!(contents, ["41", "41"]);
        for event in &events {
            world.reply(event, 200, "");
        }
        let ends = world.take_requests();
        assert_eq!(names(&ends).len(), if close { 2 } else { 0 });
    }
}

#[test]
fn a_tokens_groups_are_the_clients_from_the_start() {
    let mut world = World::with_server();
    world.open(1, &json!({ "webpubsub.group": ["vip", "g"] }));
    let connect = world.take_requests().pop().expect("a connect event");
    world.reply(&connect, 200, &accepted("c1"));
    let mut groups = world.hub.registry.groups_of(SessionNumber(1));
    groups.sort();
    assert_eq!(groups, ["g", "vip"]);
}

#[test]
fn namespaces_beyond_what_a_trunk_may_name_are_served_one_connection_at_a_time() {
    let mut world = World::with_server();
    world.client(1);
    for namespace in ["/a", "/b", "/c"] {
        world.enter(1, namespace);
    }
    let named = world.take_frames().into_iter();
    let named = named.filter(|frame| matches!(frame, Frame::Namespace { .. }));
    assert_eq!(named.count(), 2, "beside the one that the client was in");
    let whole = Group::room_name("/c", "");
    world.call("POST", &format!("groups/{whole}/:send"), "42/c,[\"x\"]");
    assert_eq!(world.take_sent(), ["1:2/c,[\"x\"]"]);
}
