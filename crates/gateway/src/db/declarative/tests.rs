//! Files that are valid, files that are not, and what is said about them.

use std::path::Path;

use ai_tracing_config::ai_tracing::AiTracing;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::db::{Kind, Tables, text};

fn load(document: &str) -> Result<Tables, Vec<String>> {
    read(document).and_then(|document| parse(document, 7)).map_err(|errors| errors.lines().to_vec())
}

fn by_name(tables: &Tables, kind: Kind, name: &str) -> Value {
    tables.by_name(kind, name).unwrap().clone()
}

#[test]
fn every_example_is_a_configuration() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yml") {
            let tables =
                load(&std::fs::read_to_string(&path).unwrap()).unwrap_or_else(|why| panic!("{path:?}: {why:?}"));
            let entities = tables.entities().unwrap();
            assert!(!entities.routes.is_empty() && !entities.plugins.is_empty(), "{path:?}");
            for plugin in entities.plugins {
                AiTracing::from_value(&plugin.config).unwrap();
            }
            seen += 1;
        }
    }
    assert!(seen >= 4, "{seen} examples");
}

#[test]
fn what_is_nested_belongs_to_what_it_stands_in() {
    let tables = load(
        "
_format_version: '3.0'
_transform: false
_comment: all of it
services:
- name: my-service
  _comment: and here
  url: https://example.com
  plugins:
  - name: ai-tracing
  routes:
  - name: my-route
    paths: [/]
    plugins:
    - name: ai-tracing
- host: b.test
routes:
- name: by-name
  service: my-service
  paths: [/a]
- name: by-id
  service: 0855b320-0dd2-547d-891d-601e9b38647f
  paths: [/b]
- name: by-reference
  service: {name: my-service}
  paths: [/c]
- name: loose
  service: null
  paths: [/d]
plugins:
- name: ai-tracing
consumers: []
",
    )
    .unwrap();
    let service = json!({ "id": "0855b320-0dd2-547d-891d-601e9b38647f" });
    for route in ["my-route", "by-name", "by-id", "by-reference"] {
        assert_eq!(by_name(&tables, Kind::Routes, route)["service"], service, "{route}");
    }
    assert_eq!(by_name(&tables, Kind::Routes, "loose")["service"], Value::Null);
    assert_eq!(by_name(&tables, Kind::Routes, "my-route")["created_at"], 7);
    let mut scopes: Vec<_> = tables
        .all(Kind::Plugins)
        .values()
        .map(|plugin| (plugin["service"].is_null(), plugin["route"].is_null()))
        .collect();
    scopes.sort_unstable();
    assert_eq!(scopes, [(false, true), (true, false), (true, true)]);
    assert_eq!(tables.all(Kind::Services).len(), 2);
}

#[test]
fn ids_are_kongs_and_stay() {
    let document = "
_format_version: '3.0'
services:
- name: my-service
  host: a.test
  routes:
  - name: my-route
    paths: [/]
  - paths: [/nameless]
  plugins:
  - name: ai-tracing
- {id: AAAAAAAA-1111-4111-8111-111111111111, host: b.test}
";
    let tables = load(document).unwrap();
    // As Kong derives them from these names (its own tests carry both).
    assert_eq!(by_name(&tables, Kind::Services, "my-service")["id"], "0855b320-0dd2-547d-891d-601e9b38647f");
    assert_eq!(by_name(&tables, Kind::Routes, "my-route")["id"], "481a9539-f49c-51b6-b2e2-fe99ee68866c");
    assert!(tables.get(Kind::Services, "aaaaaaaa-1111-4111-8111-111111111111").is_some());
    assert_eq!(load(document).unwrap(), tables, "the nameless route and the plugin keep theirs too");
}

