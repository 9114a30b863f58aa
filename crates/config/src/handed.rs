//! Configurations as Kong hands them to a plugin at run time: validated and complete, but written in Lua.
//!
//! Lua has no `null`: what Kong's database holds as `null` is absent, so absence means `null` wherever a field may be
//! null, and the default only where it may not. An empty list looks like an empty object. Entries of Kong's own
//! (`route_id`, `__plugin_id`, `$refs`, …) stand beside the parameters.

use serde_json::{Map, Value};

use crate::schema::{Field, Kind, Record, Schema};

impl Schema {
    /// The configuration that `conf` stands for, as [`Schema::create`] takes it.
    pub fn handed(&self, conf: Value) -> Value {
        match conf {
            Value::Object(mut fields) => {
                fields.retain(|name, _| self.field(name).is_some());
                self.record.handed(fields)
            }
            other => other,
        }
    }
}

impl Record {
    fn handed(&self, mut fields: Map<String, Value>) -> Value {
        for (name, field) in &self.fields {
            match fields.remove(*name) {
                Some(value) => fields.insert((*name).to_owned(), field.handed(value)),
                None if field.required => None,
                None => fields.insert((*name).to_owned(), Value::Null),
            };
        }
        Value::Object(fields)
    }
}

impl Field {
    fn handed(&self, value: Value) -> Value {
        match (&self.kind, value) {
            (Kind::Array(_) | Kind::Set(_), Value::Object(empty)) if empty.is_empty() => Value::Array(Vec::new()),
            (Kind::Map { .. } | Kind::Record(_), Value::Array(empty)) if empty.is_empty() => Value::Object(Map::new()),
            (Kind::Array(element) | Kind::Set(element), Value::Array(items)) => {
                items.into_iter().map(|item| element.handed(item)).collect()
            }
            (Kind::Record(record), Value::Object(fields)) => record.handed(fields),
            (_, value) => value,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::ai_tracing::{AiTracing, schema};

    #[test]
    fn absence_is_null_where_null_may_be_and_else_the_default() {
        let conf = schema().handed(json!({"queue": {"max_entries": 5}, "environment": "e"}));
        let typed = AiTracing::from_value(&conf).unwrap();
        assert_eq!((typed.queue.max_bytes, typed.queue.max_entries, typed.queue.max_batch_size), (None, 5, 100));
        assert_eq!((typed.environment.as_str(), typed.langfuse_timeout), ("e", 5000.0));
    }

    #[test]
    fn what_lua_cannot_say_and_what_kong_adds_is_put_right() {
        let conf = json!({
            "providers": {}, "redact": [{"pattern": "a"}], "queue": [], "otlp_headers": [],
            "prices": [{"model": "m", "input": 1, "output": 2}],
            "__plugin_id": "x", "$refs": {"langfuse_secret_key": "{vault://env/a}"}, "route_id": "r",
        });
        let typed = AiTracing::from_value(&schema().handed(conf)).unwrap();
        assert_eq!((typed.providers.len(), typed.redact.len(), typed.prices.len()), (0, 1, 1));
        assert_eq!((typed.prices[0].cached, typed.otlp_headers.map(|map| map.len())), (None, Some(0)));
        assert!(AiTracing::from_value(&schema().handed(json!([]))).is_err());
        assert!(AiTracing::from_value(&schema().handed(json!({"providers": {"a": 1}}))).is_err());
    }
}
