//! Tells the client which certificates it showed.

use sandgate_sdk::prelude::*;

/// Nothing to configure.
#[derive(Debug, Config)]
pub struct Settings {}

/// One configuration.
#[derive(Debug)]
pub struct Badge;

#[plugin(name = "badge", priority = 500)]
impl Plugin for Badge {
    type Settings = Settings;

    fn new(_settings: Settings, _scope: &Scope) -> Result<Self, Vec<ConfigError>> {
        Ok(Self)
    }

    fn on_request(&self, _request: &mut Request, host: &impl Host) -> Flow {
        Flow::text(200, &described(host))
    }
}

/// `verified` or `unverified`, and each certificate in hexadecimal digits; `none` where there are none.
fn described(host: &impl Host) -> String {
    let Some(shown) = host.client_certificates() else { return "none".into() };
    let hexadecimal = |der: &Vec<u8>| der.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let word = if shown.verified { "verified" } else { "unverified" };
    [word.to_owned()].into_iter().chain(shown.chain.iter().map(hexadecimal)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use sandgate_sdk::mock::MockHost;

    use super::*;

    #[test]
    fn what_the_client_showed_is_told() {
        let host = MockHost::get("/");
        assert_eq!(described(&host), "none");
        assert_eq!(described(&host.client_certificates(&[&[1, 255], &[]], true)), "verified 01ff ");
    }
}
