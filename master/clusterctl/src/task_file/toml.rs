//! Reads TOML.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeFloat, DeInteger, DeTable, DeValue};

use super::document::{Document, Fault, Lines, Place, pointer_of};

/// Reads a document.
pub(super) fn document(text: &str) -> Result<Document, Fault> {
    let lines = Lines::of(text);
    let table = DeTable::parse(text).map_err(|error| {
        let place = error.span().map(|span| lines.place(span.start));
        let detail = format!("is not TOML: {}", error.message());
        Fault { place, ..Fault::nowhere(detail) }
    })?;
    let mut places = BTreeMap::from([(String::new(), Place { line: 1, column: 1 })]);
    let value = read_table(table.get_ref(), "", &lines, &mut places)?;
    Ok(Document { value, places })
}

fn read_table(
    table: &DeTable<'_>,
    pointer: &str,
    lines: &Lines<'_>,
    places: &mut BTreeMap<String, Place>,
) -> Result<Value, Fault> {
    let mut map = Map::new();
    for (key, value) in table {
        let member = pointer_of(pointer, key.get_ref());
        places.insert(member.clone(), lines.place(key.span().start));
        map.insert(key.get_ref().to_string(), read(value, &member, lines, places)?);
    }
    Ok(Value::Object(map))
}

fn read(
    value: &Spanned<DeValue<'_>>,
    pointer: &str,
    lines: &Lines<'_>,
    places: &mut BTreeMap<String, Place>,
) -> Result<Value, Fault> {
    let place = lines.place(value.span().start);
    places.entry(pointer.to_owned()).or_insert(place);
    let number = |read: Option<Number>| {
        let number = read.map(Value::Number);
        number.ok_or_else(|| Fault::at(place, pointer, "is a number that no task has"))
    };
    match value.get_ref() {
        DeValue::String(text) => Ok(Value::String(text.to_string())),
        DeValue::Integer(integer) => number(read_integer(integer)),
        DeValue::Float(float) => number(read_float(float)),
        DeValue::Boolean(truth) => Ok(Value::Bool(*truth)),
        DeValue::Datetime(time) => Ok(Value::String(time.to_string())),
        DeValue::Array(list) => {
            let elements = list.iter().enumerate();
            let elements = elements.map(|(number, element)| {
                read(element, &format!("{pointer}/{number}"), lines, places)
            });
            elements.collect::<Result<_, _>>().map(Value::Array)
        }
        DeValue::Table(table) => read_table(table, pointer, lines, places),
    }
}

fn read_integer(integer: &DeInteger<'_>) -> Option<Number> {
    let digits = integer.as_str().replace('_', "");
    let signed = i64::from_str_radix(&digits, integer.radix()).ok().map(Number::from);
    signed.or_else(|| u64::from_str_radix(&digits, integer.radix()).ok().map(Number::from))
}

fn read_float(float: &DeFloat<'_>) -> Option<Number> {
    let digits = float.as_str().replace('_', "");
    digits.parse().ok().and_then(Number::from_f64)
}
