//! Writes bodies in capitals, both ways.

use sandgate_sdk::prelude::*;

/// What becomes of bodies.
#[derive(Debug, Config)]
pub struct Settings {
    /// Let every chunk pass as it came.
    #[config(default = false, required)]
    pass: bool,
    /// Drop every chunk but the last.
    #[config(default = false, required)]
    last_only: bool,
    /// Refuse request bodies with this word in a chunk.
    refuse: Option<String>,
}

/// One configuration.
#[derive(Debug)]
pub struct Body(Settings);

#[plugin(name = "body", priority = 500)]
impl Plugin for Body {
    type Settings = Settings;

    fn new(settings: Settings, _scope: &Scope) -> Result<Self, Vec<ConfigError>> {
        Ok(Self(settings))
    }

    fn on_request_chunk(&self, chunk: Vec<u8>, last: bool, _host: &impl Host) -> Chunk {
        let word = self.0.refuse.as_deref().map(str::as_bytes).filter(|word| !word.is_empty());
        if word.is_some_and(|word| chunk.windows(word.len()).any(|window| window == word)) {
            return Chunk::Refuse(Refusal { status: 422, message: "not this word".into(), headers: Vec::new() });
        }
        self.change(chunk, last)
    }

    fn on_response_chunk(&self, chunk: Vec<u8>, last: bool, _host: &impl Host) -> Chunk {
        self.change(chunk, last)
    }
}

impl Body {
    fn change(&self, mut chunk: Vec<u8>, last: bool) -> Chunk {
        if self.0.pass {
            return Chunk::Pass;
        }
        if self.0.last_only && !last {
            return Chunk::Replace(Vec::new());
        }
        chunk.make_ascii_uppercase();
        Chunk::Replace(chunk)
    }
}