#[test]
fn errors_name_their_place() {
    let version = "_format_version: '3.0'\n";
    let cases: [(&str, &[&str]); 17] = [
        ("services: []", &["_format_version: required field missing"]),
        ("_format_version: '4.0'", &["_format_version: expected one of: 1.1, 2.1, 3.0"]),
        ("_format_version: 3.0", &["_format_version: expected a string"]),
        ("{}", &["_format_version: required field missing"]),
        ("[]", &["failed parsing declarative configuration: expected an object"]),
        ("hello", &["failed parsing declarative configuration: expected an object"]),
        ("V\n_transform: 1", &["_transform: expected a boolean"]),
        (
            "V\nplugins:\n- {name: ai-tracing, config: {langfuse_enabled: true, langfuse_secret_key: s}}",
            &["plugins[0].config.langfuse_public_key: required when langfuse_enabled is true"],
        ),
        (
            "V\nservices:\n- host: a.test\n  routes:\n  - paths: [/]\n  - {paths: [/], colour: red}",
            &["services[0].routes[1].colour: unknown field"],
        ),
        (
            "V\nplugins:\n- name: ai-tracing\n  config: {redact: [{pattern: a}, {pattern: '('}]}",
            &["plugins[0].config.redact[1].pattern: not a valid regex: unclosed group"],
        ),
        (
            "V\nplugins:\n- name: key-auth",
            &["plugins[0].name: plugin 'key-auth' not enabled; add it to the 'plugins' configuration property"],
        ),
        (
            "V\nroutes:\n- {paths: [/], service: nope}",
            &["routes[0].service: invalid reference 'service: nope' (no such entry in 'services')"],
        ),
        (
            "V\nconsumers:\n- username: a\nupstreams:\n- name: b",
            &[
                "consumers: not supported: this gateway has services, routes and plugins, and no other entities of Kong",
                "upstreams: not supported: this gateway has services, routes and plugins, and no other entities of Kong",
            ],
        ),
        ("V\nservice: []", &["service: unknown field"]),
        ("V\nservices: 1\nroutes: [1]", &["services: expected an array", "routes[0]: expected a record"]),
        (
            "V\nservices:\n- {name: a, host: a.test, id: 11111111-1111-4111-8111-111111111111}\n- {name: a, host: a.test}",
            &["services[1]: uniqueness violation: 'services' entity with name set to 'a' already declared"],
        ),
        (
            "V\nplugins:\n- {name: ai-tracing, id: 11111111-1111-4111-8111-111111111111}\n- name: ai-tracing",
            &["plugins[1]: uniqueness violation: a plugin of this name already stands here"],
        ),
    ];
    for (document, lines) in cases {
        assert_eq!(load(&document.replace("V\n", version)).unwrap_err(), lines, "{document}");
    }
}

#[test]
fn a_refused_parent_is_told_once() {
    let document =
        "_format_version: '3.0'\nservices:\n- name: a\n  routes:\n  - paths: [/]\n  plugins:\n  - name: ai-tracing";
    assert_eq!(load(document).unwrap_err(), ["services[0].host: required field missing"]);
}

#[test]
fn syntax_errors_say_where_and_show_nothing() {
    let why =
        load("_format_version: '3.0'\nplugins:\n- name: ai-tracing\n  config: {key: sk-lf-secret]\n").unwrap_err();
    assert_eq!(why.len(), 1);
    assert!(why[0].starts_with("failed parsing declarative configuration: ") && why[0].contains("line 4"), "{why:?}");
    assert!(!why[0].contains("sk-lf"), "{why:?}");
}

#[test]
fn paths_of_older_formats_say_what_they_are() {
    let paths = |format: &str| {
        let document = format!(
            "_format_version: '{format}'\nservices:\n- host: a.test\n  routes:\n  - name: r\n    paths: [/plain-1._~%20, '/v\\d+', '~/marked']"
        );
        by_name(&load(&document).unwrap(), Kind::Routes, "r")["paths"].clone()
    };
    let marked = json!(["/plain-1._~%20", "~/v\\d+", "~/marked"]);
    assert_eq!((paths("1.1"), paths("2.1")), (marked.clone(), marked));
}

#[test]
fn aliases_cannot_make_a_bomb() {
    let mut document = "_format_version: '3.0'\n_ignore:\n- &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let previous = format!("*a{}, ", level - 1).repeat(10);
        document.push_str(&format!("- &a{level} [{}]\n", previous.trim_end_matches(", ")));
    }
    let why = load(&document).unwrap_err();
    assert!(why[0].starts_with("failed parsing declarative configuration: "), "{why:?}");
}

#[test]
fn an_export_is_the_same_configuration() {
    let document = "
_format_version: '3.0'
services:
- name: 'yes'
  host: a.test
  tags: ['1.0', 'null', 'a: b', '#']
  routes:
  - name: r
    paths: ['~/v\\d+']
    plugins:
    - name: ai-tracing
      config: {langfuse_enabled: true, langfuse_public_key: '0x10', langfuse_secret_key: \"a\\nb 'c' \\\"d\\\"\"}
";
    let tables = load(document).unwrap();
    let yaml = to_yaml(&tables).unwrap();
    assert_eq!(load(&yaml).unwrap(), tables, "{yaml}");
    let id = text(&by_name(&tables, Kind::Services, "yes"), "id").unwrap().to_owned();
    assert!(yaml.contains(&format!("service: {id}")), "{yaml}");
}

/// Documents that are almost right.
fn documents() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop::sample::select(vec!["ai", "ai-tracing", "3.0", "a.test", "/v1", "~/(", "http://a.test", ""])
            .prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "services",
        "routes",
        "plugins",
        "service",
        "route",
        "name",
        "id",
        "host",
        "url",
        "paths",
        "config",
        "_ignore",
        "_format_version",
        "_transform",
        "consumers",
        "tags",
    ]);
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
        ]
    })
}

proptest! {
    #[test]
    fn every_document_is_loaded_or_refused(mut document in documents()) {
        if let Some(fields) = document.as_object_mut() {
            fields.insert("_format_version".to_owned(), json!("3.0"));
        }
        match parse(document, 7) {
            Ok(tables) => {
                prop_assert!(tables.entities().is_ok());
                prop_assert_eq!(load(&to_yaml(&tables).unwrap()).unwrap(), tables);
            }
            Err(errors) => prop_assert!(!errors.is_empty() && !errors.fields().is_null()),
        }
    }
}
