//! Secrets of tokens: how they are made, kept and compared. A token holds 256 random bits, so nobody can try them all:
//! a fast salted hash is enough, and a slow one would only let strangers keep the node busy.

use aws_lc_rs::{hmac, rand};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use serde_json::Value;

use super::super::{failure::Failure, write::Fixed};
use crate::model::AdminToken;

/// Begins every token, so that scanners for leaked secrets find them.
const MARK: &str = "sgt_";

/// A new token, shown once.
pub(super) struct Minted {
    pub(super) token: String,
    prefix: String,
    salt: [u8; 16],
}

impl Minted {
    pub(super) fn new() -> Result<Self, Failure> {
        let (mut prefix, mut secret, mut salt) = ([0; 6], [0; 32], [0; 16]);
        let parts: [&mut [u8]; 3] = [&mut prefix, &mut secret, &mut salt];
        for part in parts {
            rand::fill(part).map_err(|_| Failure::NoRandomness)?;
        }
        let prefix: String = prefix.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { token: format!("{MARK}{prefix}_{}", URL_SAFE_NO_PAD.encode(secret)), prefix, salt })
    }

    /// What of it is stored.
    pub(super) fn fields(&self) -> Fixed {
        let hash = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.salt), self.token.as_bytes());
        let (salt, hash) = (STANDARD_NO_PAD.encode(self.salt), STANDARD_NO_PAD.encode(hash));
        let field = |name: &str, text: String| (name.into(), Value::from(text));
        vec![field("prefix", self.prefix.clone()), field("salt", salt), field("hash", hash)]
    }
}

/// The part of a token that finds its row; `None` when it is no token of ours.
pub(super) fn prefix(token: &str) -> Option<&str> {
    token.strip_prefix(MARK)?.split_once('_').map(|(prefix, _)| prefix)
}

/// Whether this is the token of the row, in a time that does not depend on where they differ.
pub(super) fn matches(stored: &AdminToken, token: &str) -> bool {
    let decoded = (STANDARD_NO_PAD.decode(&*stored.salt), STANDARD_NO_PAD.decode(&*stored.hash));
    let (Ok(salt), Ok(hash)) = decoded else { return false };
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &salt), token.as_bytes(), &hash).is_ok()
}

/// The token of the node's settings, hashed with a key of this process.
pub struct Bootstrap {
    key: hmac::Key,
    tag: hmac::Tag,
}

impl Bootstrap {
    /// Forgets the token and remembers its hash.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn new(token: &str) -> std::io::Result<Self> {
        let random = |_| std::io::Error::other("the system has no randomness");
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new()).map_err(random)?;
        let tag = hmac::sign(&key, token.as_bytes());
        Ok(Self { key, tag })
    }

    pub(super) fn matches(&self, token: &str) -> bool {
        hmac::verify(&self.key, token.as_bytes(), self.tag.as_ref()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Object;

    fn stored(minted: &Minted) -> AdminToken {
        let mut row: Object = minted.fields().into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        row.insert("name".into(), "a".into());
        row.insert("roles".into(), json!(["admin"]));
        serde_json::from_value(Value::Object(row)).unwrap()
    }

    #[test]
    fn a_token_matches_its_own_row_alone() {
        let (one, other) = (Minted::new().unwrap(), Minted::new().unwrap());
        assert_eq!(prefix(&one.token), Some(&*one.prefix));
        assert!(matches(&stored(&one), &one.token));
        assert!(!matches(&stored(&one), &other.token));
        assert!(!matches(&stored(&one), &one.token[..one.token.len() - 1]));
        assert!(!matches(&stored(&one), ""));
    }

    #[test]
    fn a_row_holds_neither_the_token_nor_its_secret() {
        let minted = Minted::new().unwrap();
        let secret = minted.token.rsplit('_').next().unwrap();
        let row = format!("{:?}", minted.fields());
        assert!(!row.contains(secret) && minted.token.len() >= 59, "{row}");
    }

    #[test]
    fn the_bootstrap_token_matches_itself_alone() {
        let bootstrap = Bootstrap::new("0123456789abcdef0123456789abcdef").unwrap();
        assert!(bootstrap.matches("0123456789abcdef0123456789abcdef"));
        assert!(!bootstrap.matches("0123456789abcdef0123456789abcdeg") && !bootstrap.matches(""));
    }

    proptest::proptest! {
        #[test]
        fn any_text_can_be_shown_as_a_token(text in ".{0,80}") {
            let _ = prefix(&text);
            proptest::prop_assert!(!matches(&stored(&Minted::new().unwrap()), &text));
        }
    }
}
