//! Pages and tags.

use super::*;

#[tokio::test]
async fn pages_lead_from_one_to_the_next() {
    let gateway = Gateway::new();
    for name in ["a", "b", "c"] {
        gateway.post("/services", json!({ "name": name, "host": "a.test", "tags": ["x y"] })).await;
    }
    let first = gateway.get("/services?size=2&tags=x%20y").await;
    assert_eq!(first.names(), ["a", "b"]);
    let offset = first.body["offset"].as_str().unwrap();
    assert_eq!(first.body["next"], json!(format!("/services?offset={offset}&tags=x%20y&size=2")));
    let second = gateway.get(first.body["next"].as_str().unwrap()).await;
    assert_eq!(second.names(), ["c"]);
    assert_eq!((&second.body["next"], second.body.get("offset")), (&Value::Null, None));
}

#[tokio::test]
async fn nested_pages_name_the_parent_as_it_was_asked_for() {
    let gateway = Gateway::new();
    gateway.with_route().await;
    gateway.post("/services/ai/routes", json!({ "name": "second", "paths": ["/2"] })).await;
    let first = gateway.get("/services/ai/routes?size=1").await;
    assert_eq!(first.names(), ["chat"]);
    let next = first.body["next"].as_str().unwrap();
    assert!(next.starts_with("/services/ai/routes?offset="), "{next}");
    assert_eq!(gateway.get(&format!("{next}&size=1")).await.names(), ["second"]);
}

#[tokio::test]
async fn pages_that_cannot_be() {
    let gateway = Gateway::new();
    let cases = [
        ("size=x", 9, "invalid size", "size must be a number"),
        ("size=0", 9, "invalid size", "size must be an integer between 1 and 1000"),
        ("offset=x", 7, "invalid offset", "'x' is not a valid offset: bad base64 encoding"),
    ];
    for (query, code, name, message) in cases {
        let answer = gateway.get(&format!("/routes?{query}")).await;
        let body = json!({ "code": code, "name": name, "message": message });
        assert_eq!((answer.status, answer.body), (StatusCode::BAD_REQUEST, body), "{query}");
    }
    assert_eq!(gateway.get("/routes?foo=bar").await.body, json!({ "data": [], "next": null }));
}

#[tokio::test]
async fn tags_select_all_or_any() {
    let gateway = Gateway::new();
    for (name, tags) in [("a", json!(["llm", "eu"])), ("b", json!(["llm", "us"])), ("c", json!(["🦍"]))] {
        gateway.post("/services", json!({ "name": name, "host": "a.test", "tags": tags })).await;
    }
    let cases: [(&str, &[&str]); 6] = [
        ("llm", &["a", "b"]),
        ("llm,eu", &["a"]),
        ("eu/us", &["a", "b"]),
        ("eu,us", &[]),
        ("nope", &[]),
        ("%F0%9F%A6%8D", &["c"]),
    ];
    for (filter, names) in cases {
        assert_eq!(gateway.get(&format!("/services?tags={filter}")).await.names(), names, "{filter}");
    }
    for (filter, why) in [
        ("", "cannot be null"),
        ("a,b/c", "invalid filter syntax"),
        ("%FF", "invalid filter syntax"),
        ("a,b,c,d,e,f", "cannot query more than 5 tags"),
    ] {
        let body = json!({
            "code": 11, "name": "invalid options", "message": format!("invalid option (tags: {why})"),
            "options": { "tags": why },
        });
        let answer = gateway.get(&format!("/services?tags={filter}")).await;
        assert_eq!((answer.status, answer.body), (StatusCode::BAD_REQUEST, body), "{filter}");
    }
}

#[tokio::test]
async fn tags_know_their_entities() {
    let gateway = Gateway::new();
    let (service, route) = gateway.with_route().await;
    gateway.patch("/services/ai", json!({ "tags": ["llm", "eu"] })).await;
    gateway.patch("/routes/chat", json!({ "tags": ["llm"] })).await;
    let entry = |tag: &str, kind: &str, id: &str| json!({ "tag": tag, "entity_name": kind, "entity_id": id });
    let all = [entry("llm", "services", &service), entry("eu", "services", &service), entry("llm", "routes", &route)];
    assert_eq!(gateway.get("/tags").await.body, json!({ "data": all, "next": null }));
    let of_llm = json!({ "data": [all[0], all[2]], "next": null });
    assert_eq!(gateway.get("/tags/llm").await.body, of_llm);
    assert_eq!(gateway.get("/tags/nope").await.body, json!({ "data": [], "next": null }));
    let mut pages = Vec::new();
    let mut next = Some("/tags?size=1".to_owned());
    while let Some(path) = next {
        let page = gateway.get(&path).await.body;
        pages.extend(page["data"].as_array().unwrap().clone());
        next = page["next"].as_str().map(|next| format!("{next}&size=1"));
    }
    assert_eq!(pages, all);
}
