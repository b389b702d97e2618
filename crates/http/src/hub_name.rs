//! The names of hubs.

/// The longest name, in bytes.
const LENGTH_MAX: usize = 128;

/// Whether this may be the name of a hub in the configuration: the name stands in paths, labels and
/// logs.
#[must_use]
pub fn is_hub_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    name.len() <= LENGTH_MAX
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::is_hub_name;

    #[test]
    fn names_are_words() {
        for good in ["a", "Chat", "eu-west_2.test"] {
            assert!(is_hub_name(good), "{good}");
        }
        let long = "a".repeat(129);
        for bad in ["", "2chat", "_chat", "a b", "a/b", "a\n", "ä", &*long] {
            assert!(!is_hub_name(bad), "{bad:?}");
        }
    }
}
