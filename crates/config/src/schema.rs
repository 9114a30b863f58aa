//! Kong's schema language as Rust data: what a field is, which values it takes, which fields belong together.
//!
//! A schema is built once from the functions below and reads as the table it is:
//!
//! ```
//! use ai_tracing_config::schema::{Record, Schema, boolean, integer, string};
//!
//! let schema = Schema::new("example", Record::new([
//!     ("name", string().required().about("What it is called.")),
//!     ("port", integer().default(80).between(0, 65535).about("Where it listens.")),
//!     ("enabled", boolean().default(true).about("Whether it runs.")),
//! ]));
//! assert_eq!(schema.defaults()["port"], 80);
//! ```
//!
//! Only what can be said in Kong's own `schema.lua` is here, so that one can be written from the other
//! (<https://developer.konghq.com/custom-plugins/schema.lua/>).

use serde_json::Value;

use crate::rule::Rule;
use crate::typedefs::Typedef;

/// A named schema: an entity, or a plugin's `config`.
#[derive(Debug)]
pub struct Schema {
    /// Kong's name of the entity or plugin.
    pub name: &'static str,
    /// Fields and checks.
    pub record: Record,
    /// Where one field's schema depends on another field's value.
    pub subschema: Option<Subschema>,
}

/// The fields of an object, and what must hold between them.
#[derive(Debug)]
pub struct Record {
    /// Name and definition, in the order in which they are shown.
    pub fields: Vec<(&'static str, Field)>,
    /// What must hold between fields.
    pub checks: Vec<Check>,
    /// Fields that exist on input only.
    pub shorthands: Vec<Shorthand>,
}

/// The definition of one value.
#[derive(Debug)]
pub struct Field {
    /// Its type.
    pub kind: Kind,
    /// `null` is refused; without a default so is absence.
    pub required: bool,
    /// What an absent value becomes.
    pub default: Option<Value>,
    /// One or two sentences for the documentation.
    pub description: &'static str,
    /// What holds beyond the type.
    pub rules: Vec<Rule>,
    /// A secret: Kong encrypts it at rest, and we never show it.
    pub encrypted: bool,
    /// May be a vault reference (`{vault://env/NAME}`) instead of a value.
    pub referenceable: bool,
    /// No two entities share a value.
    pub unique: bool,
    /// Filled by us.
    pub auto: Option<Auto>,
}

/// Kong's types.
#[derive(Debug)]
pub enum Kind {
    /// Text.
    String,
    /// A finite number.
    Number,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// A list.
    Array(Box<Field>),
    /// A list in which repetitions are dropped.
    Set(Box<Field>),
    /// An object with any names.
    Map {
        /// What holds for the names.
        keys: Box<Field>,
        /// What holds for the values.
        values: Box<Field>,
    },
    /// An object with given names.
    Record(Record),
    /// A reference `{"id": uuid}` to an entity of the named collection.
    Foreign(&'static str),
    /// Anything; its schema is named by another field ([`Subschema`]).
    Any,
}

/// Fields that are filled when an entity is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auto {
    /// The entity's id, unless given.
    Id,
    /// Seconds since the epoch at creation, unless given.
    CreatedAt,
    /// Seconds since the epoch at the last write, always.
    UpdatedAt,
}

/// What must hold between fields of one record: Kong's entity checks.
#[derive(Debug)]
pub enum Check {
    /// Kong's `conditional` with `then_match = {required = true}`.
    RequiredIf {
        /// The field that is needed…
        field: &'static str,
        /// …once this field…
        when: &'static str,
        /// …has this value.
        is: Value,
    },
    /// Kong's `conditional` with `then_match = {eq = null}`.
    NullUnless {
        /// The field that must be null…
        field: &'static str,
        /// …unless this field…
        when: &'static str,
        /// …has one of these values.
        one_of: &'static [&'static str],
    },
    /// One of the fields must be there and not empty.
    AtLeastOneOf(&'static [&'static str]),
    /// Kong's `conditional_at_least_one_of` on a set of strings: the first case whose value the set contains decides.
    AtLeastOneOfIf {
        /// The set.
        when: &'static str,
        /// Value, fields of which one must be there and not empty, and the message.
        cases: &'static [(&'static str, &'static [&'static str], &'static str)],
    },
}

/// A field that exists on input only and stands for others.
#[derive(Debug)]
pub struct Shorthand {
    /// Its name.
    pub name: &'static str,
    /// The fields it sets (they win over fields given beside it), or what is wrong with it.
    pub expand: Expand,
}

