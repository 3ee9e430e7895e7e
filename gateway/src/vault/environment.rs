//! The `env` vault: environment variables of the gateway, as Kong finds them.

use super::{VaultError, member};
use crate::model::VaultReference;

/// The gateway's own settings: who may configure a plugin must not read the admin token or the database's password.
const OWN: &str = "SANDGATE_";

/// The variable of a reference, or the member of the JSON object in it. Version 2 is the value before the present one,
/// in `<NAME>_PREVIOUS`.
pub(super) fn get(prefix: &str, reference: &VaultReference) -> Result<String, VaultError> {
    let name = name(prefix, reference);
    // Names with these make the standard library refuse the call.
    if name.contains(['=', '\0']) || name.starts_with(OWN) {
        return Err(VaultError::Name);
    }
    let value = std::env::var_os(name).ok_or(VaultError::Missing)?;
    let value = value.into_string().map_err(|_| VaultError::NotText)?;
    match &reference.key {
        Some(key) => member(&value, key),
        None => Ok(value),
    }
}

/// `my-key` is `MY_KEY`.
fn name(prefix: &str, reference: &VaultReference) -> String {
    let previous = if reference.version == Some(2) { "_PREVIOUS" } else { "" };
    let name = format!("{prefix}{}", reference.resource).replace('-', "_").to_uppercase();
    format!("{name}{previous}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_upper_case_with_underscores() {
        let cases = [
            ("", "{vault://env/my-key}", "MY_KEY"),
            ("app-", "{vault://env/my-key}", "APP_MY_KEY"),
            ("app_", "{vault://env/key#2}", "APP_KEY_PREVIOUS"),
            ("", "{vault://env/key#1}", "KEY"),
        ];
        for (prefix, text, expected) in cases {
            assert_eq!(name(prefix, &VaultReference::parse(text).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn the_settings_of_the_gateway_are_no_secrets_of_plugins() {
        for (prefix, text) in [("", "{vault://env/sandgate-admin-token}"), ("sandgate_", "{vault://env/database-url}")]
        {
            let reference = VaultReference::parse(text).unwrap();
            assert!(matches!(get(prefix, &reference), Err(VaultError::Name)), "{text}");
        }
    }

    #[test]
    fn a_name_that_no_variable_can_have_is_refused() {
        let reference = VaultReference::parse("{vault://env/a%3Db}").unwrap();
        assert!(matches!(get("", &reference), Err(VaultError::Name)));
    }
}
