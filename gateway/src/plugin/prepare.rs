//! From a plugin entity of the configuration to a plugin that requests can run.

use std::{sync::Arc, time::Duration};

use http::HeaderName;

use super::{
    background::{Queue, run_queue, run_timer},
    bindings::exports::sandgate::plugin::lifecycle::{Prepared, Scope},
    chain::{Configuration, Plugin, Ready, State},
    deployment::Deployment,
    instance::CallError,
};

/// A plugin entity as far as its module is concerned.
#[derive(Debug, Clone)]
pub struct Entity {
    /// Id of the plugin entity.
    pub id: Arc<str>,
    /// Configuration as JSON, defaults filled in.
    pub config: Arc<str>,
    /// Route it is for.
    pub route: Option<Arc<str>>,
    /// Service it is for.
    pub service: Option<Arc<str>>,
    /// Consumer it is for.
    pub consumer: Option<Arc<str>>,
}

/// Configures a background instance with the entity, so that a configuration which the plugin refuses shows before any
/// request, and starts its queue and timer. A plugin that cannot run comes back quarantined, on its module's terms.
pub async fn prepare(deployment: &Arc<Deployment>, entity: Entity) -> Arc<Plugin> {
    let id = deployment.next_config();
    let text = |value: &Option<Arc<str>>| value.as_deref().map(str::to_owned);
    let scope = Scope {
        plugin_id: entity.id.to_string(),
        route_id: text(&entity.route),
        service_id: text(&entity.service),
        consumer_id: text(&entity.consumer),
    };
    let configuration = Configuration { id, json: entity.config, scope };
    let name = deployment.name.clone();
    let background = &deployment.services.background;
    let ready = match background.prepare(deployment, &configuration).await {
        Ok(prepared) => ready(deployment, configuration, prepared),
        Err(error) => {
            deployment.release(id);
            Err(error)
        }
    };
    match ready {
        Ok((ready, timer)) => start(Arc::new(Plugin { id: entity.id, name, state: State::Ready(ready) }), timer),
        Err(error) => {
            tracing::warn!(plugin = &*name, id = &*entity.id, %error, "a plugin is quarantined");
            Arc::new(Plugin::misconfigured(entity.id, deployment, error.to_string()))
        }
    }
}

fn ready(
    deployment: &Arc<Deployment>,
    configuration: Configuration,
    prepared: Prepared,
) -> Result<(Ready, Option<u32>), CallError> {
    let manifest = &deployment.manifest;
    // From here on the configuration is released by `Ready` alone.
    let mut ready = Ready {
        deployment: deployment.clone(),
        configuration,
        request_headers: Vec::new(),
        response_headers: Vec::new(),
        queue: prepared.queue.map(|settings| Arc::new(Queue::new(settings))),
    };
    ready.request_headers = names(&manifest.request_headers, &prepared.request_headers)?;
    ready.response_headers = names(&manifest.response_headers, &prepared.response_headers)?;
    Ok((ready, prepared.timer))
}

fn names(of_manifest: &[String], of_configuration: &[String]) -> Result<Vec<HeaderName>, CallError> {
    let parse = |name: &String| {
        HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| CallError::Configure(format!("'{name}' is not a header name")))
    };
    of_manifest.iter().chain(of_configuration).map(parse).collect()
}

fn start(plugin: Arc<Plugin>, timer: Option<u32>) -> Arc<Plugin> {
    let State::Ready(ready) = &plugin.state else { return plugin };
    let services = &ready.deployment.services;
    let (background, tasks) = (services.background.clone(), &services.tasks);
    if let Some(queue) = &ready.queue {
        let work = run_queue(background.clone(), Arc::downgrade(&plugin), queue.clone(), tasks.shutdown());
        tasks.spawn(format!("queue of plugin {}", plugin.id), work);
    }
    if let Some(every) = timer {
        let every = Duration::from_millis(every.max(100).into());
        let work = run_timer(background, Arc::downgrade(&plugin), every, tasks.shutdown());
        tasks.spawn(format!("timer of plugin {}", plugin.id), work);
    }
    plugin
}
