//! Made without the SDK, for the phases `request-headers` and `response-headers` and nothing newer: what plugins in other
//! languages do, and what those made before `request-head` and `changes` are.

#[cfg(target_family = "wasm")]
mod component {
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package sandgate:typed;
            world typed {
                export sandgate:plugin/lifecycle@0.1.0;
                export sandgate:plugin/request-headers@0.1.0;
                export sandgate:plugin/response-headers@0.1.0;
            }
        ",
        world: "sandgate:typed/typed",
        generate_all,
    });

    use exports::sandgate::plugin::{
        lifecycle::{self, ConfigError, Manifest, Prepared, Scope},
        request_headers, response_headers,
    };
    use sandgate::plugin::types::{
        HeaderOp, Refusal, RequestChanges, RequestDecision, ResponseChanges, ResponseDecision,
    };

    struct Typed;

    impl lifecycle::Guest for Typed {
        fn describe() -> Manifest {
            Manifest {
                name: "typed".into(),
                version: "1.0.0".into(),
                priority: 500,
                config_schema: r#"{"type":"object","properties":{}}"#.into(),
                request_headers: vec!["x-first".into(), "x-second".into()],
                response_headers: vec!["content-type".into()],
                capabilities: Vec::new(),
                collections: Vec::new(),
                consumer_scope: true,
                protocols: Vec::new(),
            }
        }

        fn validate(_config: String) -> Result<(), Vec<ConfigError>> {
            Ok(())
        }

        fn configure(_id: u32, _config: String, _scope: Scope) -> Result<Prepared, Vec<ConfigError>> {
            Ok(Prepared { request_headers: Vec::new(), response_headers: Vec::new(), queue: None, timer: None })
        }

        fn release(_id: u32) {}
    }

    impl request_headers::Guest for Typed {
        fn on_request(_config: u32, headers: Vec<Option<String>>, repeated: u64) -> RequestDecision {
            if headers[1].as_deref() == Some("refuse me") {
                return RequestDecision::Refuse(Refusal {
                    status: 403,
                    message: "as asked".into(),
                    headers: Vec::new(),
                });
            }
            let saw = format!("{} {repeated}", joined(&headers));
            RequestDecision::Change(RequestChanges {
                headers: vec![HeaderOp::Set(("x-saw".into(), saw)), HeaderOp::Remove("x-second".into())],
                response_headers: vec![HeaderOp::Set(("x-promised".into(), "kept".into()))],
                method: None,
                path: None,
                query: None,
                body: None,
            })
        }
    }

    impl response_headers::Guest for Typed {
        fn on_response(_config: u32, status: u16, headers: Vec<Option<String>>, _repeated: u64) -> ResponseDecision {
            let saw = format!("{status} {}", joined(&headers));
            ResponseDecision::Change(ResponseChanges {
                status: Some(202),
                headers: vec![HeaderOp::Append(("x-saw".into(), saw))],
            })
        }
    }

    fn joined(headers: &[Option<String>]) -> String {
        headers.iter().map(|value| value.as_deref().unwrap_or("none")).collect::<Vec<_>>().join(",")
    }

    export!(Typed);
}
