//! One entity at a time: by id and by name, alone and within what it belongs to.

use super::*;

#[tokio::test]
async fn an_entity_is_read_changed_replaced_and_removed() {
    let gateway = Gateway::new();
    let (id, _) = gateway.with_route().await;
    for key in ["ai", &id, &id.to_uppercase()] {
        assert_eq!(gateway.get(&format!("/services/{key}")).await.body["id"], json!(id), "{key}");
    }
    let patched = gateway.patch("/services/ai", json!({ "name": null, "retries": 1, "path": "/v2" })).await;
    assert_eq!((patched.status, &patched.body["name"]), (StatusCode::OK, &Value::Null));
    assert_eq!((&patched.body["retries"], &patched.body["host"]), (&json!(1), &json!("127.0.0.1")));
    let replaced = gateway.put(&format!("/services/{id}"), json!({ "host": "b.test", "name": "b" })).await;
    assert_eq!((replaced.status, replaced.id()), (StatusCode::OK, id.as_str()));
    assert_eq!((&replaced.body["retries"], &replaced.body["path"]), (&json!(5), &Value::Null), "defaults again");
    assert_eq!(gateway.delete("/routes/chat").await.status, 204);
    let gone = gateway.delete("/services/b").await;
    assert_eq!((gone.status, gone.body), (StatusCode::NO_CONTENT, Value::Null));
    assert_eq!(gateway.delete("/services/b").await.status, 204, "removing nothing is fine");
    let missing = gateway.get("/services/b").await;
    assert_eq!((missing.status, missing.body), (StatusCode::NOT_FOUND, json!({ "message": "Not found" })));
    assert_eq!(gateway.applied(), Entities::default());
}

#[tokio::test]
async fn put_makes_what_is_not_there() {
    let gateway = Gateway::new();
    let id = "11111111-1111-4111-8111-111111111111";
    let by_id = gateway.put(&format!("/services/{id}"), json!({ "host": "a.test" })).await;
    assert_eq!((by_id.status, by_id.id()), (StatusCode::OK, id));
    let by_name = gateway.put("/services/named", json!({ "host": "b.test", "name": "ignored" })).await;
    assert_eq!((by_name.status, &by_name.body["name"]), (StatusCode::OK, &json!("named")));
    let again = gateway.put("/services/named", json!({ "host": "c.test" })).await;
    assert_eq!((again.id(), &again.body["host"]), (by_name.id(), &json!("c.test")));
}

#[tokio::test]
async fn plugins_answer_to_their_instance_name() {
    let gateway = Gateway::new();
    let plugin = gateway.post("/plugins", json!({ "name": "ai-tracing", "instance_name": "everything" })).await;
    assert_eq!(gateway.get("/plugins/everything").await.body, plugin.body);
    assert_eq!(gateway.get("/plugins/ai-tracing").await.status, 404, "the name is not a key");
    assert_eq!(gateway.delete("/plugins/everything").await.status, 204);
    assert_eq!(gateway.get("/plugins").await.body, json!({ "data": [], "next": null }));
}

#[tokio::test]
async fn what_belongs_to_a_service_is_found_there_and_nowhere_else() {
    let gateway = Gateway::new();
    let (service, route) = gateway.with_route().await;
    gateway.post("/services", json!({ "name": "other", "host": "b.test" })).await;
    let plugin = gateway.post("/routes/chat/plugins", json!({ "name": "ai-tracing" })).await;
    assert_eq!(plugin.body["route"], json!({ "id": route }));
    let there = ["/services/ai/routes/chat".to_owned(), format!("/routes/chat/plugins/{}", plugin.id())];
    for path in &there {
        assert_eq!(gateway.get(path).await.status, 200, "{path}");
    }
    let elsewhere = ["/services/other/routes/chat", "/services/ai/routes/nope", "/services/nope/routes/chat"];
    for path in elsewhere {
        for method in [Method::GET, Method::PATCH, Method::DELETE] {
            let answer = gateway.call(method.clone(), path, JSON, "{}").await;
            assert_eq!(
                (answer.status, answer.body),
                (StatusCode::NOT_FOUND, json!({ "message": "Not found" })),
                "{path}"
            );
        }
    }
    let patched = gateway.patch(&there[0], json!({ "strip_path": false })).await;
    assert_eq!((patched.status, &patched.body["strip_path"]), (StatusCode::OK, &json!(false)));
    assert_eq!(patched.body["service"], json!({ "id": service }));
    let put = gateway.put("/services/ai/routes/second", json!({ "paths": ["/second"] })).await;
    assert_eq!((put.status, &put.body["service"]["id"]), (StatusCode::OK, &json!(service)));
    assert_eq!(gateway.get("/services/ai/routes").await.names(), ["chat", "second"]);
    assert_eq!(gateway.delete("/services/ai/routes/second").await.status, 204);
    assert_eq!(gateway.get("/services/ai/routes").await.names(), ["chat"]);
}

#[tokio::test]
async fn the_service_of_a_route() {
    let gateway = Gateway::new();
    let (service, _) = gateway.with_route().await;
    assert_eq!(gateway.get("/routes/chat/service").await.id(), service);
    let patched = gateway.patch("/routes/chat/service", json!({ "host": "b.test" })).await;
    assert_eq!((patched.id(), &patched.body["host"]), (service.as_str(), &json!("b.test")));
    assert_eq!(gateway.delete("/routes/chat/service").await.status, 405);
    gateway.post("/routes", json!({ "name": "loose", "paths": ["/x"] })).await;
    for method in [Method::GET, Method::PATCH, Method::DELETE] {
        assert_eq!(gateway.call(method, "/routes/loose/service", JSON, "{}").await.status, 404);
    }
    let made = gateway.put("/routes/loose/service", json!({ "name": "made", "host": "m.test" })).await;
    assert_eq!(made.status, 200, "{}", made.body);
    assert_eq!(gateway.get("/routes/loose/service").await.id(), made.id());
    assert_eq!(gateway.put("/routes/nope/service", json!({ "host": "m.test" })).await.status, 404);
}

#[tokio::test]
async fn references_may_name_what_they_mean() {
    let gateway = Gateway::new();
    let (service, _) = gateway.with_route().await;
    let json = gateway.post("/routes", json!({ "paths": ["/a"], "service": { "name": "ai" } })).await;
    assert_eq!(json.body["service"], json!({ "id": service }), "{}", json.body);
    let form = gateway.call(Method::POST, "/routes", FORM, "paths=/b&service.name=ai").await;
    assert_eq!(form.body["service"], json!({ "id": service }), "{}", form.body);
    let unset = gateway.patch(&format!("/routes/{}", form.id()), json!({ "service": null })).await;
    assert_eq!(unset.body["service"], Value::Null);
}

#[tokio::test]
async fn plugins_go_with_what_they_stand_on() {
    let gateway = Gateway::new();
    gateway.with_route().await;
    for path in ["/plugins", "/services/ai/plugins", "/routes/chat/plugins"] {
        assert_eq!(gateway.post(path, json!({ "name": "ai-tracing" })).await.status, 201, "{path}");
    }
    assert_eq!(gateway.delete("/routes/chat").await.status, 204);
    assert_eq!(gateway.applied().plugins.len(), 2);
    assert_eq!(gateway.delete("/services/ai").await.status, 204);
    assert_eq!(gateway.applied().plugins.len(), 1);
}
