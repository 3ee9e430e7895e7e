//! Snapshots on disk, whole and damaged.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::json;

use super::{SAID, kept, quick, status};
use crate::harness::{Gateway, TestGateway};

/// A gateway on SQLite that ended with two snapshots: routes `/one`, and later `/two`; its database is gone.
async fn ended() -> Gateway {
    let mut gateway = quick(TestGateway::new()).start().await;
    for path in ["/one", "/two"] {
        gateway.admin.create("/routes", json!({ "paths": [path] })).await;
        gateway.applied().await;
        kept(&gateway, path).await;
    }
    assert_eq!(gateway.terminate().await.code(), Some(0));
    for name in ["sandgate.db-wal", "sandgate.db-shm"] {
        _ = fs::remove_file(gateway.file(name));
    }
    fs::write(gateway.file("sandgate.db"), vec![b'x'; 8192]).unwrap();
    gateway
}

#[tokio::test]
async fn a_damaged_sqlite_file_is_no_reason_not_to_serve() {
    let mut gateway = ended().await;
    gateway.restart().await.unwrap();
    gateway.get("/two").await.expect(503);
    gateway.get("/three").await.expect(404);
    assert_eq!(status(&gateway).await["database"]["reachable"], false);
    gateway.admin.post("/routes", json!({ "paths": ["/three"] })).await.expect(503);
}

#[tokio::test]
async fn a_damaged_snapshot_is_refused_and_the_one_before_is_served() {
    let mut gateway = ended().await;
    let file = gateway.file("snapshot/newest.snapshot");
    let mut bytes = fs::read(&file).unwrap();
    let place = bytes.len() - 10;
    bytes[place] ^= 1;
    fs::write(&file, bytes).unwrap();
    gateway.restart().await.unwrap();
    gateway.process.log.line("its checksum does not match", SAID).await.unwrap();
    gateway.get("/one").await.expect(503);
    gateway.get("/two").await.expect(404);
}

#[tokio::test]
async fn without_any_whole_snapshot_a_damaged_database_is_an_error() {
    let mut gateway = ended().await;
    for name in ["newest", "before"] {
        fs::write(gateway.file(&format!("snapshot/{name}.snapshot")), "sandgate-snapshot 9 1 x\n").unwrap();
    }
    let error = format!("{:#}", gateway.restart().await.unwrap_err());
    assert!(error.contains("it has format 9"), "{error}");
    assert!(error.contains("opening the configuration database"), "{error}");
}

#[tokio::test]
async fn snapshots_and_code_are_for_their_owner_alone() {
    let gateway = ended().await;
    let mut folders = vec![gateway.file("snapshot")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
                files += 1;
            }
        }
    }
    assert!(files > 2, "only {files} files");
}
