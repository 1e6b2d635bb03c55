//! Describes the bodies of REST as JSON Schema, from the messages and their comments.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};
use serde_json::{Map, Value, json};

use super::{
    JSON_BODIES, OMITTED, OMITTED_LISTS, OMITTED_OF_ATTEMPTS, REQUEST_BODIES, name, type_name,
};

/// Numbers of fields in the descriptors, of which the places of comments are made.
const MESSAGES: i32 = 4;
const ENUMS: i32 = 5;
const ELEMENTS: i32 = 2;

/// Fields of a task, beside lists that few have, that JSON leaves out where they are empty.
const OMITTED_WHERE_EMPTY: [&str; 3] = ["env", "secret_env", "no_retry_exit_codes"];

/// Comments of a file by their places.
type Comments = BTreeMap<Vec<i32>, String>;

/// Implements the trait of bodies, which names their schemas.
pub(super) fn names_of_bodies() -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    for body in JSON_BODIES {
        writeln!(text, "impl JsonBody for crate::v1::{body} {{")?;
        writeln!(text, "    const NAME: &'static str = {body:?};\n}}")?;
    }
    Ok(text)
}

/// Returns the schemas of all bodies, and of the enums in them, by name.
pub(super) fn schemas(descriptors: &FileDescriptorSet) -> Value {
    let mut found = Map::new();
    let mut enums = BTreeSet::new();
    for file in &descriptors.file {
        let comments = comments(file);
        for (place, message) in (0..).zip(&file.message_type) {
            if JSON_BODIES.contains(&message.name()) {
                let schema = of_message(message, &[MESSAGES, place], &comments, &mut enums);
                found.insert(message.name().to_owned(), schema);
            }
        }
    }
    for file in &descriptors.file {
        let comments = comments(file);
        for (place, values) in (0..).zip(&file.enum_type) {
            if !enums.contains(values.name()) {
                continue;
            }
            let mut description = text_at(&comments, &[ENUMS, place]);
            let mut names = Vec::new();
            for (at, value) in (0..).zip(&values.value) {
                let name = name(values.name(), value.name());
                if !name.is_empty() {
                    let meaning = text_at(&comments, &[ENUMS, place, ELEMENTS, at]);
                    description.push_str(&format!("\n\n* `{name}`: {meaning}"));
                    names.push(name);
                }
            }
            let schema = json!({"type": "string", "enum": names, "description": description});
            found.insert(values.name().to_owned(), schema);
        }
    }
    Value::Object(found)
}

fn comments(file: &FileDescriptorProto) -> Comments {
    let locations = file.source_code_info.iter().flat_map(|info| &info.location);
    locations
        .map(|location| (location.path.clone(), plain(location.leading_comments())))
        .filter(|(_, comment)| !comment.is_empty())
        .collect()
}

/// Joins the lines of each paragraph.
fn plain(comment: &str) -> String {
    let lines = comment.lines().map(str::trim);
    let mut text = String::new();
    for line in lines {
        match line {
            "" if text.is_empty() => {}
            "" => text.push_str("\n\n"),
            line => {
                if !text.is_empty() && !text.ends_with('\n') {
                    text.push(' ');
                }
                text.push_str(line);
            }
        }
    }
    text.trim_end().to_owned()
}

fn text_at(comments: &Comments, place: &[i32]) -> String {
    comments.get(place).cloned().unwrap_or_default()
}

