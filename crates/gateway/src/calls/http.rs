//! The HTTP exchange of a call as a row of its own: its JSON, packed where that pays. Bodies of text and rows of headers
//! take a third of their room then.

use std::io::{self, Read, Write};

use ai_tracing_core::http::Http;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use rusqlite::types::{Type, Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, params};

/// Bytes of JSON from which on packing is tried: below, it gains little.
const WORTH_PACKING: usize = 512;
/// Bytes of JSON that one exchange has at most, two bodies of which each byte is escaped by six; for a damaged row.
const MAX_JSON: u64 = 8 << 20;

/// What a row holds.
pub(super) fn pack(http: &Http) -> serde_json::Result<Value> {
    let json = serde_json::to_string(http)?;
    if json.len() < WORTH_PACKING {
        return Ok(Value::Text(json));
    }
    Ok(match zlib(json.as_bytes()) {
        Ok(packed) if packed.len() < json.len() => Value::Blob(packed),
        _ => Value::Text(json),
    })
}

fn zlib(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}

pub(super) fn insert(connection: &Connection, seq: i64, packed: &Value) -> rusqlite::Result<()> {
    let sql = "INSERT INTO exchanges (seq, http) VALUES (?, ?)";
    connection.prepare_cached(sql)?.execute(params![seq, packed])?;
    Ok(())
}

/// The JSON of a call's exchange; `None` where none is kept.
pub(super) fn read(connection: &Connection, seq: i64) -> rusqlite::Result<Option<String>> {
    let mut statement = connection.prepare_cached("SELECT http FROM exchanges WHERE seq = ?")?;
    statement.query_row([seq], |row| unpack(row.get_ref(0)?)).optional()
}

fn unpack(stored: ValueRef<'_>) -> rusqlite::Result<String> {
    let damaged = |error: io::Error| rusqlite::Error::FromSqlConversionFailure(0, Type::Blob, Box::new(error));
    match stored {
        ValueRef::Blob(packed) => {
            let mut json = String::new();
            ZlibDecoder::new(packed).take(MAX_JSON).read_to_string(&mut json).map_err(damaged)?;
            Ok(json)
        }
        text => Ok(text.as_str()?.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked() {
        let http = |path: &str| -> Http {
            let none = serde_json::json!({"fields": [], "left_out": 0});
            serde_json::from_value(serde_json::json!({
                "request": {"method": "POST", "path": path, "query": none, "headers": none, "body_bytes": 0, "body": null},
                "response": null, "bodies": "not_asked", "timeline": null,
            }))
            .unwrap()
        };
        for (path, is_packed) in [("/short".to_owned(), false), (format!("/{}", "long".repeat(1_000)), true)] {
            let value = pack(&http(&path)).unwrap();
            assert_eq!(matches!(value, Value::Blob(_)), is_packed, "{path:.10}");
            let json = unpack(ValueRef::from(&value)).unwrap();
            assert_eq!(serde_json::from_str::<Http>(&json).unwrap(), http(&path));
        }
        assert!(unpack(ValueRef::Blob(b"damaged")).is_err());
    }
}
