//! The console over HTTP.

mod deliveries;

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use super::*;
use crate::calls::fixtures::{STARTED, chat, http, nth, with};
use crate::calls::{Retention, Store};
use crate::db::Db;
use crate::status::ServerStats;
use ai_tracing_core::record::CallRecord;
use ai_tracing_export::exporter::{Delivery, Exporter};
use ai_tracing_export::{Address, Deliveries, DestinationStats, Fate};

const TOKEN: &str = "a token of the tests";

/// A console on a store of its own.
struct Fixture {
    dir: TempDir,
    store: Option<Store>,
    elsewhere: Arc<Mutex<Elsewhere>>,
    router: Router,
}

/// The engine, as far as the console knows it.
#[derive(Default)]
struct Elsewhere {
    destinations: Vec<DestinationStats>,
    /// Ids of the records that were sent again.
    resent: Vec<String>,
}

impl Elsewhere {
    fn exports(shared: &Arc<Mutex<Self>>, store: &Store) -> Exports {
        let (asked, sending, recorder) = (Arc::clone(shared), Arc::clone(shared), store.recorder());
        Exports {
            outcomes: store.outcomes(),
            destinations: Box::new(move || asked.lock().unwrap().destinations.clone()),
            resend: Box::new(move |key, record| {
                let mut elsewhere = sending.lock().unwrap();
                let label = elsewhere.destinations.iter().find(|it| it.key == Some(key))?.name.clone();
                elsewhere.resent.push(record.id.clone());
                let (done, told) = tokio::sync::oneshot::channel();
                recorder.told(&Address { key, label }, &record.id, Fate::Waiting, ai_tracing_export::clock::now());
                done.send(()).unwrap();
                Some(told)
            }),
        }
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

impl Fixture {
    fn new() -> Self {
        Self::with(None, "127.0.0.1:8002")
    }

    fn with(token: Option<&str>, address: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let forever = Retention { max_age: Duration::from_secs(1 << 40), max_bytes: u64::MAX };
        let store = Store::open(dir.path(), forever).unwrap();
        let db = Db::declarative(Arc::new(|_| Ok(())), Arc::new(|| 1));
        let document = json!({
            "_format_version": "3.0",
            "services": [{ "name": "ai", "url": "https://llm.test", "routes": [{ "name": "chat", "paths": ["/"] }] }],
            "plugins": [{ "name": "ai-tracing", "config": {
                "langfuse_enabled": true, "langfuse_public_key": "pk-hunter2", "langfuse_secret_key": "{vault://env/PATH}",
                "langfuse_endpoint": "https://langfuse.test/api/public/ingestion",
                "otlp_endpoint": "https://otlp.test", "otlp_headers": { "Authorization": "Bearer hunter2" },
            } }],
        });
        db.load(document).unwrap();
        let node = Arc::new(Node {
            db: Arc::new(db),
            id: uuid::Uuid::nil(),
            hostname: "host".into(),
            configuration: json!({}),
            server: Box::new(ServerStats::default),
            ai_tracing: Box::new(|| json!({ "export": { "records": 3 } })),
            metrics: Box::new(|_| String::new()),
            draining: AtomicBool::new(false),
        });
        let address: std::net::SocketAddr = address.parse().unwrap();
        let access = Access::new(token, address, 7).unwrap();
        let now = || At(STARTED.0 + 3_600_000_000_000);
        let data_dir = dir.path().to_owned();
        let elsewhere = Arc::default();
        let exports = Elsewhere::exports(&elsewhere, &store);
        let console = Console::new(data_dir, store.changes(), node, access, exports, now, address.ip().is_loopback());
        Self { router: router(Arc::new(console)), dir, store: Some(store), elsewhere }
    }

    async fn put(&self, records: &[Arc<CallRecord>]) {
        let exporter = self.store.as_ref().unwrap().exporter();
        assert_eq!(exporter.send(&exporter.encode(records).unwrap()).await, Delivery::Accepted);
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        Answer { status: head.status, headers: head.headers, text: String::from_utf8(body.to_vec()).unwrap() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::get(path).header("host", "localhost:8002");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }
}

fn ids(answer: &Answer) -> Vec<String> {
    answer.json()["calls"].as_array().unwrap().iter().map(|call| call["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let fixture = Fixture::new();
    let records: Vec<_> = (0..5)
        .map(|n| with(n, |r| r.context.user_id = Some(if n % 2 == 0 { "ann".into() } else { "b ob".into() })))
        .collect();
    fixture.put(&records).await;
    let page = fixture.get("/api/v1/calls?limit=2").await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(ids(&page), [nth(4).id, nth(3).id]);
    assert_eq!(page.json()["position"], 5);
    let next = page.json()["next"].as_str().unwrap().to_owned();
    assert_eq!(page.json()["calls"][1]["cursor"], next.as_str());
    assert_eq!(
        ids(&fixture.get(&format!("/api/v1/calls?limit=3&cursor={next}")).await),
        [nth(2).id, nth(1).id, nth(0).id]
    );
    assert_eq!(ids(&fixture.get("/api/v1/calls?user=b+ob&order=oldest").await), [nth(1).id, nth(3).id]);
    assert_eq!(ids(&fixture.get("/api/v1/calls?since=3597s&user=").await), [nth(4).id, nth(3).id]);
    for (query, why) in [
        ("nope=1", "nope: no such parameter"),
        ("cursor=1", "cursor: not a cursor of this API"),
        ("errors=maybe", "errors: neither true nor false"),
        ("status=abc", "status: not an HTTP status such as 429, 5xx or 400-499"),
        ("limit=-1", "limit: not a number"),
    ] {
        let answer = fixture.get(&format!("/api/v1/calls?{query}")).await;
        assert_eq!((answer.status, answer.json()["message"].as_str()), (StatusCode::BAD_REQUEST, Some(why)));
    }
}

#[tokio::test]
async fn one_call_is_its_record_as_stored() {
    let fixture = Fixture::new();
    fixture.put(&[Arc::new(chat())]).await;
    let answer = fixture.get(&format!("/api/v1/calls/{}", chat().id)).await;
    assert_eq!(answer.json()["record"], serde_json::to_value(chat()).unwrap());
    assert_eq!(answer.json()["trace"].as_array().unwrap().len(), 1);
    assert_eq!(answer.json()["call"]["id"], chat().id.as_str());
    assert_eq!(fixture.get(&format!("/api/v1/calls/{}", &chat().trace_id[..9])).await.status, StatusCode::OK);
    assert_eq!(fixture.get("/api/v1/calls/ffff").await.status, StatusCode::NOT_FOUND);
    fixture.put(&[Arc::new(nth(1)), Arc::new(nth(2))]).await;
    let answer = fixture.get("/api/v1/calls/019b7da0-0000").await;
    assert_eq!((answer.status, ids(&answer).len()), (StatusCode::MULTIPLE_CHOICES, 2));
}

#[tokio::test]
async fn the_http_exchange_is_told_or_why_there_is_none() {
    let fixture = Fixture::new();
    let kept = with(1, |record| record.http = Some(Box::new(http())));
    fixture.put(&[Arc::clone(&kept), Arc::new(nth(2))]).await;
    let answer = fixture.get(&format!("/api/v1/calls/{}/http", kept.id)).await;
    assert_eq!((answer.status, answer.json()), (StatusCode::OK, serde_json::to_value(http()).unwrap()));
    assert_eq!(answer.headers[header::CONTENT_TYPE], "application/json; charset=utf-8");
    assert_eq!(fixture.get(&format!("/api/v1/calls/{}/http", kept.trace_id)).await.status, StatusCode::OK);
    let message = async |path: &str| {
        let answer = fixture.get(&format!("/api/v1/calls/{path}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        answer.json()["message"].as_str().unwrap().to_owned()
    };
    assert!(message(&format!("{}/http", nth(2).id)).await.contains("capture_http"));
    assert_eq!(message("ffff/http").await, "No call or trace with this id");
    for nothing in [format!("{}/body", kept.id), format!("{}/http/x", kept.id), "/http".to_owned()] {
        message(&nothing).await;
    }
    let answer = fixture.get("/api/v1/calls/019b7da0-0000/http").await;
    assert_eq!(answer.status, StatusCode::MULTIPLE_CHOICES);
    // What is answered for a call as such has none of it.
    assert!(!fixture.get(&format!("/api/v1/calls/{}", kept.id)).await.text.contains("api-version"));
}

#[tokio::test]
async fn sums_sessions_users_and_values() {
    let fixture = Fixture::new();
    let records: Vec<_> = (0..4).map(|n| with(n, |r| r.context.session_id = Some(format!("s/{}", n % 2)))).collect();
    fixture.put(&records).await;
    let overview = fixture.get("/api/v1/overview?since=2h&parts=4&by=provider").await.json();
    assert_eq!((&overview["calls"], overview["parts"].as_array().unwrap().len()), (&json!(4), 4));
    assert_eq!(overview["part_ms"], 1_800_000.0);
    assert_eq!(overview["summed_since"], Value::Null);
    let sessions = fixture.get("/api/v1/sessions").await.json();
    assert_eq!((&sessions["sessions"][0]["id"], &sessions["sessions"][0]["calls"]), (&json!("s/1"), &json!(2)));
    assert_eq!(fixture.get("/api/v1/sessions/s%2F0").await.json()["calls"], 2);
    assert_eq!(fixture.get("/api/v1/sessions/none").await.status, StatusCode::NOT_FOUND);
    let users = fixture.get("/api/v1/users?sort=cost").await.json();
    assert_eq!((&users["users"][0]["calls"], &users["known"]), (&json!(4), &json!(1)));
    assert_eq!(fixture.get("/api/v1/values").await.json()["provider"], json!([chat().provider]));
    assert_eq!(fixture.get("/api/v1/delivery").await.json()["export"]["records"], 3);
    for wrong in ["overview?by=colour", "overview?since=1h&until=2h", "users?sort=colour", "nothing"] {
        assert!(fixture.get(&format!("/api/v1/{wrong}")).await.status.is_client_error(), "{wrong}");
    }
}

#[tokio::test]
async fn settings_hide_secrets() {
    let fixture = Fixture::new();
    let answer = fixture.get("/api/v1/settings").await;
    assert!(!answer.text.contains("hunter2"), "{}", answer.text);
    let config = &answer.json()["plugins"][0]["config"];
    assert_eq!(config["langfuse_public_key"], "(hidden)");
    assert_eq!(config["langfuse_secret_key"], "{vault://env/PATH}");
    assert_eq!(config["otlp_headers"], json!({ "Authorization": "(hidden)" }));
    assert_eq!(config["otlp_endpoint"], "https://otlp.test");
    assert_eq!(answer.json()["services"][0]["name"], "ai");
}

#[tokio::test]
async fn a_call_leads_to_the_langfuse_of_its_route() {
    let fixture = Fixture::new();
    let on = |n, route: &str| with(n, |record| record.route = Some(route.to_owned()));
    let (chat, gone) = (on(1, "chat"), on(2, "gone"));
    fixture.put(&[Arc::clone(&chat), Arc::clone(&gone)]).await;
    let answer = fixture.get(&format!("/api/v1/calls/{}", chat.id)).await;
    assert_eq!(answer.json()["langfuse"], "https://langfuse.test");
    let answer = fixture.get(&format!("/api/v1/calls/{}", gone.id)).await;
    assert_eq!(answer.json()["langfuse"], Value::Null);
}

#[tokio::test]
async fn what_is_stored_is_told_at_once() {
    let fixture = Fixture::new();
    fixture.put(&[Arc::new(nth(1))]).await;
    let request = |query: &str, last: Option<&str>| {
        let mut request = Request::get(format!("/api/v1/events?{query}")).header("host", "localhost");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        request.body(Body::empty()).unwrap()
    };
    let events = fixture.router.clone().oneshot(request("after=1", None)).await.unwrap();
    assert_eq!(events.headers()[header::CONTENT_TYPE], "text/event-stream");
    let mut events = events.into_body();
    let mut next =
        async || String::from_utf8(events.frame().await.unwrap().unwrap().into_data().unwrap().to_vec()).unwrap();
    assert_eq!(next().await, ": hello\n\n");
    fixture.put(&[Arc::new(nth(2)), Arc::new(nth(3))]).await;
    let event = next().await;
    assert!(event.starts_with("event: calls\nid: 3\ndata: [{\"seq\":2,") && event.ends_with("}]\n\n"), "{event}");
    assert_eq!(event.lines().count(), 4, "one line of data, whatever is in it");

    // A browser that was cut off goes on where it was, whatever the address says.
    let mut events = fixture.router.clone().oneshot(request("after=3", Some("2"))).await.unwrap().into_body();
    let mut next =
        async || String::from_utf8(events.frame().await.unwrap().unwrap().into_data().unwrap().to_vec()).unwrap();
    next().await;
    assert!(next().await.starts_with("event: calls\nid: 3\ndata: [{\"seq\":3,"));
    // A position of another file, and one of none.
    for position in ["after=99", "after=-9223372036854775808"] {
        let mut events = fixture.router.clone().oneshot(request(position, None)).await.unwrap().into_body();
        let mut next =
            async || String::from_utf8(events.frame().await.unwrap().unwrap().into_data().unwrap().to_vec()).unwrap();
        next().await;
        assert_eq!(next().await, "event: reset\nid: 3\ndata: {}\n\n", "{position}");
    }
}

#[tokio::test]
async fn every_answer_locks_the_page_down() {
    let fixture = Fixture::new();
    for path in
        ["/", "/overview", "/sessions/a.b", "/assets/app.js", "/icon.svg", "/nope.js", "/api/v1/calls", "/api/v2"]
    {
        let headers = fixture.get(path).await.headers;
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("unsafe"), "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["x-frame-options"], "DENY", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer");
        assert!(!headers.contains_key("access-control-allow-origin"));
    }
    assert_eq!(fixture.get("/nope.js").await.status, StatusCode::NOT_FOUND);
    let page = fixture.get("/users").await;
    assert!(page.text.contains("/assets/app.js") && !page.text.contains("<script>") && !page.text.contains("://"));
    let tag = page.headers[header::ETAG].to_str().unwrap().to_owned();
    assert_eq!(fixture.get_with("/users", &[("if-none-match", &tag)]).await.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn other_sites_and_names_are_refused() {
    let fixture = Fixture::new();
    let status = async |headers: &[(&str, &str)]| {
        let mut request = Request::get("/api/v1/calls");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        fixture.send(request.body(Body::empty()).unwrap()).await.status
    };
    assert_eq!(status(&[("host", "localhost:8002")]).await, StatusCode::OK);
    assert_eq!(status(&[("host", "127.0.0.1:8002"), ("origin", "http://127.0.0.1:8002")]).await, StatusCode::OK);
    assert_eq!(status(&[("host", "evil.test")]).await, StatusCode::FORBIDDEN);
    assert_eq!(status(&[("host", "localhost:8002"), ("origin", "http://evil.test")]).await, StatusCode::FORBIDDEN);
    let post = Request::post("/api/v1/calls").header("host", "localhost").body(Body::empty()).unwrap();
    assert_eq!(fixture.send(post).await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn elsewhere_the_token_is_asked_for() {
    let fixture = Fixture::with(Some(TOKEN), "10.0.0.1:8002");
    assert_eq!(fixture.get("/").await.status, StatusCode::OK, "the page itself shows nothing");
    for path in ["calls", "calls/x", "events", "settings", "info", "nothing"] {
        assert_eq!(fixture.get(&format!("/api/v1/{path}")).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    let login = async |body: String| {
        fixture
            .send(Request::post("/api/v1/login").header("host", "gateway.test").body(Body::from(body)).unwrap())
            .await
    };
    assert_eq!(login(json!({ "token": "a token of the testz" }).to_string()).await.status, StatusCode::FORBIDDEN);
    assert_eq!(login("{".to_owned()).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(login("x".repeat(10_000)).await.status, StatusCode::BAD_REQUEST);
    let answer = login(json!({ "token": TOKEN }).to_string()).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    let cookie = answer.headers[header::SET_COOKIE].to_str().unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && !cookie.contains(TOKEN), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    assert_eq!(fixture.get_with("/api/v1/calls", &[("cookie", cookie)]).await.status, StatusCode::OK);
    let bearer = format!("Bearer {TOKEN}");
    assert_eq!(fixture.get_with("/api/v1/calls", &[("authorization", &bearer)]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_store_that_cannot_be_read_is_told() {
    let mut fixture = Fixture::new();
    fixture.store.take().unwrap().close().unwrap();
    std::fs::write(fixture.dir.path().join("traces.db"), "this is no database ".repeat(1_000)).unwrap();
    let answer = fixture.get("/api/v1/calls").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.json()["message"].as_str().unwrap().contains("cannot read"), "{}", answer.text);
}

/// The keys of a schema's properties, and those that it requires.
fn properties(schema: &Value) -> [Vec<String>; 2] {
    let known = schema["properties"].as_object().unwrap().keys().cloned();
    let required = schema["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
    [sorted(known), sorted(required)]
}

fn keys(value: &Value) -> Vec<String> {
    sorted(value.as_object().unwrap().keys().cloned())
}

fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[tokio::test]
async fn the_openapi_file_tells_what_there_is() {
    let document: Value = serde_saphyr::from_str(include_str!("../../../../docs/api/openapi.yaml")).unwrap();
    let fixture = Fixture::new();
    fixture.put(&[Arc::new(CallRecord { http: Some(Box::new(http())), ..chat() })]).await;
    for (path, methods) in document["paths"].as_object().unwrap() {
        if path == "/events" || methods.get("get").is_none() {
            continue;
        }
        let id = if path.starts_with("/calls") { chat().id } else { chat().context.session_id.unwrap() };
        let answer = fixture.get(&format!("/api/v1{}", path.replace("{id}", &id))).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        let schema = &methods["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        if schema.get("properties").is_some() && schema.get("required").is_some() {
            let found = keys(&answer.json());
            assert_eq!(properties(schema), [found.clone(), found], "{path}");
        }
    }
    let http = fixture.get(&format!("/api/v1/calls/{}/http", chat().id)).await.json();
    let (request, response) = (&http["request"], &http["response"]);
    for (schema, value) in [
        ("HttpRequest", request),
        ("HttpResponse", response),
        ("HttpFields", &request["headers"]),
        ("HttpBody", &response["body"]),
    ] {
        assert_eq!(properties(&document["components"]["schemas"][schema]), [keys(value), keys(value)], "{schema}");
    }
    let call = keys(&fixture.get("/api/v1/calls").await.json()["calls"][0]);
    assert_eq!(properties(&document["components"]["schemas"]["Summary"]), [call.clone(), call]);
    for parameter in document["components"]["parameters"].as_object().unwrap().values() {
        let name = parameter["name"].as_str().unwrap();
        let answer = fixture.get(&format!("/api/v1/calls?{name}=?")).await;
        assert!(!answer.text.contains("no such parameter"), "{name}");
    }
}
