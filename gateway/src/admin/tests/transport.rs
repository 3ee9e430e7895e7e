use std::sync::atomic::Ordering;

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use super::{Admin, read};

#[tokio::test]
async fn bodies_are_read_by_their_type() {
    let admin = Admin::start().await;
    let urlencoded = "application/x-www-form-urlencoded";
    for (media_type, body, status, answer) in [
        (Some("application/json"), r#"{"host":"a","port":80.0}"#, 201, None),
        (Some("application/json; charset=utf-8"), r#"{"host":"a"}"#, 201, None),
        (Some("application/json"), "", 400, Some(json!({"message": "Cannot parse JSON body"}))),
        (Some("application/json"), "[1]", 400, Some(json!({"message": "Cannot parse JSON body"}))),
        (Some(urlencoded), "host=a&port=81&tags[]=x&tags[]=y&path=", 201, None),
        (Some(urlencoded), "host=a&port=x", 400, None),
        (Some("text/plain"), "host=a", 415, Some(Value::Null)),
        (None, "x", 415, Some(Value::Null)),
        (None, "", 400, None),
        (
            Some("multipart/form-data; boundary=b"),
            "--b\r\nContent-Disposition: form-data; name=\"host\"\r\n\r\na.test\r\n--b--\r\n",
            201,
            None,
        ),
    ] {
        let mut request = Request::post("/services");
        if let Some(media_type) = media_type {
            request = request.header("content-type", media_type);
        }
        let (answered, value) = read(admin.send(request.body(Body::from(body)).unwrap()).await).await;
        assert_eq!(answered, status, "{media_type:?} {body}: {value}");
        assert!(answer.is_none_or(|answer| answer == value), "{media_type:?} {body}");
    }
}

#[tokio::test]
async fn paths_and_methods_are_known_or_not() {
    let admin = Admin::start().await;
    admin.call("POST", "/consumers", json!({"username": "a b/c"})).await;
    for (method, path, status) in [
        ("GET", "/consumers/a%20b%2Fc", 200),
        ("GET", "/services/", 200),
        ("GET", "//services", 404),
        ("GET", "/services//", 404),
        ("GET", "/nope", 404),
        ("PUT", "/nope", 404),
        ("OPTIONS", "/nope", 404),
        ("PUT", "/services", 405),
        ("POST", "/", 405),
        ("HEAD", "/services/nope", 404),
        ("GET", "/schemas/services/validate", 405),
        ("GET", "/services/x/client_certificate", 404),
    ] {
        let body = if method == "PUT" || method == "POST" { json!({}) } else { Value::Null };
        assert_eq!(admin.call(method, path, body).await.0, status, "{method} {path}");
    }
}

#[tokio::test]
async fn every_answer_has_its_headers() {
    let admin = Admin::start().await;
    let request =
        Request::options("/services").header("origin", "http://a.test").header("access-control-request-headers", "x-a");
    let response = admin.send(request.body(Body::empty()).unwrap()).await;
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(
        (header("allow"), header("access-control-allow-headers")),
        ("GET, HEAD, OPTIONS, POST".into(), "x-a".into())
    );
    assert_eq!(
        (header("server"), header("access-control-allow-origin")),
        ("sandgate/0.1.0".into(), "http://a.test".into())
    );
    assert!(response.headers().contains_key("x-kong-admin-latency"));
    let response = admin.send(Request::head("/").body(Body::empty()).unwrap()).await;
    assert_ne!(response.headers()["content-length"], "0");
}

#[tokio::test]
async fn a_write_is_told_to_those_who_serve() {
    let admin = Admin::start().await;
    let body = || Body::from(r#"{"host":"a"}"#);
    let request = || Request::post("/services").header("content-type", "application/json");
    let response = admin.send(request().body(body()).unwrap()).await;
    assert!(!response.headers().contains_key("x-sandgate-config-version"));
    assert_eq!(admin.notified.load(Ordering::SeqCst), 1);
    let response = admin.send(request().header("x-sandgate-config-version", "?").body(body()).unwrap()).await;
    assert_eq!(response.headers()["x-sandgate-config-version"], "2");
    assert_eq!(admin.notified.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn the_status_api_only_reads() {
    let admin = Admin::start().await;
    let service = hyper_util::service::TowerToHyperService::new(super::status_router(admin.context.clone()));
    for (method, path, status) in [
        ("GET", "/status", 200),
        ("GET", "/status/ready", 200),
        ("GET", "/metrics", 200),
        ("GET", "/services", 404),
        ("POST", "/status", 405),
    ] {
        let request = Request::builder().method(method).uri(path).extension(super::here());
        let request = request.body(Body::empty()).unwrap();
        let response = hyper::service::Service::call(&service, request).await.unwrap();
        assert_eq!(response.status(), status, "{method} {path}");
    }
}

#[tokio::test]
async fn without_a_database_the_status_api_shows_targets_and_the_log_level_stays() {
    let mut admin = Admin::start().await;
    admin.call("POST", "/upstreams", json!({"name": "u"})).await;
    let off = |admin: &mut Admin| {
        let node = std::sync::Arc::make_mut(&mut admin.context.node);
        node.configuration.insert("database".into(), "off".into());
    };
    let ask = async |admin: &Admin, method: &str, path: &str| {
        let service = hyper_util::service::TowerToHyperService::new(super::status_router(admin.context.clone()));
        let request = Request::builder().method(method).uri(path).extension(super::here());
        let request = request.body(Body::empty()).unwrap();
        hyper::service::Service::call(&service, request).await.unwrap().status().as_u16()
    };
    assert_eq!(ask(&admin, "GET", "/upstreams/u/health").await, 404);
    off(&mut admin);
    for (method, path, status) in [
        ("GET", "/upstreams/u/health", 200),
        ("GET", "/upstreams/u/targets", 200),
        ("GET", "/upstreams/u/targets/all", 200),
        ("POST", "/upstreams/u/targets", 404),
        ("GET", "/upstreams/u", 404),
    ] {
        assert_eq!(ask(&admin, method, path).await, status, "{method} {path}");
    }
    assert_eq!(admin.call("PUT", "/debug/node/log-level/debug", Value::Null).await.0, 405);
}
