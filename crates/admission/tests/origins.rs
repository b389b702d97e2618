//! Which origins a hub allows.

use proptest::prelude::*;
use trunkline_admission::{OriginError, OriginPattern, Origins};

fn origins(patterns: &[&str]) -> Origins {
    patterns.iter().map(|text| text.parse::<OriginPattern>().expect("a good pattern")).collect()
}

#[test]
fn an_origin_is_allowed_exactly() {
    let cases: &[(&str, &[&str], &[&str])] = &[
        (
            "https://app.example.com",
            &["https://app.example.com", "https://app.example.com:443", "HTTPS://App.Example.Com"],
            &[
                "http://app.example.com",
                "https://app.example.com:8443",
                "https://app.example.com.evil.net",
                "https://evilapp.example.com",
                "https://example.com",
                "https://app.example.com/",
                "https://app.example.com@evil.net",
                "https://evil.net/https://app.example.com",
                "https://app.example.com:",
                "null",
                "",
                "app.example.com",
            ],
        ),
        ("https://example.com:443", &["https://example.com"], &["https://example.com:80"]),
        (
            "http://localhost:3000",
            &["http://localhost:3000"],
            &["http://localhost", "http://localhost:30000"],
        ),
        (
            "https://*.example.com",
            &["https://a.example.com", "https://a.b.example.com"],
            &[
                "https://example.com",
                "https://.example.com",
                "https://evilexample.com",
                "https://a.example.com.evil.net",
                "http://a.example.com",
                "https://a.example.com:8443",
                "https://evil.net#.example.com",
                "https://evil.net/.example.com",
            ],
        ),
        (
            "*.example.com",
            &["https://a.example.com", "http://a.example.com"],
            &["https://example.com", "capacitor://a.example.com", "http://a.example.com:81"],
        ),
        (
            "example.com:8080",
            &["http://example.com:8080", "https://example.com:8080"],
            &["http://example.com"],
        ),
        ("null", &["null", "NULL"], &["https://null", "", "nulls"]),
        (
            "https://[2001:db8::1]:8443",
            &["https://[2001:db8::1]:8443"],
            &["https://[2001:db8::2]:8443"],
        ),
        ("capacitor://localhost", &["capacitor://localhost"], &["http://localhost"]),
        ("chrome-extension://abcdef", &["chrome-extension://abcdef"], &["https://abcdef"]),
    ];
    for (pattern, allowed, refused) in cases {
        let origins = origins(&[pattern]);
        for origin in *allowed {
            assert!(origins.allow(origin.as_bytes()), "{pattern} allows {origin}");
        }
        for origin in *refused {
            assert!(!origins.allow(origin.as_bytes()), "{pattern} refuses {origin}");
        }
        assert!(!origins.allow(b"https://\xff.example.com"));
    }
}

#[test]
fn one_of_several_is_enough() {
    let origins = origins(&["https://a.example", "https://*.b.example", "null"]);
    for allowed in ["https://a.example", "https://x.b.example", "null"] {
        assert!(origins.allow(allowed.as_bytes()), "{allowed}");
    }
    assert!(!origins.allow(b"https://c.example"));
    assert!(!Origins::default().allow(b"https://a.example"), "none at all is not all of them");
}

#[test]
fn what_is_no_origin_is_named() {
    for (text, error) in [
        ("*", OriginError::Star),
        ("https://*", OriginError::Star),
        ("https://a.*.com", OriginError::Star),
        ("*://a.com", OriginError::Star),
        ("", OriginError::Malformed),
        ("https://", OriginError::Malformed),
        ("https://a.com/", OriginError::Malformed),
        ("https://a.com/path", OriginError::Malformed),
        ("https://user@a.com", OriginError::Malformed),
        ("https://a.com:99999", OriginError::Malformed),
        ("1http://a.com", OriginError::Malformed),
        ("*.[::1]", OriginError::Malformed),
        ("https://b\u{fc}cher.example", OriginError::NotAscii),
    ] {
        assert_eq!(text.parse::<OriginPattern>(), Err(error), "{text}");
    }
}

proptest! {
    #[test]
    fn a_pattern_without_a_star_allows_what_it_says(text in "[a-z]{1,5}://[a-z.]{1,9}(:[0-9]{1,4})?") {
        let pattern: OriginPattern = text.parse().expect("an origin");
        prop_assert_eq!(pattern.to_string().parse::<OriginPattern>(), Ok(pattern));
        prop_assert!(origins(&[&text]).allow(text.as_bytes()));
    }

    #[test]
    fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = origins(&["https://*.example.com", "null"]).allow(&bytes);
    }
}
