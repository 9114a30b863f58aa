//! Services, routes and plugins: lists and single ones, by themselves and within what they belong to.

use http::{Method, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::Query;
use super::body::Body;
use super::reply::Reply;
use crate::db::{Db, Kind, Paging, Reference, Refusal, id_of, reference, text};

type Answer = Result<Reply, Reply>;

/// What stands as it is in the URL of a next page.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// GET `/services`
pub fn list(db: &Db, kind: Kind, query: &Query) -> Answer {
    let filter = query.get("tags").map(TagFilter::parse).transpose()?;
    let page = db.list(kind, &paging(query)?, |doc| filter.as_ref().is_none_or(|filter| filter.matches(doc)));
    Ok(Reply::page(page, |offset| {
        let mut next = format!("/{}?offset={}", kind.name(), escape(offset));
        for parameter in ["tags", "size"] {
            if let Some(value) = query.get(parameter) {
                next.push_str(&format!("&{parameter}={}", escape(value)));
            }
        }
        next
    }))
}

/// GET `/services/{service}/routes`
pub fn children(db: &Db, (of, key): (Kind, &str), kind: Kind, query: &Query) -> Answer {
    // Kong checks a tag filter here, and then lists everything.
    query.get("tags").map(TagFilter::parse).transpose()?;
    let paging = paging(query)?;
    let parent = parent_id(db, of, key)?;
    let page = db.list(kind, &paging, |doc| reference(doc, of) == Some(&parent));
    Ok(Reply::page(page, |offset| format!("/{}/{}/{}?offset={}", of.name(), escape(key), kind.name(), escape(offset))))
}

/// GET `/tags`, `/tags/{tag}`
pub fn tags(db: &Db, query: &Query, tag: Option<&str>) -> Answer {
    Ok(Reply::page(db.tags(&paging(query)?, tag), |offset| {
        let path = tag.map(|tag| format!("/{}", escape(tag))).unwrap_or_default();
        format!("/tags{path}?offset={}", escape(offset))
    }))
}

/// POST `/services`, `/services/{service}/routes`
pub fn create(db: &Db, kind: Kind, within: Option<(Kind, &str)>, body: Body) -> Answer {
    let mut entity = body.into_entity(kind.schema(), None);
    if let Some((of, key)) = within {
        let parent = parent_id(db, of, key)?;
        set_reference(&mut entity, of, &parent);
    }
    Ok(Reply::created(db.insert(kind, entity)?))
}

/// `/services/{service}`
pub fn item(db: &Db, method: &Method, kind: Kind, key: &str, body: Body) -> Answer {
    match *method {
        Method::PUT => Ok(Reply::ok(db.upsert(kind, key, body.into_entity(kind.schema(), None))?)),
        Method::PATCH => patch(db, kind, key, body),
        Method::DELETE => {
            db.delete(kind, key)?;
            Ok(Reply::empty(StatusCode::NO_CONTENT))
        }
        _ => Ok(Reply::found(db.get(kind, key))),
    }
}

/// `/services/{service}/routes/{route}`: as [`item`], if it belongs there.
pub fn child(db: &Db, method: &Method, (of, of_key): (Kind, &str), kind: Kind, key: &str, body: Body) -> Answer {
    let parent = parent_id(db, of, of_key)?;
    if method == Method::PUT {
        let mut entity = body.into_entity(kind.schema(), None);
        set_reference(&mut entity, of, &parent);
        return Ok(Reply::ok(db.upsert(kind, key, entity)?));
    }
    let belongs = db.get(kind, key).is_some_and(|doc| reference(&doc, of) == Some(&parent));
    if !belongs {
        return Err(Reply::not_found());
    }
    item(db, method, kind, key, body)
}

/// `/routes/{route}/service`: what an entity refers to.
pub fn parent(db: &Db, method: &Method, (kind, key): (Kind, &str), to: Kind, body: Body) -> Answer {
    if method == Method::PUT {
        let entity = body.into_entity(to.schema(), None);
        return Ok(Reply::found(db.upsert_referred(Reference { of: kind, key, to }, entity)?));
    }
    let doc = db.get(kind, key).ok_or_else(Reply::not_found)?;
    let parent = reference(&doc, to).ok_or_else(Reply::not_found)?;
    match *method {
        Method::DELETE => Err(Reply::message(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")),
        _ => item(db, method, to, parent, body),
    }
}

fn patch(db: &Db, kind: Kind, key: &str, body: Body) -> Answer {
    let current = db.get(kind, key);
    let entity = body.into_entity(kind.schema(), current.as_ref());
    // A plugin that is not there and not named cannot even be validated, and Kong says less about it.
    if current.is_none() && kind == Kind::Plugins && text(&entity, "name").is_none() {
        return Err(Reply::not_found());
    }
    Ok(Reply::ok(db.update(kind, key, entity)?))
}

fn paging(query: &Query) -> Result<Paging, Refusal> {
    Paging::parse(query.get("size"), query.get("offset"))
}

/// The id of what a nested URL is within.
fn parent_id(db: &Db, kind: Kind, key: &str) -> Result<String, Reply> {
    db.get(kind, key).map(|doc| id_of(&doc).to_owned()).ok_or_else(Reply::not_found)
}

fn set_reference(entity: &mut Value, to: Kind, id: &str) {
    if let Some(fields) = entity.as_object_mut() {
        fields.insert(to.singular().to_owned(), json!({ "id": id }));
    }
}

fn escape(text: &str) -> String {
    utf8_percent_encode(text, QUERY).to_string()
}

/// `tags=a,b` (all of them) or `tags=a/b` (any of them).
struct TagFilter {
    tags: Vec<String>,
    all: bool,
}

impl TagFilter {
    fn parse(filter: &str) -> Result<Self, Refusal> {
        if filter.is_empty() {
            return Err(Refusal::tags("cannot be null"));
        }
        // What was no UTF-8 has become U+FFFD by now.
        let printable = |c: char| c != char::REPLACEMENT_CHARACTER && !c.is_ascii_control();
        let (all, any) = (filter.contains(','), filter.contains('/'));
        if (all && any) || !filter.chars().all(printable) {
            return Err(Refusal::tags("invalid filter syntax"));
        }
        let tags: Vec<_> = filter.split([',', '/']).filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
        match tags.len() {
            0 => Err(Refusal::tags("invalid filter syntax")),
            1..=5 => Ok(Self { tags, all: !any }),
            _ => Err(Refusal::tags("cannot query more than 5 tags")),
        }
    }

    fn matches(&self, doc: &Value) -> bool {
        let tags = doc.get("tags").and_then(Value::as_array);
        let has = |tag: &String| tags.is_some_and(|tags| tags.iter().any(|known| known == tag));
        if self.all { self.tags.iter().all(has) } else { self.tags.iter().any(has) }
    }
}
