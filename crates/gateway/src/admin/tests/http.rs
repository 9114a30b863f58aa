//! Bodies, methods, headers.

use super::*;

#[tokio::test]
async fn bodies_are_what_their_type_says() {
    let gateway = Gateway::new();
    let parse = json!({ "message": "Cannot parse JSON body" });
    let media = json!({ "message": "Unsupported media type" });
    let cases = [
        (Some("application/json"), "{", 400, &parse),
        (Some("application/json"), "", 400, &parse),
        (Some("application/json; charset=utf-8"), "[1]", 400, &parse),
        (Some("application/json"), "\u{0}", 400, &parse),
        (Some("text/plain"), "name=a", 415, &media),
        (Some("application/yaml"), "name: a", 415, &media),
        (None, "{}", 415, &media),
    ];
    for method in [Method::POST, Method::PUT, Method::PATCH] {
        for (content_type, body, status, message) in cases {
            let path = if method == Method::POST { "/services" } else { "/services/a" };
            let answer = gateway.call(method.clone(), path, content_type, body).await;
            assert_eq!((answer.status.as_u16(), &answer.body), (status, message), "{method} {content_type:?} {body:?}");
        }
    }
    let ignored = gateway.call(Method::GET, "/services", JSON, "{").await;
    assert_eq!(ignored.status, 200, "a GET has no body worth reading");
}

#[tokio::test]
async fn multipart_forms_are_forms() {
    let gateway = Gateway::new();
    let body = "--b\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nai\r\n\
        --b\r\nContent-Disposition: form-data; name=\"url\"\r\n\r\nhttp://a.test\r\n--b--\r\n";
    let answer = gateway.call(Method::POST, "/services", Some("multipart/form-data; boundary=b"), body).await;
    assert_eq!((answer.status, &answer.body["host"]), (StatusCode::CREATED, &json!("a.test")));
}

#[tokio::test]
async fn bodies_are_bounded() {
    let gateway = Gateway::new();
    let answer = gateway.call(Method::POST, "/services", JSON, &" ".repeat(10 << 20)).await;
    assert_eq!(answer.status, 400, "10 MiB are read");
    let answer = gateway.call(Method::POST, "/services", JSON, &" ".repeat((10 << 20) + 1)).await;
    assert_eq!(
        (answer.status, answer.body),
        (StatusCode::PAYLOAD_TOO_LARGE, json!({ "message": "Payload too large" }))
    );
    let deep = format!("{}{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    assert_eq!(gateway.call(Method::POST, "/services", JSON, &deep).await.status, 400);
    let fields = "a=1&".repeat(1001);
    let answer = gateway.call(Method::POST, "/services", FORM, &fields).await;
    assert_eq!((answer.status, answer.body), (StatusCode::BAD_REQUEST, json!({ "message": "Too many arguments" })));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let gateway = Gateway::new();
    let request = Request::post("/services").header("content-type", "application/json").body(never()).unwrap();
    assert_eq!(gateway.send(request).await.status, 408);
}

/// A body that never comes.
fn never() -> Body {
    struct Never;
    impl http_body::Body for Never {
        type Data = axum::body::Bytes;
        type Error = std::convert::Infallible;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
            std::task::Poll::Pending
        }
    }
    Body::new(Never)
}

