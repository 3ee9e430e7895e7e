//! Header conditions of a rule.

use http::HeaderMap;
use regex::bytes::{Regex, RegexBuilder};
use smallvec::SmallVec;

use super::pattern::SIZE_LIMIT;
use super::rule::RuleError;

/// A header that must be there with one of some values. Names are compared with `_` equal to `-`, values in lower case.
#[derive(Debug, Clone)]
pub(super) struct HeaderCondition {
    name: Box<str>,
    values: Box<[ValueTest]>,
}

#[derive(Debug, Clone)]
enum ValueTest {
    Exact(Box<[u8]>),
    Pattern(Regex),
}

impl HeaderCondition {
    pub(super) fn parse<'v>(name: &str, values: impl Iterator<Item = &'v str>) -> Result<Self, RuleError> {
        if name.eq_ignore_ascii_case("host") {
            return Err(RuleError::HostHeader);
        }
        let values = values.map(|value| ValueTest::parse(name, value)).collect::<Result<_, _>>()?;
        Ok(Self { name: name.to_ascii_lowercase().replace('_', "-").into(), values })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The values in lower case, unless one is an expression.
    pub(super) fn exact_values(&self) -> Option<Vec<&[u8]>> {
        self.values.iter().map(ValueTest::exact).collect()
    }

    pub(super) fn matches(&self, headers: &HeaderMap) -> bool {
        headers
            .iter()
            .filter(|(name, _)| is_same_name(name.as_str(), &self.name))
            .any(|(_, value)| self.values.iter().any(|test| test.matches(value.as_bytes())))
    }
}

impl ValueTest {
    fn parse(name: &str, value: &str) -> Result<Self, RuleError> {
        let value = value.to_ascii_lowercase();
        let Some(pattern) = value.strip_prefix("~*") else {
            return Ok(Self::Exact(value.into_bytes().into()));
        };
        RegexBuilder::new(pattern)
            .size_limit(SIZE_LIMIT)
            .dfa_size_limit(SIZE_LIMIT)
            .build()
            .map(Self::Pattern)
            .map_err(|cause| RuleError::HeaderPattern { name: name.into(), cause })
    }

    fn exact(&self) -> Option<&[u8]> {
        match self {
            Self::Exact(value) => Some(value),
            Self::Pattern(_) => None,
        }
    }

    fn matches(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => value.eq_ignore_ascii_case(exact),
            Self::Pattern(pattern) => {
                let lower: SmallVec<[u8; 128]> = value.iter().map(u8::to_ascii_lowercase).collect();
                pattern.is_match(&lower)
            }
        }
    }
}

/// Compares a name as [`http`] has it (lower case) with one of a rule (lower case, hyphens).
pub(super) fn is_same_name(sent: &str, asked: &str) -> bool {
    sent.len() == asked.len()
        && sent.bytes().zip(asked.bytes()).all(|(sent, asked)| if sent == b'_' { asked == b'-' } else { sent == asked })
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn holds(name: &str, values: &[&str], sent: &[(&'static str, &'static str)]) -> bool {
        let sent = sent.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(name, value);
        }
        HeaderCondition::parse(name, values.iter().copied()).unwrap().matches(&headers)
    }

    #[test]
    fn a_header_condition_holds_if_any_instance_has_any_value() {
        let sent = [("x_ver", "One"), ("x_ver", "a, TWO"), ("other", "3")];
        let table: [(&str, &[&str], bool); 9] = [
            ("X-Ver", &["one"], true),
            ("x_ver", &["nine", "ONE"], true),
            ("x-ver", &["two"], false),
            ("x-ver", &["~*T[A-Z]O"], true),
            ("x-ver", &["~*^two"], false),
            ("x-ver", &[], false),
            ("x-ve", &["one"], false),
            ("other", &["~*\\D"], true),
            ("absent", &["~*"], false),
        ];
        for (name, values, expected) in table {
            assert_eq!(holds(name, values, &sent), expected, "{name} {values:?}");
        }
    }

    #[test]
    fn the_host_header_and_broken_patterns_are_refused() {
        assert!(matches!(HeaderCondition::parse("Host", ["a"].into_iter()), Err(RuleError::HostHeader)));
        assert!(matches!(HeaderCondition::parse("a", ["~*("].into_iter()), Err(RuleError::HeaderPattern { .. })));
    }
}
