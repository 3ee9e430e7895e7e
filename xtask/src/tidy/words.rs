//! Words that may not stand outside tests.

use std::ops::RangeInclusive;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Methods that end the process where an error could be handled.
const METHODS: [&str; 2] = ["unwrap", "unwrap_err"];
/// Macros that do, or that were left behind.
const MACROS: [&str; 4] = ["panic", "todo", "unimplemented", "dbg"];

/// Line and reason of each offence in a file, outside these lines.
pub fn offences(text: &str, left_out: &[RangeInclusive<usize>]) -> Vec<(usize, String)> {
    let mut found = reminders(text);
    if let Ok(tokens) = text.parse::<TokenStream>() {
        scan(tokens, &mut found);
    }
    found.retain(|(line, _)| !left_out.iter().any(|range| range.contains(line)));
    found.sort();
    found
}

/// Comments that say something is to be done, but not in which issue.
fn reminders(text: &str) -> Vec<(usize, String)> {
    let comments = text.lines().enumerate().filter_map(|(index, line)| Some((index + 1, line.split_once("//")?.1)));
    let is_reminder =
        |comment: &str, word: &str| comment.find(word).is_some_and(|at| !comment[at + word.len()..].starts_with("(#"));
    comments
        .filter(|(_, comment)| is_reminder(comment, "TODO") || is_reminder(comment, "FIXME"))
        .map(|(line, _)| (line, "a reminder names its issue: `(#123)` after the word".to_owned()))
        .collect()
}

fn scan(tokens: TokenStream, found: &mut Vec<(usize, String)>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => scan(group.stream(), found),
            TokenTree::Ident(word) => {
                let word_text = word.to_string();
                let before = at.checked_sub(1).and_then(|before| tokens.get(before));
                if let Some(reason) = judge(&word_text, before, tokens.get(at + 1)) {
                    found.push((word.span().start().line, reason));
                }
            }
            _ => {}
        }
    }
}

fn judge(word: &str, before: Option<&TokenTree>, after: Option<&TokenTree>) -> Option<String> {
    let is = |token: Option<&TokenTree>, character| matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == character);
    if METHODS.contains(&word) && is(before, '.') && matches!(after, Some(TokenTree::Group(_))) {
        return Some(format!("{word}() outside tests"));
    }
    if MACROS.contains(&word) && is(after, '!') && !is(before, '.') {
        return Some(format!("{word}! outside tests"));
    }
    // With parentheses it is an attribute, which the lint of the compiler judges.
    (word == "unsafe" && !matches!(after, Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis))
        .then(|| "unsafe code".to_owned())
}

#[cfg(test)]
mod tests {
    use super::offences;

    #[test]
    fn words_are_found_outside_tests_in_macros_too() {
        let cases = [
            ("an unwrap", "fn f() { x.unwrap() }", 1),
            ("an unwrap in a macro", "fn f() { format!(\"{}\", x.unwrap()) }", 1),
            ("another method", "fn f() { x.unwrap_or(1) }", 0),
            ("a panic", "fn f() { panic!(\"x\") }", 1),
            ("the word in a text", "fn f() { g(\"panic!() unsafe\") }", 0),
            ("unsafe", "unsafe fn f() {}", 1),
            ("an attribute", "#[unsafe(link_section = \"x\")]\nstatic A: u8 = 1;", 0),
            ("a reminder", "// TODO: more", 1),
            ("a reminder with its issue", "// TODO(#12): more", 0),
        ];
        for (label, text, expected) in cases {
            assert_eq!(offences(text, &[]).len(), expected, "{label}");
            assert_eq!(offences(text, &[1..=1]).len(), 0, "{label} in a test");
        }
    }
}
