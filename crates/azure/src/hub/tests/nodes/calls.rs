//! A call at any node reaches the clients of all, or says which nodes it did not reach.

use super::*;

fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

/// A connection's node is in its id, so nobody else is asked.
#[test]
fn a_call_about_a_connection_concerns_its_node_only() {
    let mut cluster = Cluster::new(3);
    cluster.nodes[0].tunnel_up(1, "a");
    cluster.carry();
    cluster.nodes[0].take_messages();
    cluster.client(1, 2);
    let sid = cluster.nodes[1].sid(2);
    cluster.stuck = Some(2);
    assert_eq!(cluster.status(0, "HEAD", &format!("connections/{sid}"), ""), 200);
    assert_eq!(cluster.status(1, "HEAD", &format!("connections/{sid}"), ""), 200);
    assert_eq!(cluster.status(0, "PUT", &format!("groups/g/connections/{sid}"), ""), 200);
    let permission = format!("permissions/sendToGroup/connections/{sid}");
    assert_eq!(cluster.status(0, "HEAD", &permission, ""), 404);
    assert_eq!(cluster.status(0, "PUT", &permission, ""), 200);
    assert_eq!(cluster.status(1, "HEAD", &permission, ""), 200);
    assert_eq!(cluster.status(0, "DELETE", &permission, ""), 204);
    let unknown = cluster.nodes[1].sid(9);
    assert_eq!(cluster.status(0, "HEAD", &format!("connections/{unknown}"), ""), 404);
    assert_eq!(cluster.status(0, "PUT", &format!("groups/g/connections/{unknown}"), ""), 404);
    assert_eq!(cluster.status(0, "POST", &format!("connections/{sid}/:send"), "42[\"x\"]"), 202);
    assert_eq!(cluster.nodes[1].take_sent(), ["2:2[\"x\"]"]);
    assert_eq!(cluster.status(0, "DELETE", &format!("connections/{sid}"), ""), 204);
    assert_eq!(cluster.nodes[1].take_sent(), ["2:close"]);
    assert_eq!(cluster.http(0, "HEAD", "users/user2", ""), None, "that needs the third");
}

#[test]
fn a_call_at_any_node_reaches_users_and_groups_of_all() {
    let mut cluster = Cluster::with_server();
    cluster.client(0, 1);
    cluster.client(1, 2);
    for node in [0, 1] {
        for user in ["user1", "user2"] {
            assert_eq!(cluster.status(node, "HEAD", &format!("users/{user}"), ""), 200);
            let sent = cluster.status(node, "POST", &format!("users/{user}/:send"), "42[\"x\"]");
            assert_eq!(sent, 202);
        }
        assert_eq!(cluster.status(node, "HEAD", "users/nobody", ""), 404);
        assert_eq!(
            cluster.status(node, "PUT", &format!("users/user{}/groups/g", 2 - node), ""),
            200
        );
    }
    assert_eq!(cluster.nodes[0].take_sent(), ["1:2[\"x\"]", "1:2[\"x\"]"]);
    assert_eq!(cluster.nodes[1].take_sent(), ["2:2[\"x\"]", "2:2[\"x\"]"]);
    assert_eq!(cluster.status(1, "HEAD", "groups/g", ""), 200);
    assert_eq!(cluster.status(1, "HEAD", "groups/h", ""), 404);
    let first = cluster.http(1, "GET", "groups/g/connections?maxpagesize=1", "").expect("a page");
    let page: Value = serde_json::from_slice(&first.body).expect("JSON");
    assert_eq!(page["value"][0]["userId"], "user1", "the lower number comes first");
    let next = page["nextLink"].as_str().expect("there is more").to_owned();
    let url = format!("groups/g/connections?maxpagesize=1&continuationToken={next}");
    let page = cluster.http(0, "GET", &url, "").expect("a page, at another node");
    let page: Value = serde_json::from_slice(&page.body).expect("JSON");
    assert_eq!(page["value"][0]["userId"], "user2");
    assert_eq!(page["nextLink"], Value::Null);
    assert_eq!(cluster.status(0, "POST", "groups/g/:closeConnections", ""), 204);
    assert_eq!(cluster.nodes[0].take_sent(), ["1:close"]);
    assert_eq!(cluster.nodes[1].take_sent(), ["2:close"]);
}

#[test]
fn a_wrong_call_is_refused_before_any_other_node_is_asked() {
    let mut cluster = Cluster::with_server();
    cluster.stuck = Some(1);
    assert_eq!(cluster.status(0, "POST", ":send?filter=nonsense+(", "42[\"x\"]"), 400);
    assert_eq!(cluster.status(0, "POST", ":send", "nonsense"), 400);
    assert_eq!(cluster.wire.len(), 0);
}

#[test]
fn a_node_that_cannot_be_reached_is_named_and_nothing_is_done() {
    let mut cluster = Cluster::with_server();
    cluster.client(0, 1);
    cluster.notice(0, PeerNotice::Heard(key(1), false));
    let answer = cluster.http(0, "POST", "users/user1/:send", "42[\"x\"]").expect("at once");
    assert_eq!(answer.status, 503);
    assert!(text(&answer).contains("node-1"), "{}", text(&answer));
    assert_eq!(cluster.nodes[0].take_sent(), [""; 0]);
    assert_eq!(cluster.status(0, "HEAD", "users/user1", ""), 200, "one yes is enough");
    assert_eq!(
        cluster.http(0, "HEAD", "users/user2", ""),
        Some(Answer::empty(404)),
        "it answers still"
    );
    cluster.unlink(0, 1);
    assert_eq!(cluster.status(0, "HEAD", "users/user2", ""), 503, "now nobody knows");
    cluster.notice(0, PeerNotice::Gone(key(1)));
    assert_eq!(cluster.status(0, "POST", "users/user1/:send", "42[\"x\"]"), 202, "it is dead");
}

