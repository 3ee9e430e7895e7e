use sandgate_sdk::{flow::Answer, mock::MockHost, testing::Tester};

use super::*;

fn answered(status: u16) -> MockHost {
    let answer = Answer { status, headers: Vec::new(), body: Vec::new() };
    MockHost::get("/").record(r#"{"a":1}"#).answering(Ok(answer))
}

fn tester(more: &str) -> Tester<HttpLog> {
    Tester::new(&[r#"{"http_endpoint":"http://user:pass@logs:8080/in?q=1""#, more, "}"].concat())
}

#[test]
fn a_record_is_sent_as_it_is() {
    let host = answered(200);
    assert_eq!(tester("").on_log(&host), Ok(()));
    let call = host.calls().remove(0);
    assert_eq!((call.method.as_str(), call.url.as_str()), ("POST", "http://logs:8080/in"));
    assert_eq!((call.body.as_slice(), call.timeout, call.verify_tls), (br#"{"a":1}"#.as_slice(), 10_000, false));
    let header = |name: &str| call.headers.iter().find(|header| header.0 == name).map(|header| header.1.as_str());
    assert_eq!(header("Content-Type"), Some("application/json"));
    assert_eq!(header("Authorization"), Some("Basic dXNlcjpwYXNz"));
}

#[test]
fn connections_are_kept_as_the_operator_says() {
    for (config, kept) in [
        ("", 60_000),
        (r#","keepalive":5"#, 5),
        (r#","keepalive":0.5"#, 1),
        (r#","keepalive":0"#, 600_000),
        (r#","keepalive":1e9"#, 600_000),
    ] {
        let host = answered(200);
        tester(config).on_log(&host).expect("sent");
        assert_eq!(host.kept(), [kept], "{config}");
    }
}

#[test]
fn batches_are_arrays() {
    let tester = tester(r#","queue":{"max_batch_size":3}"#);
    let host = answered(204);
    assert_eq!(tester.plugin().on_batch(vec![b"{}".to_vec(), b"[]".to_vec()], &host), Ok(()));
    assert_eq!(host.calls()[0].body, b"[{},[]]");
}

#[test]
fn only_success_ends_the_retries() {
    let cases =
        [(200, Ok(())), (299, Ok(())), (302, Err("the server answered 302")), (500, Err("the server answered 500"))];
    for (status, expected) in cases {
        let result = tester("").on_log(&answered(status));
        assert_eq!(result, expected.map_err(String::from), "{status}");
    }
    let unreachable = MockHost::get("/").answering(Err(HostError::Timeout));
    assert_eq!(tester("").on_log(&unreachable), Err("no answer in time".into()));
}

#[test]
fn headers_and_fields_of_the_operator_are_sent() {
    let host = answered(200);
    let tester = tester(r#","headers":{"x-tok":"t"},"custom_fields_by_lua":{"extra":"return 'v'"}"#);
    tester.on_log(&host).expect("sent");
    let call = host.calls().remove(0);
    assert!(call.headers.contains(&("x-tok".into(), "t".into())));
    assert_eq!(call.body, br#"{"a":1,"extra":"v"}"#);
}

#[test]
fn the_queue_is_the_hosts() {
    let queue = |more: &str| tester(more).prepared().queue.expect("there is a queue");
    let plain = queue("");
    assert_eq!((plain.max_batch_size, plain.max_coalescing_delay, plain.max_entries), (1, 1_000, 10_000));
    assert_eq!((plain.max_retry_time, plain.initial_retry_delay, plain.max_retry_delay), (Some(60_000), 10, 60_000));
    assert_eq!(queue(r#","queue":{"max_retry_time":-1}"#).max_retry_time, None);
    let old = queue(r#","queue_size":5,"flush_timeout":7"#);
    assert_eq!((old.max_batch_size, old.max_coalescing_delay), (5, 7_000));
}

#[test]
fn mistakes_are_refused() {
    let cases = [
        (r#"{"http_endpoint":"ftp://a"}"#, "http_endpoint", "expected an http or https URL"),
        (r#"{"http_endpoint":"http://a","headers":{"host":"b"}}"#, "headers", "cannot contain 'Host' header"),
        (
            r#"{"http_endpoint":"http://a","headers":{"content-length":"1"}}"#,
            "headers",
            "cannot contain 'Content-Length' header",
        ),
        (
            r#"{"http_endpoint":"http://u:p@a","headers":{"Authorization":"b"}}"#,
            "",
            "specifying both an 'Authorization' header and user info in 'http_endpoint' is not allowed",
        ),
        (r#"{"http_endpoint":"http://a","method":"GET"}"#, "method", "expected one of: POST, PUT, PATCH"),
        ("{}", "http_endpoint", "required field missing"),
    ];
    for (config, path, message) in cases {
        let errors = Tester::<HttpLog>::try_new(config).expect_err("a mistake");
        assert_eq!((errors[0].path.as_str(), errors[0].message.as_str()), (path, message), "{config}");
    }
}
