//! Reads and writes exit codes: numbers, and ranges as texts.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serializer};

/// Serializes codes: a single one as a number.
pub(crate) fn serialize<S: Serializer>(codes: &[String], to: S) -> Result<S::Ok, S::Error> {
    let mut list = to.serialize_seq(Some(codes.len()))?;
    for text in codes {
        match text.parse::<u8>() {
            Ok(code) => list.serialize_element(&code)?,
            Err(_) => list.serialize_element(text)?,
        }
    }
    list.end()
}

/// Deserializes numbers and texts.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let codes = Vec::<Code>::deserialize(from)?;
    Ok(codes.into_iter().map(|Code(text)| text).collect())
}

struct Code(String);

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(CodeVisitor)
    }
}

struct CodeVisitor;

impl Visitor<'_> for CodeVisitor {
    type Value = Code;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an exit code, or a range of them as in \"64-78\"")
    }

    fn visit_u64<E: Error>(self, code: u64) -> Result<Code, E> {
        Ok(Code(code.to_string()))
    }

    fn visit_i64<E: Error>(self, code: i64) -> Result<Code, E> {
        Ok(Code(code.to_string()))
    }

    fn visit_str<E: Error>(self, range: &str) -> Result<Code, E> {
        Ok(Code(range.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use crate::json::Submission;

    #[test]
    fn codes_are_numbers_and_ranges_are_texts() {
        let read = |codes: &str| {
            let body = format!(r#"{{"no_retry_exit_codes": {codes}}}"#);
            Submission::parse(body.as_bytes()).map(|read| read.into_tasks().remove(0))
        };
        let task = read(r#"[2, "64-78", -1]"#).unwrap();
        assert_eq!(task.no_retry_exit_codes, ["2", "64-78", "-1"]);
        let written = serde_json::to_value(&task).unwrap();
        assert_eq!(written["no_retry_exit_codes"], serde_json::json!([2, "64-78", "-1"]));
        assert!(read("null").unwrap().no_retry_exit_codes.is_empty());
        let misread = read("[2, 2.5]").unwrap_err();
        assert_eq!(misread.pointer, "/no_retry_exit_codes/1");
        assert!(misread.to_string().contains("expected an exit code"), "{misread}");
    }
}
