//! What the gateway says of itself and of its ports: headers of answers, bodies of errors, the port that clients know.

use std::{fmt, net::SocketAddr, path::PathBuf, sync::Arc};

use super::{
    Problem,
    read::{Reader, path, switch},
};

/// Headers that the gateway adds to answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerHeaders(u8);

impl AnswerHeaders {
    /// `Via`, on answers of targets.
    pub const VIA: Self = Self(1);
    /// `Server`, on answers of the gateway.
    pub const SERVER: Self = Self(2);
    /// `X-Kong-Upstream-Latency`, on answers of targets.
    pub const UPSTREAM_LATENCY: Self = Self(4);
    /// `X-Kong-Proxy-Latency`, on answers of targets.
    pub const PROXY_LATENCY: Self = Self(8);
    /// `X-Kong-Response-Latency`, on answers of the gateway.
    pub const RESPONSE_LATENCY: Self = Self(16);
    /// `X-Kong-Admin-Latency`, on answers of the Admin and Status API.
    pub const ADMIN_LATENCY: Self = Self(32);
    /// `X-Kong-Upstream-Status`, on answers of targets.
    pub const UPSTREAM_STATUS: Self = Self(64);
    /// `X-Kong-Request-Id`.
    pub const REQUEST_ID: Self = Self(128);

    /// What Kong's names stand for, in lower case.
    const NAMES: [(&str, Self); 10] = [
        ("server_tokens", Self(Self::VIA.0 | Self::SERVER.0)),
        (
            "latency_tokens",
            Self(Self::UPSTREAM_LATENCY.0 | Self::PROXY_LATENCY.0 | Self::RESPONSE_LATENCY.0 | Self::ADMIN_LATENCY.0),
        ),
        ("via", Self::VIA),
        ("server", Self::SERVER),
        ("x-kong-upstream-latency", Self::UPSTREAM_LATENCY),
        ("x-kong-proxy-latency", Self::PROXY_LATENCY),
        ("x-kong-response-latency", Self::RESPONSE_LATENCY),
        ("x-kong-admin-latency", Self::ADMIN_LATENCY),
        ("x-kong-upstream-status", Self::UPSTREAM_STATUS),
        ("x-kong-request-id", Self::REQUEST_ID),
    ];

    /// Whether all of these are among them.
    pub fn has(self, headers: Self) -> bool {
        self.0 & headers.0 == headers.0
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        let mut all = Self(0);
        for typed in names(text) {
            let known = Self::NAMES.iter().find(|(name, _)| typed.eq_ignore_ascii_case(name));
            let (_, headers) = known.ok_or_else(|| Problem::AnswerHeader(typed.to_owned()))?;
            all.0 |= headers.0;
        }
        Ok(all)
    }
}

impl Default for AnswerHeaders {
    /// All but `X-Kong-Upstream-Status`.
    fn default() -> Self {
        Self(!Self::UPSTREAM_STATUS.0)
    }
}

/// The words of a list; none for `off`, which stands alone.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let words = if text == "off" { "" } else { text };
    words.split(',').map(str::trim).filter(|word| !word.is_empty())
}

fn upstream(text: &str) -> Result<bool, Problem> {
    let mut has_id = false;
    for typed in names(text) {
        if !typed.eq_ignore_ascii_case("x-kong-request-id") {
            return Err(Problem::UpstreamHeader(typed.to_owned()));
        }
        has_id = true;
    }
    Ok(has_id)
}

/// What clients may ask a request to say about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Debugging {
    /// `Kong-Debug: 1` asks for the ids and names of route and service.
    pub names: bool,
    /// `X-Kong-Request-Debug: *` asks where the time went, for clients on this machine.
    pub times: bool,
    /// With this token in `X-Kong-Request-Debug-Token` also for others.
    pub token: Option<DebugToken>,
}

impl Default for Debugging {
    fn default() -> Self {
        Self { names: false, times: true, token: None }
    }
}

/// What opens the times of a request to other machines; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct DebugToken(Arc<str>);

impl DebugToken {
    /// The least that it must have: shorter ones are guessed.
    const LEAST: usize = 16;

    /// Visible ASCII, since it comes in a header, of at least 16 characters; otherwise nothing.
    pub fn new(text: &str) -> Option<Self> {
        let is_fine = text.len() >= Self::LEAST && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_fine.then(|| Self(text.into()))
    }

    /// For comparing.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for DebugToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("DebugToken(…)")
    }
}

/// The ports that clients know for those that are listened on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PortMaps(Arc<[(u16, u16)]>);

impl PortMaps {
    /// What clients know this port as: itself where nothing else is said.
    fn outside(&self, listening: u16) -> u16 {
        self.0.iter().find(|(inside, _)| *inside == listening).map_or(listening, |(_, outside)| *outside)
    }

    /// An address of this node as clients know it.
    pub fn known_as(&self, local: SocketAddr) -> SocketAddr {
        SocketAddr::new(local.ip(), self.outside(local.port()))
    }

