//! References to secrets: `{vault://<vault>/<resource>[/<key>][?option=value][#<version>]}` in place of a text. Only what
//! the text says; finding the secret is the room `vault`'s.

use std::{collections::BTreeMap, fmt};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What a reference begins with; it ends with `}`.
const BEGIN: &str = "{vault://";

/// A place where a secret is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct VaultReference {
    /// Prefix of a `vaults` entity, or the name of a kind of vault.
    pub vault: String,
    /// What the vault is asked for.
    pub resource: String,
    /// Member of the JSON object that the vault answers with.
    pub key: Option<String>,
    /// Settings of the vault for this reference alone.
    pub options: BTreeMap<String, String>,
    /// Which version of the secret; `None` is the newest.
    pub version: Option<u32>,
}

/// Why a text in the shape of a reference is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Not `{vault://…}`.
    #[error("it is not of the form {{vault://<vault>/<resource>}}")]
    Shape,
    /// Nothing between `//` and `/`.
    #[error("it names no vault")]
    Vault,
    /// Nothing behind the name of the vault.
    #[error("it names no resource")]
    Resource,
    /// A `%` that is no escape, or escaped bytes that are no text.
    #[error("an escape in it is not valid")]
    Escape,
    /// `#` without a number.
    #[error("the version in it is not a number")]
    Version,
}

impl VaultReference {
    /// Whether a text is meant as a reference: the whole of it, nothing inside a longer text.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(BEGIN) && text.ends_with('}')
    }

    /// Reads a reference.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let inside = text.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix('}')).ok_or(ReferenceError::Shape)?;
        let (inside, version) = match inside.split_once('#') {
            Some((rest, version)) => (rest, Some(version.parse().map_err(|_| ReferenceError::Version)?)),
            None => (inside, None),
        };
        let (path, query) = inside.split_once('?').unwrap_or((inside, ""));
        let (vault, path) = path.split_once('/').unwrap_or((path, ""));
        if vault.is_empty() {
            return Err(ReferenceError::Vault);
        }
        // The last segment is the key, unless it is the only one; a slash at the end says that there is none.
        let (resource, key) = match path.rsplit_once('/') {
            Some((resource, key)) => (resource, Some(key).filter(|key| !key.is_empty())),
            None => (path, None),
        };
        if resource.is_empty() {
            return Err(ReferenceError::Resource);
        }
        Ok(Self {
            vault: vault.to_owned(),
            resource: decoded(resource)?,
            key: key.map(decoded).transpose()?,
            options: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            version,
        })
    }
}

fn decoded(text: &str) -> Result<String, ReferenceError> {
    Ok(percent_decode_str(text).decode_utf8().map_err(|_| ReferenceError::Escape)?.into_owned())
}

/// All but what a path holds unescaped.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'/');

impl fmt::Display for VaultReference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{BEGIN}{}/{}", self.vault, utf8_percent_encode(&self.resource, ESCAPED))?;
        match &self.key {
            Some(key) => write!(out, "/{}", utf8_percent_encode(key, NON_ALPHANUMERIC))?,
            // Otherwise its last part would be read as the key.
            None if self.resource.contains('/') => out.write_str("/")?,
            None => {}
        }
        if !self.options.is_empty() {
            let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.options).finish();
            write!(out, "?{query}")?;
        }
        if let Some(version) = self.version {
            write!(out, "#{version}")?;
        }
        out.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> (String, String, Option<String>) {
        let reference = VaultReference::parse(text).unwrap();
        (reference.vault, reference.resource, reference.key)
    }

    #[test]
    fn the_last_segment_is_the_key() {
        let owned = |vault: &str, resource: &str, key: Option<&str>| {
            (vault.to_owned(), resource.to_owned(), key.map(str::to_owned))
        };
        let cases = [
            ("{vault://env/my-key}", owned("env", "my-key", None)),
            ("{vault://env/db/password}", owned("env", "db", Some("password"))),
            ("{vault://files/tls/web/cert.pem}", owned("files", "tls/web", Some("cert.pem"))),
            ("{vault://files/tls/cert.pem/}", owned("files", "tls/cert.pem", None)),
            ("{vault://env/a%20b}", owned("env", "a b", None)),
        ];
        for (text, expected) in cases {
            assert_eq!(parsed(text), expected, "{text}");
        }
    }

    #[test]
    fn options_and_versions_are_read() {
        let reference = VaultReference::parse("{vault://env/key?prefix=app_&ttl=60#2}").unwrap();
        assert_eq!(reference.options["prefix"], "app_");
        assert_eq!((reference.options["ttl"].as_str(), reference.version), ("60", Some(2)));
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        let cases = [
            ("plain", ReferenceError::Shape),
            ("{vault://env/key", ReferenceError::Shape),
            ("see {vault://env/key}", ReferenceError::Shape),
            ("{vault://}", ReferenceError::Vault),
            ("{vault:///key}", ReferenceError::Vault),
            ("{vault://env}", ReferenceError::Resource),
            ("{vault://env/}", ReferenceError::Resource),
            ("{vault://env/key#new}", ReferenceError::Version),
            ("{vault://env/%ff}", ReferenceError::Escape),
        ];
        for (text, expected) in cases {
            assert_eq!(VaultReference::parse(text), Err(expected), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_parsing_fail_badly(text in "\\{vault://.{0,40}\\}|.{0,40}") {
            let _ = VaultReference::parse(&text);
        }

        #[test]
        fn a_reference_survives_being_shown(
            vault in "[a-z][a-z0-9-]{0,10}",
            resource in "[^/]([^/]|/[^/]){0,10}",
            key in proptest::option::of("[^/]{1,10}"),
            options in proptest::collection::btree_map("[a-z_]{1,8}", ".{0,8}", 0..3),
            version in proptest::option::of(any::<u32>()),
        ) {
            let reference = VaultReference { vault, resource, key, options, version };
            prop_assert!(VaultReference::is_meant(&reference.to_string()));
            prop_assert_eq!(VaultReference::parse(&reference.to_string()), Ok(reference));
        }
    }
}
