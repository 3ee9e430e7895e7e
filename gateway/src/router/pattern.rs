//! Regular expressions as route paths.

use std::sync::Arc;

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Hir, HirKind};

/// The most bytes one compiled expression may take, and again what its search cache may take on each thread.
pub(super) const SIZE_LIMIT: usize = 1 << 21;

/// A regular expression that a path must match from its start. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PathPattern(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    regex: Regex,
    literal: Box<[u8]>,
}

impl PathPattern {
    /// Compiles an expression as a route has it after its `~`.
    ///
    /// # Errors
    /// When it does not parse, or would take more than 2 MiB.
    pub(super) fn compile(expression: &str) -> Result<Self, regex::Error> {
        // On its own first: `a)(b` must not become an expression by being put in a group.
        let hir = regex_syntax::parse(expression).map_err(|error| regex::Error::Syntax(error.to_string()))?;
        let mut literal = Vec::new();
        extend_literal(&hir, &mut literal);
        let regex = RegexBuilder::new(&format!("^(?:{expression})"))
            .size_limit(SIZE_LIMIT)
            .dfa_size_limit(SIZE_LIMIT)
            .build()?;
        Ok(Self(Arc::new(Compiled { regex, literal: literal.into() })))
    }

    /// The groups of the expression in a path it matches.
    pub fn captures<'a>(&'a self, path: &'a str) -> Option<Captures<'a>> {
        let groups = self.0.regex.captures(path)?;
        let numbered = groups.iter().map(|group| group.map(|group| group.as_str())).collect();
        let names = self.0.regex.capture_names().flatten();
        let named = names.filter_map(|name| Some((name, groups.name(name)?.as_str()))).collect();
        Some(Captures { numbered, named })
    }

    /// How many bytes from the start of a path the expression matches.
    pub(super) fn matched_length(&self, path: &str) -> Option<usize> {
        self.0.regex.find(path).map(|found| found.end())
    }

    /// What every path that matches begins with.
    pub(super) fn literal(&self) -> &[u8] {
        &self.0.literal
    }

    /// Whether there are clones of it.
    pub(super) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// The expression as a route has it after its `~`.
    pub(super) fn source(&self) -> &str {
        let compiled = self.as_str();
        compiled.strip_prefix("^(?:").and_then(|rest| rest.strip_suffix(')')).unwrap_or(compiled)
    }

    /// The expression as it was compiled.
    pub(super) fn as_str(&self) -> &str {
        self.0.regex.as_str()
    }
}

/// What the groups of a path pattern matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captures<'a> {
    /// All groups by number; 0 is the whole match, a group that took no part is `None`.
    pub numbered: Vec<Option<&'a str>>,
    /// The groups that have a name and took part, in the order of the expression.
    pub named: Vec<(&'a str, &'a str)>,
}

impl Captures<'_> {
    /// All groups that took part, by number and by name.
    pub(super) fn into_named(self) -> Vec<(String, String)> {
        let numbered = self.numbered.into_iter().enumerate();
        let numbered = numbered.filter_map(|(number, text)| Some((number.to_string(), text?.to_owned())));
        let named = self.named.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned()));
        numbered.chain(named).collect()
    }
}

/// Appends what the expression's matches begin with; says whether it went through to the end of the expression.
fn extend_literal(hir: &Hir, literal: &mut Vec<u8>) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => true,
        HirKind::Literal(part) => {
            literal.extend_from_slice(&part.0);
            true
        }
        HirKind::Capture(group) => extend_literal(&group.sub, literal),
        HirKind::Concat(parts) => parts.iter().all(|part| extend_literal(part, literal)),
        HirKind::Class(_) | HirKind::Repetition(_) | HirKind::Alternation(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_from_the_start_and_reports_its_length() {
        let table = [
            ("/a", "/ab", Some(2)),
            ("/a", "/b/a", None),
            ("/a|/b", "/b/c", Some(2)),
            ("/a|/b", "/c/b", None),
            ("/a\\d+$", "/a12", Some(4)),
            ("/a\\d+$", "/a12/", None),
            ("/(?<n>x)\\/y", "/x/y", Some(4)),
            ("/(?P<n>x)", "/x/y", Some(2)),
        ];
        for (expression, path, expected) in table {
            let pattern = PathPattern::compile(expression).unwrap();
            assert_eq!(pattern.matched_length(path), expected, "{expression} {path}");
        }
    }

    #[test]
    fn the_literal_start_of_a_pattern_is_known() {
        let table = [
            ("/users/(?<id>\\d+)$", "/users/"),
            ("/a\\.b(?:c)(d)/e+", "/a.bcd/"),
            ("/ab?", "/a"),
            ("/a|/b", "/"),
            ("/x|y", ""),
            ("/[(]|x", ""),
            ("(?i)/abc", "/"),
            ("^/a$", "/a"),
        ];
        for (expression, expected) in table {
            let pattern = PathPattern::compile(expression).unwrap();
            let literal = std::str::from_utf8(pattern.literal()).unwrap();
            assert!(expected.starts_with(literal), "{expression}: {literal} instead of {expected}");
            assert_eq!(literal.len() > 1, expected.len() > 1, "{expression}: {literal} instead of {expected}");
        }
    }

    #[test]
    fn groups_are_found_by_number_and_by_name() {
        let pattern = PathPattern::compile("/(?<user>[a-z]+)/(\\d+)(x)?").unwrap();
        let captures = pattern.captures("/bob/12/rest").unwrap();
        assert_eq!(captures.numbered, [Some("/bob/12"), Some("bob"), Some("12"), None]);
        assert_eq!(captures.named, [("user", "bob")]);
    }

    #[test]
    fn an_expression_that_would_eat_the_memory_is_refused() {
        assert!(PathPattern::compile("/(\\w{1,400}){1,400}").is_err());
        assert!(PathPattern::compile("/(").is_err());
        assert!(PathPattern::compile("/)(").is_err());
    }
}