#[test]
fn a_node_that_does_not_answer_in_time_is_named() {
    let mut cluster = Cluster::with_server();
    cluster.client(0, 1);
    cluster.stuck = Some(1);
    assert_eq!(cluster.http(0, "POST", "users/user1/:send", "42[\"x\"]"), None);
    cluster.pass(CALL - Duration::from_millis(1));
    assert_eq!(cluster.nodes[0].answers.len(), 0);
    cluster.pass(Duration::from_millis(1));
    let (_, answer) = cluster.nodes[0].answers.pop().expect("it is over");
    assert_eq!(answer.status, 503);
    assert!(text(&answer).contains("node-1"), "{}", text(&answer));
    cluster.stuck = None;
    cluster.carry();
    assert_eq!(cluster.nodes[0].answers.len(), 0, "a late answer is none");
}

#[test]
fn a_node_without_this_door_is_one_that_cannot_be_reached() {
    let mut cluster = Cluster::new(2);
    cluster.stuck = Some(1);
    cluster.unlink(0, 1);
    cluster.link(0, 1);
    cluster.wire.clear();
    assert_eq!(cluster.status(0, "POST", ":send", "42[\"x\"]"), 503);
}

#[test]
fn acknowledgements_of_an_invocation_come_from_all_nodes() {
    let mut cluster = Cluster::with_server();
    cluster.client(0, 1);
    cluster.client(1, 2);
    let parts = cluster.call_parts("POST", ":invoke", "42[\"q\"]");
    assert_eq!(parts.len(), 1, "it has begun at both: {parts:?}");
    assert!(parts[0].not_completed);
    for (node, session) in [(1, 2), (0, 1)] {
        let sent = cluster.nodes[node].take_sent().pop().expect("the question");
        let id: String =
            sent.chars().skip_while(|c| *c != ':').skip(2).take_while(|c| *c != '[').collect();
        cluster.hear(node, session, &format!("3{id}[{session}]"));
    }
    let parts: Vec<Response> = cluster.nodes[0]
        .take_messages()
        .into_iter()
        .filter_map(|message| if let Message::Response(part) = message { Some(part) } else { None })
        .collect();
    let bodies: Vec<_> = parts.iter().map(|part| String::from_utf8_lossy(&part.content)).collect();
    assert!(bodies[0].contains("[2]") && bodies[1].contains("[1]"), "{bodies:?}");
    assert_eq!(
        parts.iter().map(|part| part.not_completed).collect::<Vec<_>>(),
        [true, true, false]
    );
}

#[test]
fn an_invocation_that_a_node_does_not_begin_is_an_error_and_ends_at_the_others() {
    let mut cluster = Cluster::with_server();
    cluster.client(0, 1);
    cluster.stuck = Some(1);
    let ack = cluster.nodes[0].begin_call("POST", ":invoke", "42[\"q\"]");
    assert_eq!(cluster.nodes[0].take_parts(ack), []);
    cluster.pass(CALL);
    let parts = cluster.nodes[0].take_parts(ack);
    assert_eq!(parts.iter().map(|part| part.status_code).collect::<Vec<_>>(), [503]);
    assert_eq!(cluster.nodes[0].hub.invokes.poll_deadline(), None, "nobody waits for it");
}

#[test]
fn a_node_that_goes_ends_its_part_of_an_invocation_only() {
    let mut cluster = Cluster::with_server();
    cluster.client(0, 1);
    cluster.client(1, 2);
    let ack = cluster.nodes[0].begin_call("POST", ":invoke", "42[\"q\"]");
    cluster.carry();
    assert_eq!(cluster.nodes[0].take_parts(ack).len(), 1);
    cluster.unlink(0, 1);
    assert_eq!(cluster.nodes[1].hub.invokes.poll_deadline(), None, "nobody waits there");
    let sent = cluster.nodes[0].take_sent().pop().expect("the question");
    let id: String = sent.chars().skip(3).take_while(|c| *c != '[').collect();
    cluster.hear(0, 1, &format!("3{id}[1]"));
    let parts = cluster.nodes[0].take_parts(ack);
    assert_eq!(parts.iter().map(|part| part.not_completed).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn a_lone_node_asks_nobody() {
    let mut world = World::with_server();
    world.client(1);
    assert_eq!(world.http("POST", ":send", "42[\"x\"]").status, 202);
    assert_eq!(world.words, []);
}

#[test]
fn nobody_waits_for_acknowledgements_whose_caller_is_gone() {
    let mut cluster = Cluster::with_server();
    cluster.client(0, 1);
    cluster.client(1, 2);
    cluster.nodes[0].begin_http(1, "POST", ":invoke", "42[\"q\"]");
    cluster.carry();
    let waits = |cluster: &Cluster, node: usize| cluster.nodes[node].hub.invokes.poll_deadline();
    assert!(waits(&cluster, 0).is_some() && waits(&cluster, 1).is_some());
    let node = &mut cluster.nodes[0];
    node.hub.handle_caller_lost(node.now, CallId(1), false);
    node.drain();
    cluster.carry();
    assert_eq!((waits(&cluster, 0), waits(&cluster, 1)), (None, None));
}
