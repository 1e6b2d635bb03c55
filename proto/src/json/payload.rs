//! Reads and writes bytes: as a text where they are UTF-8, and otherwise as `{"base64": "…"}`.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserializer, Serializer};

const BASE64: &str = "base64";

/// Serializes bytes, if there are any.
pub(crate) fn serialize<S: Serializer>(bytes: &Option<Bytes>, to: S) -> Result<S::Ok, S::Error> {
    let Some(bytes) = bytes else { return to.serialize_none() };
    if let Ok(text) = std::str::from_utf8(bytes) {
        return to.serialize_str(text);
    }
    let mut map = to.serialize_map(Some(1))?;
    map.serialize_entry(BASE64, &STANDARD.encode(bytes))?;
    map.end()
}

/// Deserializes both forms.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Bytes>, D::Error> {
    from.deserialize_any(Read)
}

struct Read;

impl<'de> Visitor<'de> for Read {
    type Value = Option<Bytes>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, or {\"base64\": …} for bytes that are none")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Bytes::copy_from_slice(text.as_bytes())))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Some(key) = map.next_key::<String>()? else {
            return Err(A::Error::missing_field(BASE64));
        };
        if key != BASE64 {
            return Err(A::Error::unknown_field(&key, &[BASE64]));
        }
        let text = map.next_value::<String>()?;
        let bytes = STANDARD.decode(text).map_err(|_| A::Error::custom("is not base64"))?;
        match map.next_key::<String>()? {
            Some(key) => Err(A::Error::unknown_field(&key, &[])),
            None => Ok(Some(bytes.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::json::Submission;
    use crate::v1;

    fn read(stdin: &str) -> Result<v1::TaskSpec, String> {
        let body = format!(r#"{{"command": ["cat"], "stdin": {stdin}}}"#);
        let read = Submission::parse(body.as_bytes())
            .map_err(|misread| format!("{}: {misread}", misread.pointer));
        read.map(|read| read.into_tasks().remove(0))
    }

    #[test]
    fn bytes_are_a_text_where_they_can_be() {
        for (json, bytes) in [
            (r#""a\nä""#, "a\nä".as_bytes()),
            (r#""""#, b""),
            (r#"{"base64":"AP8="}"#, [0, 255].as_slice()),
        ] {
            let task = read(json).unwrap();
            assert_eq!(task.stdin.as_deref(), Some(bytes));
            assert_eq!(serde_json::to_value(&task).unwrap()["stdin"].to_string(), json);
        }
        assert_eq!(read("null").unwrap().stdin, None);
        assert_eq!(read(r#"{"base64": "YQ=="}"#).unwrap().stdin.as_deref(), Some(b"a".as_slice()));
    }

    #[test]
    fn what_is_neither_is_told() {
        for (json, told) in [
            ("3", "expected a text, or {\"base64\": …}"),
            (r#"{"base64": "?"}"#, "is not base64"),
            (r#"{"base32": "A"}"#, "unknown field `base32`"),
            (r#"{"base64": "", "x": 1}"#, "unknown field `x`"),
            ("{}", "missing field `base64`"),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.starts_with("/stdin") && error.contains(told), "{error}");
        }
    }
}
