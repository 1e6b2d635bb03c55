//! A document of a file: its value, and where each part of it stands.

use std::collections::BTreeMap;

use serde_json::Value;

/// Place in a text, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    /// In characters.
    pub(super) column: usize,
}

/// A fault in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) place: Option<Place>,
    /// JSON pointer of the part; empty for the whole.
    pub(super) pointer: String,
    pub(super) detail: String,
}

impl Fault {
    pub(super) const fn nowhere(detail: String) -> Self {
        Self { place: None, pointer: String::new(), detail }
    }

    pub(super) fn at(place: Place, pointer: &str, detail: impl Into<String>) -> Self {
        Self { place: Some(place), pointer: pointer.to_owned(), detail: detail.into() }
    }
}

/// Beginnings of the lines of a text.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at.saturating_add(1));
        Self { text, starts: std::iter::once(0).chain(ends).collect() }
    }

    /// Returns the place of a byte.
    pub(super) fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self.text.get(start..offset).unwrap_or_default();
        Place { line, column: before.chars().count().saturating_add(1) }
    }
}

/// A value, and the places of its parts by their JSON pointers.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) value: Value,
    pub(super) places: BTreeMap<String, Place>,
}

impl Document {
    /// Returns the place of a part, or of the nearest one around it that is written.
    pub(super) fn place_of(&self, pointer: &str) -> Option<Place> {
        let mut pointer = pointer;
        loop {
            if let Some(place) = self.places.get(pointer) {
                return Some(*place);
            }
            let (around, _) = pointer.rsplit_once('/')?;
            pointer = around;
        }
    }

    /// Returns the tasks with their pointers: one, those of a list, or those of a list named `tasks`.
    pub(super) fn tasks(&self) -> Result<Vec<(String, &Value)>, Fault> {
        let listed = |at: &str, list: &'_ [Value]| {
            (0..list.len()).map(|number| format!("{at}/{number}")).collect::<Vec<_>>()
        };
        match &self.value {
            Value::Array(list) => Ok(listed("", list).into_iter().zip(list).collect()),
            Value::Object(map) => match map.get("tasks") {
                None => Ok(vec![(String::new(), &self.value)]),
                Some(Value::Array(list)) => {
                    if let Some(other) = map.keys().find(|key| *key != "tasks") {
                        let pointer = pointer_of("", other);
                        let place = self.place_of(&pointer);
                        let detail = "stands beside a list of tasks".to_owned();
                        return Err(Fault { place, pointer, detail });
                    }
                    Ok(listed("/tasks", list).into_iter().zip(list).collect())
                }
                Some(_) => {
                    let (place, pointer) = (self.place_of("/tasks"), "/tasks".to_owned());
                    Err(Fault { place, pointer, detail: "is not a list of tasks".to_owned() })
                }
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                let place = self.place_of("");
                let detail = "neither a task nor a list of tasks".to_owned();
                Err(Fault { place, ..Fault::nowhere(detail) })
            }
        }
    }
}

/// Returns the pointer of a member.
pub(super) fn pointer_of(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// Returns a pointer as people write it: `constraints[1].op`.
pub(super) fn key_of(pointer: &str) -> String {
    let mut key = String::new();
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        if !part.is_empty() && part.chars().all(|c| c.is_ascii_digit()) {
            key = format!("{key}[{part}]");
        } else if key.is_empty() {
            key = part;
        } else {
            key = format!("{key}.{part}");
        }
    }
    key
}
