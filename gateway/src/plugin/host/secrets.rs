//! `secrets`: environment variables of the gateway, by grant.

use crate::plugin::{
    bindings::sandgate::plugin::{secrets::Host, types::HostError},
    instance::{HostState, Stage},
};

impl Host for HostState {
    fn get(&mut self, name: String) -> Result<Option<String>, HostError> {
        if !matches!(self.stage, Stage::Configure | Stage::Background) {
            return Err(HostError::Denied("secrets outside configure and background".into()));
        }
        self.permit_for("secrets", &name)?;
        // A grant of `*` is not meant to hand out the admin token.
        if name.starts_with("SANDGATE_") {
            return Err(HostError::Denied("the settings of the gateway".into()));
        }
        Ok(std::env::var(name).ok())
    }
}
