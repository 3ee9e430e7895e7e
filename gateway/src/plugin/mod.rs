//! The plugin host: modules, their instances on each worker, and the chains that requests walk. Holds no plugin logic; a
//! plugin's name means nothing here.

mod bindings;
mod chain;
mod directory;
mod exchange;

pub use chain::{Chain, ChunkStop, Direction, Flow, Plugin, PluginFailure, Refusal};
pub use directory::{ConsumerEntry, Credential, Directory};
pub use exchange::{
    Connection, Exchange, HeaderChange, Held, Origin, RequestBody, RequestHead, RequestId, ResponseHead, RouteFacts, Timing,
    TlsFacts, Try, UpstreamTarget,
};
