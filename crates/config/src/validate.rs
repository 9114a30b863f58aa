//! Creating and updating: unknown fields refused, types and rules checked, defaults filled, checks between fields run.
//!
//! The output has every field of the schema (`null` where there is no value), and is a fixed point: creating from it
//! again gives the same.

use serde_json::{Map, Number, Value};

use crate::invalid::{Invalid, Segment, Violation};
use crate::rule::Rule;
use crate::schema::{Auto, Check, Field, Kind, Record, Schema};
use crate::typedefs::Typedef;
use crate::vault;

/// What is filled into an entity when it is created.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    /// A UUID, for an entity that brings none.
    pub id: &'a str,
    /// Seconds since the epoch.
    pub now: u64,
}

impl Schema {
    /// A complete value from a partial one.
    ///
    /// # Errors
    /// Everything that is wrong with `input`, at once.
    pub fn create(&self, input: Value) -> Result<Value, Invalid> {
        Run::default().whole(self, input)
    }

    /// As [`Schema::create`], filling ids and times too.
    ///
    /// # Errors
    /// As [`Schema::create`].
    pub fn create_stamped(&self, input: Value, stamp: Stamp<'_>) -> Result<Value, Invalid> {
        Run { id: Some(stamp.id), now: Some(stamp.now), ..Run::default() }.whole(self, input)
    }

    /// Kong's PATCH: records are merged field by field, everything else is replaced, `null` unsets. Neither argument's
    /// value is used when the result is refused.
    ///
    /// # Errors
    /// Everything that is wrong with the merged value.
    pub fn update(&self, current: &Value, patch: Value) -> Result<Value, Invalid> {
        Run::default().patched(self, current, patch)
    }

    /// As [`Schema::update`], renewing `updated_at`. The id cannot change.
    ///
    /// # Errors
    /// As [`Schema::update`].
    pub fn update_stamped(&self, current: &Value, patch: Value, now: u64) -> Result<Value, Invalid> {
        Run { now: Some(now), ..Run::default() }.patched(self, current, patch)
    }

    /// What an empty input becomes, whether or not it would be accepted.
    pub fn defaults(&self) -> Value {
        Run::default().record(&self.record, Map::new())
    }
}

#[derive(Default)]
struct Run<'a> {
    id: Option<&'a str>,
    now: Option<u64>,
    path: Vec<Segment>,
    violations: Vec<Violation>,
}

