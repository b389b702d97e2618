//! Addresses in the configuration: lists in a key, and files with many of them.

use std::path::Path;
use std::sync::Arc;

use trunkline_admission::{LINE_MISTAKES_MAX, OriginPattern, Prefix, Prefixes};
use trunkline_edge::{AddressRules, ForwardedHeader};

use super::given::Given;
use super::kinds::{Choice, Unless, ValueKind};
use super::mistake::Mistake;
use super::table::Settings;

/// The words for the header that names the client.
pub(crate) const FORWARDED: Choice<ForwardedHeader> = Choice(&[
    ("auto", ForwardedHeader::Auto),
    ("x-forwarded-for", ForwardedHeader::XForwardedFor),
    ("forwarded", ForwardedHeader::Forwarded),
]);

/// The largest list of addresses: some four million of them.
const LIST_BYTES_MAX: u64 = 64 << 20;

/// Addresses and prefixes, separated by commas; possibly none.
pub(crate) struct PrefixList;

impl ValueKind for PrefixList {
    type Value = Vec<Prefix>;

    fn placeholder(&self) -> &'static str {
        "PREFIXES"
    }

    fn allowed(&self) -> String {
        "IP addresses and prefixes, separated by commas, as in 10.0.0.0/8,2001:db8::7".into()
    }

    fn parse(&self, text: &str) -> Result<Vec<Prefix>, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts
            .map(|part| part.parse().map_err(|wrong| format!("names `{part}`, which {wrong}")))
            .collect()
    }

    fn show(&self, value: &Vec<Prefix>) -> String {
        value.iter().map(Prefix::to_string).collect::<Vec<_>>().join(",")
    }
}

/// The word for no proxy at all.
const NONE: &str = "none";

/// The trusted proxies; none of them when the operator says so.
pub(crate) struct Proxies;

impl ValueKind for Proxies {
    type Value = Vec<Prefix>;

    fn placeholder(&self) -> &'static str {
        PrefixList.placeholder()
    }

    fn allowed(&self) -> String {
        format!("{}; or \"{NONE}\"", PrefixList.allowed())
    }

    fn parse(&self, text: &str) -> Result<Vec<Prefix>, String> {
        match text.trim() {
            NONE => Ok(Vec::new()),
            "" => Err(format!("is empty; without proxies, write \"{NONE}\"")),
            _ => PrefixList.parse(text),
        }
    }

    fn show(&self, value: &Vec<Prefix>) -> String {
        if value.is_empty() { NONE.into() } else { PrefixList.show(value) }
    }
}

/// Origins of web pages, separated by commas.
pub(crate) struct OriginList;

impl ValueKind for OriginList {
    type Value = Vec<OriginPattern>;

    fn placeholder(&self) -> &'static str {
        "ORIGINS"
    }

    fn allowed(&self) -> String {
        "origins, separated by commas, as in https://app.example.com,https://*.example.com,null"
            .into()
    }

    fn parse(&self, text: &str) -> Result<Vec<OriginPattern>, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts
            .map(|part| part.parse().map_err(|wrong| format!("names `{part}`, which {wrong}")))
            .collect()
    }

    fn show(&self, value: &Vec<OriginPattern>) -> String {
        value.iter().map(OriginPattern::to_string).collect::<Vec<_>>().join(",")
    }
}

/// The word for all origins.
pub(crate) const ORIGINS: Unless<OriginList> = Unless("any", OriginList);

/// What the configuration says about addresses. Reads the files of addresses.
pub(super) fn assemble(
    settings: &Settings,
    given: &Given,
    mistakes: &mut Vec<Mistake>,
) -> AddressRules {
    let set = |prefixes: &[Prefix]| Arc::new(prefixes.iter().copied().collect::<Prefixes>());
    let mut list = |key: &'static str, path: &Path| {
        let read = read_list(path).map_err(|wrong| {
            mistakes.extend(
                wrong.into_iter().map(|wrong| Mistake {
                    key: key.into(),
                    origin: given.origin(key),
                    wrong,
                    allowed:
                        "a readable file with one address or prefix per line; # begins a comment"
                            .into(),
                }),
            );
        });
        Arc::new(read.unwrap_or_default())
    };
    let allow = settings.allow_file.as_deref().map(|path| list("allow_file", path));
    let deny = settings.deny_file.as_deref().map(|path| list("deny_file", path));
    let trusted_proxies = settings.trusted_proxies.as_deref().map(set);
    if settings.proxy_protocol && trusted_proxies.as_ref().is_none_or(|proxies| proxies.is_empty())
    {
        mistakes.push(Mistake {
            key: "proxy_protocol".into(),
            origin: given.origin("proxy_protocol"),
            wrong: "is on, but no proxy is trusted".into(),
            allowed: "on, together with the proxies' addresses in `trusted_proxies`".into(),
        });
    }
    AddressRules {
        trusted_proxies,
        proxy_protocol: settings.proxy_protocol,
        forwarded_header: settings.forwarded_header,
        ipv6_prefix: settings.ipv6_prefix,
        exempt: set(&settings.address_limits_exempt),
        allow,
        deny: deny.unwrap_or_default(),
    }
}

