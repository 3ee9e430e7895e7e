//! Host and server names: what a rule writes and what a request sends.

use std::fmt;

use super::rule::RuleError;

/// A name in a rule, possibly with a wildcard for one or more labels at one end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NamePattern {
    Exact(Box<str>),
    /// `*.x`, kept as `.x`: what a name must end with.
    Suffix(Box<str>),
    /// `x.*`, kept as `x.`: what a name must start with.
    Prefix(Box<str>),
}

impl NamePattern {
    pub(super) fn parse(text: &str) -> Result<Self, RuleError> {
        let pattern = match (text.strip_prefix('*'), text.strip_suffix('*')) {
            (Some(suffix), None) if suffix.len() > 1 && suffix.starts_with('.') => Self::Suffix(suffix.into()),
            (None, Some(prefix)) if prefix.len() > 1 && prefix.ends_with('.') => Self::Prefix(prefix.into()),
            (None, None) if !text.is_empty() => Self::Exact(text.into()),
            _ => return Err(RuleError::Name(text.into())),
        };
        match pattern.text().contains('*') {
            true => Err(RuleError::Name(text.into())),
            false => Ok(pattern),
        }
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(exact) => name == &**exact,
            Self::Suffix(suffix) => name.ends_with(&**suffix),
            Self::Prefix(prefix) => name.starts_with(&**prefix),
        }
    }

    pub(super) fn text(&self) -> &str {
        let (Self::Exact(text) | Self::Suffix(text) | Self::Prefix(text)) = self;
        text
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => out.write_str(name),
            Self::Suffix(end) => write!(out, "*{end}"),
            Self::Prefix(start) => write!(out, "{start}*"),
        }
    }
}

/// A host in a rule: a name, and a port if only that one will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostPattern {
    pub(super) name: NamePattern,
    pub(super) port: Option<u16>,
}

impl HostPattern {
    pub(super) fn parse(text: &str) -> Result<Self, RuleError> {
        let (name, port) = split_port(text);
        Ok(Self { name: NamePattern::parse(name)?, port })
    }

    pub(super) fn matches(&self, authority: Authority<'_>) -> bool {
        self.port.is_none_or(|port| port == authority.port) && self.name.matches(authority.name)
    }

    pub(super) fn is_plain(&self) -> bool {
        matches!(self.name, NamePattern::Exact(_))
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.name)?;
        self.port.map_or(Ok(()), |port| write!(out, ":{port}"))
    }
}

/// A request's host, taken apart. An empty one is none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Authority<'a> {
    pub(super) name: &'a str,
    pub(super) port: u16,
}

impl<'a> Authority<'a> {
    pub(super) fn of(host: Option<&'a str>, listener_port: u16) -> Option<Self> {
        let (name, port) = split_port(host?);
        (!name.is_empty()).then_some(Self { name, port: port.unwrap_or(listener_port) })
    }
}

/// Splits `name:port`. Where what follows the last colon is no port, or the colon is inside the brackets of an IPv6
/// address, all of it is the name.
fn split_port(host: &str) -> (&str, Option<u16>) {
    let digits = host.bytes().rev().take_while(u8::is_ascii_digit).count();
    let (rest, text) = host.split_at(host.len() - digits);
    match (rest.strip_suffix(':'), text.parse()) {
        (Some(name), Ok(port)) if name.ends_with(']') || !name.as_bytes().contains(&b':') => (name, Some(port)),
        _ => (host, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_split_off_a_host() {
        let table = [
            ("a.b", ("a.b", None)),
            ("a.b:80", ("a.b", Some(80))),
            ("a.b:", ("a.b:", None)),
            ("a.b:x", ("a.b:x", None)),
            ("a.b:+8", ("a.b:+8", None)),
            ("a.b:99999", ("a.b:99999", None)),
            ("[::1]", ("[::1]", None)),
            ("[::1]:80", ("[::1]", Some(80))),
            ("::1", ("::1", None)),
        ];
        for (host, expected) in table {
            assert_eq!(split_port(host), expected, "{host}");
        }
    }

    #[test]
    fn wildcards_stand_for_any_number_of_labels_at_one_end() {
        let table = [
            ("*.x.y", "a.x.y", true),
            ("*.x.y", "a.b.x.y", true),
            ("*.x.y", "x.y", false),
            ("*.x.y", "ax.y", false),
            ("x.*", "x.a.b", true),
            ("x.*", "x", false),
            ("x.*", "xa.b", false),
            ("x.y", "X.y", false),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(NamePattern::parse(pattern).unwrap().matches(name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn other_places_for_a_wildcard_are_refused() {
        for text in ["", "*", "*.", ".*", "*x", "x*", "a.*.b", "*.x.*", "*.*.x", "**.x"] {
            assert!(NamePattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_listener_port_stands_in_for_a_missing_one() {
        assert_eq!(Authority::of(Some("a"), 8000).unwrap().port, 8000);
        assert_eq!(Authority::of(Some("a:1"), 8000).unwrap().port, 1);
        assert!(Authority::of(Some(""), 8000).is_none());
        assert!(Authority::of(Some(":80"), 8000).is_none());
    }
}
