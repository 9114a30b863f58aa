//! What became of calls, and sending them again.

use super::*;

const KEY: [u8; 16] = [7; 16];

/// When the deliveries are told; later than the store's opening.
fn now() -> At {
    ai_tracing_export::clock::now()
}

impl Fixture {
    /// A fixture with one call, and a destination in use that so many records wait for.
    async fn with_call(waiting: u64) -> Self {
        let fixture = Self::new();
        fixture.put(&[Arc::new(nth(1))]).await;
        fixture.destination(waiting, 0.0);
        fixture
    }

    fn destination(&self, waiting: u64, oldest_seconds: f64) {
        let failing = Some("no connection".to_owned());
        let name = "otlp http://otlp.test".to_owned();
        let stats = DestinationStats { key: Some(KEY), name, waiting, oldest_seconds, failing, ..Default::default() };
        self.elsewhere.lock().unwrap().destinations = vec![stats];
    }

    /// Told, and stored: the destination has a number.
    fn tell(&self, fate: Fate<'_>, at: At) {
        let address = Address { key: KEY, label: "otlp http://otlp.test".into() };
        let connection = rusqlite::Connection::open(self.dir.path().join("traces.db")).unwrap();
        let sql = "INSERT OR IGNORE INTO destinations (key, label) VALUES (?, ?)";
        connection.execute(sql, rusqlite::params![&KEY[..], address.label]).unwrap();
        self.store.as_ref().unwrap().recorder().told(&address, &nth(1).id, fate, at);
    }

    async fn delivery(&self) -> Value {
        let answer = self.get(&format!("/api/v1/calls/{}/deliveries", nth(1).id)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.json()["deliveries"][0].clone()
    }

    async fn retry(&self, destination: &str, headers: &[(&str, &str)]) -> Answer {
        let path = format!("/api/v1/calls/{}/deliveries/{destination}/retry", nth(1).id);
        let mut request = Request::post(path).header("host", "localhost:8002");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from("{}")).unwrap()).await
    }
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn a_call_that_was_refused_is_sent_again() {
    let fixture = Fixture::with_call(0).await;
    assert_eq!(fixture.delivery().await, Value::Null, "offered to none");
    assert_eq!(fixture.get("/api/v1/calls/nothing/deliveries").await.status, StatusCode::NOT_FOUND);
    let refused = now();
    fixture.tell(Fate::Refused("HTTP 400: no"), refused);
    let delivery = fixture.delivery().await;
    let expected = json!({
        "destination": 1, "label": "otlp http://otlp.test", "state": "failed", "reason": "HTTP 400: no",
        "at": refused.to_rfc3339(), "retry": true,
    });
    assert_eq!(delivery, expected);

    fixture.destination(1, 0.0);
    let answer = fixture.retry("1", &[JSON]).await;
    assert_eq!((answer.status, &answer.json()["deliveries"][0]["state"]), (StatusCode::ACCEPTED, &json!("waiting")));
    assert_eq!(fixture.elsewhere.lock().unwrap().resent, [nth(1).id]);
    let delivery = fixture.delivery().await;
    assert_eq!((&delivery["reason"], &delivery["retry"]), (&json!("no connection"), &json!(false)));
    let again = fixture.retry("1", &[JSON]).await;
    assert_eq!((again.status, again.text.contains("waits already")), (StatusCode::CONFLICT, true));
    fixture.tell(Fate::Delivered, now());
    assert_eq!(fixture.retry("1", &[JSON]).await.status, StatusCode::CONFLICT);
    assert_eq!(fixture.retry("2", &[JSON]).await.status, StatusCode::NOT_FOUND);
    assert_eq!(fixture.elsewhere.lock().unwrap().resent.len(), 1);
}

#[tokio::test]
async fn what_no_longer_waits_was_lost_or_nobody_knows() {
    let fixture = Fixture::with_call(0).await;
    fixture.tell(Fate::Waiting, now());
    assert_eq!(fixture.delivery().await["state"], "lost", "this process has taken everything down");
    // The clock of the console stands an hour after the first call.
    fixture.tell(Fate::Waiting, STARTED);
    assert_eq!(fixture.delivery().await["state"], "unknown", "before this process began");
    fixture.destination(3, 3_600.0);
    assert_eq!(fixture.delivery().await["state"], "waiting");
    fixture.destination(3, 60.0);
    assert_eq!(fixture.delivery().await["state"], "unknown", "only younger ones wait");
    assert_eq!(fixture.delivery().await["retry"], true);
    fixture.elsewhere.lock().unwrap().destinations.clear();
    let delivery = fixture.delivery().await;
    assert_eq!((&delivery["state"], &delivery["retry"]), (&json!("unknown"), &json!(false)));
    let answer = fixture.retry("1", &[JSON]).await;
    assert_eq!((answer.status, answer.text.contains("No configuration")), (StatusCode::CONFLICT, true));
}

#[tokio::test]
async fn no_other_site_sends_anything_again() {
    let fixture = Fixture::with_call(0).await;
    fixture.tell(Fate::Dropped("too many"), now());
    let status = async |headers: &[(&str, &str)]| fixture.retry("1", headers).await.status;
    assert_eq!(status(&[JSON, ("origin", "http://evil.test")]).await, StatusCode::FORBIDDEN);
    assert_eq!(status(&[JSON, ("origin", "null")]).await, StatusCode::FORBIDDEN);
    for site in ["cross-site", "same-site", "none"] {
        assert_eq!(status(&[JSON, ("sec-fetch-site", site)]).await, StatusCode::FORBIDDEN, "{site}");
    }
    // What a form of another site can send.
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        assert_eq!(status(&[("content-type", media_type)]).await, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    assert_eq!(status(&[]).await, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let path = format!("/api/v1/calls/{}/deliveries/1/retry", nth(1).id);
    let answer = fixture.get(&path).await;
    assert_eq!(
        (answer.status, answer.headers[header::ALLOW].to_str().unwrap()),
        (StatusCode::METHOD_NOT_ALLOWED, "POST")
    );
    assert!(fixture.elsewhere.lock().unwrap().resent.is_empty());
    let own = [
        ("content-type", "application/json; charset=utf-8"),
        ("sec-fetch-site", "same-origin"),
        ("origin", "http://localhost:8002"),
    ];
    assert_eq!(status(&own).await, StatusCode::ACCEPTED);

    let closed = Fixture::with(Some(TOKEN), "10.0.0.1:8002");
    assert_eq!(closed.retry("1", &[JSON]).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn calls_that_did_not_arrive_are_listed() {
    let fixture = Fixture::with_call(0).await;
    fixture.put(&[Arc::new(nth(2))]).await;
    let connection = rusqlite::Connection::open(fixture.dir.path().join("traces.db")).unwrap();
    connection.execute("INSERT INTO deliveries (seq, destination, state, at) VALUES (1, 1, 4, 0)", []).unwrap();
    assert_eq!(ids(&fixture.get("/api/v1/calls?delivery=failed").await), [nth(1).id]);
    let wrong = fixture.get("/api/v1/calls?delivery=late").await;
    assert_eq!(
        (wrong.status, wrong.json()["message"].as_str()),
        (StatusCode::BAD_REQUEST, Some("delivery: not failed"))
    );
}
