//! Forms of text that have a grammar: hosts, paths, names, tags.

use std::net::{IpAddr, Ipv6Addr};

use regex::Regex;

use super::rules::is_uuid;
use crate::model::{pem, vault};

/// A form of text, with Kong's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextKind {
    /// Names of entities: alphanumerics, `.`, `-`, `_`, `~` and anything beyond ASCII.
    Name,
    /// A host name or address without port.
    Host,
    /// The same, with a port if wanted.
    HostWithPort,
    /// A server name, with one `*` at either end if wanted.
    WildcardHost,
    /// A path that begins with `/`.
    Path,
    /// An absolute URL.
    Url,
    /// A header field name.
    HeaderName,
    /// A cookie name.
    CookieName,
    /// A method: capital letters.
    Method,
    /// A UUID.
    Uuid,
    /// A regular expression.
    Regex,
    /// An address or a range of addresses.
    IpOrCidr,
    /// A tag.
    Tag,
    /// A host of a route: port and wildcard allowed.
    RouteHost,
    /// A path of a route: prefix, or regular expression after `~`.
    RoutePath,
    /// Name of an upstream: a host name, no address, no port.
    UpstreamName,
    /// Address of a target: host or address, port if wanted.
    Target,
    /// A certificate, or a chain of them, as PEM.
    Certificate,
    /// A private key as PEM.
    PrivateKey,
    /// What references name a vault by.
    VaultPrefix,
    /// A kind of vault.
    VaultKind,
}

impl TextKind {
    /// What is wrong with the text.
    pub(super) fn problem(self, text: &str) -> Option<String> {
        let unless = |good: bool, message: String| (!good).then_some(message);
        match self {
            TextKind::Name => unless(
                text.chars().all(|c| c.is_ascii_alphanumeric() || ".-_~".contains(c) || !c.is_ascii()),
                format!(
                    "invalid value '{text}': the only accepted ascii characters are alphanumerics or ., -, _, and ~"
                ),
            ),
            TextKind::Host => match Host::parse(text) {
                None => Some(format!("invalid value: {text}")),
                Some(host) => host.port.map(|_| "must not have a port".to_owned()),
            },
            TextKind::HostWithPort => unless(Host::parse(text).is_some(), format!("invalid value: {text}")),
            TextKind::WildcardHost => wildcard_problem(text),
            TextKind::Path => path_problem(text),
            TextKind::Url => url_problem(text),
            TextKind::HeaderName => unless(
                !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'),
                format!("bad header name '{text}', allowed characters are A-Z, a-z, 0-9, '_', and '-'"),
            ),
            TextKind::CookieName => unless(
                !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&b)),
                format!("bad cookie name '{text}'"),
            ),
            TextKind::Method => unless(text.bytes().all(|b| b.is_ascii_uppercase()), format!("invalid value: {text}")),
            TextKind::Uuid => unless(is_uuid(text), "expected a valid UUID".to_owned()),
            TextKind::Regex => unless(Regex::new(text).is_ok(), format!("not a valid regex: {text}")),
            TextKind::IpOrCidr => unless(
                text.parse::<IpAddr>().is_ok() || text.parse::<ipnet::IpNet>().is_ok(),
                format!("invalid ip or cidr range: '{text}'"),
            ),
            TextKind::Tag => unless(
                !text.is_empty()
                    && text.chars().all(|c| !c.is_ascii() || ((' '..='~').contains(&c) && c != ',' && c != '/')),
                format!("invalid tag '{text}': expected printable ascii (except `,` and `/`) or valid utf-8 sequences"),
            ),
            TextKind::RouteHost => {
                unless(Host::parse(&text.replace('*', "x")).is_some(), format!("invalid hostname: {text}"))
            }
            TextKind::RoutePath => route_path_problem(text),
            TextKind::UpstreamName => upstream_name_problem(text),
            TextKind::Target => {
                unless(Host::parse(text).is_some(), "Invalid target; not a valid hostname or ip address".to_owned())
            }
            TextKind::Certificate => {
                pem::certificate(text).err().map(|reason| format!("invalid certificate: {reason}"))
            }
            TextKind::PrivateKey => pem::private_key(text).err().map(|reason| format!("invalid key: {reason}")),
            TextKind::VaultPrefix => {
                unless(!vault::KINDS.contains(&text), format!("must not be one of: {}", vault::KINDS.join(", ")))
            }
            TextKind::VaultKind => unless(vault::KINDS.contains(&text), format!("vault '{text}' is not installed")),
        }
    }

    /// By the name that JSON Schemas give it in `x-kong-kind`.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "name" => TextKind::Name,
            "host" => TextKind::Host,
            "host_with_optional_port" => TextKind::HostWithPort,
            "sni" | "wildcard_host" => TextKind::WildcardHost,
            "path" => TextKind::Path,
            "url" => TextKind::Url,
            "header_name" => TextKind::HeaderName,
            "cookie_name" => TextKind::CookieName,
            "http_method" => TextKind::Method,
            "uuid" => TextKind::Uuid,
            "regex" => TextKind::Regex,
            "ip_or_cidr" | "ip" => TextKind::IpOrCidr,
            "tag" => TextKind::Tag,
            _ => return None,
        })
    }
}

