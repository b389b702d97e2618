//! What the cluster means for `/readyz`.

use trunkline_api::Cause;

use super::seen::Seen;

/// Reasons against new connections, and facts beside them.
#[derive(Debug, Default)]
pub(crate) struct Causes {
    pub(crate) causes: Vec<Cause>,
    pub(crate) notes: Vec<Cause>,
}

/// Judges the last look.
pub(super) fn judge(seen: &Seen, strict: bool) -> Causes {
    let mut judged = Causes::default();
    let away = seen.bus.away.as_deref();
    if !seen.has_joined {
        let message = match away {
            Some(cause) => format!("the node has not joined its cluster: NATS is away ({cause})"),
            None => "the node is joining its cluster, which takes about three seconds".into(),
        };
        judged.causes.push(Cause { code: "joining", message });
        return judged;
    }
    if !seen.has_app_servers {
        let message = "app servers of other nodes have not come here yet; they are waited for for \
                       up to five seconds"
            .into();
        judged.causes.push(Cause { code: "app_servers_awaited", message });
    }
    if let Some(cause) = away {
        let message = format!(
            "NATS is away ({cause}): requests for sessions of other nodes get 503, all else goes on"
        );
        let list = if strict { &mut judged.causes } else { &mut judged.notes };
        list.push(Cause { code: "nats_away", message });
    }
    let others = seen.peers.iter().filter(|peer| !peer.same_hubs);
    let others: Vec<&str> = others.map(|peer| peer.member.node_id.as_str()).collect();
    if !others.is_empty() {
        let message = format!("configured with other hubs, keys or paths: {}", others.join(", "));
        judged.notes.push(Cause { code: "hubs_differ", message });
    }
    judged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen() -> Seen {
        Seen::new(&trunkline_mesh::Identity {
            cluster: "eu".into(),
            node_id: "n-1".into(),
            incarnation: 1,
            number: None,
            advertise: String::new(),
            version: "9.9.9".into(),
            hubs_digest: [0; 8],
        })
    }

    fn codes(seen: &Seen, strict: bool) -> (Vec<&'static str>, Vec<&'static str>) {
        let judged = judge(seen, strict);
        let codes = |list: Vec<Cause>| list.into_iter().map(|cause| cause.code).collect();
        (codes(judged.causes), codes(judged.notes))
    }

    #[test]
    fn a_node_is_ready_once_it_has_joined_and_the_app_servers_have_come() {
        let mut seen = seen();
        assert_eq!(codes(&seen, false), (vec!["joining"], vec![]));
        seen.bus.away = None;
        assert_eq!(codes(&seen, false), (vec!["joining"], vec![]));
        seen.has_joined = true;
        assert_eq!(codes(&seen, false), (vec!["app_servers_awaited"], vec![]));
        seen.has_app_servers = true;
        assert_eq!(codes(&seen, false), (vec![], vec![]));
    }

    #[test]
    fn a_node_without_nats_stays_ready_unless_it_is_strict() {
        let mut seen = seen();
        seen.has_joined = true;
        seen.has_app_servers = true;
        seen.bus.away = Some("refused".into());
        assert_eq!(codes(&seen, false), (vec![], vec!["nats_away"]));
        assert_eq!(codes(&seen, true), (vec!["nats_away"], vec![]));
    }
}
