//! `services`: where requests go.

use serde_json::Value;

use super::{
    Collection, Object,
    schema::{Check, Field, Hook, Rule, Schema, TextKind},
};

/// Protocols of services and routes.
pub(super) const PROTOCOLS: [&str; 8] = ["grpc", "grpcs", "http", "https", "tcp", "tls", "tls_passthrough", "udp"];

const LONGEST_TIMEOUT: f64 = 2_147_483_646.0;

pub(super) fn collection() -> Collection {
    Collection::core("services", "services", Some("name"), schema()).unique(&["name"])
}

fn schema() -> Schema {
    let timeout = |name| Field::integer(name).default(60000).between(1.0, LONGEST_TIMEOUT);
    let mut fields = vec![Field::id()];
    fields.extend(Field::timestamps());
    fields.extend([
        Field::text("name", TextKind::Name).unique(),
        Field::integer("retries").default(5).between(0.0, 32767.0),
        Field::string("protocol").required().default("http").one_of(PROTOCOLS),
        Field::text("host", TextKind::Host).required(),
        Field::port("port").required().default(80),
        Field::text("path", TextKind::Path),
        timeout("connect_timeout"),
        timeout("write_timeout"),
        timeout("read_timeout"),
        Field::tags(),
        Field::foreign("client_certificate", "certificates"),
        Field::boolean("tls_verify"),
        Field::integer("tls_verify_depth").default(Value::Null).between(0.0, 64.0),
        Field::array("ca_certificates", Field::text("", TextKind::Uuid)),
        Field::boolean("enabled").required().default(true),
    ]);
    let mut checks = vec![Check::when(
        "protocol",
        Rule::OneOf(["tcp", "tls", "udp", "grpc", "grpcs"].map(Value::from).to_vec()),
        "path",
        Rule::Eq(Value::Null),
    )];
    for field in ["client_certificate", "tls_verify", "tls_verify_depth", "ca_certificates"] {
        let plain = Rule::NotOneOf(["https", "tls"].map(Value::from).to_vec());
        checks.push(Check::when("protocol", plain, field, Rule::Eq(Value::Null)));
    }
    let url = Field::string("url").described("Stands for protocol, host, port and path, and wins over them.");
    Schema { fields, checks, sent: vec![url], expand: Hook(Some(expand_url)), ..Schema::default() }
}

/// `url` stands for protocol, host, port and path, and wins over them.
fn expand_url(input: &mut Object) {
    let Some(url) = input.get("url") else { return };
    let Some(text) = url.as_str().map(str::to_owned) else {
        // A null is no url; anything else is left for "unknown field".
        if url.is_null() {
            input.remove("url");
        }
        return;
    };
    input.remove("url");
    let parts = UrlParts::of(&text);
    input.insert("protocol".into(), parts.protocol.into());
    input.insert("host".into(), parts.host.filter(|host| !host.is_empty()).into());
    input.insert("port".into(), parts.port.into());
    input.insert("path".into(), parts.path.into());
}

struct UrlParts {
    protocol: String,
    host: Option<String>,
    port: u16,
    path: Option<String>,
}

impl UrlParts {
    fn of(url: &str) -> Self {
        let (scheme, rest) = match url.split_once("://") {
            Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
            None => (None, url.strip_prefix("//").unwrap_or(url)),
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => (&rest[..at], Some(rest[at..].to_owned())),
            None => (rest, None),
        };
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (host, port) = split_port(authority);
        let protocol = scheme.unwrap_or_else(|| if port == Some(443) { "https".to_owned() } else { "http".to_owned() });
        let port = port.unwrap_or(if protocol == "https" { 443 } else { 80 });
        // Without a scheme a url is only told from a path by its host.
        Self { host: Some(host.to_owned()), protocol, port, path }
    }
}

fn split_port(authority: &str) -> (&str, Option<u16>) {
    let after_bracket = authority.rfind(']').map_or(0, |at| at + 1);
    match authority[after_bracket..].find(':') {
        Some(at) => {
            let colon = after_bracket + at;
            match authority[colon + 1..].parse() {
                Ok(port) => (&authority[..colon], Some(port)),
                Err(_) => (authority, None),
            }
        }
        None => (authority, None),
    }
}