    /// `outside:listening`, commas between.
    fn parse(text: &str) -> Result<Self, Problem> {
        let port = |text: &str| text.parse().ok().filter(|port| *port != 0);
        let pair = |text: &str| {
            let (outside, inside) = text.split_once(':')?;
            Some((port(inside)?, port(outside)?))
        };
        let mut maps: Vec<(u16, u16)> = Vec::new();
        for typed in names(text) {
            let found = pair(typed).ok_or_else(|| Problem::PortMap(typed.to_owned()))?;
            if maps.iter().any(|(inside, _)| *inside == found.0) {
                return Err(Problem::PortMapTwice(found.0));
            }
            maps.push(found);
        }
        Ok(Self(maps.into()))
    }
}

/// What the body of an error is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ErrorFormat {
    /// `text/plain`.
    #[default]
    Plain,
    /// `application/json`.
    Json,
    /// `text/html`.
    Html,
    /// `application/xml`.
    Xml,
}

impl ErrorFormat {
    const TYPES: [(&str, Self); 4] = [
        ("text/plain", Self::Plain),
        ("application/json", Self::Json),
        ("text/html", Self::Html),
        ("application/xml", Self::Xml),
    ];

    fn parse(text: &str) -> Result<Self, Problem> {
        let known = Self::TYPES.iter().find(|(name, _)| *name == text);
        known.map(|(_, format)| *format).ok_or_else(|| Problem::ErrorType(text.to_owned()))
    }
}

/// How errors are worded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorPages {
    /// For clients that say neither what they accept nor what they send.
    pub default_format: ErrorFormat,
    /// Files in place of the gateway's own words, by what they are written in.
    pub templates: Vec<(ErrorFormat, PathBuf)>,
}

/// What answers, and requests to targets, tell of the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    /// Headers of answers.
    pub headers: AnswerHeaders,
    /// Whether targets hear the id of a request, in `X-Kong-Request-Id`.
    pub tells_upstream: bool,
    /// What clients may ask for.
    pub debugging: Debugging,
    /// How errors are worded.
    pub errors: ErrorPages,
}

impl Reader {
    pub(super) fn answers(&mut self) -> Answers {
        let names = "server_tokens, latency_tokens, X-Kong-Request-Id";
        Answers {
            headers: self.take("headers", names, AnswerHeaders::parse),
            tells_upstream: self.take("headers_upstream", "X-Kong-Request-Id", upstream),
            debugging: Debugging {
                names: self.take("allow_debug_header", "off", switch),
                times: self.take("request_debug", "on", switch),
                token: self.optional("request_debug_token", debug_token),
            },
            errors: self.error_pages(),
        }
    }

    pub(super) fn port_maps(&mut self) -> PortMaps {
        self.take("port_maps", "off", PortMaps::parse)
    }

    fn error_pages(&mut self) -> ErrorPages {
        let default_format = self.take("error_default_type", "text/plain", ErrorFormat::parse);
        let files = [
            ("error_template_plain", ErrorFormat::Plain),
            ("error_template_json", ErrorFormat::Json),
            ("error_template_html", ErrorFormat::Html),
            ("error_template_xml", ErrorFormat::Xml),
        ];
        let files = files.into_iter().filter_map(|(name, format)| Some((format, self.optional(name, path)?)));
        ErrorPages { default_format, templates: files.collect() }
    }
}

fn debug_token(text: &str) -> Result<DebugToken, Problem> {
    DebugToken::new(text).ok_or(Problem::Token(DebugToken::LEAST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_go_by_kongs_names() {
        let parse = |text: &str| AnswerHeaders::parse(text).unwrap();
        assert_eq!(parse("server_tokens, latency_tokens, X-Kong-Request-Id"), AnswerHeaders::default());
        assert_eq!(parse("off"), AnswerHeaders(0));
        let some = parse("Via, x-kong-UPSTREAM-status");
        assert!(some.has(AnswerHeaders::VIA) && some.has(AnswerHeaders::UPSTREAM_STATUS));
        assert!(!some.has(AnswerHeaders::SERVER) && !some.has(AnswerHeaders::REQUEST_ID));
        assert!(AnswerHeaders::parse("Via, off").is_err() && AnswerHeaders::parse("X-Powered-By").is_err());
    }

    #[test]
    fn ports_are_known_by_others() {
        let maps = PortMaps::parse("80:8000, 443:8443").unwrap();
        assert_eq!([8000, 8443, 9000].map(|port| maps.outside(port)), [80, 443, 9000]);
        assert_eq!(PortMaps::parse("off").unwrap(), PortMaps::default());
        for wrong in ["80", "80:", "0:8000", "80:65536", "80:8000, 81:8000", "a:b", "off, 80:8000"] {
            assert!(PortMaps::parse(wrong).is_err(), "{wrong}");
        }
    }
}