/// Reads a list; the error has one text for each mistake.
fn read_list(path: &Path) -> Result<Prefixes, Vec<String>> {
    let shown = path.display();
    let cannot = |error: std::io::Error| vec![format!("`{shown}` cannot be read: {error}")];
    // Of a file, so that a pipe or a device does not keep the node waiting.
    let size = std::fs::metadata(path).map_err(cannot)?;
    if !size.is_file() {
        return Err(vec![format!("`{shown}` is not a file")]);
    }
    if size.len() > LIST_BYTES_MAX {
        let most = LIST_BYTES_MAX >> 20;
        return Err(vec![format!(
            "`{shown}` has {} bytes; at most {most} MiB are read",
            size.len()
        )]);
    }
    let bytes = std::fs::read(path).map_err(cannot)?;
    Prefixes::parse_list(&bytes).map_err(|wrong| {
        let more = wrong.len() >= LINE_MISTAKES_MAX;
        let lines = wrong.into_iter().map(|mistake| {
            let text = mistake.text.escape_debug();
            format!("`{shown}` line {}: `{text}` {}", mistake.line, mistake.why)
        });
        let end = more.then(|| format!("`{shown}` may have more mistakes after these"));
        lines.chain(end).collect()
    })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::super::Origin;
    use super::*;

    fn assembled(texts: &[(&'static str, &str)]) -> (AddressRules, Vec<Mistake>) {
        let mut given = Given::default();
        for (key, text) in texts {
            given.put(key, (*text).to_owned(), Origin::Flag("--test".into()));
        }
        let mut mistakes = Vec::new();
        let settings = Settings::resolve(&given, &mut mistakes);
        let rules = assemble(&settings, &given, &mut mistakes);
        (rules, mistakes)
    }

    struct TempFile(std::path::PathBuf);

    impl TempFile {
        fn new(name: &str, content: &[u8]) -> Self {
            let path =
                std::env::temp_dir().join(format!("trunkline-{}-{name}", std::process::id()));
            std::fs::write(&path, content).expect("a writable folder");
            Self(path)
        }

        fn path(&self) -> &str {
            self.0.to_str().expect("text")
        }
    }

    impl Drop for TempFile {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn nothing_said_is_not_no_proxy() {
        let (rules, mistakes) = assembled(&[]);
        assert_eq!((rules.trusted_proxies, mistakes), (None, Vec::new()));
        assert!(rules.exempt.contains("127.8.9.1".parse().expect("an address")));
        assert!(rules.exempt.contains("::1".parse().expect("an address")));
        let (rules, _) = assembled(&[("trusted_proxies", "none"), ("address_limits_exempt", "")]);
        assert!(rules.trusted_proxies.is_some_and(|proxies| proxies.is_empty()));
        assert!(rules.exempt.is_empty());
    }

    #[test]
    fn proxies_are_addresses_and_prefixes() {
        let (rules, mistakes) = assembled(&[("trusted_proxies", "10.0.0.0/8, ::1")]);
        assert_eq!(mistakes, []);
        let proxies = rules.trusted_proxies.expect("given");
        assert!(proxies.contains("10.9.9.9".parse().expect("an address")));
        let (_, mistakes) = assembled(&[("trusted_proxies", "10.0.0.1/8,proxy.example.com")]);
        assert!(mistakes[0].wrong.contains("10.0.0.0/8"), "{}", mistakes[0]);
    }

    #[test]
    fn headers_of_proxies_need_proxies() {
        for texts in [
            &[("proxy_protocol", "on")][..],
            &[("proxy_protocol", "on"), ("trusted_proxies", "none")],
        ] {
            let (_, mistakes) = assembled(texts);
            assert_eq!(mistakes.len(), 1);
            assert_eq!(mistakes[0].key, "proxy_protocol");
        }
    }

    #[test]
    fn a_list_is_read_with_its_mistakes_by_line() {
        let good = TempFile::new("good", b"# partners\n192.0.2.0/24\n");
        let (rules, mistakes) = assembled(&[("deny_file", good.path())]);
        assert_eq!(mistakes, []);
        assert!(
            rules.deny.contains("192.0.2.9".parse().expect("an address")) && rules.allow.is_none()
        );
        let bad = TempFile::new("bad", b"192.0.2.0/24\nexample.com\n192.0.2.1/24\n");
        let (_, mistakes) =
            assembled(&[("allow_file", bad.path()), ("deny_file", "/nowhere/list")]);
        let told: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(
            told[0].starts_with("allow_file (--test)") && told[0].contains("line 2: `example.com`")
        );
        assert!(told[1].contains("line 3: `192.0.2.1/24`"), "{}", told[1]);
        assert!(told[2].starts_with("deny_file (--test)"), "{}", told[2]);
        let (_, mistakes) = assembled(&[("deny_file", "/dev/null")]);
        assert!(mistakes[0].wrong.contains("is not a file"), "{}", mistakes[0]);
    }

    #[test]
    fn a_list_that_is_wrong_everywhere_gives_some_mistakes_and_says_so() {
        let mut text = String::new();
        for line in 0..1000 {
            writeln!(text, "host-{line}.example.com").expect("a string");
        }
        let bad = TempFile::new("worse", text.as_bytes());
        let (_, mistakes) = assembled(&[("deny_file", bad.path())]);
        assert_eq!(mistakes.len(), LINE_MISTAKES_MAX + 1);
        assert!(mistakes[LINE_MISTAKES_MAX].wrong.contains("more mistakes"));
    }
}
