//! Every limit has its row in the threat model, and every row its key and its counter.

use super::Finding;

pub(super) const MODEL: &str = "SECURITY.md";
pub(super) const KEYS: &str = "docs/reference/configuration.md";

/// The endings of keys that bound what somebody else can cause. A key without one of them may have
/// a row, too.
const LIMITS: &[&str] = &["_max", "_per_second", "_timeout", "_stall"];

/// Compares the rows of the model with the keys, and their counters with the metrics' page.
pub(super) fn check(model: &str, configuration: &str, metrics: &str) -> Vec<Finding> {
    let keys: Vec<&str> =
        configuration.lines().filter_map(|line| quoted(line.strip_prefix("### ")?)).collect();
    let rows = rows(model);
    let is_limit = |key: &&&str| LIMITS.iter().any(|end| key.ends_with(end));
    let missing =
        keys.iter().filter(is_limit).filter(|key| !rows.iter().any(|row| row.key == **key));
    let missing = missing.map(|key| {
        Finding::new(MODEL, format!("the limit `{key}` has no row: what somebody could do without it, and what happens at it"))
    });
    let stale = rows.iter().filter(|row| !keys.contains(&row.key));
    let stale = stale.map(|row| Finding::new(MODEL, format!("`{}` is no key any more", row.key)));
    let shown = |name: &str| metrics.contains(&format!("`{name}`"));
    let unknown = rows.iter().flat_map(|row| row.counter.split('`'));
    let unknown = unknown.filter(|word| word.starts_with("trunkline_") && !shown(word));
    let unknown = unknown.map(|word| Finding::new(MODEL, format!("`{word}` is no metric")));
    missing.chain(stale).chain(unknown).collect()
}

struct Row<'a> {
    key: &'a str,
    counter: &'a str,
}

/// The rows of the table that begins with the column `Key`.
fn rows(model: &str) -> Vec<Row<'_>> {
    let table = model.lines().skip_while(|line| !line.starts_with("| Key |")).skip(2);
    let table = table.take_while(|line| line.starts_with('|'));
    table.filter_map(row).collect()
}

fn row(line: &str) -> Option<Row<'_>> {
    let mut cells = line.trim_matches('|').split('|').map(str::trim);
    Some(Row { key: quoted(cells.next()?)?, counter: cells.next_back()? })
}

fn quoted(text: &str) -> Option<&str> {
    text.trim().strip_prefix('`')?.strip_suffix('`')
}
