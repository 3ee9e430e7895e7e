use std::fs;

use serde_json::json;

use super::*;

const REFERENCE: &str = "{vault://file/token}";
const ROTATION: Duration = Duration::from_secs(60);

fn vaults(folder: &tempfile::TempDir) -> Vaults {
    Vaults::new(Some(folder.path().to_owned()), ROTATION)
}

fn put(folder: &tempfile::TempDir, text: &str) {
    fs::write(folder.path().join("token"), text).unwrap();
}

#[tokio::test]
async fn a_value_counts_until_the_rotation() {
    let folder = tempfile::tempdir().unwrap();
    put(&folder, "one");
    let (mut vaults, none, begin) = (vaults(&folder), Configured::new(), Instant::now());
    assert_eq!(&*vaults.value(REFERENCE, &none, begin).await, "one");
    put(&folder, "two");
    assert!(!vaults.rotate(&none, begin).await);
    assert_eq!(&*vaults.value(REFERENCE, &none, begin).await, "one");
    assert!(vaults.rotate(&none, begin + ROTATION).await);
    assert_eq!(&*vaults.value(REFERENCE, &none, begin + ROTATION).await, "two");
}

#[tokio::test]
async fn an_old_value_outlives_a_failure_as_long_as_it_may() {
    let folder = tempfile::tempdir().unwrap();
    put(&folder, "one");
    let (mut vaults, none, begin) = (vaults(&folder), Configured::new(), Instant::now());
    let short = "{vault://file/token?ttl=10&neg_ttl=5&resurrect_ttl=12}";
    vaults.value(short, &none, begin).await;
    vaults.value(REFERENCE, &none, begin).await;
    fs::remove_file(folder.path().join("token")).unwrap();
    for (second, expected) in [(10, "one"), (15, "one"), (25, "")] {
        let now = begin + Duration::from_secs(second);
        assert_eq!(&*vaults.value(short, &none, now).await, expected, "after {second} s");
    }
    assert_eq!(&*vaults.value(REFERENCE, &none, begin + 10 * ROTATION).await, "one", "without a limit it stays");
}

#[tokio::test]
async fn what_does_not_resolve_is_empty_and_is_asked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let (mut vaults, none, begin) = (vaults(&folder), Configured::new(), Instant::now());
    for text in [REFERENCE, "{vault://nowhere/a}", "{vault://file}"] {
        assert_eq!(&*vaults.value(text, &none, begin).await, "", "{text}");
    }
    put(&folder, "late");
    assert!(vaults.rotate(&none, begin + ROTATION).await);
    assert_eq!(&*vaults.value(REFERENCE, &none, begin + ROTATION).await, "late");
}

#[tokio::test]
async fn a_configured_vault_is_found_by_its_prefix_and_the_reference_overrides_it() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["app", "other"] {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("token"), name).unwrap();
    }
    let settings = json!({ "prefix": "app" }).as_object().unwrap().clone();
    let mine = (Arc::from("mine"), (Arc::from("file"), settings));
    let configured = Configured::from([mine, ("bad".into(), ("aws".into(), Object::new()))]);
    let (mut vaults, now) = (vaults(&folder), Instant::now());
    let cases =
        [("{vault://mine/token}", "app"), ("{vault://mine/token?prefix=other}", "other"), ("{vault://bad/token}", "")];
    for (text, expected) in cases {
        assert_eq!(&*vaults.value(text, &configured, now).await, expected, "{text}");
    }
}

#[tokio::test]
async fn nothing_shows_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    put(&folder, "hush");
    let mut vaults = vaults(&folder);
    vaults.value(REFERENCE, &Configured::new(), Instant::now()).await;
    assert!(!format!("{vaults:?}").contains("hush"));
}
