//! Patterns: Kong's schemas show Lua patterns, JSON Schema has regular expressions. Both are run as a [`regex::Regex`].

use std::sync::Arc;

use regex::Regex;

/// A pattern, as it is shown and as it is run, with a message of its own if it has one.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// As `/schemas` shows it.
    pub shown: Arc<str>,
    /// Said when it decides.
    pub error: Option<Arc<str>>,
    regex: Regex,
}

impl Pattern {
    /// A Lua pattern that the gateway itself has; wrong ones are found by the tests of the schemas.
    pub fn lua(pattern: &str) -> Self {
        Self::parse_lua(pattern).expect("the gateway's own patterns are valid")
    }

    /// A Lua pattern without `%b` and `%f`.
    pub fn parse_lua(pattern: &str) -> Result<Self, regex::Error> {
        Ok(Self { shown: pattern.into(), error: None, regex: Regex::new(&translate(pattern))? })
    }

    /// A regular expression, shown as it is.
    pub fn parse_regex(pattern: &str) -> Result<Self, regex::Error> {
        Ok(Self { shown: pattern.into(), error: None, regex: Regex::new(pattern)? })
    }

    /// With a message of its own.
    #[must_use]
    pub fn saying(mut self, message: &str) -> Self {
        self.error = Some(message.into());
        self
    }

    /// Whether it matches somewhere in the text.
    pub fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

/// The regular expression that does what a Lua pattern does.
fn translate(pattern: &str) -> String {
    let mut regex = String::from("(?s)");
    let mut rest = pattern.chars().enumerate().peekable();
    let last = pattern.chars().count().saturating_sub(1);
    let mut set = false;
    while let Some((at, character)) = rest.next() {
        match character {
            '%' => regex.push_str(&class(rest.next().map_or('%', |(_, next)| next), set)),
            '[' if !set => {
                set = true;
                regex.push('[');
                if rest.next_if(|(_, next)| *next == '^').is_some() {
                    regex.push('^');
                }
            }
            ']' if set => {
                set = false;
                regex.push(']');
            }
            '-' if set => regex.push('-'),
            '-' => regex.push_str("*?"),
            '^' if at == 0 => regex.push('^'),
            '$' if at == last => regex.push_str("\\z"),
            '.' | '*' | '+' | '?' | '(' | ')' if !set => regex.push(character),
            literal => regex.push_str(&escaped(literal)),
        }
    }
    regex
}

fn class(letter: char, in_set: bool) -> String {
    let inside = match letter {
        'u' => "A-Z",
        'l' => "a-z",
        'a' => "A-Za-z",
        'd' => "0-9",
        'w' => "A-Za-z0-9",
        'x' => "A-Fa-f0-9",
        's' => r" \t\r\n\x0b\x0c",
        'p' => r"!-/:-@\[-`{-~",
        literal => return escaped(literal),
    };
    if in_set { inside.to_owned() } else { format!("[{inside}]") }
}

fn escaped(literal: char) -> String {
    if literal.is_ascii_punctuation() { format!("\\{literal}") } else { literal.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lua_patterns_match_what_they_match_in_lua() {
        for (pattern, text, expected) in [
            ("^%u+$", "PURGE", true),
            ("^%u+$", "get", false),
            ("^[^:]+:.*$", "x-a:1", true),
            ("^[^:]+:.*$", "x-a", false),
            ("^%*%.", "*.a", true),
            ("^[^*]*%*?[^*]*$", "*.a.*", false),
            ("^[a-z][a-z%d-]-[a-z%d]+$", "my-env", true),
            ("^[^*&%%\\`]+$", "/var/log/x.log", true),
            ("^[^*&%%\\`]+$", "/var/%", false),
        ] {
            assert_eq!(Pattern::lua(pattern).matches(text), expected, "{pattern} on {text}");
        }
    }
}
