use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};

use super::Admin;

/// A self-signed certificate and its key.
fn pair(key: &KeyPair) -> (String, String) {
    let params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
    (params.self_signed(key).unwrap().pem(), key.serialize_pem())
}

fn ecdsa() -> (String, String) {
    pair(&KeyPair::generate().unwrap())
}

fn authority() -> String {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

async fn certificate(admin: &Admin, snis: Value) -> Value {
    let (cert, key) = ecdsa();
    let (status, made) = admin.call("POST", "/certificates", json!({"cert": cert, "key": key, "snis": snis})).await;
    assert_eq!(status, 201, "{made}");
    made
}

#[tokio::test]
async fn a_certificate_lists_and_sets_the_names_of_its_snis() {
    let admin = Admin::start().await;
    let made = certificate(&admin, json!(["b.test", "a.test"])).await;
    let path = format!("/certificates/{}", made["id"].as_str().unwrap());
    assert_eq!(made["snis"], json!(["a.test", "b.test"]));
    assert_eq!(admin.get("/certificates").await.1["data"], json!([made]));
    let kept = admin.get("/snis/b.test").await.1;
    for (method, change, expected) in [
        ("PATCH", json!({}), json!(["a.test", "b.test"])),
        ("PATCH", json!({"snis": ["c.test", "b.test"]}), json!(["b.test", "c.test"])),
        ("PUT", json!({"cert": made["cert"], "key": made["key"], "snis": "d.test"}), json!(["d.test"])),
        ("PUT", json!({"cert": made["cert"], "key": made["key"]}), json!([])),
        ("PATCH", json!({"snis": null}), json!([])),
    ] {
        let (status, changed) = admin.call(method, &path, change.clone()).await;
        assert_eq!((status, &changed["snis"]), (200, &expected), "{method} {change}");
        assert_eq!(admin.get(&path).await.1["snis"], expected, "{method} {change}");
        if expected == json!(["b.test", "c.test"]) {
            assert_eq!(admin.get("/snis/b.test").await.1["id"], kept["id"], "a name that stays keeps its entity");
        }
    }
}

#[tokio::test]
async fn a_certificate_is_found_by_the_name_of_an_sni() {
    let admin = Admin::start().await;
    let made = certificate(&admin, json!(["*.a.test"])).await;
    assert_eq!(admin.get("/certificates/*.a.test").await, (200, made.clone()));
    let (_, patched) = admin.call("PATCH", "/certificates/%2A.a.test", json!({"tags": ["x"]})).await;
    assert_eq!(patched["id"], made["id"]);
    let listed = admin.get("/certificates/*.a.test/snis").await.1;
    assert_eq!(listed["data"][0]["name"], "*.a.test");
    let (cert, key) = ecdsa();
    let (status, new) = admin.call("PUT", "/certificates/new.test", json!({"cert": cert, "key": key})).await;
    assert_eq!((status, &new["snis"]), (200, &json!(["new.test"])));
    for (method, path) in [
        ("GET", "/certificates/none.test"),
        ("PATCH", "/certificates/none.test"),
        ("DELETE", "/certificates/none.test"),
        ("GET", "/certificates/none.test/snis"),
    ] {
        let expected = (404, json!({"message": "SNI not found"}));
        assert_eq!(admin.call(method, path, json!({})).await, expected, "{method} {path}");
    }
    assert_eq!(admin.get("/snis/new.test/certificate").await.0, 404);
}

#[tokio::test]
async fn a_certificate_that_cannot_be_served_is_refused() {
    let admin = Admin::start().await;
    let (cert, key) = ecdsa();
    let (other_cert, other_key) = ecdsa();
    let (rsa_cert, rsa_key) = pair(&KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap());
    let id = certificate(&admin, json!(["taken.test"])).await["id"].as_str().unwrap().to_owned();
    let taken = format!("taken.test already associated with existing certificate '{id}'");
    for (label, body, field, message) in [
        ("another key", json!({"cert": cert, "key": other_key}), "@entity", "certificate does not match key"),
        (
            "another alternative key",
            json!({"cert": cert, "key": key, "cert_alt": rsa_cert, "key_alt": other_key}),
            "@entity",
            "alternative certificate does not match key",
        ),
        (
            "two of a kind",
            json!({"cert": cert, "key": key, "cert_alt": other_cert, "key_alt": other_key}),
            "@entity",
            "certificate and alternative certificate need to have different type (e.g. RSA and ECDSA), the provided \
             certificates were both of the same type",
        ),
        (
            "half a pair",
            json!({"cert": cert, "key": key, "cert_alt": rsa_cert}),
            "@entity",
            "all or none of these fields must be set: 'cert_alt', 'key_alt'",
        ),
        (
            "a name twice",
            json!({"cert": cert, "key": key, "snis": ["x.test", "x.test"]}),
            "snis",
            "x.test is duplicated",
        ),
        ("a name of another", json!({"cert": cert, "key": key, "snis": ["taken.test"]}), "snis", &taken),
    ] {
        let (status, answer) = admin.call("POST", "/certificates", body).await;
        let said = &answer["fields"][field];
        let said = said.as_str().or_else(|| said[0].as_str());
        assert_eq!((status, said), (400, Some(message)), "{label}: {answer}");
    }
    for field in ["cert", "key"] {
        let mut body = json!({"cert": cert, "key": key});
        body[field] = "nonsense".into();
        let (status, answer) = admin.call("POST", "/certificates", body).await;
        let said = answer["fields"][field].as_str().unwrap();
        assert!(status == 400 && said.starts_with("invalid "), "{answer}");
    }
    let pair = json!({"cert": cert, "key": key, "cert_alt": rsa_cert, "key_alt": rsa_key});
    assert_eq!(admin.call("POST", "/certificates", pair).await.0, 201);
    let kept_elsewhere = json!({"cert": "{vault://env/cert}", "key": "{vault://env/key}"});
    assert_eq!(admin.call("POST", "/certificates", kept_elsewhere).await.0, 201);
}

#[tokio::test]
async fn a_certificate_in_use_stays_and_takes_its_snis_along_otherwise() {
    let admin = Admin::start().await;
    let made = certificate(&admin, json!(["a.test"])).await;
    let path = format!("/certificates/{}", made["id"].as_str().unwrap());
    let client = json!({"id": made["id"]});
    let service = json!({"name": "s", "url": "https://a.test", "client_certificate": client});
    assert_eq!(admin.call("POST", "/services", service).await.0, 201);
    assert_eq!(admin.get("/services/s/client_certificate").await, (200, made.clone()));
    assert_eq!(admin.get(&format!("{path}/services")).await.1["data"][0]["name"], "s");
    let (status, refused) = admin.call("DELETE", &path, Value::Null).await;
    let message = "an existing 'services' entity references this 'certificates' entity";
    assert_eq!((status, &refused["message"]), (400, &json!(message)));
    admin.call("DELETE", "/services/s", Value::Null).await;
    assert_eq!(admin.call("DELETE", &path, Value::Null).await.0, 204);
    assert_eq!(admin.get("/snis/a.test").await.0, 404);
}

#[tokio::test]
async fn an_authority_is_one_valid_certificate_that_no_service_lists() {
    let admin = Admin::start().await;
    let (leaf, _) = ecdsa();
    for (cert, message) in [
        (format!("{}{}", authority(), authority()), "please submit only one certificate at a time"),
        (leaf, "certificate does not appear to be a CA because it is missing the \"CA\" basic constraint"),
    ] {
        let (status, answer) = admin.call("POST", "/ca_certificates", json!({ "cert": cert })).await;
        assert_eq!((status, &answer["fields"]["@entity"]), (400, &json!([message])));
    }
    let cert = authority();
    let (_, made) = admin.call("POST", "/ca_certificates", json!({"cert": cert, "cert_digest": "mine"})).await;
    assert_eq!(made["cert_digest"].as_str().map(str::len), Some(64));
    assert_eq!(admin.call("POST", "/ca_certificates", json!({ "cert": cert })).await.1["code"], 5);
    let (id, path) = (&made["id"], format!("/ca_certificates/{}", made["id"].as_str().unwrap()));
    let service = json!({"name": "s", "url": "https://a.test", "ca_certificates": [id]});
    let service = admin.call("POST", "/services", service).await.1;
    let (status, refused) = admin.call("DELETE", &path, Value::Null).await;
    let (id, service) = (id.as_str().unwrap(), service["id"].as_str().unwrap());
    let message = format!("ca certificate {id} is still referenced by services (id = {service})");
    assert_eq!((status, refused), (400, json!({"code": 19, "name": "referenced by others", "message": message})));
    admin.call("DELETE", "/services/s", Value::Null).await;
    assert_eq!(admin.call("DELETE", &path, Value::Null).await.0, 204);
}
