//! What is refused, in Kong's words.

use super::*;

fn refused(answer: &Answer, status: u16, body: Value) {
    assert_eq!((answer.status.as_u16(), &answer.body), (status, &body));
}

#[tokio::test]
async fn schema_violations_name_their_fields() {
    let gateway = Gateway::new();
    refused(
        &gateway.post("/services", json!({ "host": "a.test", "retries": "x" })).await,
        400,
        json!({
            "code": 2, "name": "schema violation", "message": "schema violation (retries: expected an integer)",
            "fields": { "retries": "expected an integer" },
        }),
    );
    refused(
        &gateway.call(Method::POST, "/plugins", None, "").await,
        400,
        json!({
            "code": 2, "name": "schema violation", "message": "schema violation (name: required field missing)",
            "fields": { "name": "required field missing" },
        }),
    );
    refused(
        &gateway.post("/plugins", json!({ "name": "key-auth" })).await,
        400,
        json!({
            "code": 2, "name": "schema violation",
            "message": "schema violation (name: plugin 'key-auth' not enabled; add it to the 'plugins' configuration property)",
            "fields": { "name": "plugin 'key-auth' not enabled; add it to the 'plugins' configuration property" },
        }),
    );
    gateway.with_route().await;
    refused(
        &gateway.patch("/services/ai", json!({ "foo": "bar" })).await,
        400,
        json!({
            "code": 2, "name": "schema violation", "message": "schema violation (foo: unknown field)",
            "fields": { "foo": "unknown field" },
        }),
    );
    let both = gateway
        .post("/services/ai/plugins", json!({ "name": "ai-tracing", "config": { "langfuse_enabled": true } }))
        .await;
    assert_eq!(both.status, 400);
    assert_eq!(
        both.body["message"],
        "2 schema violations (config.langfuse_public_key: required when langfuse_enabled is true; \
         config.langfuse_secret_key: required when langfuse_enabled is true)"
    );
    assert_eq!(both.body["fields"]["config"]["langfuse_public_key"], "required when langfuse_enabled is true");
}

#[tokio::test]
async fn names_and_ids_are_unique() {
    let gateway = Gateway::new();
    let (service, _) = gateway.with_route().await;
    let duplicate = json!({
        "code": 5, "name": "unique constraint violation", "message": "UNIQUE violation detected on '{name=\"ai\"}'",
        "fields": { "name": "ai" },
    });
    refused(&gateway.post("/services", json!({ "name": "ai", "host": "b.test" })).await, 409, duplicate.clone());
    gateway.post("/services", json!({ "name": "b", "host": "b.test" })).await;
    refused(&gateway.patch("/services/b", json!({ "name": "ai" })).await, 409, duplicate);
    refused(
        &gateway.post("/services", json!({ "id": service, "host": "b.test" })).await,
        400,
        json!({
            "code": 3, "name": "primary key violation",
            "message": format!("primary key violation on key '{{id=\"{service}\"}}'"), "fields": { "id": service },
        }),
    );
}

#[tokio::test]
async fn a_plugin_stands_once_in_each_place() {
    let gateway = Gateway::new();
    let (service, _) = gateway.with_route().await;
    gateway.post("/services/ai/plugins", json!({ "name": "ai-tracing" })).await;
    refused(
        &gateway.post("/services/ai/plugins", json!({ "name": "ai-tracing" })).await,
        409,
        json!({
            "code": 5, "name": "unique constraint violation",
            "message": format!(
                "UNIQUE violation detected on \
                 '{{consumer=null,name=\"ai-tracing\",route=null,service={{id=\"{service}\"}}}}'"
            ),
            "fields": { "consumer": null, "name": "ai-tracing", "route": null, "service": { "id": service } },
        }),
    );
}

#[tokio::test]
async fn references_must_lead_somewhere() {
    let gateway = Gateway::new();
    let id = "11111111-1111-4111-8111-111111111111";
    refused(
        &gateway.post("/routes", json!({ "paths": ["/"], "service": { "id": id } })).await,
        400,
        json!({
            "code": 4, "name": "foreign key violation",
            "message": format!("the foreign key '{{id=\"{id}\"}}' does not reference an existing 'services' entity."),
            "fields": { "service": { "id": id } },
        }),
    );
    let why = "the foreign key cannot be resolved with '{name=\"nope\"}' for an existing 'services' entity";
    refused(
        &gateway.post("/routes", json!({ "paths": ["/"], "service": { "name": "nope" } })).await,
        400,
        json!({
            "code": 13, "name": "foreign keys unresolved",
            "message": format!("foreign key unresolved (service.name: {why})"),
            "fields": { "service": { "name": why } },
        }),
    );
    gateway.with_route().await;
    refused(
        &gateway.delete("/services/ai").await,
        400,
        json!({
            "code": 4, "name": "foreign key violation",
            "message": "an existing 'routes' entity references this 'services' entity",
            "fields": { "@referenced_by": "routes" },
        }),
    );
}

#[tokio::test]
async fn what_is_not_there_cannot_be_patched() {
    let gateway = Gateway::new();
    let id = "11111111-1111-4111-8111-111111111111";
    refused(
        &gateway.patch(&format!("/services/{id}"), json!({})).await,
        404,
        json!({
            "code": 6, "name": "not found", "fields": { "id": id },
            "message": format!("could not find the entity with primary key '{{id=\"{id}\"}}'"),
        }),
    );
    refused(
        &gateway.patch("/routes/nope", json!({})).await,
        404,
        json!({
            "code": 6, "name": "not found", "fields": { "name": "nope" },
            "message": "could not find the entity with '{name=\"nope\"}'",
        }),
    );
    refused(&gateway.patch(&format!("/plugins/{id}"), json!({})).await, 404, json!({ "message": "Not found" }));
    refused(&gateway.post("/services/nope/routes", json!({})).await, 404, json!({ "message": "Not found" }));
}

#[tokio::test]
async fn what_the_proxy_refuses_changes_nothing() {
    let gateway = Gateway::new();
    gateway.with_route().await;
    let before = (gateway.applied(), gateway.node.db.digest());
    gateway.proxy.refuses.store(true, Ordering::Relaxed);
    let answer = gateway.patch("/routes/chat", json!({ "paths": ["/other"] })).await;
    refused(
        &answer,
        400,
        json!({
            "code": 2, "name": "schema violation",
            "message": "schema violation (routes[0].paths[0]: regex parse error)",
            "fields": { "@entity": ["routes[0].paths[0]: regex parse error"] },
        }),
    );
    assert_eq!(gateway.delete("/routes/chat").await.status, 400);
    assert_eq!(gateway.get("/routes/chat").await.body["paths"], json!(["/v1"]));
    assert_eq!((gateway.applied(), gateway.node.db.digest()), before);
    gateway.proxy.refuses.store(false, Ordering::Relaxed);
    assert_eq!(gateway.delete("/routes/chat").await.status, 204, "and the next change goes through");
}
