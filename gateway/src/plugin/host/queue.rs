//! `queue`.

use crate::plugin::{
    bindings::sandgate::plugin::{
        queue::Host,
        types::{ConfigId, HostError},
    },
    chain::State,
    instance::HostState,
};

impl Host for HostState {
    fn enqueue(&mut self, config: ConfigId, entry: Vec<u8>) -> Result<(), HostError> {
        self.permit("queue")?;
        let Some(plugin) = &self.plugin else { return Err(HostError::Invalid("there is no request".into())) };
        let State::Ready(ready) = &plugin.state else {
            return Err(HostError::Invalid("the plugin is not ready".into()));
        };
        if ready.configuration.id != config {
            return Err(HostError::Invalid(format!("{config} is not the configuration of this call")));
        }
        let Some(queue) = &ready.queue else {
            return Err(HostError::Invalid("the configuration asked for no queue".into()));
        };
        queue.push(entry, plugin);
        Ok(())
    }
}
