use rcgen::{KeyPair, PublicKeyData as _};
use serde_json::{Value, json};

use super::Admin;

/// PEM texts of a private key and its public key.
fn pem() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let public = key.subject_public_key_info();
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, public);
    (key.serialize_pem(), format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n"))
}

#[tokio::test]
async fn keys_belong_to_sets_and_go_with_them() {
    let admin = Admin::start().await;
    let (private, public) = pem();
    let set = admin.call("POST", "/key-sets", json!({"name": "set"})).await.1;
    let key = json!({"name": "k", "kid": "1", "pem": {"private_key": private, "public_key": public}});
    assert_eq!(admin.call("POST", "/key-sets/set/keys", key.clone()).await.0, 201);
    assert_eq!(admin.get("/keys/k/set").await, (200, set));
    let mut again = key;
    again["name"] = "other".into();
    assert_eq!(admin.call("POST", "/key-sets/set/keys", again.clone()).await.1["code"], 5, "the same kid in the set");
    assert_eq!(admin.call("POST", "/keys", again.clone()).await.0, 201, "the same kid outside of it");
    again["name"] = "third".into();
    assert_eq!(admin.call("POST", "/keys", again).await.1["code"], 5, "the same kid twice outside of any set");
    assert_eq!(admin.call("DELETE", "/key-sets/set", Value::Null).await.0, 204);
    assert_eq!(admin.get("/keys/k").await.0, 404);
    assert_eq!(admin.get("/keys/other").await.0, 200);
}

#[tokio::test]
async fn a_key_is_one_jwk_or_one_pair() {
    let admin = Admin::start().await;
    let ((private, public), (other, _)) = (pem(), pem());
    let jwk = |value: Value| value.to_string();
    let rsa = json!({"kty": "RSA", "kid": "1", "n": "AQAB", "e": "AQAB"});
    for (label, body, field, message) in [
        ("neither", json!({"kid": "1"}), "@entity", "at least one of these fields must be non-empty: 'jwk', 'pem'"),
        (
            "both",
            json!({"kid": "1", "jwk": jwk(rsa.clone()), "pem": {"public_key": public}}),
            "@entity",
            "only one or none of these fields must be set: 'jwk', 'pem'",
        ),
        ("not JSON", json!({"kid": "1", "jwk": "{"}), "@entity", "could not json decode jwk string"),
        (
            "another kid",
            json!({"kid": "2", "jwk": jwk(rsa.clone())}),
            "@entity",
            "kid in jwk.kid must be equal to keys.kid",
        ),
        (
            "a key of another",
            json!({"kid": "1", "pem": {"private_key": other, "public_key": public}}),
            "pem",
            "public key does not match private key",
        ),
        ("not PEM", json!({"kid": "1", "pem": {"public_key": "x"}}), "pem", "could not load public key"),
    ] {
        let (status, answer) = admin.call("POST", "/keys", body).await;
        let said = &answer["fields"][field];
        let said = said.as_str().or_else(|| said[0].as_str());
        assert_eq!((status, said), (400, Some(message)), "{label}: {answer}");
    }
    for body in [json!({"kid": "1", "jwk": jwk(rsa)}), json!({"kid": "2", "pem": {"private_key": private}})] {
        assert_eq!(admin.call("POST", "/keys", body.clone()).await.0, 201, "{body}");
    }
}

#[tokio::test]
async fn a_vault_has_a_kind_that_says_what_it_is_configured_with() {
    let admin = Admin::start().await;
    for (body, field, message) in [
        (json!({"prefix": "my", "name": "nope"}), "name", "vault 'nope' is not installed"),
        (json!({"prefix": "env", "name": "env"}), "prefix", "must not be one of: env"),
        (json!({"prefix": "file", "name": "env"}), "prefix", "must not be one of: env, file"),
        (json!({"prefix": "My", "name": "env"}), "prefix", "invalid value: My"),
        (json!({"prefix": "my"}), "name", "required field missing"),
    ] {
        let (status, answer) = admin.call("POST", "/vaults", body.clone()).await;
        assert_eq!((status, &answer["fields"][field]), (400, &json!(message)), "{body}");
    }
    let (_, unknown) = admin.call("POST", "/vaults", json!({"prefix": "my", "name": "env", "config": {"x": 1}})).await;
    assert_eq!(unknown["fields"], json!({"config": {"x": "unknown field"}}));
    let (status, made) = admin.call("POST", "/vaults", json!({"prefix": "my", "name": "env"})).await;
    assert_eq!((status, &made["config"]), (201, &json!({"prefix": null})));
    let (_, patched) = admin.call("PATCH", "/vaults/my", json!({"config": {"prefix": "APP_"}})).await;
    assert_eq!(patched["config"], json!({"prefix": "APP_"}));
    let (_, patched) = admin.call("PATCH", "/vaults/my", json!({"config": {}})).await;
    assert_eq!(patched["config"], json!({"prefix": "APP_"}), "records merge");
    assert_eq!(admin.get("/schemas/vaults/env").await.1["fields"][0]["config"]["type"], "record");
    assert_eq!(admin.get("/schemas/vaults/nope").await, (404, json!({"message": "No vault named 'nope'"})));
}

#[tokio::test]
async fn filter_chains_answer_as_without_wasm() {
    let admin = Admin::start().await;
    let expected = (400, json!({"message": "this endpoint is only available when wasm is enabled"}));
    for path in ["/filter-chains", "/filter-chains/x", "/routes/x/filter-chains", "/routes/x/filters/all"] {
        assert_eq!(admin.get(path).await, expected, "{path}");
    }
    assert_eq!(admin.call("POST", "/filter-chains", json!({})).await, expected);
    assert_eq!(admin.get("/schemas/filter_chains").await.0, 200);
    assert_eq!(admin.get("/schemas/filters/x").await, (404, json!({"message": "Filter 'x' not found"})));
}