/// A host as entities have it.
pub(crate) struct Host<'a> {
    /// Name, or address without brackets.
    pub(crate) name: &'a str,
    /// The address, if it is one.
    pub(crate) address: Option<IpAddr>,
    /// The port, if one was given.
    pub(crate) port: Option<u16>,
}

impl<'a> Host<'a> {
    /// `host`, `host:port`, `1.2.3.4`, `::1`, `[::1]:80`.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix('[') {
            let (inside, after) = rest.split_once(']')?;
            let address = IpAddr::V6(inside.parse().ok()?);
            let port = match after.strip_prefix(':') {
                Some(port) => Some(parse_port(port)?),
                None if after.is_empty() => None,
                None => return None,
            };
            return Some(Self { name: inside, address: Some(address), port });
        }
        if let Ok(address) = text.parse::<Ipv6Addr>() {
            return Some(Self { name: text, address: Some(address.into()), port: None });
        }
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, Some(parse_port(port)?)),
            None => (text, None),
        };
        let address = name.parse::<IpAddr>().ok();
        let numeric = name.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let good = address.is_some() || (!numeric && is_host_name(name));
        good.then_some(Self { name, address, port })
    }
}

fn parse_port(text: &str) -> Option<u16> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn is_host_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let label = |label: &str| {
        !label.is_empty()
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    !name.is_empty() && name.len() <= 253 && name.split('.').all(label)
}

fn wildcard_problem(text: &str) -> Option<String> {
    let stars = text.matches('*').count();
    if stars > 1 {
        return Some("only one wildcard must be specified".to_owned());
    }
    if stars == 1 && !text.starts_with('*') && !text.ends_with('*') {
        return Some("wildcard must be leftmost or rightmost character".to_owned());
    }
    match Host::parse(&text.replace('*', "x")) {
        None => Some(format!("invalid value: {text}")),
        Some(host) if host.port.is_some() => Some("must not have a port".to_owned()),
        Some(host) => host.address.map(|_| "must not be an IP".to_owned()),
    }
}

fn upstream_name_problem(text: &str) -> Option<String> {
    let ending = match Host::parse(text) {
        None => "must be a valid hostname",
        Some(host) if host.address.is_some() => "no ip addresses allowed",
        Some(host) if host.port.is_some() => "no port allowed",
        Some(_) => return None,
    };
    Some(format!("Invalid name ('{text}'); {ending}"))
}

fn url_problem(text: &str) -> Option<String> {
    match text.split_once("://") {
        None | Some(("", _)) => Some("missing scheme in url".to_owned()),
        Some((_, rest)) if rest.is_empty() || rest.starts_with(['/', '?', '#', ':']) => {
            Some("missing host in url".to_owned())
        }
        Some(_) => None,
    }
}

fn path_problem(text: &str) -> Option<String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&b);
    if !text.bytes().all(allowed) {
        return Some(format!("invalid path: '{text}' (characters outside of the reserved list of RFC 3986 found)"));
    }
    bad_escape(text)
}

fn bad_escape(text: &str) -> Option<String> {
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        rest = &rest[at..];
        let good = rest.as_bytes().get(1..3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        if !good {
            return Some(format!("invalid url-encoded value: '{}'", rest.chars().take(3).collect::<String>()));
        }
        rest = &rest[3..];
    }
    None
}

fn route_path_problem(text: &str) -> Option<String> {
    if let Some(pattern) = text.strip_prefix('~') {
        return Regex::new(pattern).err().map(|error| {
            let cause = pcre_wording(&error);
            format!("invalid regex: '{pattern}' (PCRE returned: pcre2_compile() failed: {cause} in \"{pattern}\")")
        });
    }
    bad_escape(text).or_else(|| {
        let normal = normal_path(text);
        (normal != text).then(|| format!("non-normalized path, consider use '{normal}' instead"))
    })
}

/// The reason in the words that operators know from PCRE, as far as they have the same one.
fn pcre_wording(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.rsplit("error: ").next().unwrap_or_default().trim();
    match last {
        "unclosed character class" => "missing terminating ] for character class".to_owned(),
        "unclosed group" => "missing closing parenthesis".to_owned(),
        "unopened group" => "unmatched closing parenthesis".to_owned(),
        "repetition operator missing expression" => "quantifier does not follow a repeatable item".to_owned(),
        other => other.to_owned(),
    }
}

/// The path with escapes of unreserved characters decoded and dot segments removed (RFC 3986 §6.2.2).
fn normal_path(path: &str) -> String {
    let decoded = decode_unreserved(path);
    let mut segments: Vec<&str> = Vec::new();
    for segment in decoded.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    let closing = decoded.ends_with("/.") || decoded.ends_with("/..");
    format!("/{}{}", segments.join("/"), if closing && !segments.is_empty() { "/" } else { "" })
}

fn decode_unreserved(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escape =
            (byte == b'%').then(|| path.get(at + 1..at + 3)).flatten().and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match escape {
            Some(reserved) if b"!*'();:@&=+$,/?%#[]".contains(&reserved) => {
                decoded.extend(format!("%{reserved:02X}").bytes());
                at += 3;
            }
            Some(plain) => {
                decoded.push(plain);
                at += 3;
            }
            None => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