fn of_message(
    message: &DescriptorProto,
    place: &[i32],
    comments: &Comments,
    enums: &mut BTreeSet<String>,
) -> Value {
    let is_sent_by_clients = REQUEST_BODIES.contains(&message.name());
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (at, field) in (0..).zip(&message.field) {
        let mut schema = of_field(message, field, enums);
        // In a body that a client sends, a field that is null is absent.
        if is_sent_by_clients || field.proto3_optional() {
            schema = nullable(schema);
        }
        let description = text_at(comments, &[place, &[ELEMENTS, at]].concat());
        if let Value::Object(schema) = &mut schema {
            schema.insert("description".to_owned(), Value::String(description));
        }
        properties.insert(field.name().to_owned(), schema);
        if !is_omitted(message.name(), field.name()) {
            required.push(Value::String(field.name().to_owned()));
        }
    }

    let mut schema = Map::new();
    schema.insert("type".to_owned(), "object".into());
    schema.insert("description".to_owned(), text_at(comments, place).into());
    schema.insert("properties".to_owned(), properties.into());
    if is_sent_by_clients {
        // An unknown field is refused unless it is null, which is the same as absent.
        schema.insert("additionalProperties".to_owned(), json!({"type": "null"}));
    } else if !required.is_empty() {
        schema.insert("required".to_owned(), required.into());
    }
    Value::Object(schema)
}

fn is_omitted(message: &str, field: &str) -> bool {
    match message {
        "Task" => {
            OMITTED.contains(&field)
                || OMITTED_LISTS.contains(&field)
                || OMITTED_WHERE_EMPTY.contains(&field)
        }
        "Attempt" => OMITTED_OF_ATTEMPTS.contains(&field),
        _ => false,
    }
}

fn of_field(
    message: &DescriptorProto,
    field: &FieldDescriptorProto,
    enums: &mut BTreeSet<String>,
) -> Value {
    match (message.name(), field.name()) {
        ("Constraint", "value") => {
            return json!({"type": ["string", "array"], "items": {"type": "string"}});
        }
        (_, "no_retry_exit_codes") => {
            let code = json!({"type": ["integer", "string"], "minimum": 0, "maximum": 255});
            return json!({"type": "array", "items": code});
        }
        // A text, or an object for bytes that are none.
        ("TaskSpec", "stdin") | ("Task", "result") => {
            return json!({
                "type": ["string", "object"],
                "properties": {"base64": {"type": "string"}},
                "required": ["base64"],
                "additionalProperties": false,
            });
        }
        _ => {}
    }

    let named = type_name(field.type_name());
    let entry = message.nested_type.iter().find(|entry| entry.name() == named);
    if let (Type::Message, Some([_, value])) = (field.r#type(), entry.map(|it| &*it.field)) {
        return json!({"type": "object", "additionalProperties": of_element(value, enums)});
    }
    let element = of_element(field, enums);
    match field.label() {
        Label::Repeated => json!({"type": "array", "items": element}),
        Label::Optional | Label::Required => element,
    }
}

fn of_element(field: &FieldDescriptorProto, enums: &mut BTreeSet<String>) -> Value {
    let named = type_name(field.type_name());
    let unsigned = |format| json!({"type": "integer", "format": format, "minimum": 0});
    match field.r#type() {
        Type::Enum => {
            enums.insert(named.to_owned());
            reference(named)
        }
        Type::Message | Type::Group => reference(named),
        Type::Bool => json!({"type": "boolean"}),
        Type::Double | Type::Float => json!({"type": "number", "format": "double"}),
        Type::Uint64 | Type::Fixed64 => unsigned("uint64"),
        Type::Uint32 | Type::Fixed32 => unsigned("uint32"),
        Type::Int32 | Type::Sint32 | Type::Sfixed32 => {
            json!({"type": "integer", "format": "int32"})
        }
        Type::Int64 | Type::Sint64 | Type::Sfixed64 => {
            json!({"type": "integer", "format": "int64"})
        }
        Type::String | Type::Bytes => json!({"type": "string"}),
    }
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn nullable(mut schema: Value) -> Value {
    let Some(types) = schema.get("type").cloned() else {
        return json!({"anyOf": [schema, {"type": "null"}]});
    };
    let mut types = types.as_array().cloned().unwrap_or_else(|| vec![types]);
    types.push("null".into());
    if let Value::Object(schema) = &mut schema {
        schema.insert("type".to_owned(), types.into());
    }
    schema
}
