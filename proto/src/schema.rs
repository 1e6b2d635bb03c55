//! JSON Schema of the bodies of REST, made of the messages and their comments.

/// Message that is a body of REST.
pub trait JsonBody {
    /// Name of its schema.
    const NAME: &'static str;
}

include!(concat!(env!("OUT_DIR"), "/json_bodies.rs"));

/// Schemas by name, in one object of JSON. They refer to each other as components of an OpenAPI document.
pub const SCHEMAS: &str = include_str!(concat!(env!("OUT_DIR"), "/schemas.json"));

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;
    use crate::v1;

    fn schemas() -> BTreeMap<String, Value> {
        serde_json::from_str(SCHEMAS).unwrap()
    }

    /// Collects the names that a schema refers to.
    fn references(schema: &Value, found: &mut Vec<String>) {
        match schema {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match value.as_str().filter(|_| name == "$ref") {
                        Some(path) => found.push(path.rsplit('/').next().unwrap().to_owned()),
                        None => references(value, found),
                    }
                }
            }
            Value::Array(elements) => elements.iter().for_each(|it| references(it, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn everything_that_a_schema_refers_to_is_there_and_described() {
        let schemas = schemas();
        let mut found = Vec::new();
        for (name, schema) in &schemas {
            references(schema, &mut found);
            assert_ne!(schema["description"], "", "{name}");
            for (field, property) in schema["properties"].as_object().into_iter().flatten() {
                assert_ne!(property["description"], "", "{name}.{field}");
            }
        }
        assert!(found.len() > 50);
        let missing = found.iter().filter(|name| !schemas.contains_key(*name)).collect::<Vec<_>>();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn the_schema_of_a_body_says_what_its_json_is() {
        let schemas = schemas();
        let attempt = &schemas[v1::Attempt::NAME];
        let shown = serde_json::to_value(v1::Attempt::default()).unwrap();
        let required = attempt["required"].as_array().unwrap();
        assert_eq!(required.len(), shown.as_object().unwrap().len());
        assert_eq!(attempt["properties"]["exit_code"]["type"], json!(["integer", "null"]));

        let task = &schemas[v1::TaskSpec::NAME];
        assert_eq!(task["additionalProperties"], json!({"type": "null"}));
        let values = &schemas["OnDisconnect"]["enum"];
        assert_eq!(*values, json!(["keep", "requeue"]));
        assert_eq!(schemas["ConstraintOperator"]["enum"], json!(["=", "!=", "in", "exists"]));
    }

    #[test]
    fn what_json_may_leave_out_is_not_required() {
        let shown = serde_json::to_value(v1::Task::default()).unwrap();
        let mut shown = shown.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let task = &schemas()[v1::Task::NAME];
        let required = task["required"].as_array().unwrap();
        let mut required =
            required.iter().map(|name| name.as_str().unwrap().to_owned()).collect::<Vec<_>>();
        required.sort();
        shown.sort();
        assert_eq!(required, shown);
    }
}
