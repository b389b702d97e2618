//! The values that labels can have. Each is exported from the start, at 0: a counter that appears
//! at 1 has no rate, and the first event would raise no alert.

use trunkline_engineio::CloseReason;
use trunkline_token::TokenRefused;
use trunkline_trunk::Origin;

use super::{Carrier, Cause, Ending, Kind, Metrics, Outcome, Rehomed, origin_name};

pub(super) const STREAMS_REFUSED: &[&str] = &[
    "streams_full",
    "descriptors_exhausted",
    "greetings_full",
    "greeting_timeout",
    "tls_required",
    "tls_unexpected",
    "tls_left",
    "tls_refused_by_client",
    "tls_incompatible",
    "tls_client_certificate",
    "tls_malformed",
    "tls_other",
    "header_timeout",
    "header_too_large",
    "malformed_request",
    "aborted",
    "answer_timeout",
    "session_ended",
    "address_denied",
    "address_not_allowed",
    "address_streams_full",
    "address_banned",
    "proxy_header_missing",
    "proxy_header_malformed",
    "proxy_header_unexpected",
];

pub(super) const REQUESTS_REFUSED: &[&str] = &[
    "unknown_transport",
    "unknown_sid",
    "bad_handshake_method",
    "bad_request",
    "forbidden",
    "unsupported_protocol_version",
    "no_app_server",
    "app_server_silent",
    "app_servers_busy",
    "app_servers_full",
    "handshakes_full",
    "hub_sessions_full",
    "sessions_full",
    "streams_full",
    "memory_full",
    "draining",
    "joining",
    "mesh_down",
    "owner_lost",
    "cannot_ask",
    "cannot_move",
    "call_unauthorized",
    "hub_unknown",
    "path_unknown",
    "wrong_port",
    "payload_in_pieces",
    "payload_too_large",
    "body_timeout",
    "bad_websocket_handshake",
    "address_denied",
    "address_not_allowed",
    "address_sessions_full",
    "address_handshakes",
    "address_failures",
    "forwarded_malformed",
    "origin_not_allowed",
    "websocket_for_polling",
];

pub(super) const IDLE: &[&str] =
    &["websocket_ping", "websocket_pong", "empty_fragment", "pong", "ping", "noop", "preflight"];

pub(super) const HANDSHAKES: &[&str] = &[
    "accepted",
    "rejected",
    "client_gone",
    "duplicate_sid",
    "no_app_server",
    "app_server_silent",
    "app_servers_busy",
    "app_servers_full",
    "handshakes_full",
    "hub_sessions_full",
    "sessions_full",
    "streams_full",
    "memory_full",
    "draining",
    "joining",
];

pub(super) const MISBEHAVIOUR: &[&str] = &[
    "binary_payload",
    "packet_type_unknown",
    "packets_too_many",
    "payload_malformed",
    "ping_from_client",
    "pong_from_client",
    "polls_overlap",
    "posts_overlap",
    "session_closed",
    "wrong_transport",
    "close_body_too_short",
    "close_code_invalid",
    "close_reason_not_utf8",
    "continuation_without_start",
    "control_fragmented",
    "control_too_long",
    "data_inside_message",
    "deflate_invalid",
    "length_out_of_range",
    "mask_missing",
    "mask_unexpected",
    "message_too_big",
    "reserved_bits",
    "reserved_opcode",
    "text_not_utf8",
];

pub(super) const TRUNKS_ENDED: &[&str] = &[
    "app_server_closed",
    "app_server_gone",
    "stream_broken",
    "node_stops",
    "hub_removed",
    "key_removed",
    "replaced",
    "another",
    "hub_app_servers_full",
    "bad_settings",
    "misbehaved",
    "websocket_violation",
    "given_up",
    "limit",
    "silent",
    "peer_error",
];

const TRUNKS_REFUSED: &[&str] = &[
    "bad_request",
    "draining",
    "hub_unknown",
    "token_audience",
    "token_expired",
    "token_lifetime",
    "token_malformed",
    "token_missing",
    "token_not_yet_valid",
    "token_signature",
    "trunks_full",
];

const RECOVERIES: &[&str] = &["found", "not_found", "taken", "unproved"];

/// What becomes of sessions whose app server is gone.
const REHOMED: &[&str] = &["adopted", "ended", "in_doubt", "lost", "no_home", "refused", "silent"];

const MOVES: &[&str] = &["moved", "failed"];

const UPGRADES: &[&str] = &["done", "failed", "refused", "stream_closed"];

const SESSIONS_SLOWED: &[&str] = &[
    "session_messages_per_second",
    "session_bytes_per_second",
    "session_inflated_bytes_per_second",
    "hub_messages_per_second",
    "hub_bytes_per_second",
];

const CLOSE_REASONS: [CloseReason; 24] = [
    CloseReason::AddressDenied,
    CloseReason::AppServerLost,
    CloseReason::AppServerLostInDoubt,
    CloseReason::Flooded,
    CloseReason::Forced,
    CloseReason::HubRemoved,
    CloseReason::KeyRemoved,
    CloseReason::MemoryFull,
    CloseReason::MoveFailed,
    CloseReason::NamespacesFull,
    CloseReason::NodeShutdown,
    CloseReason::OutboxFull,
    CloseReason::ParseError,
    CloseReason::PingTimeout,
    CloseReason::RecoveryUnproved,
    CloseReason::RehomeRefused,
    CloseReason::RoomsFull,
    CloseReason::ServerShuttingDown,
    CloseReason::TokenExpired,
    CloseReason::TokenRevoked,
    CloseReason::TooLarge,
    CloseReason::TransportClose,
    CloseReason::TransportError,
    CloseReason::UserSessionsFull,
];

