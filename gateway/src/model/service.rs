//! `services`: where requests go.

use serde_json::Value;

use super::{
    Collection, Object, OnDelete,
    schema::{Check, Field, Hook, Rule, Schema, TextKind},
};

/// Protocols of services and routes.
pub(super) const PROTOCOLS: [&str; 8] = ["grpc", "grpcs", "http", "https", "tcp", "tls", "tls_passthrough", "udp"];

const LONGEST_TIMEOUT: f64 = 2_147_483_646.0;

pub(super) fn collection() -> Collection {
    Collection::core("services", "services", Some("name"), schema()).unique(&["name"]).reference(
        "client_certificate",
        "certificates",
        OnDelete::Refuse,
        Some("services"),
    )
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
    input.insert("host".into(), parts.host.into());
    input.insert("port".into(), parts.port);
    input.insert("path".into(), parts.path.into());
}

/// What Kong's parser finds in a url: whatever follows the path is left out, and a text without `//` has no host, unless
/// it has a port.
struct UrlParts {
    protocol: String,
    host: Option<String>,
    /// A number, or the text that is none.
    port: Value,
    path: Option<String>,
}

impl UrlParts {
    fn of(url: &str) -> Self {
        let (scheme, rest) = scheme(url.split('#').next().unwrap_or_default());
        let end = |rest: &str| rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = match rest.strip_prefix("//") {
            Some(rest) => rest.split_at(end(rest)),
            None if scheme.is_none() && rest[..end(rest)].contains(':') => rest.split_at(end(rest)),
            None => ("", rest),
        };
        let path = rest.split(['?', ';']).next().filter(|path| !path.is_empty());
        let (host, port) = split_port(authority.split_once('@').map_or(authority, |(_, host)| host));
        let number = port.and_then(|port| port.parse::<u32>().ok());
        let guessed = if number == Some(443) { "https" } else { "http" };
        let protocol = scheme.map_or_else(|| guessed.to_owned(), str::to_ascii_lowercase);
        let usual = if protocol == "https" { 443 } else { 80 };
        let port = match (port, number) {
            (Some(text), None) => text.into(),
            (_, number) => number.unwrap_or(usual).into(),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let host = Some(host).filter(|host| !host.is_empty()).map(str::to_owned);
        Self { protocol, host, port, path: path.map(str::to_owned) }
    }
}

fn scheme(url: &str) -> (Option<&str>, &str) {
    let is_scheme = |text: &str| {
        text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    match url.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) && !rest.starts_with(|first: char| first.is_ascii_digit()) => {
            (Some(scheme), rest)
        }
        _ => (None, url),
    }
}

/// A host and a port behind its last colon. Those of an IPv6 address are in brackets.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port).filter(|port| !port.is_empty())),
        _ => (authority, None),
    }
}
