//! The limits of one hub: those of all hubs, unless its table has others.

use trunkline_edge::HubLimits;

use super::file::HubTable;
use super::kinds::{Count, Size, Unless, ValueKind};
use super::mistake::Mistake;
use super::table::Settings;

/// The keys that a hub's table may have, too, and the values that they take.
const LIMITS: [(&str, Set); 5] = [
    ("hub_sessions_max", |limits, text| set(&mut limits.sessions_max, text, &SESSIONS)),
    ("hub_app_servers_max", |limits, text| set(&mut limits.app_servers_max, text, &APP_SERVERS)),
    ("app_server_sessions_max", |limits, text| {
        set(&mut limits.app_server_sessions_max, text, &SESSIONS)
    }),
    ("hub_messages_per_second", |limits, text| {
        set(&mut limits.messages_per_second, text, &MESSAGES)
    }),
    ("hub_bytes_per_second", |limits, text| set(&mut limits.bytes_per_second, text, &BYTES)),
];

pub(super) const SESSIONS: Unless<Count<usize>> =
    Unless("off", Count::<usize>::between(1, 100_000_000));
pub(super) const APP_SERVERS: Unless<Count<usize>> =
    Unless("off", Count::<usize>::between(1, 100_000));
pub(super) const MESSAGES: Unless<Count<u32>> =
    Unless("off", Count::<u32>::between(1, 1_000_000_000));
pub(super) const BYTES: Unless<Size<u32>> = Unless("off", Size::<u32>::between(64, 1 << 30));

/// Sets a limit from its text. The error: what is wrong, and what is allowed.
type Set = fn(&mut HubLimits, &str) -> Result<(), (String, String)>;

fn set<K: ValueKind>(limit: &mut K::Value, text: &str, kind: &K) -> Result<(), (String, String)> {
    *limit = kind.parse(text).map_err(|wrong| (wrong, kind.allowed()))?;
    Ok(())
}

/// The key of that name, if a hub's table may have it.
pub(super) fn name_of(name: &str) -> Option<&'static str> {
    LIMITS.iter().map(|(known, _)| *known).find(|known| *known == name)
}

/// The limits of a hub with this table.
pub(super) fn of_hub(
    settings: &Settings,
    table: Option<&HubTable>,
    mistakes: &mut Vec<Mistake>,
) -> HubLimits {
    let mut limits = HubLimits::of(&settings.limits);
    let own = table.map(|table| (&table.name, &table.limits));
    for (hub, (name, text, origin)) in
        own.into_iter().flat_map(|(hub, limits)| limits.iter().map(move |limit| (hub, limit)))
    {
        let Some((_, set)) = LIMITS.iter().find(|(known, _)| known == name) else { continue };
        if let Err((wrong, allowed)) = set(&mut limits, text) {
            let key = format!("hub.{hub}.{name}");
            let wrong = format!("`{}` {wrong}", text.escape_debug());
            mistakes.push(Mistake { key, origin: origin.clone(), wrong, allowed });
        }
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Inputs, Mode, load};

    fn limits_of(text: &str) -> Result<Vec<(String, HubLimits)>, Vec<Mistake>> {
        let place = std::thread::current().name().unwrap_or_default().replace(':', "-");
        let file =
            std::env::temp_dir().join(format!("trunkline-{}-{place}.toml", std::process::id()));
        std::fs::write(&file, text).expect("a temporary file");
        let inputs = Inputs { file_default: file.clone(), ..Inputs::default() };
        let loaded = load(Mode::Serve, inputs);
        let _ = std::fs::remove_file(&file);
        let config = loaded.map_err(|mistakes| mistakes.0)?;
        Ok(config.hubs.into_iter().map(|hub| (hub.name, hub.limits)).collect())
    }

    #[test]
    fn a_hub_has_the_limits_of_all_hubs_unless_its_table_has_others() {
        let hubs = limits_of(
            "hub_sessions_max = 10\napp_server_sessions_max = 5\n\
             [hub.chat]\ndefault = true\nkeys = [\"0123456789abcdef\"]\n\
             hub_sessions_max = 20\napp_server_sessions_max = \"off\"\n\
             [hub.game]\nkeys = [\"fedcba9876543210\"]\nhub_app_servers_max = 2\nhub_bytes_per_second = \"1MiB\"\n",
        );
        let chat = HubLimits { sessions_max: Some(20), ..HubLimits::default() };
        let game = HubLimits {
            sessions_max: Some(10),
            app_servers_max: Some(2),
            app_server_sessions_max: Some(5),
            bytes_per_second: Some(1 << 20),
            ..HubLimits::default()
        };
        assert_eq!(hubs.expect("no mistake"), [("chat".into(), chat), ("game".into(), game)]);
    }

    #[test]
    fn each_wrong_limit_of_a_table_is_told_with_its_hub() {
        let mistakes = limits_of(
            "[hub.chat]\ndefault = true\nkeys = [\"0123456789abcdef\"]\nhub_sessions_max = 0\n\
             hub_app_servers_max = \"few\"\napp_server_sessions_max = [1]\n",
        )
        .expect_err("three mistakes");
        let keys: Vec<&str> = mistakes.iter().map(|mistake| &*mistake.key).collect();
        let wrong = ["app_server_sessions_max", "hub_sessions_max", "hub_app_servers_max"];
        assert_eq!(keys.len(), wrong.len(), "{mistakes:?}");
        assert!(wrong.iter().all(|key| keys.contains(&&*format!("hub.chat.{key}"))), "{keys:?}");
    }
}