/// A shorthand's text in, the names and values of the fields it sets out; or a message.
pub type Expand = fn(&str) -> Result<Vec<(&'static str, Value)>, String>;

/// One field's schema, named by another field's value.
#[derive(Debug)]
pub struct Subschema {
    /// The field that names it.
    pub key: &'static str,
    /// The field that it describes.
    pub field: &'static str,
    /// Finds it.
    pub find: fn(&str) -> Option<&'static Schema>,
    /// The message, at `key`, when there is none; `%s` stands for the value.
    pub unknown: &'static str,
}

impl Schema {
    /// A schema without subschemas.
    pub fn new(name: &'static str, record: Record) -> Self {
        Self { name, record, subschema: None }
    }

    /// The definition of a top-level field.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.record.field(name)
    }

    /// The fields that refer to other entities, with the collection each refers to.
    pub fn foreign(&self) -> impl Iterator<Item = (&'static str, &'static str)> + '_ {
        self.record.fields.iter().filter_map(|(name, field)| match field.kind {
            Kind::Foreign(collection) => Some((*name, collection)),
            _ => None,
        })
    }

    /// The schema of `subschema.field`, given the entity.
    pub(crate) fn subschema_of(&self, entity: Option<&Value>) -> Option<&'static Schema> {
        let subschema = self.subschema.as_ref()?;
        (subschema.find)(entity?.get(subschema.key)?.as_str()?)
    }
}

impl Record {
    /// A record without checks.
    pub fn new(fields: impl IntoIterator<Item = (&'static str, Field)>) -> Self {
        Self { fields: fields.into_iter().collect(), checks: Vec::new(), shorthands: Vec::new() }
    }

    /// Adds a check.
    pub fn check(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }

    /// Adds a shorthand.
    pub fn shorthand(mut self, shorthand: Shorthand) -> Self {
        self.shorthands.push(shorthand);
        self
    }

    /// The definition of a field.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, field)| field)
    }
}

/// Text; not empty unless [`Field::len_min`] says so.
pub fn string() -> Field {
    Field::new(Kind::String)
}

/// A finite number.
pub fn number() -> Field {
    Field::new(Kind::Number)
}

/// A whole number.
pub fn integer() -> Field {
    Field::new(Kind::Integer)
}

/// `true` or `false`.
pub fn boolean() -> Field {
    Field::new(Kind::Boolean)
}

/// A list.
pub fn array(elements: Field) -> Field {
    Field::new(Kind::Array(Box::new(elements.required())))
}

/// A list in which repetitions are dropped.
pub fn set(elements: Field) -> Field {
    Field::new(Kind::Set(Box::new(elements.required())))
}

/// An object with any names.
pub fn map(keys: Field, values: Field) -> Field {
    Field::new(Kind::Map { keys: Box::new(keys.required()), values: Box::new(values.required()) })
}

/// An object with given names.
pub fn record(record: Record) -> Field {
    Field::new(Kind::Record(record))
}

/// A reference to an entity.
pub fn foreign(collection: &'static str) -> Field {
    Field::new(Kind::Foreign(collection))
}

/// Anything.
pub fn any() -> Field {
    Field::new(Kind::Any)
}

impl Field {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            required: false,
            default: None,
            description: "",
            rules: Vec::new(),
            encrypted: false,
            referenceable: false,
            unique: false,
            auto: None,
        }
    }

    /// `null` is refused; without a default so is absence.
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// What an absent value becomes.
    pub fn default(mut self, value: impl Into<Value>) -> Self {
        self.default = Some(value.into());
        self
    }

    /// Its documentation.
    pub fn about(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// A secret that may be a vault reference.
    pub fn secret(mut self) -> Self {
        self.encrypted = true;
        self.referenceable = true;
        self
    }

    /// May be a vault reference.
    pub fn referenceable(mut self) -> Self {
        self.referenceable = true;
        self
    }

    /// No two entities share a value.
    pub fn unique(mut self) -> Self {
        self.unique = true;
        self
    }

    /// Filled when the entity is written.
    pub fn auto(mut self, auto: Auto) -> Self {
        self.auto = Some(auto);
        self
    }

    /// One of these strings.
    pub fn one_of(self, options: &'static [&'static str]) -> Self {
        self.rule(Rule::OneOf(options))
    }

    /// At least `low`, at most `high`.
    pub fn between(self, low: impl Into<f64>, high: impl Into<f64>) -> Self {
        self.rule(Rule::Between(low.into(), high.into()))
    }

    /// At least this many bytes, elements or entries. Strings that may be empty say 0.
    pub fn len_min(self, length: usize) -> Self {
        self.rule(Rule::LenMin(length))
    }

    /// At most this many bytes, elements or entries.
    pub fn len_max(self, length: usize) -> Self {
        self.rule(Rule::LenMax(length))
    }

    /// One of the named formats.
    pub fn is(self, typedef: Typedef) -> Self {
        self.rule(Rule::Is(typedef))
    }

    /// Anything else that holds for it.
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }
}
