use super::*;

const MULTIPART: &str = "multipart/form-data; boundary=\"b1\"";

fn parse(content_type: &str, body: &str) -> Fields {
    Fields::parse(content_type, body.as_bytes()).expect("a good body")
}

fn text(fields: &Fields) -> String {
    String::from_utf8(fields.encode()).expect("text")
}

#[test]
fn bodies_are_read_by_their_type() {
    let cases = [
        ("application/json; charset=utf-8", r#"{"a":"1"}"#, Some(Found::One("1".into()))),
        ("APPLICATION/JSON", r#"{"a":1}"#, Some(Found::Nothing)),
        ("application/json", r#"{"a":["1"]}"#, Some(Found::Several)),
        ("application/json", "", Some(Found::Nothing)),
        ("application/json", "[1]", None),
        ("application/json", "{", None),
        ("application/x-www-form-urlencoded", "a=1", Some(Found::One("1".into()))),
        ("application/x-www-form-urlencoded", "a=1&a=2", Some(Found::Several)),
        (
            "multipart/form-data; boundary=b1",
            "--b1\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--b1--",
            Some(Found::One("1".into())),
        ),
        ("multipart/form-data; boundary=b1", "--b1\r\n", None),
        ("multipart/form-data", "--b1--", None),
        ("text/plain", "a=1", None),
    ];
    for (content_type, body, expected) in cases {
        let found = Fields::parse(content_type, body.as_bytes()).map(|fields| fields.get("a"));
        assert_eq!(found, expected, "{content_type}: {body}");
    }
}

#[test]
fn json_members_change_as_texts() {
    let mut fields = parse("application/json", r#"{"f":false,"l":["1"],"n":1,"o":2,"s":"1"}"#);
    assert!(fields.rename("o", "r") && !fields.rename("o", "x"));
    assert!(!fields.replace("f", "x") && !fields.replace("x", "x") && fields.replace("n", "2"));
    assert!(fields.add("f", "now") && !fields.add("s", "x"));
    assert!(fields.append("l", "2") && fields.append("s", "2") && fields.append("r", "2") && fields.append("new", "1"));
    let expected = r#"{"f":"now","l":["1","2"],"n":"2","new":["1"],"r":["2"],"s":["1","2"]}"#;
    let members = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("it is JSON");
    assert_eq!(members(&text(&fields)), members(expected));
}

#[test]
fn parts_of_a_form_change_and_the_others_stay() {
    let file =
        "--b1\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\nContent-Type: a/b\r\n\r\n\r\n--\r\n";
    let body = [file, "--b1\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b1--\r\n"].concat();
    let mut fields = parse(MULTIPART, &body);
    assert_eq!(text(&fields), body);
    assert!(fields.rename("a", "c") && fields.add("d", "2") && !fields.append("d", "3") && fields.replace("d", "4"));
    let part = |name: &str, value: &str| {
        ["--b1\r\nContent-Disposition: form-data; name=\"", name, "\"\r\n\r\n", value, "\r\n"].concat()
    };
    assert_eq!(text(&fields), [file, &part("c", "1"), &part("d", "4"), "--b1--\r\n"].concat());
}
