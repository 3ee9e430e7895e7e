use sandgate_sdk::{
    mock::MockHost,
    testing::{RequestOutcome, Tester},
};

use super::*;

/// 2024-02-29T12:00:00Z: the beginning of a minute and an hour.
const NOON: u64 = 1_709_208_000_000;

fn headers<'a>(outcome: &'a RequestOutcome, names: &[&str]) -> Vec<Option<&'a str>> {
    names.iter().map(|name| outcome.answer_header(name)).collect()
}

#[test]
fn every_limit_is_told_and_the_tightest_leads() {
    let tester = Tester::<RateLimiting>::new(r#"{"minute":2,"hour":100}"#);
    let host = MockHost::get("/a").at(NOON);
    let names = [
        "X-RateLimit-Limit-Minute",
        "X-RateLimit-Remaining-Minute",
        "X-RateLimit-Limit-Hour",
        "X-RateLimit-Remaining-Hour",
        "RateLimit-Limit",
        "RateLimit-Remaining",
        "RateLimit-Reset",
        "Retry-After",
    ];
    let expected = [
        (None, ["2", "1", "100", "99", "2", "1", "60"], None),
        (None, ["2", "0", "100", "98", "2", "0", "60"], None),
        (Some((429, "API rate limit exceeded")), ["2", "0", "100", "98", "2", "0", "60"], Some("60")),
        (Some((429, "API rate limit exceeded")), ["2", "0", "100", "98", "2", "0", "60"], Some("60")),
    ];
    for (n, (refusal, values, retry)) in expected.into_iter().enumerate() {
        let outcome = tester.on_request(&host);
        let all: Vec<_> = values.into_iter().map(Some).chain([retry]).collect();
        assert_eq!((outcome.refusal(), headers(&outcome, &names)), (refusal, all), "request {n}");
    }
    host.advance(60_000);
    assert_eq!(tester.on_request(&host).status(), None);
}

#[test]
fn the_reset_counts_down_to_the_end_of_the_window() {
    let tester = Tester::<RateLimiting>::new(r#"{"hour":1}"#);
    let host = MockHost::get("/a").at(NOON + 2_460_500);
    assert_eq!(tester.on_request(&host).answer_header("RateLimit-Reset"), Some("1140"));
}

#[test]
fn on_a_tie_the_longer_window_leads() {
    let tester = Tester::<RateLimiting>::new(r#"{"second":5,"minute":5}"#);
    assert_eq!(tester.on_request(&MockHost::get("/a").at(NOON)).answer_header("RateLimit-Reset"), Some("60"));
}

#[test]
fn hidden_headers_status_and_message_are_the_operators() {
    let tester = Tester::<RateLimiting>::new(
        r#"{"hour":1,"hide_client_headers":true,"error_code":430,"error_message":"slow down"}"#,
    );
    let host = MockHost::get("/a");
    assert_eq!(tester.on_request(&host).answer_header("RateLimit-Limit"), None);
    let outcome = tester.on_request(&host);
    assert_eq!((outcome.refusal(), outcome.answer_header("Retry-After")), (Some((430, "slow down")), None));
}

#[test]
fn whom_a_request_counts_for_is_configured() {
    let tester = |limit_by: &str| {
        let config = r#"{"hour":1,"header_name":"x-id","path":"/p","limit_by":""#.to_owned() + limit_by + "\"}";
        Tester::<RateLimiting>::new(&config)
    };
    let identifier = |limit_by: &str, host: &MockHost| {
        let value = host.request_header("x-id");
        tester(limit_by).plugin().identifier(&Request::new(vec![value], 0), host)
    };
    let known = MockHost::get("/p").authenticated("alice", "key-id").service("s-id", "s").header("X-Id", "7");
    let unknown = MockHost::get("/q").client("1.2.3.4");
    let cases = [
        ("consumer", "alice-id"),
        ("credential", "key-id"),
        ("service", "s-id"),
        ("header", "7"),
        ("path", "/p"),
        ("ip", "127.0.0.1"),
    ];
    for (limit_by, expected) in cases {
        assert_eq!(identifier(limit_by, &known), expected, "{limit_by}");
        assert_eq!(identifier(limit_by, &unknown), "1.2.3.4", "{limit_by}, unknown");
    }
    assert_eq!(identifier("consumer", &MockHost::get("/").credential_only("key-id")), "key-id");
}

#[test]
fn routes_count_apart() {
    let on_route = |id: &str| {
        let scope = Scope { route_id: Some(id.into()), ..Scope::default() };
        Tester::<RateLimiting>::scoped(r#"{"hour":1}"#, &scope).expect("a good configuration")
    };
    let host = MockHost::get("/a");
    assert_eq!(on_route("a").on_request(&host).status(), None);
    assert_eq!(on_route("b").on_request(&host).status(), None);
    assert_eq!(on_route("a").on_request(&host).status(), Some(429));
}

#[test]
fn without_counters_the_operator_chooses() {
    let denied = || MockHost::get("/a").deny("counters");
    let outcome = Tester::<RateLimiting>::new(r#"{"hour":1}"#).on_request(&denied());
    assert_eq!((outcome.status(), outcome.answer_header("RateLimit-Limit")), (None, None));
    let strict = Tester::<RateLimiting>::new(r#"{"hour":1,"fault_tolerant":false}"#);
    assert_eq!(strict.on_request(&denied()).refusal(), Some((500, "An unexpected error occurred")));
}

#[test]
fn wrong_configurations_are_refused_with_a_reason() {
    let cases = [
        (r#"{"minute":10,"hour":5}"#, "", "The limit for hour(5.0) cannot be lower than the limit for minute(10.0)"),
        (r#"{"hour":1,"policy":"redis"}"#, "policy", "only the policy 'local' is available in this version"),
        (r#"{"hour":1,"policy":"cluster"}"#, "policy", "only the policy 'local' is available in this version"),
        (r#"{"hour":1,"redis":{"port":70000}}"#, "redis.port", "value should be between 0 and 65535"),
        (r#"{"hour":0}"#, "hour", "value must be greater than 0"),
    ];
    for (config, path, message) in cases {
        let errors = Tester::<RateLimiting>::try_new(config).expect_err("a mistake");
        let first = errors.first().map(|error| (error.path.as_str(), error.message.as_str()));
        assert_eq!(first, Some((path, message)), "{config}");
    }
}

#[test]
fn the_schema_describes_every_field() {
    let schema: sandgate_sdk::json::Value =
        sandgate_sdk::json::from_str(&Settings::schema()).expect("the schema is JSON");
    assert_eq!(schema["properties"]["redis"]["properties"]["port"]["maximum"], 65535);
    assert_eq!(schema["properties"]["limit_by"]["enum"][0], "consumer");
    assert_eq!(schema["properties"]["minute"]["exclusiveMinimum"], 0);
    assert_eq!(schema["x-kong-shorthands"]["redis_host"], "redis.host");
    assert_eq!(schema["required"][0], "fault_tolerant");
}
