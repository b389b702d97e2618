//! The beginning and the end of sockets, rooms and namespaces.

use trunkline_switchboard::{
    AttachError, Counts, NamespaceKey, Selection, ServerKey, SessionKey, Switchboard,
};

const ROOT: NamespaceKey = NamespaceKey::DEFAULT;
const SERVER: ServerKey = ServerKey(0);
const ALICE: SessionKey = SessionKey(0);
const BOB: SessionKey = SessionKey(1);

fn counts(sockets: usize, rooms: usize, memberships: usize, namespaces: usize) -> Counts {
    Counts { sockets, rooms, memberships, namespaces }
}

#[test]
fn an_id_belongs_to_one_session_per_namespace() {
    let mut board = Switchboard::new([0; 16]);
    let admin = board.namespace("/admin");
    board.attach(ALICE, SERVER, ROOT, "x", ["r"]).unwrap();
    board.attach(BOB, SERVER, ROOT, "y", ["r"]).unwrap();
    assert_eq!(board.attach(BOB, SERVER, ROOT, "x", ["q"]), Err(AttachError::IdTaken));
    // The refusal did not touch the earlier socket.
    assert_eq!(board.rooms_of(BOB, ROOT).collect::<Vec<_>>(), ["y", "r"]);
    board.attach(BOB, SERVER, admin, "x", []).unwrap();
    assert!(board.detach(ALICE, ROOT));
    board.attach(BOB, SERVER, ROOT, "x", ["q"]).unwrap();
    assert_eq!(board.rooms_of(BOB, ROOT).collect::<Vec<_>>(), ["x", "q"]);
    board.check_invariants();
}

#[test]
fn a_session_with_two_sockets_in_a_namespace_gets_what_reaches_either() {
    let mut board = Switchboard::new([0; 16]);
    board.attach(ALICE, SERVER, ROOT, "x", ["r", "only x"]).unwrap();
    board.attach_beside(ALICE, SERVER, ROOT, "y", ["r"]).unwrap();
    board.attach(BOB, SERVER, ROOT, "z", []).unwrap();
    for taken in ["x", "y", "z"] {
        assert_eq!(board.attach_beside(ALICE, SERVER, ROOT, taken, []), Err(AttachError::IdTaken));
    }
    let selected = |board: &mut Switchboard, room: &str| {
        let mut visited = 0;
        let selection = Selection { rooms: &[room], ..Selection::default() };
        board.select(ROOT, &selection, &mut |session| visited += usize::from(session == ALICE));
        visited
    };
    assert_eq!(selected(&mut board, "r"), 2);
    assert_eq!(selected(&mut board, "only x"), 1);
    // The later socket is the chosen one until another is chosen; a choice concerns only one
    // session.
    assert_eq!(board.socket_id(ALICE, ROOT), Some("y"));
    assert!(!board.choose(BOB, ROOT, "x"));
    assert!(!board.choose(ALICE, ROOT, "nobody"));
    assert!(board.choose(ALICE, ROOT, "x"));
    assert!(board.leave(ALICE, ROOT, "only x"));
    assert!(board.detach(ALICE, ROOT));
    assert_eq!(selected(&mut board, "r"), 1);
    assert_eq!(board.socket_id(ALICE, ROOT), Some("y"));
    board.check_invariants();
    board.attach_beside(ALICE, SERVER, ROOT, "x", []).unwrap();
    board.remove_session(ALICE);
    assert_eq!(board.counts(), counts(1, 0, 0, 1));
}

#[test]
fn attaching_again_replaces_the_socket_and_its_rooms() {
    let mut board = Switchboard::new([0; 16]);
    board.attach(ALICE, SERVER, ROOT, "x", ["r", "x", "r"]).unwrap();
    assert_eq!(board.counts(), counts(1, 1, 1, 1));
    assert!(board.leave(ALICE, ROOT, "x"));
    board.attach(ALICE, ServerKey(1), ROOT, "x", ["q"]).unwrap();
    assert_eq!(board.rooms_of(ALICE, ROOT).collect::<Vec<_>>(), ["x", "q"]);
    board.attach(ALICE, ServerKey(2), ROOT, "z", []).unwrap();
    assert_eq!(board.session_of(ROOT, "x"), None);
    assert_eq!(board.counts(), counts(1, 0, 0, 1));
    let mut visits = 0;
    let selection = Selection { server: Some(ServerKey(2)), ..Selection::default() };
    board.select(ROOT, &selection, &mut |_| visits += 1);
    assert_eq!(visits, 1);
}

#[test]
fn commands_for_a_socket_that_is_not_there_do_nothing() {
    let mut board = Switchboard::new([0; 16]);
    assert!(!board.join(ALICE, ROOT, "r"));
    assert!(!board.leave(ALICE, ROOT, "r"));
    assert!(!board.detach(ALICE, ROOT));
    board.remove_session(SessionKey(u32::MAX));
    board.attach(ALICE, SERVER, ROOT, "x", []).unwrap();
    assert!(!board.leave(ALICE, ROOT, "r"));
    assert!(board.join(ALICE, ROOT, "r"));
    assert!(!board.join(ALICE, ROOT, "r"));
    board.remove_session(ALICE);
    board.remove_session(ALICE);
    assert_eq!(board.counts(), counts(0, 0, 0, 1));
    board.check_invariants();
}

#[test]
fn a_namespace_lives_while_it_is_held_or_has_a_socket() {
    let mut board = Switchboard::new([0; 16]);
    let chat = board.namespace("/chat");
    assert_eq!(board.namespace("/chat"), chat);
    board.release_namespace(chat);
    board.attach(ALICE, SERVER, chat, "x", []).unwrap();
    board.release_namespace(chat);
    assert_eq!(board.namespace_name(chat), Some("/chat"));
    // Replacing the last socket of a namespace without a hold does not end the namespace.
    board.attach(ALICE, SERVER, chat, "y", []).unwrap();
    assert!(board.detach(ALICE, chat));
    assert_eq!(board.namespace_name(chat), None);
    assert_eq!(board.attach(ALICE, SERVER, chat, "x", []), Err(AttachError::NamespaceUnknown));
    board.release_namespace(chat);
    assert_eq!(board.namespace("/other"), chat, "the number is used again");
    board.check_invariants();
}

#[test]
fn the_default_namespace_stays() {
    let mut board = Switchboard::new([0; 16]);
    assert_eq!(board.namespace("/"), ROOT);
    for _ in 0..3 {
        board.release_namespace(ROOT);
    }
    board.attach(ALICE, SERVER, ROOT, "x", []).unwrap();
    board.remove_session(ALICE);
    assert_eq!(board.namespace_name(ROOT), Some("/"));
    board.check_invariants();
}
