//! Modules to upload: the guests that xtask built, and bytes written by hand.

use std::{fs, path::PathBuf};

use bytes::Bytes;

/// A guest of `tests/guests`, as xtask built it.
pub fn guest(name: &str) -> Bytes {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("guests");
    read(folder.join(name).with_added_extension("wasm"))
}

/// The component of a plugin that comes with the gateway.
pub fn builtin(name: &str) -> Bytes {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("plugins");
    read(folder.join(name).with_added_extension("wasm"))
}

/// The same module with a text in place of another of the same length.
pub fn replaced(module: &Bytes, old: &str, new: &str) -> Bytes {
    assert_eq!(old.len(), new.len());
    let mut bytes = module.to_vec();
    let at: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(old.as_bytes())).collect();
    assert!(!at.is_empty(), "{old} is nowhere in the module");
    for at in at {
        bytes[at..at + new.len()].copy_from_slice(new.as_bytes());
    }
    bytes.into()
}

/// The core module that cargo made of a guest, before xtask makes a component of it.
pub fn core_guest(name: &str) -> Bytes {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("wasm/wasm32-unknown-unknown/plugin");
    read(folder.join(format!("sandgate_guest_{name}.wasm")))
}

fn read(path: PathBuf) -> Bytes {
    match fs::read(&path) {
        Ok(bytes) => bytes.into(),
        Err(error) => panic!("{}: {error}; `cargo xtask plugins --guests` builds it", path.display()),
    }
}

/// The same module under another digest: with a custom section that holds `mark`.
pub fn marked(module: &Bytes, mark: &str) -> Bytes {
    let mut content = vec![4];
    content.extend_from_slice(b"mark");
    content.extend_from_slice(mark.as_bytes());
    let mut bytes = module.to_vec();
    bytes.push(0);
    bytes.push(u8::try_from(content.len()).expect("a short mark"));
    bytes.extend(content);
    bytes.into()
}

/// Modules written by hand.
#[derive(Debug, Default)]
pub struct Wasm(Vec<u8>);

impl Wasm {
    /// A component without anything in it.
    pub fn component() -> Self {
        Self(b"\0asm\x0d\0\x01\0".to_vec())
    }

    /// A core module without anything in it.
    pub fn core() -> Self {
        Self(b"\0asm\x01\0\0\0".to_vec())
    }

    /// A core module that imports a function `f` of `module`.
    pub fn core_importing(module: &str) -> Self {
        let mut core = Self::core();
        // Section 1: one type, a function (0x60) of nothing to nothing.
        core.section(1, &[1, 0x60, 0, 0]);
        let mut import = vec![1, u8::try_from(module.len()).expect("a short name")];
        import.extend_from_slice(module.as_bytes());
        // Section 2: one import, named f, a function (0) of the type 0.
        import.extend_from_slice(&[1, b'f', 0, 0]);
        core.section(2, &import);
        core
    }

    /// Imports an interface that has no functions.
    pub fn importing(mut self, interface: &str) -> Self {
        // Section 7: one type, an instance (0x42) of nothing.
        self.section(7, &[1, 0x42, 0]);
        let mut import = vec![1, 0, u8::try_from(interface.len()).expect("a short name")];
        import.extend_from_slice(interface.as_bytes());
        // Section 10: one import, an instance (5) of the type 0.
        import.extend_from_slice(&[5, 0]);
        self.section(10, &import);
        self
    }

    pub fn bytes(self) -> Bytes {
        self.0.into()
    }

    fn section(&mut self, id: u8, content: &[u8]) {
        self.0.push(id);
        self.0.push(u8::try_from(content.len()).expect("a short section"));
        self.0.extend_from_slice(content);
    }
}
