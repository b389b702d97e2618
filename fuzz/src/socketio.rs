//! Targets of the crate `socketio`.

use trunkline_socketio::{encode, parse};

/// One packet of each kind, with all that a header can have.
pub const PARSE_SEEDS: &[&[u8]] = &[
    br#"0/admin,{"token":"x"}"#,
    b"1/admin,",
    br#"2/a,12["hi",1,{"b":[null,true,-1.5e3,"\u00e9\n"]}]"#,
    br#"3/a,7["ok"]"#,
    br#"4{"message":"no"}"#,
    br#"510-/a,3["file",{"_placeholder":true,"num":0}]"#,
    br#"60x1-9[{"_placeholder":true,"num":0}]"#,
];

/// Any text is refused or reads the same again after being encoded.
pub fn parse_encode(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(packet) = parse(text) {
        assert_eq!(parse(&encode(&packet)), Ok(packet));
    }
}
