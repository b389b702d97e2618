//! The names of NATS subjects, and back.
//!
//! | Subject | Subscribed by | Carries |
//! |---|---|---|
//! | `tl.<cluster>.beat` | every node | beats |
//! | `tl.<cluster>.n.<number>.<incarnation>.c` and `.b` | that node | its Links' datagrams, by lane |
//! | `tl.<cluster>.gone.<incarnation>.<number>.<incarnation>` | the node of the first incarnation | NATS's own answer that nobody listens at the inbox of the second |

use trunkline_mesh::{Destination, Lane};

/// The subjects of one node.
#[derive(Clone, Debug)]
pub(crate) struct Subjects {
    prefix: String,
    incarnation: u64,
}

impl Subjects {
    pub(crate) fn new(cluster: &str, incarnation: u64) -> Self {
        Self { prefix: format!("tl.{cluster}"), incarnation }
    }

    pub(crate) fn beats(&self) -> String {
        format!("{}.beat", self.prefix)
    }

    /// Both lanes of the own inbox under this number.
    pub(crate) fn inbox(&self, number: u16) -> String {
        format!("{}.n.{number}.{:016x}.*", self.prefix, self.incarnation)
    }

    /// NATS's answers about all peers.
    pub(crate) fn answers(&self) -> String {
        format!("{}.gone.{:016x}.*.*", self.prefix, self.incarnation)
    }

    /// Where a datagram goes, and where NATS answers when nobody is there.
    pub(crate) fn route(&self, to: &Destination) -> (String, Option<String>) {
        match to {
            Destination::Everybody => (self.beats(), None),
            Destination::Node { number, incarnation, lane } => {
                let lane = match lane {
                    Lane::Control => 'c',
                    Lane::Bulk => 'b',
                };
                let Self { prefix, incarnation: own } = self;
                let subject = format!("{prefix}.n.{number}.{incarnation:016x}.{lane}");
                let reply = format!("{prefix}.gone.{own:016x}.{number}.{incarnation:016x}");
                (subject, Some(reply))
            }
        }
    }
}

/// The lane that the last part of an inbox's subject names.
pub(crate) fn lane(subject: &str) -> Option<Lane> {
    match subject.rsplit_once('.')?.1 {
        "c" => Some(Lane::Control),
        "b" => Some(Lane::Bulk),
        _ => None,
    }
}

/// The number and the incarnation of the peer that an answer of NATS is about.
pub(crate) fn absent(subject: &str) -> Option<(u16, u64)> {
    let mut parts = subject.rsplit('.');
    let incarnation = u64::from_str_radix(parts.next()?, 16).ok()?;
    Some((parts.next()?.parse().ok()?, incarnation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let subjects = Subjects::new("eu", 0xab);
        let to = |lane| Destination::Node { number: 7, incarnation: 0xcd, lane };
        let (bulk, reply) = subjects.route(&to(Lane::Bulk));
        assert_eq!(bulk, "tl.eu.n.7.00000000000000cd.b");
        assert_eq!(lane(&bulk), Some(Lane::Bulk));
        let (control, _) = subjects.route(&to(Lane::Control));
        assert_eq!(lane(&control), Some(Lane::Control));
        assert_eq!(lane("tl.eu.n.7.00000000000000cd.x"), None);
        let reply = reply.expect("a node may be absent");
        assert_eq!(reply, "tl.eu.gone.00000000000000ab.7.00000000000000cd");
        assert_eq!(absent(&reply), Some((7, 0xcd)));
        assert_eq!(absent("tl.eu.gone.00000000000000ab.70000.cd"), None);
        assert_eq!(absent("nonsense"), None);
        assert_eq!(subjects.route(&Destination::Everybody), ("tl.eu.beat".into(), None));
        assert_eq!(subjects.inbox(7), "tl.eu.n.7.00000000000000ab.*");
        assert_eq!(subjects.answers(), "tl.eu.gone.00000000000000ab.*.*");
    }
}