impl Run<'_> {
    fn whole(mut self, schema: &Schema, input: Value) -> Result<Value, Invalid> {
        let Value::Object(mut input) = input else {
            self.whole_error("expected a record");
            return Err(Invalid::new(self.violations));
        };
        let mut inner = None;
        if let Some(subschema) = &schema.subschema
            && let Some(key) = input.get(subschema.key).and_then(Value::as_str)
        {
            inner = (subschema.find)(key);
            // Nothing else can be said about an entity of an unknown type.
            if inner.is_none() {
                return Err(Invalid::at(subschema.key, subschema.unknown.replace("%s", key)));
            }
        }
        if let (Some(subschema), Some(inner)) = (&schema.subschema, inner) {
            let value = input.remove(subschema.field).unwrap_or_else(|| Value::Object(Map::new()));
            let value = self.within(Segment::Field(subschema.field.to_owned()), |run| match value {
                Value::Object(fields) => run.record(&inner.record, fields),
                Value::Null => run.error("required field missing"),
                _ => run.error("expected a record"),
            });
            input.insert(subschema.field.to_owned(), value);
        }
        let output = self.record(&schema.record, input);
        if self.violations.is_empty() { Ok(output) } else { Err(Invalid::new(self.violations)) }
    }

    fn patched(mut self, schema: &Schema, current: &Value, patch: Value) -> Result<Value, Invalid> {
        let Value::Object(patch) = patch else {
            self.whole_error("expected a record");
            return Err(Invalid::new(self.violations));
        };
        for (name, _) in schema.record.fields.iter().filter(|(_, field)| field.auto == Some(Auto::Id)) {
            if patch.get(*name).is_some_and(|id| current.get(name) != Some(id)) {
                return Err(Invalid::at(name, "immutable field cannot be updated"));
            }
        }
        let mut merged = current.clone();
        // The type that the patch names decides how its subschema's field is merged.
        let inner = match &schema.subschema {
            Some(subschema) if patch.contains_key(subschema.key) => {
                schema.subschema_of(Some(&Value::Object(patch.clone())))
            }
            _ => schema.subschema_of(Some(current)),
        };
        let inner_field = schema.subschema.as_ref().map(|subschema| subschema.field);
        merge(&mut merged, patch, &|name| match inner {
            Some(inner) if Some(name) == inner_field => Some(&inner.record),
            _ => schema.record.inner(name),
        });
        self.whole(schema, merged)
    }

    fn record(&mut self, record: &Record, mut input: Map<String, Value>) -> Value {
        for shorthand in &record.shorthands {
            let expanded = match input.remove(shorthand.name) {
                None | Some(Value::Null) => continue,
                Some(Value::String(text)) => (shorthand.expand)(&text),
                Some(_) => Err("expected a string".to_owned()),
            };
            match expanded {
                Ok(fields) => input.extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value))),
                Err(message) => {
                    self.within(Segment::Field(shorthand.name.to_owned()), |run| run.error(message));
                    // The fields it stands for are not missing: they could not be read.
                    return Value::Null;
                }
            }
        }
        let start = self.violations.len();
        let mut output = Map::new();
        for (name, field) in &record.fields {
            let value = input.remove(*name);
            let value = self.within(Segment::Field((*name).to_owned()), |run| run.field(field, value));
            output.insert((*name).to_owned(), value);
        }
        for name in input.into_iter().map(|(name, _)| name) {
            self.within(Segment::Field(name), |run| run.error("unknown field"));
        }
        for check in &record.checks {
            self.check(check, &output, start);
        }
        Value::Object(output)
    }

    fn field(&mut self, field: &Field, value: Option<Value>) -> Value {
        match self.filled(field, value) {
            Value::Null => {
                if field.required {
                    self.error("required field missing");
                }
                Value::Null
            }
            value => self.value(field, value),
        }
    }

    /// The value, or what stands in for an absent one.
    fn filled(&self, field: &Field, value: Option<Value>) -> Value {
        match (field.auto, value) {
            (Some(Auto::Id), None | Some(Value::Null)) => self.id.map_or(Value::Null, Value::from),
            (Some(Auto::CreatedAt), None | Some(Value::Null)) => self.now.map_or(Value::Null, Value::from),
            (Some(Auto::UpdatedAt), value) => self.now.map(Value::from).or(value).unwrap_or_default(),
            (_, Some(value)) => value,
            (_, None) => match (&field.default, &field.kind) {
                (Some(default), _) => default.clone(),
                (None, Kind::Record(_)) if field.required => Value::Object(Map::new()),
                _ => Value::Null,
            },
        }
    }

    fn value(&mut self, field: &Field, value: Value) -> Value {
        // What cannot be set has no other flaws worth telling.
        if let Some(Rule::Null(message)) = field.rules.iter().find(|rule| matches!(rule, Rule::Null(_))) {
            return self.error(*message);
        }
        let before = self.violations.len();
        let value = match (&field.kind, value) {
            (Kind::String, Value::String(text)) if field.referenceable && vault::is_reference(&text) => {
                return Value::String(text);
            }
            (Kind::String, value @ Value::String(_)) => value,
            (Kind::String, _) => return self.error("expected a string"),
            (Kind::Number, Value::Number(number)) if number.as_f64().is_some_and(f64::is_finite) => number.into(),
            (Kind::Number, _) => return self.error("expected a number"),
            (Kind::Integer, Value::Number(number)) => match whole(&number) {
                Some(number) => number.into(),
                None => return self.error("expected an integer"),
            },
            (Kind::Integer, _) => return self.error("expected an integer"),
            (Kind::Boolean, value @ Value::Bool(_)) => value,
            (Kind::Boolean, _) => return self.error("expected a boolean"),
            (Kind::Array(element), Value::Array(items)) => Value::Array(self.items(element, items)),
            (Kind::Array(_), _) => return self.error("expected an array"),
            (Kind::Set(element), Value::Array(items)) => Value::Array(self.items(element, distinct(items))),
            (Kind::Set(_), _) => return self.error("expected a set"),
            (Kind::Map { keys, values }, Value::Object(entries)) => self.entries(keys, values, entries),
            (Kind::Map { .. }, _) => return self.error("expected a map"),
            (Kind::Record(record), Value::Object(fields)) => self.record(record, fields),
            (Kind::Record(_), _) => return self.error("expected a record"),
            (Kind::Foreign(_), value) => self.foreign(value),
            (Kind::Any, value) => value,
        };
        if self.violations.len() == before {
            self.rules(field, &value);
        }
        value
    }

    fn rules(&mut self, field: &Field, value: &Value) {
        // Kong: the empty string is no value unless a length is stated.
        if value == "" && !field.rules.iter().any(|rule| matches!(rule, Rule::LenMin(_))) {
            self.error("length must be at least 1");
            return;
        }
        if let Some(message) = field.rules.iter().find_map(|rule| rule.check(value).err()) {
            self.error(message);
        }
    }

    fn items(&mut self, element: &Field, items: Vec<Value>) -> Vec<Value> {
        let item = |(index, item)| self.within(Segment::Index(index), |run| run.field(element, Some(item)));
        items.into_iter().enumerate().map(item).collect()
    }

    /// A wrong name is told at the map, as in Kong; a wrong value under its name.
    fn entries(&mut self, keys: &Field, values: &Field, entries: Map<String, Value>) -> Value {
        let entry = |(name, value): (String, Value)| {
            let before = self.violations.len();
            self.value(keys, Value::String(name.clone()));
            if self.violations.len() > before {
                return (name, Value::Null);
            }
            let value = self.within(Segment::Field(name.clone()), |run| run.field(values, Some(value)));
            (name, value)
        };
        Value::Object(entries.into_iter().map(entry).collect())
    }

    /// Only the id of a reference is kept.
    fn foreign(&mut self, value: Value) -> Value {
        let Value::Object(mut fields) = value else {
            return self.error("expected a record");
        };
        let id = self.within(Segment::Field("id".to_owned()), |run| match fields.remove("id") {
            None | Some(Value::Null) => run.error("missing primary key"),
            Some(id) => match Typedef::Uuid.check(&id) {
                Ok(()) => id,
                Err(message) => run.error(message),
            },
        });
        Value::Object(Map::from_iter([("id".to_owned(), id)]))
    }

    /// `start`: where this record's violations begin.
    fn check(&mut self, check: &Check, output: &Map<String, Value>, start: usize) {
        // A field that was refused is null in the output; it was meant to be there.
        let given = |run: &Self, names: &[&str]| {
            names.iter().any(|name| is_nonempty(output, name) || run.is_wrong(name, start))
        };
        match check {
            Check::RequiredIf { field, when, is } => {
                if output.get(*when) == Some(is) && is_null(output, field) && !self.is_wrong(field, start) {
                    self.conditional(field, when, format!("required when {when} is {is}"));
                }
            }
            Check::NullUnless { field, when, one_of } => {
                let allowed = output.get(*when).and_then(Value::as_str).is_none_or(|value| one_of.contains(&value));
                if !allowed && !is_null(output, field) {
                    let names: Vec<_> = one_of.iter().map(|value| format!("'{value}'")).collect();
                    self.conditional(field, when, format!("can only be set when '{when}' is {}", names.join(" or ")));
                }
            }
            Check::AtLeastOneOf(names) => {
                if !given(self, names) {
                    self.entity(format!("at least one of these fields must be non-empty: {}", quoted(names)));
                }
            }
            Check::AtLeastOneOfIf { when, cases } => {
                let contains = |value: &str| {
                    output
                        .get(*when)
                        .and_then(Value::as_array)
                        .is_some_and(|list| list.iter().any(|item| item == value))
                };
                if let Some((_, names, message)) = cases.iter().find(|(value, ..)| contains(value))
                    && !given(self, names)
                {
                    self.entity(message.replace("%s", &quoted(names)));
                }
            }
        }
    }

    /// A failed `conditional`: Kong tells it twice, at the record and at the field; ours says why at the field.
    fn conditional(&mut self, field: &str, when: &str, message: String) {
        let mut violation = Violation::entity(
            self.path.clone(),
            format!("failed conditional validation given value of field '{when}'"),
        );
        violation.implied = true;
        self.violations.push(violation);
        self.within(Segment::Field(field.to_owned()), |run| run.error(message));
    }

    /// True when something has been said about a field of the current record, or inside it.
    fn is_wrong(&self, field: &str, start: usize) -> bool {
        let depth = self.path.len();
        let within = |path: &[Segment]| matches!(path.get(depth), Some(Segment::Field(name)) if name == field);
        self.violations.iter().skip(start).any(|violation| within(&violation.path))
    }

    fn within<T>(&mut self, segment: Segment, inside: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(segment);
        let result = inside(self);
        self.path.pop();
        result
    }

    fn error(&mut self, message: impl Into<String>) -> Value {
        self.violations.push(Violation::at(self.path.clone(), message));
        Value::Null
    }

    fn entity(&mut self, message: String) {
        self.violations.push(Violation::entity(self.path.clone(), message));
    }

    fn whole_error(&mut self, message: &str) {
        self.entity(message.to_owned());
    }
}