#[tokio::test]
async fn methods_that_are_not_there() {
    let gateway = Gateway::new();
    let cases = [
        ("/", "GET, HEAD, OPTIONS"),
        ("/services", "GET, HEAD, OPTIONS, POST"),
        ("/services/a", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
        ("/services/a/routes", "GET, HEAD, OPTIONS, POST"),
        ("/schemas/services/validate", "OPTIONS, POST"),
    ];
    for (path, allow) in cases {
        let options = gateway.call(Method::OPTIONS, path, None, "").await;
        assert_eq!(
            (options.status, options.headers["allow"].to_str().unwrap()),
            (StatusCode::NO_CONTENT, allow),
            "{path}"
        );
        let trace = gateway.call(Method::TRACE, path, None, "").await;
        assert_eq!(trace.status, 405, "{path}");
        assert_eq!(trace.body, json!({ "message": "Method not allowed" }));
    }
    for path in ["/nope", "/consumers/alice", "/services/a/b/c/d"] {
        let answer = gateway.get(path).await;
        assert_eq!((answer.status, answer.body), (StatusCode::NOT_FOUND, json!({ "message": "Not found" })), "{path}");
    }
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let gateway = Gateway::new();
    gateway.with_route().await;
    for path in ["/", "/services", "/services/ai", "/services/nope"] {
        let get = gateway.get(path).await;
        let head = gateway.call(Method::HEAD, path, None, "").await;
        assert_eq!((head.status, head.body), (get.status, Value::Null), "{path}");
        for header in ["content-type", "content-length", "server"] {
            assert_eq!(head.headers[header], get.headers[header], "{path} {header}");
        }
        assert_eq!(get.headers["content-type"], "application/json; charset=utf-8");
        assert!(get.headers["x-kong-admin-latency"].to_str().unwrap().parse::<u64>().is_ok());
    }
}

#[tokio::test]
async fn pages_of_other_sites_are_kept_out() {
    let gateway = Gateway::new();
    let from = |origin: &str| {
        let request = Request::post("/services").header("host", "127.0.0.1:8001").header("origin", origin);
        request.header("content-type", FORM.unwrap()).body(Body::from("url=http://a.test")).unwrap()
    };
    assert_eq!(gateway.send(from("http://127.0.0.1:8001")).await.status, 201);
    for origin in ["https://evil.test", "null", "http://127.0.0.1:9999"] {
        let answer = gateway.send(from(origin)).await;
        assert_eq!(answer.status, 403, "{origin}");
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
    }
}

#[tokio::test]
async fn the_node_describes_itself_without_secrets() {
    let gateway = Gateway::new();
    let config = json!({ "langfuse_enabled": true, "langfuse_public_key": "pk", "langfuse_secret_key": "sk-secret" });
    gateway.post("/plugins", json!({ "name": "ai-tracing", "config": config })).await;
    let node = gateway.get("/").await;
    let version = env!("CARGO_PKG_VERSION");
    let expected = json!({
        "tagline": "Welcome to AI Tracing", "version": "3.9.0", "edition": "community",
        "ai_tracing": { "version": version }, "hostname": "gateway-1",
        "node_id": "00000000-0000-0000-0000-000000000007", "pids": { "master": std::process::id() },
        "plugins": {
            "available_on_server": {
                "ai-tracing": { "version": version, "priority": 14 },
                "prometheus": { "version": version, "priority": 13 },
            },
            "enabled_in_cluster": ["ai-tracing"],
        },
        "configuration": { "admin_listen": ["127.0.0.1:8001"], "database": "sqlite" },
    });
    assert_eq!((node.status, node.body), (StatusCode::OK, expected));
    assert_eq!(gateway.get("/plugins/enabled").await.body, json!({ "enabled_plugins": ["ai-tracing", "prometheus"] }));
    assert!(!format!("{:?}", gateway.node).contains("sk-secret"));
}

#[tokio::test]
async fn schemas_are_shown_and_tried() {
    let gateway = Gateway::new();
    for name in ["services", "routes", "plugins"] {
        let schema = gateway.get(&format!("/schemas/{name}")).await;
        assert_eq!(schema.status, 200);
        assert!(schema.body["fields"].as_array().unwrap().iter().any(|field| field.get("id").is_some()), "{name}");
    }
    let plugin = gateway.get("/schemas/plugins/ai-tracing").await.body;
    let config = plugin["fields"].as_array().unwrap().iter().find_map(|field| field.get("config")).unwrap();
    let log_level = config["fields"].as_array().unwrap().iter().find_map(|field| field.get("log_level")).unwrap();
    assert_eq!((&log_level["type"], &log_level["default"]), (&json!("string"), &json!("info")));
    for (path, message) in
        [("/schemas/plugins/foobar", "No plugin named 'foobar'"), ("/schemas/consumers", "No entity named 'consumers'")]
    {
        let answer = gateway.get(path).await;
        assert_eq!((answer.status, answer.body), (StatusCode::NOT_FOUND, json!({ "message": message })));
    }
    let valid = gateway.post("/schemas/plugins/validate", json!({ "name": "ai-tracing" })).await;
    assert_eq!((valid.status, valid.body), (StatusCode::OK, json!({ "message": "schema validation successful" })));
    let invalid = gateway.post("/schemas/services/validate", json!({})).await;
    assert_eq!(
        (invalid.status, &invalid.body["fields"]),
        (StatusCode::BAD_REQUEST, &json!({ "host": "required field missing" }))
    );
    assert_eq!(gateway.post("/schemas/nope/validate", json!({})).await.status, 404);
    assert_eq!(gateway.get("/plugins").await.body["data"], json!([]), "nothing was kept");
}

#[tokio::test]
async fn the_status_listener() {
    let gateway = Gateway::new();
    let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    let mut status = send(&gateway.status, get("/status")).await;
    assert_eq!(status.status, 200);
    assert!(status.body["memory"]["resident_bytes"].as_u64().is_none_or(|bytes| bytes > 1 << 20));
    status.body["memory"] = Value::Null;
    let server = json!({
        "connections_active": 0, "connections_reading": 0, "connections_writing": 0, "connections_waiting": 0,
        "connections_accepted": 0, "connections_handled": 0, "total_requests": 3,
    });
    let expected = json!({
        "server": server, "memory": null, "database": { "reachable": true }, "ai_tracing": { "offered": 2 },
    });
    assert_eq!(status.body, expected);
    let ready = send(&gateway.status, get("/status/ready")).await;
    assert_eq!((ready.status, ready.body), (StatusCode::OK, json!({ "message": "ready" })));
    gateway.node.draining.store(true, Ordering::Relaxed);
    let draining = send(&gateway.status, get("/status/ready")).await;
    assert_eq!((draining.status, draining.body), (StatusCode::SERVICE_UNAVAILABLE, json!({ "message": "draining" })));
    assert_eq!(send(&gateway.status, get("/services")).await.status, 404, "no configuration on this listener");
    let post = Request::post("/status").body(Body::empty()).unwrap();
    assert_eq!(send(&gateway.status, post).await.status, 405);
}

#[tokio::test]
async fn ready_once_there_is_a_configuration() {
    let gateway = Gateway::declarative(json!({ "_format_version": "3.0" }));
    let get = || Request::get("/status/ready").body(Body::empty()).unwrap();
    let empty = send(&gateway.status, get()).await;
    assert_eq!(empty.status, 503);
    assert_eq!(empty.body["message"], "no configuration available (empty configuration present)");
    let document = json!({ "_format_version": "3.0", "services": [{ "name": "ai", "host": "a.test" }] });
    assert_eq!(gateway.post("/config", document).await.status, 201);
    assert_eq!(send(&gateway.status, get()).await.status, 200);
}

#[tokio::test]
async fn a_loopback_listener_answers_to_no_foreign_name() {
    let gateway = Gateway::new();
    for (host, status) in [
        ("localhost:8001", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1:8001", 200),
        ("[::1]:8001", 200),
        ("evil.test:8001", 403),
        ("localhost.evil.test", 403),
        ("127.0.0.1.evil.test", 403),
        ("", 403),
    ] {
        let request = Request::get("/services").header("host", host).body(Body::empty()).unwrap();
        assert_eq!(gateway.send(request).await.status, status, "{host}");
        // On other addresses any name may lead here.
        let request = Request::get("/services").header("host", host).body(Body::empty()).unwrap();
        let open = crate::admin::router(gateway.node.clone(), false);
        assert_eq!(send(&open, request).await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn collections_that_do_not_exist_here_are_empty() {
    let gateway = Gateway::new();
    for path in ["/consumers", "/certificates", "/ca_certificates", "/upstreams?size=1000", "/vaults", "/key-sets"] {
        let list = gateway.get(path).await;
        assert_eq!((list.status.as_u16(), list.body), (200, json!({ "data": [], "next": null })), "{path}");
        assert_eq!(gateway.post(path, json!({ "username": "alice" })).await.status, 405, "{path}");
    }
}
