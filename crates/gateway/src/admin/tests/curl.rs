//! The commands that installations of the plugin have in their scripts, as written.

use super::*;

const INGESTION: &str = "https://cloud.langfuse.com/api/public/ingestion";

/// `curl -X METHOD URL --data a --data b`
async fn curl(gateway: &Gateway, method: Method, path: &str, data: &[&str]) -> Answer {
    gateway.call(method, path, FORM, &data.join("&")).await
}

#[tokio::test]
async fn a_service_a_route_and_a_plugin_in_json() {
    let gateway = Gateway::new();
    let service =
        gateway.post("/services", json!({ "name": "your-ai-service", "url": "https://api.openai.com/v1" })).await;
    assert_eq!(service.status, 201);
    let service_body = json!({
        "id": service.id(), "created_at": NOW, "updated_at": NOW, "name": "your-ai-service", "retries": 5,
        "protocol": "https", "host": "api.openai.com", "port": 443, "path": "/v1", "connect_timeout": 60000,
        "write_timeout": 60000, "read_timeout": 60000, "tags": null, "client_certificate": null, "tls_verify": null,
        "tls_verify_depth": null, "ca_certificates": null, "enabled": true,
    });
    assert_eq!(service.body, service_body);
    assert_eq!(gateway.get("/services/your-ai-service").await.body, service_body);
    let route = gateway.post("/services/your-ai-service/routes", json!({ "name": "chat", "paths": ["/v1"] })).await;
    assert_eq!(route.status, 201);
    assert_eq!(route.body["service"], json!({ "id": service.id() }));
    let plugin = gateway
        .call(
            Method::POST,
            "/services/your-ai-service/plugins",
            JSON,
            r#"{
  "name": "ai-tracing",
  "config": {"langfuse_enabled": true, "langfuse_public_key": "pk-lf-xxxxxxxxxxxx", "langfuse_secret_key": "sk-lf-xxxxxxxxxxxx",
             "langfuse_endpoint": "https://cloud.langfuse.com/api/public/ingestion", "langfuse_timeout": 5000,
             "environment": "production", "log_level": "info"}}"#,
        )
        .await;
    assert_eq!(plugin.status, 201, "{}", plugin.body);
    let given = json!({
        "langfuse_enabled": true, "langfuse_public_key": "pk-lf-xxxxxxxxxxxx",
        "langfuse_secret_key": "sk-lf-xxxxxxxxxxxx", "langfuse_endpoint": INGESTION, "langfuse_timeout": 5000,
        "environment": "production", "log_level": "info",
    });
    for (parameter, value) in given.as_object().unwrap() {
        assert_eq!(plugin.body["config"][parameter], *value, "{parameter}");
    }
    assert_eq!(plugin.body["service"], json!({ "id": service.id() }));
    assert_eq!((&plugin.body["route"], &plugin.body["enabled"]), (&Value::Null, &json!(true)));
    let applied = gateway.applied();
    assert_eq!((applied.services.len(), applied.routes.len(), applied.plugins.len()), (1, 1, 1));
    assert_eq!(applied.plugins[0].config, plugin.body["config"]);
}

#[tokio::test]
async fn the_same_in_form_encoding() {
    let gateway = Gateway::new();
    let service =
        curl(&gateway, Method::POST, "/services", &["name=ai-service-dev", "url=https://api.openai.com"]).await;
    assert_eq!((service.status, &service.body["port"]), (StatusCode::CREATED, &json!(443)));
    let route = curl(
        &gateway,
        Method::POST,
        "/services/ai-service-dev/routes",
        &["name=chat-dev", "paths[]=/v1", "paths[]=/openai", "strip_path=false"],
    )
    .await;
    assert_eq!(route.status, 201, "{}", route.body);
    assert_eq!((&route.body["paths"], &route.body["strip_path"]), (&json!(["/v1", "/openai"]), &json!(false)));
    let plugin = curl(
        &gateway,
        Method::POST,
        "/services/ai-service-dev/plugins",
        &[
            "name=ai-tracing",
            "config.langfuse_enabled=true",
            "config.langfuse_public_key=pk-lf-dev-xxx",
            "config.langfuse_secret_key=sk-lf-dev-xxx",
            "config.environment=development",
        ],
    )
    .await;
    assert_eq!(plugin.status, 201, "{}", plugin.body);
    let config = &plugin.body["config"];
    assert_eq!(config["langfuse_enabled"], true);
    assert_eq!(config["langfuse_public_key"], "pk-lf-dev-xxx");
    assert_eq!(config["environment"], "development");
    assert_eq!(config["langfuse_endpoint"], INGESTION, "defaults are filled");
}

#[tokio::test]
async fn log_level_is_patched_and_plugins_are_listed() {
    let gateway = Gateway::new();
    gateway.with_route().await;
    let plugin = gateway
        .post("/services/ai/plugins", json!({ "name": "ai-tracing", "config": { "environment": "staging" } }))
        .await;
    let patched =
        curl(&gateway, Method::PATCH, &format!("/plugins/{}", plugin.id()), &["config.log_level=debug"]).await;
    assert_eq!(patched.status, 200, "{}", patched.body);
    let mut expected = plugin.body.clone();
    expected["config"]["log_level"] = json!("debug");
    assert_eq!(patched.body, expected, "all else stays");
    assert_eq!(gateway.get("/services/ai/plugins").await.body, json!({ "data": [expected], "next": null }));
    assert_eq!(gateway.applied().plugins[0].config["log_level"], "debug");
}

#[tokio::test]
async fn vault_references_stay_references() {
    let gateway = Gateway::new();
    let reference = "{vault://env/LANGFUSE_SECRET_KEY}";
    let config = json!({
        "langfuse_enabled": true, "langfuse_public_key": "pk", "langfuse_secret_key": reference
    });
    let plugin = gateway.post("/plugins", json!({ "name": "ai-tracing", "config": config })).await;
    assert_eq!(
        (plugin.status, &plugin.body["config"]["langfuse_secret_key"]),
        (StatusCode::CREATED, &json!(reference))
    );
}
