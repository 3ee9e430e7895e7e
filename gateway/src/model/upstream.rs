//! `upstreams`: sets of targets under one name.

use serde_json::{Value, json};

use super::{
    Collection, Object, OnDelete,
    schema::{Check, Field, Hook, Pattern, Rule, Schema, TextKind},
};

const HASH_INPUTS: [&str; 8] = ["none", "consumer", "ip", "header", "cookie", "path", "query_arg", "uri_capture"];

pub(super) fn collection() -> Collection {
    Collection::core("upstreams", "upstreams", Some("name"), schema()).unique(&["name"]).reference(
        "client_certificate",
        "certificates",
        OnDelete::Refuse,
        Some("upstreams"),
    )
}

fn schema() -> Schema {
    let [created, updated] = Field::timestamps();
    let input = |name| Field::string(name).default("none").one_of(HASH_INPUTS);
    let argument = |name| Field::string(name).rule(Rule::LenMin(1));
    let fields = vec![
        Field::id(),
        created,
        Field::text("name", TextKind::UpstreamName).required().unique(),
        updated,
        Field::string("algorithm").default("round-robin").one_of([
            "consistent-hashing",
            "least-connections",
            "round-robin",
            "latency",
        ]),
        input("hash_on"),
        input("hash_fallback"),
        Field::text("hash_on_header", TextKind::HeaderName),
        Field::text("hash_fallback_header", TextKind::HeaderName),
        Field::text("hash_on_cookie", TextKind::CookieName),
        Field::text("hash_on_cookie_path", TextKind::Path).default("/"),
        argument("hash_on_query_arg"),
        argument("hash_fallback_query_arg"),
        argument("hash_on_uri_capture"),
        argument("hash_fallback_uri_capture"),
        Field::integer("slots").default(10000).between(10.0, 65536.0),
        healthchecks(),
        Field::tags(),
        Field::text("host_header", TextKind::HostWithPort),
        Field::foreign("client_certificate", "certificates"),
        Field::boolean("use_srv_name").default(false),
    ];
    Schema { fields, checks: checks(), expand: Hook(Some(couple)), ..Schema::default() }
}

fn checks() -> Vec<Check> {
    let is = |value: &str| Rule::Match(Pattern::lua(&format!("^{value}$")));
    let needs = |if_field, value, then_field| Check::when(if_field, is(value), then_field, Rule::Required);
    let fallback = |value, allowed: &[&str]| {
        let allowed = allowed.iter().map(|text| Value::from(*text)).collect();
        Check::when("hash_on", is(value), "hash_fallback", Rule::OneOf(allowed))
    };
    let distinct = |fields: &[&str]| Check::over(Check::Distinct, fields);
    vec![
        needs("hash_on", "header", "hash_on_header"),
        needs("hash_fallback", "header", "hash_fallback_header"),
        needs("hash_on", "cookie", "hash_on_cookie"),
        needs("hash_fallback", "cookie", "hash_on_cookie"),
        fallback("none", &["none"]),
        fallback("cookie", &["none"]),
        fallback("consumer", &["none", "ip", "header", "cookie", "path", "query_arg", "uri_capture"]),
        fallback("ip", &["none", "consumer", "header", "cookie", "path", "query_arg", "uri_capture"]),
        fallback("path", &["none", "consumer", "header", "cookie", "query_arg", "ip", "uri_capture"]),
        distinct(&["hash_on_header", "hash_fallback_header"]),
        needs("hash_on", "query_arg", "hash_on_query_arg"),
        needs("hash_fallback", "query_arg", "hash_fallback_query_arg"),
        distinct(&["hash_on_query_arg", "hash_fallback_query_arg"]),
        needs("hash_on", "uri_capture", "hash_on_uri_capture"),
        needs("hash_fallback", "uri_capture", "hash_fallback_uri_capture"),
        distinct(&["hash_on_uri_capture", "hash_fallback_uri_capture"]),
    ]
}

fn healthchecks() -> Field {
    let threshold = Field::number("threshold").default(0).between(0.0, 100.0);
    record("healthchecks", vec![passive(), active(), threshold])
}

fn active() -> Field {
    let headers = Field::map("headers", Field::text("", TextKind::HeaderName), Field::array("", Field::string("")));
    let healthy = vec![statuses(&[200, 302]), interval(), counter("successes")];
    let unhealthy = vec![
        statuses(&[429, 404, 500, 501, 502, 503, 504, 505]),
        counter("tcp_failures"),
        counter("timeouts"),
        counter("http_failures"),
        interval(),
    ];
    let fields = vec![
        record("healthy", healthy),
        Field::number("timeout").default(1).between(0.0, 65535.0),
        Field::text("https_sni", TextKind::WildcardHost).show("required", false.into()),
        Field::boolean("https_verify_certificate").required().default(true),
        headers.show("required", false.into()),
        Field::integer("concurrency").default(10).between(1.0, 2_147_483_648.0),
        probe(),
        record("unhealthy", unhealthy),
        Field::text("http_path", TextKind::Path).default("/"),
    ];
    record("active", fields)
}

fn passive() -> Field {
    let good = [200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 306, 307, 308];
    let unhealthy =
        vec![statuses(&[429, 500, 503]), counter("http_failures"), counter("tcp_failures"), counter("timeouts")];
    let healthy = vec![statuses(&good), counter("successes")];
    record("passive", vec![probe(), record("unhealthy", unhealthy), record("healthy", healthy)])
}

/// A required record whose default is made of those of its fields.
fn record(name: &str, fields: Vec<Field>) -> Field {
    let defaults: Object = fields
        .iter()
        .filter(|field| &*field.name != "threshold")
        .filter_map(|field| Some((field.name.to_string(), field.default.clone()?)))
        .collect();
    Field::record(name, Schema::of(fields)).required().default(Value::Object(defaults))
}

fn probe() -> Field {
    Field::string("type").default("http").one_of(["tcp", "http", "https", "grpc", "grpcs"])
}

fn statuses(default: &[u16]) -> Field {
    Field::array("http_statuses", Field::integer("").between(100.0, 999.0)).default(json!(default))
}

fn interval() -> Field {
    Field::number("interval").default(0).between(0.0, 65535.0)
}

fn counter(name: &str) -> Field {
    Field::integer(name).default(0).between(0.0, 255.0)
}

/// Hashing and algorithm go together: algorithms that count drop the hash input; a hash input forces hashing.
fn couple(input: &mut Object) {
    let algorithm = input.get("algorithm").and_then(Value::as_str);
    if matches!(algorithm, Some("least-connections" | "latency")) {
        input.remove("hash_on");
        return;
    }
    match input.get("hash_on") {
        None => {}
        Some(Value::Null) => _ = input.insert("hash_on".into(), "none".into()),
        Some(none) if none == "none" => _ = input.insert("algorithm".into(), "round-robin".into()),
        Some(_) => _ = input.insert("algorithm".into(), "consistent-hashing".into()),
    }
}
