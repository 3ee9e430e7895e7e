//! Uploads: bytes that call themselves a component.

use std::{path::PathBuf, sync::Arc};

use sandgate::{
    plugin::{Bounds, Catalog, NodeFacts, Services},
    shutdown::Tasks,
};

use crate::harness::{Numbers, Target};

fn module(folder: &str, name: &str) -> Vec<u8> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("../target"), PathBuf::from);
    let path = target.join(folder).join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|_| panic!("{} is missing: run `cargo xtask plugins`", path.display()))
}

/// A real module with some of its bytes other than they were: anywhere, or among the first, where its structure is.
fn changed(numbers: &mut Numbers, modules: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = numbers.of_list(modules).clone();
    for _ in 0..=numbers.below(4) {
        let end = if numbers.one_in(2) { bytes.len().min(400) } else { bytes.len() };
        let at = numbers.below(end);
        match numbers.below(6) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] = numbers.next().to_le_bytes()[0],
            2 if at < bytes.len() => bytes[at] ^= 1 << numbers.below(8),
            3 => bytes.insert(at, numbers.next().to_le_bytes()[0]),
            4 => {
                let from = numbers.below(bytes.len());
                let part = bytes[from..(from + 200).min(bytes.len())].to_vec();
                bytes.splice(at..at, part);
            }
            // A number in the format of the binary, of the largest size.
            _ => drop(bytes.splice(at..at, [0xff, 0xff, 0xff, 0xff, 0x0f])),
        }
    }
    bytes
}

/// Short for logs: what was changed comes back by repeating the run.
struct Upload(Vec<u8>);

impl std::fmt::Debug for Upload {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} bytes", self.0.len())
    }
}

#[test]
fn uploads_are_taken_apart_or_refused() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let cache = tempfile::tempdir().unwrap();
    let catalog = {
        let _entered = runtime.enter();
        let node = NodeFacts { id: "node".into(), hostname: "host".into() };
        let services = Services::start(node, Tasks::new(runtime.handle().clone()), Arc::default());
        Catalog::new(cache.path(), Bounds::default(), services).unwrap()
    };
    let modules = [module("guests", "peek"), module("guests", "wasi"), module("plugins", "acl")];
    for whole in &modules {
        assert!(runtime.block_on(catalog.inspect(whole.clone())).is_ok(), "as it is, it is taken");
    }
    let make = |numbers: &mut Numbers| Upload(changed(numbers, &modules));
    Target { name: "uploads_are_taken_apart_or_refused", runs: 150 }.run(make, |upload| {
        let inspected = runtime.block_on(catalog.inspect(upload.0.clone()));
        match inspected {
            Ok(inspected) => assert_eq!(inspected.digest.len(), 64),
            Err(reasons) => {
                assert!(!reasons.is_empty(), "a refusal has a reason");
                assert!(reasons.iter().all(|reason| reason.to_string().len() < 20_000));
            }
        }
    });
}
