use super::*;

#[test]
fn every_default_is_allowed() {
    let mut mistakes = Vec::new();
    let settings = Settings::resolve(&Given::default(), &mut mistakes);
    assert_eq!(mistakes, []);
    for (key, (name, shown)) in keys().iter().zip(settings.shown()) {
        assert_eq!((key.name, &key.default), (name, &shown));
        let mut given = Given::default();
        if !shown.is_empty() {
            given.put(name, shown, super::super::Origin::Default);
        }
        Settings::resolve(&given, &mut mistakes);
        assert_eq!(mistakes, []);
    }
}

#[test]
fn every_limit_of_the_edge_has_a_key() {
    let debug = format!("{:?}", Limits::default());
    let fields = debug.trim_start_matches("Limits {").split(", ");
    for field in fields.filter_map(|field| field.split_once(": ")) {
        let name = field.0.trim();
        assert!(keys().iter().any(|key| key.name == name), "the limit {name} has no key");
    }
}

#[test]
fn names_follow_from_the_key() {
    let key = keys().iter().find(|key| key.name == "ready_file").unwrap();
    assert_eq!((key.env(), key.flag()), ("TRUNKLINE_READY_FILE".into(), "--ready-file".into()));
}
