//! The plugin host: modules, their instances on each worker, and the chains that requests walk. Holds no plugin logic; a
//! plugin's name means nothing here.

mod apply;
mod arguments;
mod asked;
mod background;
mod bindings;
mod catalog;
mod chain;
mod deployment;
mod directory;
mod engine;
mod exchange;
mod grants;
mod health;
mod host;
mod instance;
mod limits;
mod manifest;
mod phases;
mod prepare;
#[cfg(test)]
mod tests;
mod trace;
mod worker;

pub use catalog::{Catalog, Inspected, LoadedModule, Refused, digest_of};
pub use chain::{Chain, ChunkStop, Direction, Flow, Plugin, PluginFailure, Reach, Refusal, Slot};
pub use deployment::{Deployment, FailurePolicy, Terms};
pub use directory::{ConsumerEntry, Credential, Directory};
pub use engine::Bounds;
pub use exchange::{
    Connection, Exchange, HeaderChange, Held, Origin, RequestBody, RequestHead, RequestId, ResponseHead, RouteFacts,
    Timing, TlsFacts, Try, UpstreamTarget,
};
pub use grants::Grants;
pub use health::HealthReport;
pub use host::{NodeFacts, Services, WORKSPACE};
pub use limits::Limits;
pub use manifest::{Capability, CollectionDeclaration, Manifest, ManifestError};
pub use phases::Phases;
pub use prepare::{Entity, prepare};
pub use trace::{Asked, PhaseTime, Trace};
pub use worker::{enter_worker, leave_worker};
