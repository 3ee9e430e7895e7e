//! Writes request bodies in capitals, and traps at a word.

use sandgate_sdk::prelude::*;

/// What becomes of request bodies.
#[derive(Debug, Config)]
pub struct Settings {
    /// Trap at a chunk with this word.
    trap: Option<String>,
}

/// One configuration.
#[derive(Debug)]
pub struct Shout(Settings);

#[plugin(name = "shout", priority = 510)]
impl Plugin for Shout {
    type Settings = Settings;

    fn new(settings: Settings, _scope: &Scope) -> Result<Self, Vec<ConfigError>> {
        Ok(Self(settings))
    }

    fn on_request_chunk(&self, mut chunk: Vec<u8>, _last: bool, _host: &impl Host) -> Chunk {
        let word = self.0.trap.as_deref().map(str::as_bytes).filter(|word| !word.is_empty());
        if word.is_some_and(|word| chunk.windows(word.len()).any(|window| window == word)) {
            std::process::abort();
        }
        chunk.make_ascii_uppercase();
        Chunk::Replace(chunk)
    }
}
