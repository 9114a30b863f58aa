//! Without a database: one document in, one document out, and nothing in between.

use super::*;

const YAML: Option<&str> = Some("application/yaml");
const DOCUMENT: &str = "
_format_version: '3.0'
services:
- name: ai
  url: https://api.openai.com
  routes:
  - name: chat
    paths: [/v1]
plugins:
- name: ai-tracing
";

fn document() -> Value {
    json!({
        "_format_version": "3.0",
        "services": [{ "name": "ai", "host": "a.test", "routes": [{ "name": "chat", "paths": ["/v1"] }] }],
    })
}

#[tokio::test]
async fn single_entities_cannot_be_written() {
    let gateway = Gateway::declarative(document());
    let id = gateway.get("/services/ai").await.id().to_owned();
    let by_id = format!("/services/{id}");
    let cases = [
        (Method::POST, "/services", "cannot create 'services' entities when not using a database"),
        (Method::PUT, by_id.as_str(), "cannot create or update 'services' entities when not using a database"),
        (Method::PATCH, by_id.as_str(), "cannot update 'services' entities when not using a database"),
        (Method::DELETE, by_id.as_str(), "cannot remove 'services' entities when not using a database"),
        (Method::PATCH, "/services/ai", "cannot update 'services' entities by 'name' when not using a database"),
        (Method::DELETE, "/services/ai", "cannot remove 'services' entities by 'name' when not using a database"),
        (
            Method::PUT,
            "/services/ai",
            "cannot create or update 'services' entities by 'name' when not using a database",
        ),
    ];
    for (method, path, message) in cases {
        let answer = gateway.call(method.clone(), path, JSON, r#"{"host":"b.test"}"#).await;
        let body = json!({ "code": 12, "name": "operation unsupported", "message": message });
        assert_eq!((answer.status, answer.body), (StatusCode::METHOD_NOT_ALLOWED, body), "{method} {path}");
    }
    let route = gateway.post("/services/ai/routes", json!({ "paths": ["/"] })).await;
    assert_eq!(route.body["message"], "cannot create 'routes' entities when not using a database");
    let invalid = gateway.post("/services", json!({})).await;
    assert_eq!(invalid.status, 400, "what is wrong is told first, as in Kong");
    assert_eq!(gateway.delete("/services/nope").await.status, 204);
    assert_eq!(gateway.get("/services").await.names(), ["ai"]);
}

#[tokio::test]
async fn a_document_comes_in_every_wrapping() {
    let multipart = format!("--b\r\nContent-Disposition: form-data; name=\"config\"\r\n\r\n{DOCUMENT}\r\n--b--");
    let form: String = form_urlencoded::Serializer::new(String::new()).append_pair("config", DOCUMENT).finish();
    let json = document().to_string();
    let cases = [
        (YAML, DOCUMENT.to_owned()),
        (Some("text/yaml"), DOCUMENT.to_owned()),
        (JSON, json.clone()),
        (JSON, json!({ "config": DOCUMENT }).to_string()),
        (JSON, json!({ "config": json }).to_string()),
        (FORM, form),
        (Some("multipart/form-data; boundary=b"), multipart),
    ];
    for (content_type, body) in cases {
        let gateway = Gateway::declarative(json!({ "_format_version": "3.0" }));
        let answer = gateway.call(Method::POST, "/config", content_type, &body).await;
        assert_eq!(answer.status, 201, "{content_type:?} {}", answer.body);
        let id = gateway.get("/services/ai").await.id().to_owned();
        assert_eq!(answer.body["services"][&id]["name"], "ai");
        assert_eq!(gateway.applied().routes[0].service.as_ref().unwrap().id, id);
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_document_is_told_where_it_is() {
    let gateway = Gateway::declarative(document());
    let before = gateway.node.db.digest();
    let answer = gateway.call(Method::POST, "/config", YAML, "_format_version: '1.1'\nservices:\n- port: -12\n").await;
    let body = json!({
        "code": 14, "name": "invalid declarative configuration",
        "message": "declarative config is invalid: {services={{host=\"required field missing\",\
                    port=\"value should be between 0 and 65535\"}}}",
        "fields": { "services": [{ "host": "required field missing", "port": "value should be between 0 and 65535" }] },
    });
    assert_eq!((answer.status, answer.body), (StatusCode::BAD_REQUEST, body));
    let twice = "_format_version: '1.1'\nservices:\n- {name: foo, host: a.test}\n- {name: foo, host: b.test}\n";
    let answer = gateway.call(Method::POST, "/config", YAML, twice).await;
    let why = "uniqueness violation: 'services' entity with primary key set to \
               '2933fbcc-9d7c-54a7-a984-fe2bde836cea' already declared";
    assert_eq!(answer.body["fields"], json!({ "services": [null, why] }));
    assert_eq!(answer.body["message"], json!(format!("declarative config is invalid: {{services={{[2]=\"{why}\"}}}}")));
    let error = "failed parsing declarative configuration: expected an object";
    let answer = gateway.post("/config", json!({ "config": "bobby tables" })).await;
    assert_eq!(answer.body["fields"], json!({ "error": error }));
    assert_eq!(answer.body["message"], json!(format!("declarative config is invalid: {{error=\"{error}\"}}")));
    let answer = gateway.call(Method::POST, "/config", None, "").await;
    assert_eq!(
        (answer.status, answer.body),
        (StatusCode::BAD_REQUEST, json!({ "message": "expected a declarative configuration" }))
    );
    gateway.proxy.refuses.store(true, Ordering::Relaxed);
    assert_eq!(gateway.call(Method::POST, "/config", YAML, DOCUMENT).await.status, 400);
    assert_eq!(gateway.node.db.digest(), before, "and nothing has changed");
}

#[tokio::test]
async fn the_same_document_need_not_be_loaded_again() {
    let gateway = Gateway::declarative(document());
    let answer = gateway.call(Method::POST, "/config?check_hash=1", JSON, &document().to_string()).await;
    assert_eq!(answer.status, 304);
    let answer = gateway.call(Method::POST, "/config?check_hash=1", YAML, DOCUMENT).await;
    assert_eq!(answer.status, 201);
    let status = gateway.get("/status").await.body;
    assert_eq!(status["configuration_hash"], json!(gateway.node.db.digest()));
    assert_eq!(status.get("database"), None);
}

#[tokio::test]
async fn what_is_exported_can_be_loaded() {
    let database = Gateway::new();
    database.with_route().await;
    let config = json!({ "langfuse_enabled": true, "langfuse_public_key": "pk", "langfuse_secret_key": "no: 3.0" });
    database.post("/routes/chat/plugins", json!({ "name": "ai-tracing", "config": config })).await;
    let exported = database.get("/config").await.body["config"].as_str().unwrap().to_owned();
    let gateway = Gateway::declarative(json!({ "_format_version": "3.0" }));
    let answer = gateway.call(Method::POST, "/config", YAML, &exported).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert_eq!(gateway.node.db.digest(), database.node.db.digest());
}

#[tokio::test]
async fn with_a_database_documents_are_refused() {
    let answer = Gateway::new().call(Method::POST, "/config", YAML, DOCUMENT).await;
    let message = "this endpoint is only available when Kong is configured to not use a database";
    assert_eq!((answer.status, answer.body), (StatusCode::BAD_REQUEST, json!({ "message": message })));
}
