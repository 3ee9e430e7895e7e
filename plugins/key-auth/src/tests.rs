use sandgate_sdk::{mock::MockHost, testing::Tester};

use super::*;

fn gateway(host: MockHost) -> MockHost {
    host.credential(CREDENTIALS, "alice-key", "alice").credential(CREDENTIALS, "bob-key", "bob").with_consumer("anon")
}

fn answer(config: &str, host: MockHost) -> (Option<(u16, String)>, Option<String>) {
    let outcome = Tester::<KeyAuth>::new(config).on_request(&gateway(host));
    let refusal = outcome.refusal().map(|(status, message)| (status, message.to_owned()));
    (refusal, outcome.answer_header("WWW-Authenticate").map(String::from))
}

#[test]
fn a_request_without_a_good_key_is_refused_with_a_challenge() {
    let cases = [
        ("no key", MockHost::get("/a"), "No API key found in request"),
        ("an empty key", MockHost::get("/a").header("apikey", ""), "No API key found in request"),
        ("an unknown key", MockHost::get("/a").header("apikey", "zz"), "Unauthorized"),
        ("two arguments", MockHost::get("/a?apikey=alice-key&apikey=bob-key"), "Duplicate API key found"),
        (
            "two headers",
            MockHost::get("/a").header("apikey", "alice-key").header("ApiKey", "bob-key"),
            "Duplicate API key found",
        ),
        (
            "a key in the body",
            MockHost::post("/a", "application/json", r#"{"apikey":"alice-key"}"#),
            "No API key found in request",
        ),
    ];
    for (label, host, message) in cases {
        let expected = (Some((401, message.to_owned())), Some("Key".to_owned()));
        assert_eq!(answer("{}", host), expected, "{label}");
    }
}

#[test]
fn the_challenge_names_the_realm() {
    let (_, challenge) = answer(r#"{"realm":"my-realm"}"#, MockHost::get("/a"));
    assert_eq!(challenge.as_deref(), Some("Key realm=\"my-realm\""));
}

#[test]
fn a_good_key_makes_the_request_its_consumers() {
    let hosts = [
        ("header", MockHost::get("/a").header("apikey", "alice-key")),
        ("header in another case", MockHost::get("/a").header("APIKey", "alice-key")),
        ("query", MockHost::get("/a?z=1&apikey=alice-key")),
        ("header before query", MockHost::get("/a?apikey=zz").header("apikey", "alice-key")),
        ("encoded query", MockHost::get("/a?apikey=alice%2Dkey")),
    ];
    for (label, host) in hosts {
        let host = gateway(host);
        let outcome = Tester::<KeyAuth>::new("{}").on_request(&host);
        assert_eq!(outcome.status(), None, "{label}");
        assert_eq!(host.credential_id().as_deref(), Some("alice-key-id"), "{label}");
        assert_eq!(host.consumer().and_then(|consumer| consumer.username).as_deref(), Some("alice"), "{label}");
    }
}

#[test]
fn a_key_is_found_in_the_body_when_it_may_be_there() {
    let multipart = "--b\r\nContent-Disposition: form-data; name=\"apikey\"\r\n\r\nalice-key\r\n--b--\r\n";
    let bodies = [
        ("application/json", r#"{"apikey":"alice-key"}"#),
        ("application/x-www-form-urlencoded", "b=2&apikey=alice-key"),
        ("multipart/form-data; boundary=b", multipart),
    ];
    for (content_type, body) in bodies {
        let (refusal, _) = answer(r#"{"key_in_body":true}"#, MockHost::post("/a", content_type, body));
        assert_eq!(refusal, None, "{content_type}");
    }
    let (refusal, _) = answer(r#"{"key_in_body":true}"#, MockHost::post("/a", "text/plain", "apikey=alice-key"));
    assert_eq!(refusal.map(|refusal| refusal.1).as_deref(), Some("No API key found in request"));
}

#[test]
fn a_hidden_key_leaves_no_trace() {
    let tester = Tester::<KeyAuth>::new(r#"{"key_names":["X-Key","k"],"hide_credentials":true,"key_in_body":true}"#);
    let outcome = tester.on_request(&gateway(MockHost::get("/a").header("x-key", "alice-key")));
    assert_eq!((outcome.status(), outcome.upstream_header("x-key"), outcome.query()), (None, None, None));

    let outcome = tester.on_request(&gateway(MockHost::get("/a?k=alice-key&z=1")));
    assert_eq!(outcome.query(), Some("z=1"));

    let form = MockHost::post("/a", "application/x-www-form-urlencoded", "k=alice-key&b=2");
    assert_eq!(tester.on_request(&gateway(form)).body(), Some("b=2"));

    let json = MockHost::post("/a", "application/json", r#"{"k": "alice-key", "b": 2}"#);
    assert_eq!(tester.on_request(&gateway(json)).body(), Some(r#"{"b":2}"#));
}

#[test]
fn without_a_key_the_request_is_the_anonymous_consumers() {
    let tester = Tester::<KeyAuth>::new(r#"{"anonymous":"anon","hide_credentials":true}"#);
    let host = gateway(MockHost::get("/a?apikey=zz"));
    let outcome = tester.on_request(&host);
    assert_eq!((outcome.status(), outcome.query()), (None, Some("")));
    assert_eq!((host.consumer().map(|consumer| consumer.id), host.credential_id()), (Some("anon-id".into()), None));
}

#[test]
fn an_anonymous_consumer_that_does_not_exist_is_the_gateways_mistake() {
    let (refusal, _) = answer(r#"{"anonymous":"nobody"}"#, MockHost::get("/a"));
    assert_eq!(refusal, Some((500, "anonymous consumer nobody is configured but doesn't exist".into())));
}

#[test]
fn with_an_anonymous_consumer_an_earlier_authentication_is_enough() {
    let host = gateway(MockHost::get("/a").authenticated("bob", "jwt-id"));
    assert_eq!(Tester::<KeyAuth>::new(r#"{"anonymous":"anon"}"#).on_request(&host).status(), None);
    assert_eq!(host.credential_id().as_deref(), Some("jwt-id"));
    assert_eq!(Tester::<KeyAuth>::new("{}").on_request(&host).status(), Some(401));
}

#[test]
fn preflight_needs_a_key_unless_it_is_let_through() {
    let status = |config| answer(config, MockHost::new("OPTIONS", "/a")).0.map(|refusal| refusal.0);
    assert_eq!(status("{}"), Some(401));
    assert_eq!(status(r#"{"run_on_preflight":false}"#), None);
}

#[test]
fn places_that_are_switched_off_are_not_looked_at() {
    let header = MockHost::get("/a").header("apikey", "alice-key");
    assert!(answer(r#"{"key_in_header":false}"#, header).0.is_some());
    assert!(answer(r#"{"key_in_query":false}"#, MockHost::get("/a?apikey=alice-key")).0.is_some());
}

#[test]
fn without_the_grant_the_gateway_is_to_blame() {
    let (refusal, _) = answer("{}", MockHost::get("/a").header("apikey", "alice-key").deny("consumers"));
    assert_eq!(refusal.map(|refusal| refusal.0), Some(500));
}

#[test]
fn unknown_settings_are_refused() {
    let errors = Tester::<KeyAuth>::try_new(r#"{"key_name":["a"],"realm":1}"#).expect_err("both are mistakes");
    let places: Vec<_> = errors.iter().map(|error| (error.path.as_str(), error.message.as_str())).collect();
    assert_eq!(places, [("realm", "expected a string"), ("key_name", "unknown field")]);
}
