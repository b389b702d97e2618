//! Which app server a new session goes to.

use crate::ServerKey;

/// Remembers the last choice, so that equally loaded app servers take turns.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor {
    last: Option<ServerKey>,
}

/// Picks the app server with the fewest sessions; ties take turns in the order of their keys, whatever
/// the order of `servers`, which yields each app server with its number of sessions.
///
/// `None` when there is no app server.
pub fn pick(
    cursor: &mut Cursor,
    servers: impl IntoIterator<Item = (ServerKey, u32)>,
) -> Option<ServerKey> {
    let last = cursor.last;
    let turn = |server: ServerKey| (last.is_some_and(|last| server <= last), server);
    let (server, _) = servers.into_iter().min_by_key(|&(server, load)| (load, turn(server)))?;
    cursor.last = Some(server);
    Some(server)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ServerKey = ServerKey(3);
    const B: ServerKey = ServerKey(5);
    const C: ServerKey = ServerKey(9);

    #[test]
    fn fewest_sessions_win_whatever_the_cursor_says() {
        let mut cursor = Cursor::default();
        for _ in 0..3 {
            assert_eq!(pick(&mut cursor, [(A, 2), (B, 1), (C, 2)]), Some(B));
        }
        assert_eq!(pick(&mut cursor, []), None);
    }

    #[test]
    fn ties_take_turns_whatever_the_order_of_the_list() {
        let mut cursor = Cursor::default();
        let lists = [[A, B, C], [C, B, A], [B, C, A], [B, A, C], [C, A, B], [A, C, B]];
        let picks = lists.map(|list| pick(&mut cursor, list.map(|server| (server, 7))));
        assert_eq!(picks, [A, B, C, A, B, C].map(Some));
    }

    #[test]
    fn a_turn_passes_over_a_server_that_left_or_is_busier() {
        let mut cursor = Cursor::default();
        assert_eq!(pick(&mut cursor, [(A, 0), (B, 0), (C, 0)]), Some(A));
        assert_eq!(pick(&mut cursor, [(A, 0), (C, 0)]), Some(C));
        assert_eq!(pick(&mut cursor, [(A, 1), (B, 0), (C, 0)]), Some(B));
    }
}
