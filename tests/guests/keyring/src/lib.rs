//! A plugin of somebody else's, with credentials whose key may be a reference to a secret.

use sandgate_sdk::prelude::*;

/// Nothing to configure.
#[derive(Debug, Config)]
pub struct Settings {}

/// What a consumer shows.
#[derive(Debug, Config)]
#[collection(name = "keyring_credentials", path = "keyrings", nested_path = "keyring", parent = "consumers")]
pub struct Credential {
    /// The key itself, or where it is kept.
    #[config(unique, required, referenceable, len_min = 4)]
    key: String,
}

/// One configuration.
#[derive(Debug)]
pub struct Keyring;

#[plugin(
    name = "keyring",
    priority = 1200,
    request_headers = ["x-key"],
    capabilities(consumers("keyring_credentials")),
    collections(Credential)
)]
impl Plugin for Keyring {
    type Settings = Settings;

    fn new(_settings: Settings, _scope: &Scope) -> Result<Self, Vec<ConfigError>> {
        Ok(Self)
    }

    fn on_request(&self, request: &mut Request, host: &impl Host) -> Flow {
        match host.authenticate("keyring_credentials", request.header(0).value().unwrap_or_default(), None) {
            Ok(true) => Flow::Next,
            _ => refuse(401, "Unauthorized"),
        }
    }
}
