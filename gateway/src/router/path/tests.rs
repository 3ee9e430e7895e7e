use proptest::prelude::*;

use super::*;

fn normal(raw: &str) -> String {
    NormalPath::parse(raw).unwrap().as_str().to_owned()
}

#[test]
fn paths_are_brought_to_their_canonical_form() {
    let table = [
        ("an empty path is the root", "", "/"),
        ("dots in the middle", "/foo/a/../bar", "/foo/bar"),
        ("repeated slashes", "//foo//bar", "/foo/bar"),
        ("a segment of one dot", "/./foo/bar", "/foo/bar"),
        ("an escaped letter", "/%66oo/bar", "/foo/bar"),
        ("an escaped tilde beside an escaped slash", "/p1/a%2Fb/%7Ec/", "/p1/a%2Fb/~c/"),
        ("kept escapes in upper case", "/a%2fb%3a", "/a%2Fb%3A"),
        ("escaped dots are dots", "/a/%2E%2e/b", "/b"),
        ("dots at the end leave the slash", "/a/b/..", "/a/"),
        ("one dot at the end leaves the slash", "/a/.", "/a/"),
        ("nothing is above the root", "/../../a", "/a"),
        ("names that begin with dots are names", "/.well-known/..a/...", "/.well-known/..a/..."),
        ("a final slash stays", "/a//", "/a/"),
        ("an escaped percent is not decoded twice", "/%2541", "/%2541"),
        ("an escaped space", "/a%20b", "/a b"),
        ("escaped UTF-8", "/caf%c3%a9", "/café"),
        ("bytes that are not UTF-8 stay escaped", "/%ff%C3/%c0%af", "/%FF%C3/%C0%AF"),
        ("a cut character beside a whole one", "/%C3é%A9", "/%C3é%A9"),
    ];
    for (label, raw, expected) in table {
        assert_eq!(normal(raw), expected, "{label}");
    }
}

#[test]
fn paths_with_two_readings_are_refused() {
    let table = [
        ("/a%", PathError::BrokenEscape(2)),
        ("/a%2", PathError::BrokenEscape(2)),
        ("/%zz", PathError::BrokenEscape(1)),
        ("/%+1", PathError::BrokenEscape(1)),
        ("/a%00", PathError::ControlByte(2)),
        ("/a%0d%0a", PathError::ControlByte(2)),
        ("/a\tb", PathError::ControlByte(2)),
        ("/%7F", PathError::ControlByte(1)),
        ("*", PathError::NotAbsolute),
    ];
    for (raw, expected) in table {
        assert_eq!(NormalPath::parse(raw), Err(expected), "{raw}");
    }
}

#[test]
fn a_normal_path_is_borrowed() {
    for raw in ["/", "/a/b.c/", "/.a", "/..a/b", "/é~!"] {
        assert_eq!(NormalPath::parse(raw).unwrap().into_rewritten(), None, "{raw}");
    }
    assert_eq!(NormalPath::parse("/a//b").unwrap().into_rewritten(), Some("/a/b".to_owned()));
}

#[test]
fn a_path_goes_upstream_escaped_again() {
    let table = [
        ("/plain/~a-b_c.d", "/plain/~a-b_c.d"),
        ("/!#$&'()*+,/:;=?@[]%2F", "/!#$&'()*+,/:;=?@[]%2F"),
        ("/a b\"<>\\^`{|}", "/a%20b%22%3C%3E%5C%5E%60%7B%7C%7D"),
        ("/café", "/caf%C3%A9"),
    ];
    for (path, expected) in table {
        assert_eq!(escape_for_upstream(path), expected);
    }
    assert!(matches!(escape_for_upstream("/plain"), Cow::Borrowed(_)));
}

fn raw_path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "/", "//", ".", "..", "%2e", "%2F", "%25", "%", "a", "%61", "%c3", "%a9", "é", "%00", "?", " ",
        ])
        .prop_map(str::to_owned),
        any::<u8>().prop_map(|byte| format!("%{byte:02x}")),
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_normal_path_is_its_own_normal_form(raw in raw_path()) {
        if let Ok(path) = NormalPath::parse(&raw) {
            prop_assert_eq!(normal(path.as_str()), path.as_str());
        }
    }

    #[test]
    fn a_normal_path_has_no_odd_segments_and_no_control_bytes(raw in raw_path()) {
        if let Ok(path) = NormalPath::parse(&raw) {
            let path = path.as_str();
            prop_assert!(path.starts_with('/') && !path.contains("//"), "{path}");
            prop_assert!(!path.split('/').any(|segment| segment == "." || segment == ".."), "{path}");
            prop_assert!(!path.bytes().any(|byte| byte.is_ascii_control()), "{path}");
        }
    }

    #[test]
    fn what_goes_upstream_reads_back_as_the_same_path(raw in raw_path()) {
        if let Ok(path) = NormalPath::parse(&raw) {
            let sent = escape_for_upstream(path.as_str());
            prop_assert!(sent.is_ascii());
            prop_assert_eq!(normal(&sent), path.as_str());
        }
    }
}
