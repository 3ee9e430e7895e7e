//! Names of the gateway's own metrics, and how those of plugins are named.

use super::Definition;

/// Calls of a plugin that trapped. Label `plugin`.
pub const PLUGIN_TRAPS: Definition = Definition::of("sandgate_plugin_traps_total", "Calls of a plugin that trapped");
/// Calls of a plugin that used up their CPU time. Label `plugin`.
pub const PLUGIN_TIMEOUTS: Definition =
    Definition::of("sandgate_plugin_timeouts_total", "Calls of a plugin that used up their CPU time");
/// Requests answered with an error because a plugin that guards them failed. Label `plugin`.
pub const PLUGIN_REJECTIONS: Definition =
    Definition::of("sandgate_plugin_rejections_total", "Requests refused because a plugin that guards them failed");
/// 1 while a plugin is not called after repeated failures. Label `plugin`.
pub const PLUGIN_CIRCUIT_OPEN: Definition =
    Definition::of("sandgate_plugin_circuit_open", "Whether a plugin is in back-off after repeated failures");
/// Version of the configuration that is served.
pub const SNAPSHOT_VERSION: Definition =
    Definition::of("sandgate_snapshot_version", "Version of the configuration that is served");
/// 0 while the configuration database is away; with Kong's name.
pub const DATASTORE_REACHABLE: Definition =
    Definition::of("kong_datastore_reachable", "Datastore reachable from the gateway, 0 is unreachable");
/// Entities left out of the snapshot because they cannot be built. Label `collection`.
pub const QUARANTINED: Definition =
    Definition::of("sandgate_quarantined_entities", "Entities that are not served because they cannot be built");

/// Names of targets that were asked for. Label `result`: `found`, `not_found` or `failed`.
pub const DNS_LOOKUPS: Definition =
    Definition::of("sandgate_dns_lookups_total", "Names of targets that were asked for, by what came of it");

/// 1 for the state that an address of a target is in, 0 for the others; with Kong's name and labels.
pub const TARGET_HEALTH: Definition = Definition::of(
    "kong_upstream_target_health",
    "How each address of a target fares: 1 for its state, 0 for the others",
);

/// Requests to the Admin or Status API that were denied. Label `reason`.
pub const ADMIN_DENIED: Definition =
    Definition::of("sandgate_admin_denied_total", "Requests to the Admin or Status API that were denied");
/// Connections to the Admin or Status API that were refused because too many were open. Label `api`.
pub const ADMIN_REFUSED: Definition = Definition::of(
    "sandgate_admin_connections_refused_total",
    "Connections to the Admin or Status API that were refused because too many were open",
);

/// Upper bounds of the buckets of a plugin's histogram.
pub const PLUGIN_BUCKETS: &[f64] =
    &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0, 30_000.0, 60_000.0];

/// A metric of a plugin: `kong_plugin_<plugin>_<name>`, with `_` for what a name of a metric cannot hold.
pub fn of_plugin(plugin: &str, name: &str) -> Definition {
    let text = format!("kong_plugin_{plugin}_{name}");
    let name = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect::<String>();
    Definition::made(name, format!("Metric of the plugin {plugin}"))
}
