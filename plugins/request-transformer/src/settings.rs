//! What operators configure.

use sandgate_sdk::{config::error, prelude::*};

/// One change. Values of rename are names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op {
    Remove(String),
    Rename(String, String),
    Replace(String, String),
    Add(String, String),
    Append(String, String),
}

/// In the order they are made.
pub(crate) type Changes = Vec<Op>;

/// The changes, by what is done and to what.
#[derive(Debug, Config)]
#[config(protocols = "all")]
pub struct Settings {
    /// Method that the upstream sees.
    #[config(kind = "http_method")]
    pub(crate) http_method: Option<String>,
    /// Names to remove.
    #[config(required)]
    remove: Names,
    /// `old:new` pairs of names.
    #[config(required)]
    rename: Pairs,
    /// `name:value` pairs for what is there.
    #[config(required)]
    pub(crate) replace: Replacements,
    /// `name:value` pairs for what is not there.
    #[config(required)]
    add: Pairs,
    /// `name:value` pairs that come in addition.
    #[config(required)]
    append: Pairs,
}

/// Names.
#[derive(Debug, Config)]
struct Names {
    /// Fields of the body.
    #[config(default = [], required)]
    body: Vec<String>,
    /// Headers.
    #[config(default = [], required)]
    headers: Vec<String>,
    /// Arguments of the query.
    #[config(default = [], required)]
    querystring: Vec<String>,
}

/// Names with values.
#[derive(Debug, Config)]
struct Pairs {
    /// Fields of the body.
    #[config(default = [], required)]
    body: Vec<String>,
    /// Headers.
    #[config(default = [], required, items(pattern = "^[^:]+:.*$"))]
    headers: Vec<String>,
    /// Arguments of the query.
    #[config(default = [], required)]
    querystring: Vec<String>,
}

/// Names with values, and the path.
#[derive(Debug, Config)]
pub(crate) struct Replacements {
    /// Fields of the body.
    #[config(default = [], required)]
    body: Vec<String>,
    /// Headers.
    #[config(default = [], required, items(pattern = "^[^:]+:.*$"))]
    headers: Vec<String>,
    /// Arguments of the query.
    #[config(default = [], required)]
    querystring: Vec<String>,
    /// The whole upstream path.
    pub(crate) uri: Option<String>,
}

impl Settings {
    /// `Host` is left alone, except by replace.
    pub(crate) fn header_changes(&self) -> Changes {
        let Self { remove, rename, replace, add, append, .. } = self;
        let mut changes = changes(&remove.headers, [&rename.headers, &replace.headers, &add.headers, &append.headers]);
        changes.retain(|op| matches!(op, Op::Replace(..)) || !op.names().any(|name| name.eq_ignore_ascii_case("host")));
        changes
    }

    pub(crate) fn query_changes(&self) -> Changes {
        let Self { remove, rename, replace, add, append, .. } = self;
        changes(&remove.querystring, [&rename.querystring, &replace.querystring, &add.querystring, &append.querystring])
    }

    pub(crate) fn body_changes(&self) -> Changes {
        let Self { remove, rename, replace, add, append, .. } = self;
        changes(&remove.body, [&rename.body, &replace.body, &add.body, &append.body])
    }

    pub(crate) fn check(&self) -> Vec<ConfigError> {
        let Self { remove, rename, replace, add, append, .. } = self;
        let mut errors = Vec::new();
        for (n, name) in remove.headers.iter().enumerate() {
            check_header(&place("remove.headers", n), name, &mut errors);
        }
        let headers = [&rename.headers, &replace.headers, &add.headers, &append.headers];
        for (action, entries) in ["rename", "replace", "add", "append"].into_iter().zip(headers) {
            let at = [action, ".headers"].concat();
            for (n, entry) in entries.iter().enumerate() {
                check_header_pair(&place(&at, n), entry, action == "rename", &mut errors);
            }
        }
        let pairs = [
            ("rename.body", &rename.body),
            ("replace.body", &replace.body),
            ("add.body", &add.body),
            ("append.body", &append.body),
            ("rename.querystring", &rename.querystring),
            ("replace.querystring", &replace.querystring),
            ("add.querystring", &add.querystring),
            ("append.querystring", &append.querystring),
        ];
        for (at, entries) in pairs {
            for (n, entry) in entries.iter().enumerate() {
                check_pair(&place(at, n), entry, &mut errors);
            }
        }
        check_template("replace.uri", replace.uri.as_deref().unwrap_or_default(), &mut errors);
        errors
    }
}

impl Op {
    /// The names it is about.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let (first, second) = match self {
            Op::Rename(old, new) => (old, Some(new)),
            Op::Remove(name) | Op::Replace(name, _) | Op::Add(name, _) | Op::Append(name, _) => (name, None),
        };
        std::iter::once(first).chain(second).map(String::as_str)
    }
}

fn changes(remove: &[String], [rename, replace, add, append]: [&Vec<String>; 4]) -> Changes {
    let pair = |entry: &String| {
        let (name, value) = entry.split_once(':').unwrap_or((entry, ""));
        (name.to_owned(), value.to_owned())
    };
    let mut changes: Changes = remove.iter().cloned().map(Op::Remove).collect();
    changes.extend(rename.iter().map(pair).map(|(old, new)| Op::Rename(old, new)));
    changes.extend(replace.iter().map(pair).map(|(name, value)| Op::Replace(name, value)));
    changes.extend(add.iter().map(pair).map(|(name, value)| Op::Add(name, value)));
    changes.extend(append.iter().map(pair).map(|(name, value)| Op::Append(name, value)));
    changes
}

/// Entries are counted from 1.
fn place(list: &str, n: usize) -> String {
    [list, ".", &(n + 1).to_string()].concat()
}

fn check_header(at: &str, name: &str, errors: &mut Vec<ConfigError>) {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        errors.push(error(at, &["'", name, "' is not a valid header"].concat()));
    }
}

fn check_header_pair(at: &str, entry: &str, is_rename: bool, errors: &mut Vec<ConfigError>) {
    let Some((name, value)) = entry.split_once(':') else {
        errors.push(error(at, &["invalid value: ", entry].concat()));
        return;
    };
    check_header(at, name, errors);
    if is_rename {
        check_header(at, value, errors);
    }
    check_template(at, value, errors);
}

fn check_pair(at: &str, entry: &str, errors: &mut Vec<ConfigError>) {
    match entry.split_once(':') {
        Some((_, value)) if !value.is_empty() => check_template(at, value, errors),
        other => {
            let name = other.map_or(entry, |(name, _)| name);
            errors.push(error(at, &["key '", name, "' has no value"].concat()));
        }
    }
}

fn check_template(at: &str, value: &str, errors: &mut Vec<ConfigError>) {
    if value.contains("$(") {
        errors.push(error(at, "templates are not available in this version: the value contains '$('"));
    }
}
