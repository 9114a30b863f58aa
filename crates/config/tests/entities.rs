//! Services, routes and plugins: defaults, shorthands, checks, updates, the shapes of errors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // tests fail by panicking

use ai_tracing_config::entities::{plugin, route, service};
use ai_tracing_config::{Schema, Stamp, form};
use serde_json::{Value, json};

const ID: &str = "0197f0c2-1111-7abc-8def-0123456789ab";
const OTHER: &str = "0197f0c2-2222-7abc-8def-0123456789ab";

fn create(schema: &Schema, input: Value) -> Value {
    schema.create_stamped(input, Stamp { id: ID, now: 1_700_000_000 }).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn refuses(schema: &Schema, input: Value, message: &str) {
    let error = schema.create(input).expect_err(message);
    assert_eq!(error.message(), message);
}

#[test]
fn a_service_has_kongs_defaults() {
    assert_eq!(
        create(service::schema(), json!({"name": "llm", "host": "api.openai.com"})),
        json!({
            "id": ID, "created_at": 1_700_000_000, "updated_at": 1_700_000_000, "name": "llm", "retries": 5,
            "protocol": "http", "host": "api.openai.com", "port": 80, "path": null, "connect_timeout": 60000,
            "write_timeout": 60000, "read_timeout": 60000, "tags": null, "client_certificate": null,
            "tls_verify": null, "tls_verify_depth": null, "ca_certificates": null, "enabled": true,
        })
    );
}

#[test]
fn a_route_has_kongs_defaults() {
    assert_eq!(
        create(route::schema(), json!({"paths": ["/v1"], "service": {"id": OTHER, "name": "dropped"}})),
        json!({
            "id": ID, "created_at": 1_700_000_000, "updated_at": 1_700_000_000, "name": null,
            "protocols": ["http", "https"], "https_redirect_status_code": 426, "strip_path": true,
            "preserve_host": false, "request_buffering": true, "response_buffering": true, "tags": null,
            "service": {"id": OTHER}, "snis": null, "sources": null, "destinations": null, "methods": null,
            "hosts": null, "paths": ["/v1"], "headers": null, "regex_priority": 0, "path_handling": "v0",
        })
    );
}

#[test]
fn a_plugin_is_created_with_its_whole_config() {
    let created = create(plugin::schema(), json!({"name": "ai-tracing"}));
    assert_eq!(created["config"]["langfuse_timeout"], 5000);
    assert_eq!(created["protocols"], json!(["grpc", "grpcs", "http", "https"]));
    assert_eq!((&created["enabled"], &created["service"]), (&json!(true), &Value::Null));
}

#[test]
fn url_sets_four_fields() {
    let cases = [
        ("https://api.openai.com", json!(["https", "api.openai.com", 443, null])),
        ("http://localhost:8080/v1", json!(["http", "localhost", 8080, "/v1"])),
        ("HTTP://a/", json!(["http", "a", 80, "/"])),
        ("http://[::1]:9000/x", json!(["http", "::1", 9000, "/x"])),
        ("http://[::1]", json!(["http", "::1", 80, null])),
    ];
    for (url, expected) in cases {
        let created = create(service::schema(), json!({"url": url, "host": "overridden"}));
        let found = json!([created["protocol"], created["host"], created["port"], created["path"]]);
        assert_eq!(found, expected, "{url}");
        assert_eq!(created.get("url"), None);
    }
}

#[test]
fn a_wrong_url_is_told_at_url() {
    let cases = [
        (json!("api.openai.com"), "schema violation (url: missing scheme in url)"),
        (json!("http://"), "schema violation (url: missing host in url)"),
        (json!("http://user:hunter2@a"), "schema violation (url: must not contain credentials)"),
        (json!("http://a/?b=c"), "schema violation (url: must not contain a query or fragment)"),
        (json!(1), "schema violation (url: expected a string)"),
        (json!("grpc://a"), "schema violation (protocol: expected one of: http, https)"),
        (json!("http://a:x"), "schema violation (port: expected an integer)"),
        (json!("http://a:70000"), "schema violation (port: value should be between 0 and 65535)"),
        (json!("http://a b"), "schema violation (host: invalid value: a b)"),
    ];
    for (url, message) in cases {
        refuses(service::schema(), json!({"url": url}), message);
    }
}

#[test]
fn a_service_is_checked() {
    let schema = service::schema();
    refuses(schema, json!({}), "schema violation (host: required field missing)");
    refuses(
        schema,
        json!({"host": "a", "read_timeout": 0}),
        "schema violation (read_timeout: value should be between 1 and 2147483646)",
    );
    refuses(
        schema,
        json!({"host": "a", "retries": 40000}),
        "schema violation (retries: value should be between 0 and 32767)",
    );
    refuses(
        schema,
        json!({"host": "a", "tls_verify": true}),
        "schema violation (tls_verify: can only be set when 'protocol' is 'https')",
    );
    refuses(
        schema,
        json!({"host": "a", "client_certificate": {"id": ID}}),
        "schema violation (client_certificate: client certificates are not supported)",
    );
    refuses(
        schema,
        json!({"name": "a b", "port": "80"}),
        "3 schema violations (host: required field missing; name: invalid value 'a b': the only accepted ascii \
         characters are alphanumerics or ., -, _, and ~; port: expected an integer)",
    );
    refuses(schema, json!({"id": "1", "host": "a"}), "schema violation (id: expected a valid UUID)");
    refuses(schema, json!("x"), "schema violation (expected a record)");
}

#[test]
fn a_route_must_match_something() {
    let schema = route::schema();
    refuses(
        schema,
        json!({}),
        "schema violation (must set one of 'methods', 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'https')",
    );
    refuses(
        schema,
        json!({"protocols": ["http"], "paths": []}),
        "schema violation (must set one of 'methods', 'hosts', 'headers', 'paths' when 'protocols' is 'http')",
    );
    let error = schema.create(json!({})).unwrap_err();
    assert_eq!(
        error.fields,
        json!({"@entity": ["must set one of 'methods', 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'https'"]})
    );
    for one in [
        json!({"paths": ["/"]}),
        json!({"hosts": ["a"]}),
        json!({"methods": ["GET"]}),
        json!({"headers": {"x-version": ["1"]}}),
    ] {
        create(schema, one);
    }
}

#[test]
fn a_route_is_checked() {
    let schema = route::schema();
    let error = schema.create(json!({"paths": ["/a", "b"], "methods": ["get"], "protocols": ["grpc"]})).unwrap_err();
    assert_eq!(
        error.fields,
        json!({
            "methods": ["invalid value: get"],
            "paths": [null, "should start with: / (fixed path) or ~/ (regex path)"],
            "protocols": ["expected one of: http, https"],
        })
    );
    assert_eq!(
        error.message(),
        "3 schema violations (methods[1]: invalid value: get; paths[2]: should start with: / (fixed path) or ~/ \
         (regex path); protocols[1]: expected one of: http, https)"
    );
    refuses(
        schema,
        json!({"paths": ["/"], "protocols": []}),
        "schema violation (protocols: length must be at least 1)",
    );
    refuses(
        schema,
        json!({"paths": ["/"], "snis": ["a"]}),
        "schema violation (snis: matching by SNI is not supported)",
    );
    refuses(
        schema,
        json!({"paths": ["/"], "headers": {"Host": ["a"]}}),
        "schema violation (headers: cannot contain 'host' header, which must be specified in the 'hosts' attribute)",
    );
    refuses(schema, json!({"paths": ["/"], "headers": {"x": "1"}}), "schema violation (headers.x: expected an array)");
    refuses(schema, json!({"paths": ["/"], "service": {}}), "schema violation (service.id: missing primary key)");
    refuses(schema, json!({"paths": ["/"], "service": "x"}), "schema violation (service: expected a record)");
    refuses(
        schema,
        json!({"paths": ["/"], "https_redirect_status_code": 303}),
        "schema violation (https_redirect_status_code: expected one of: 426, 301, 302, 307, 308)",
    );
}

#[test]
fn a_plugin_is_checked() {
    let schema = plugin::schema();
    refuses(schema, json!({}), "schema violation (name: required field missing)");
    refuses(
        schema,
        json!({"name": "rate-limiting", "config": {"minute": 5}, "other": 1}),
        "schema violation (name: plugin 'rate-limiting' not enabled; add it to the 'plugins' configuration property)",
    );
    refuses(
        schema,
        json!({"name": "ai-tracing", "consumer": {"id": ID}}),
        "schema violation (consumer: consumers are not supported)",
    );
    refuses(
        schema,
        json!({"name": "ai-tracing", "protocols": ["http"]}),
        "schema violation (protocols: limiting a plugin to a protocol is not supported: list both http and https)",
    );
    refuses(schema, json!({"name": "ai-tracing", "config": 1}), "schema violation (config: expected a record)");
    create(schema, json!({"name": "ai-tracing", "consumer": null, "protocols": ["http", "https"]}));
}

#[test]
fn missing_keys_are_told_at_the_key_and_at_the_record() {
    let error =
        plugin::schema().create(json!({"name": "ai-tracing", "config": {"langfuse_enabled": true}})).unwrap_err();
    let failed = "failed conditional validation given value of field 'langfuse_enabled'";
    assert_eq!(
        error.fields,
        json!({"config": {
            "@entity": [failed, failed],
            "langfuse_public_key": "required when langfuse_enabled is true",
            "langfuse_secret_key": "required when langfuse_enabled is true",
        }})
    );
    assert_eq!(
        error.to_string(),
        "2 schema violations (config.langfuse_public_key: required when langfuse_enabled is true; \
         config.langfuse_secret_key: required when langfuse_enabled is true)"
    );
}

#[test]
fn sets_drop_repetitions_and_lists_keep_them() {
    let created = create(route::schema(), json!({"tags": ["a", "b", "a"], "paths": ["/a", "/a"]}));
    assert_eq!((&created["tags"], &created["paths"]), (&json!(["a", "b"]), &json!(["/a", "/a"])));
}

#[test]
fn what_is_given_is_not_stamped() {
    let created = create(service::schema(), json!({"host": "a", "id": OTHER, "created_at": 5, "updated_at": 6}));
    assert_eq!(json!([created["id"], created["created_at"], created["updated_at"]]), json!([OTHER, 5, 1_700_000_000]));
}

#[test]
fn a_patch_merges_records_and_replaces_the_rest() {
    let schema = plugin::schema();
    let current = create(
        schema,
        json!({"name": "ai-tracing", "tags": ["a", "b"], "config": {
            "langfuse_enabled": true, "langfuse_public_key": "pk", "langfuse_secret_key": "sk",
            "queue": {"max_batch_size": 7}, "redact": [{"pattern": "a"}, {"pattern": "b"}],
        }}),
    );
    let patch = form::decode(
        &[
            ("config.log_level", "debug"),
            ("config.queue.max_entries", "5"),
            ("config.redact[1].pattern", "c"),
            ("tags", "z"),
        ],
        schema,
        Some(&current),
    );
    let patched = schema.update_stamped(&current, patch, 1_800_000_000).unwrap();
    let mut expected = current.clone();
    expected["config"]["log_level"] = json!("debug");
    expected["config"]["queue"]["max_entries"] = json!(5);
    expected["config"]["redact"] = json!([{"pattern": "c", "replacement": "[REDACTED]"}]);
    expected["tags"] = json!(["z"]);
    expected["updated_at"] = json!(1_800_000_000);
    assert_eq!(patched, expected);
}

#[test]
fn a_patch_unsets_by_null_and_is_checked_as_a_whole() {
    let schema = plugin::schema();
    let current = create(
        schema,
        json!({"name": "ai-tracing", "tags": ["a"], "config": {
            "langfuse_enabled": true, "langfuse_public_key": "pk", "langfuse_secret_key": "sk",
        }}),
    );
    assert_eq!(schema.update(&current, json!({"tags": null})).unwrap()["tags"], Value::Null);
    let refused = |patch| schema.update(&current, patch).unwrap_err().to_string();
    assert_eq!(
        refused(json!({"config": {"langfuse_secret_key": null}})),
        "schema violation (config.langfuse_secret_key: required when langfuse_enabled is true)"
    );
    assert_eq!(
        refused(json!({"config": {"log_level": null}})),
        "schema violation (config.log_level: required field missing)"
    );
    assert_eq!(refused(json!({"id": OTHER})), "schema violation (id: immutable field cannot be updated)");
    assert_eq!(refused(json!({"color": "red"})), "schema violation (color: unknown field)");
    assert!(schema.update(&current, json!({"id": ID})).is_ok());
}

#[test]
fn a_patched_url_sets_four_fields() {
    let current = create(service::schema(), json!({"url": "http://a:1/b"}));
    let patched = service::schema().update(&current, json!({"url": "https://c"})).unwrap();
    assert_eq!(
        json!([patched["protocol"], patched["host"], patched["port"], patched["path"]]),
        json!(["https", "c", 443, null])
    );
}

#[test]
fn the_documented_commands_decode_and_create() {
    let pairs = [
        ("name", "ai-tracing"),
        ("config.langfuse_enabled", "true"),
        ("config.langfuse_public_key", "pk-lf-dev-xxx"),
        ("config.langfuse_secret_key", "sk-lf-dev-xxx"),
        ("config.environment", "development"),
    ];
    let created = create(plugin::schema(), form::decode(&pairs, plugin::schema(), None));
    assert_eq!(created["config"]["environment"], "development");
    let pairs = [("name", "r"), ("paths[]", "/v1"), ("service.id", OTHER), ("strip_path", "false")];
    let created = create(route::schema(), form::decode(&pairs, route::schema(), None));
    assert_eq!(json!([created["paths"], created["strip_path"]]), json!([["/v1"], false]));
}

#[test]
fn references_are_listed_with_their_collections() {
    let found: Vec<_> = plugin::schema().foreign().collect();
    assert_eq!(found, [("service", "services"), ("route", "routes"), ("consumer", "consumers")]);
}