impl Record {
    /// The record inside a field.
    fn inner(&self, name: &str) -> Option<&Record> {
        match &self.field(name)?.kind {
            Kind::Record(record) => Some(record),
            _ => None,
        }
    }
}

fn merge<'s>(current: &mut Value, patch: Map<String, Value>, inner: &dyn Fn(&str) -> Option<&'s Record>) {
    let Value::Object(current) = current else {
        *current = Value::Object(patch);
        return;
    };
    for (name, value) in patch {
        match (inner(&name), current.get_mut(&name), value) {
            (Some(record), Some(current @ Value::Object(_)), Value::Object(patch)) => {
                merge(current, patch, &|name| record.inner(name));
            }
            (_, _, value) => {
                current.insert(name, value);
            }
        }
    }
}

/// A JSON number without a fraction, of a size that every reader of JSON keeps exactly (2^53).
fn whole(number: &Number) -> Option<i64> {
    const EXACT: i64 = 1 << 53;
    let value = match number.as_i64() {
        Some(value) => value,
        #[allow(clippy::cast_possible_truncation)] // checked against EXACT before
        None => number.as_f64().filter(|value| value.fract() == 0.0 && value.abs() <= EXACT as f64)? as i64,
    };
    (-EXACT..=EXACT).contains(&value).then_some(value)
}

fn distinct(items: Vec<Value>) -> Vec<Value> {
    let mut seen = std::collections::HashSet::new();
    items.into_iter().filter(|item| !item.is_string() || seen.insert(item.to_string())).collect()
}

fn is_null(output: &Map<String, Value>, name: &str) -> bool {
    output.get(name).is_none_or(Value::is_null)
}

fn is_nonempty(output: &Map<String, Value>, name: &str) -> bool {
    match output.get(name) {
        None | Some(Value::Null) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(entries)) => !entries.is_empty(),
        Some(_) => true,
    }
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
}
