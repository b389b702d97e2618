use super::*;
use crate::scenario::tests::job;

fn joined(jitter: &mut Jitter, pid: &str, now_ns: u64) {
    let answer = format!("{{\"sid\":\"s\",\"pid\":\"{pid}\"}}").into_bytes();
    jitter.message(0, now_ns, Message::Joined(&answer), &mut Out::default());
}

fn broadcast(jitter: &mut Jitter, sequence: u32) {
    let array = format!("[\"b\",\"{sequence}:5:xx\",\"offset {sequence}\"]").into_bytes();
    jitter.message(0, 100, Message::Event(&array), &mut Out::default());
}

fn auth(jitter: &mut Jitter) -> String {
    String::from_utf8(jitter.auth(0)).unwrap()
}

#[test]
fn a_client_returns_with_what_the_server_gave_it() {
    let mut jitter = Jitter::new(&job(1));
    assert_eq!(auth(&mut jitter), "", "nothing the first time");
    joined(&mut jitter, "p", 1);
    broadcast(&mut jitter, 3);
    assert_eq!(auth(&mut jitter), r#"{"offset":"offset 3","pid":"p"}"#);
    joined(&mut jitter, "q", 2);
    assert_eq!(auth(&mut jitter), r#"{"offset":"","pid":"q"}"#, "a new session has no offset yet");
}

#[test]
fn without_recovery_nothing_is_sent_with_the_connect_packet() {
    let mut jitter = Jitter::new(&job(1));
    jitter.message(0, 1, Message::Joined(br#"{"sid":"s"}"#), &mut Out::default());
    broadcast(&mut jitter, 0);
    assert_eq!(auth(&mut jitter), "");
}

/// Broadcasts before the cut and after the return, the pid then, and what is counted:
/// missing, missed while away, duplicates, recovered.
type Case = (&'static [u32], &'static [u32], &'static str, [u64; 4]);

#[test]
fn absence_is_judged_by_whether_the_socket_was_recovered() {
    let cases: &[Case] = &[
        (&[4, 5], &[6, 7], "p", [0, 0, 0, 1]),
        (&[4, 5], &[7], "p", [1, 0, 0, 1]),
        (&[4, 5], &[5, 6], "p", [0, 0, 1, 1]),
        (&[4, 5], &[9, 10], "q", [0, 3, 0, 0]),
        (&[4, 5], &[9, 11], "q", [1, 3, 0, 0]),
        (&[4, 6], &[], "q", [1, 0, 0, 0]),
    ];
    for (before, after, pid, counted) in cases {
        let mut jitter = Jitter::new(&job(1));
        joined(&mut jitter, "p", 1);
        before.iter().for_each(|sequence| broadcast(&mut jitter, *sequence));
        jitter.lost(0, 10);
        joined(&mut jitter, pid, 20);
        after.iter().for_each(|sequence| broadcast(&mut jitter, *sequence));
        let found = [jitter.missing, jitter.missed_while_away, jitter.duplicates, jitter.recovered];
        assert_eq!(found, *counted, "{before:?}, then {after:?} as {pid}");
        assert_eq!(jitter.away, 0);
    }
}

#[test]
fn what_was_sent_before_the_return_is_caught_up_with() {
    let mut jitter = Jitter::new(&job(1));
    joined(&mut jitter, "p", 1);
    broadcast(&mut jitter, 0);
    jitter.lost(0, 10);
    joined(&mut jitter, "p", 20);
    broadcast(&mut jitter, 1);
    assert_eq!((jitter.caught_up, jitter.deliveries), (1, 2));
    assert_eq!((jitter.latency.total().len(), jitter.caught_up_latency.total().len()), (1, 1));
}

#[test]
fn what_comes_before_the_answer_belongs_behind_it() {
    let mut jitter = Jitter::new(&job(1));
    joined(&mut jitter, "p", 1);
    broadcast(&mut jitter, 0);
    jitter.lost(0, 10);
    for _failed_then_good in 0..2 {
        assert_ne!(auth(&mut jitter), "");
        let early = br#"["b","1:5:xx","offset 1"]"#;
        jitter.message(0, 15, Message::Early(early), &mut Out::default());
    }
    assert_eq!(jitter.deliveries, 1);
    joined(&mut jitter, "p", 20);
    assert_eq!((jitter.deliveries, jitter.caught_up, jitter.duplicates), (2, 1, 0));
}
