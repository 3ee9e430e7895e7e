//! The settings that are in force, with where each comes from: for `sandgate config show`, and to tell what a reload changes.

use std::fmt;

/// Settings that hold secrets, in part or as a whole.
const SECRET: [&str; 3] = ["admin_token", "declarative_config_string", "request_debug_token"];

/// One setting as it is in force.
#[derive(Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its name in the file.
    pub name: String,
    /// As typed, or the default; `None` where there is neither.
    pub(super) text: Option<String>,
    /// The text was a reference to a secret.
    pub(super) referred: Option<String>,
    /// Where it was typed: `--workers`, `SANDGATE_WORKERS`, `sandgate.toml: workers`; or `default`.
    pub from: String,
}

impl Shown {
    /// The value, without secrets.
    pub fn value(&self) -> String {
        match (&self.referred, &self.text) {
            (Some(reference), _) => reference.clone(),
            (None, None) => "-".to_owned(),
            (None, Some(_)) if SECRET.contains(&&*self.name) => "******".to_owned(),
            (None, Some(text)) if self.name == "database_url" => without_password(text),
            (None, Some(text)) => text.clone(),
        }
    }
}

/// Shows no secret.
impl fmt::Debug for Shown {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} = {} ({})", self.name, self.value(), self.from)
    }
}

impl fmt::Display for Shown {
    /// A line of TOML.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text {
            Some(_) => write!(out, "{} = {:?}  # {}", self.name, self.value(), self.from),
            None => write!(out, "# {} is not set", self.name),
        }
    }
}

/// A URL of which neither the password before the host nor one behind the question mark is shown.
fn without_password(url: &str) -> String {
    let (front, query) = url.split_once('?').map_or((url, None), |(front, query)| (front, Some(query)));
    let front = match front.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?))) {
        Some((scheme, (user, host))) => match user.split_once(':') {
            Some((user, _)) => format!("{scheme}://{user}:******@{host}"),
            None => format!("{scheme}://{user}@{host}"),
        },
        None => front.to_owned(),
    };
    let hidden = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if name.contains("password") => format!("{name}=******"),
        _ => pair.to_owned(),
    };
    match query {
        Some(query) => format!("{front}?{}", query.split('&').map(hidden).collect::<Vec<_>>().join("&")),
        None => front,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_of_a_url_is_shown() {
        for (url, shown) in [
            ("sqlite://a/b.db", "sqlite://a/b.db"),
            ("postgres://kong@db/kong", "postgres://kong@db/kong"),
            ("postgres://kong:p@ss:w@db:1/kong?sslmode=require", "postgres://kong:******@db:1/kong?sslmode=require"),
            ("postgres://db/kong?user=a&password=b", "postgres://db/kong?user=a&password=******"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