impl Metrics {
    /// Every series that can be known beforehand, at 0.
    pub(super) fn begin_at_zero(&self) {
        let causes = [
            (&self.streams_refused, STREAMS_REFUSED),
            (&self.http_requests_refused, REQUESTS_REFUSED),
            (&self.misbehaviour, MISBEHAVIOUR),
            (&self.trunks_ended, TRUNKS_ENDED),
            (&self.trunks_refused, TRUNKS_REFUSED),
            (&self.client_tokens_refused, &TokenRefused::SLUGS),
            (&self.app_servers_ejected, &["silent", "unanswered"]),
            (&self.sessions_slowed, SESSIONS_SLOWED),
        ];
        for (family, words) in causes {
            for cause in words {
                family.get_or_create(&Cause { cause }).inc_by(0);
            }
        }
        for origin in [Origin::Orphan, Origin::HandedOver].map(origin_name) {
            for outcome in REHOMED {
                self.rehomed.get_or_create(&Rehomed { origin, outcome }).inc_by(0);
            }
        }
        let outcomes = [
            (&self.handshakes, HANDSHAKES),
            (&self.upgrades, UPGRADES),
            (&self.tls_handshakes, &["full", "resumed"]),
            (&self.moves, MOVES),
            (&self.recoveries, RECOVERIES),
        ];
        for (family, words) in outcomes {
            for outcome in words {
                family.get_or_create(&Outcome { outcome }).inc_by(0);
            }
        }
        for reason in CLOSE_REASONS {
            self.sessions_closed.get_or_create(&Ending::of(reason)).inc_by(0);
        }
        for kind in IDLE {
            self.idle.get_or_create(&Kind { kind }).inc_by(0);
        }
        for transport in ["polling", "websocket"] {
            self.sessions.get_or_create(&Carrier { transport }).inc_by(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../../../docs/operate/metrics.md");
    const ERRORS: &str = include_str!("../../../../docs/reference/errors.md");

    /// The words in backticks of a table of the page, those in its explanations left out.
    fn documented(title: &str) -> Vec<String> {
        let table = PAGE.split_once(&format!("| {title} | |\n|---|---|\n"));
        let (_, rows) = table.unwrap_or_else(|| panic!("the page has no table \"{title}\""));
        let rows = rows.lines().take_while(|line| line.starts_with('|'));
        let cell = |row: &str| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
            // Rows by kind have their words in the second cell.
            if cells[0].contains('`') { cells[0] } else { cells[1] }.to_owned()
        };
        let words = rows.map(cell).flat_map(|cell| {
            cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()
        });
        let mut words: Vec<String> = words.collect();
        words.sort();
        words
    }

    /// The words in backticks of a cell, of every row of a page that the pattern finds.
    fn cells(page: &str, is_row: impl Fn(&[&str]) -> bool, cell: usize) -> Vec<&str> {
        let rows = page.lines().map(|line| line.split('|').collect::<Vec<_>>());
        rows.filter(|row| row.len() > cell && is_row(row))
            .flat_map(|row| row[cell].split('`').skip(1).step_by(2).collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn reasons_to_close_and_outcomes_of_recoveries_are_on_their_pages() {
        let is_reason = |row: &[&str]| {
            row.len() == 8 && row[1].trim().parse::<u8>().is_ok() && row[2].contains('`')
        };
        let mut documented = cells(ERRORS, is_reason, 2);
        documented.sort_unstable();
        assert_eq!(documented, CLOSE_REASONS.map(CloseReason::slug));
        let is_recoveries = |row: &[&str]| row[1].contains("`trunkline_recoveries_total`");
        let documented = cells(PAGE, is_recoveries, 4);
        assert_eq!(documented[1..], *RECOVERIES, "behind the label's name");
        let is_rehomed = |row: &[&str]| row[1].contains("`trunkline_rehomed_total`");
        let documented = cells(PAGE, is_rehomed, 4);
        let outcomes = documented.split(|word| *word == "outcome").nth(1);
        let words = outcomes.map(|words| words.iter().filter(|word| **word != "home_wait"));
        assert!(words.is_some_and(|words| words.eq(REHOMED)), "{documented:?}");
    }

    #[test]
    fn the_page_has_every_word_and_no_other() {
        for (title, known) in [
            ("`cause` of a refused stream", STREAMS_REFUSED),
            ("`cause` of a refused request", REQUESTS_REFUSED),
            ("`outcome` of a handshake", HANDSHAKES),
            ("`cause` of a misbehaviour", MISBEHAVIOUR),
            ("`cause` of an end", TRUNKS_ENDED),
            ("`kind` of input without a message", IDLE),
        ] {
            let mut known: Vec<&str> = known.to_vec();
            known.sort_unstable();
            assert_eq!(documented(title), known, "{title}");
        }
    }
}
