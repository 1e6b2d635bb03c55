//! Reads YAML: each document by the core schema of YAML 1.2, with anchors and merged mappings.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use serde_json::{Map, Number, Value};

use super::document::{Document, Fault, Place, pointer_of};

/// Values within each other; a task has few.
const DEPTH_MAX: usize = 32;
/// Values that aliases may stand for, all together: a few lines can stand for billions.
const ALIASED_MAX: usize = 1_000_000;

/// Reads the documents of a stream. Those that are empty are left out.
pub(super) fn documents(text: &str) -> Result<Vec<Document>, Fault> {
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        anchors: BTreeMap::new(),
        aliased: 0,
        places: BTreeMap::new(),
    };
    let mut documents = Vec::new();
    while let Some((event, span)) = reader.next()? {
        match event {
            Event::StreamEnd => break,
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            node @ (Event::Alias(_)
            | Event::Scalar(..)
            | Event::SequenceStart(..)
            | Event::SequenceEnd
            | Event::MappingStart(..)
            | Event::MappingEnd) => {
                reader.anchors.clear();
                let value = reader.node(node, span, "", 0)?;
                let places = std::mem::take(&mut reader.places);
                if !value.is_null() {
                    documents.push(Document { value, places });
                }
            }
        }
    }
    Ok(documents)
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    /// Values by the numbers of their anchors.
    anchors: BTreeMap<usize, Value>,
    aliased: usize,
    places: BTreeMap<String, Place>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Fault> {
        self.parser.next_event().transpose().map_err(|error| broken(&error))
    }

    /// Returns the next event, within a value.
    fn part(&mut self, within: Span) -> Result<(Event<'a>, Span), Fault> {
        let next = self.next()?;
        next.ok_or_else(|| Fault::at(place(within), "", "is not YAML: it ends too early"))
    }

    fn node(
        &mut self,
        event: Event<'a>,
        span: Span,
        pointer: &str,
        depth: usize,
    ) -> Result<Value, Fault> {
        let fault = |detail: &str| Fault::at(place(span), pointer, detail);
        self.places.entry(pointer.to_owned()).or_insert_with(|| place(span));
        if depth > DEPTH_MAX {
            return Err(fault("lies too deep"));
        }
        let (anchor, value) = match event {
            Event::Alias(anchor) => return self.alias(anchor).map_err(fault),
            Event::Scalar(text, style, anchor, tag) => {
                (anchor, scalar(&text, style, tag.as_deref()).map_err(fault)?)
            }
            Event::SequenceStart(anchor, _) => (anchor, self.sequence(span, pointer, depth)?),
            Event::MappingStart(anchor, _) => (anchor, self.mapping(span, pointer, depth)?),
            Event::SequenceEnd
            | Event::MappingEnd
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::Nothing => return Err(fault("is not YAML: a value is missing")),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn sequence(&mut self, span: Span, pointer: &str, depth: usize) -> Result<Value, Fault> {
        let mut list = Vec::new();
        loop {
            let (event, at) = self.part(span)?;
            if event == Event::SequenceEnd {
                return Ok(Value::Array(list));
            }
            let element = format!("{pointer}/{}", list.len());
            list.push(self.node(event, at, &element, depth.saturating_add(1))?);
        }
    }

    fn mapping(&mut self, span: Span, pointer: &str, depth: usize) -> Result<Value, Fault> {
        let mut map = Map::new();
        let mut merged = Vec::new();
        loop {
            let (event, at) = self.part(span)?;
            let (key, style) = match event {
                Event::MappingEnd => break,
                Event::Scalar(text, style, ..) => (text, style),
                Event::Alias(_)
                | Event::SequenceStart(..)
                | Event::SequenceEnd
                | Event::MappingStart(..)
                | Event::StreamStart
                | Event::StreamEnd
                | Event::DocumentStart(_)
                | Event::DocumentEnd
                | Event::Nothing => {
                    return Err(Fault::at(place(at), pointer, "has a key that is no text"));
                }
            };
            let member = pointer_of(pointer, &key);
            let (event, value_at) = self.part(at)?;
            if key == "<<" && style == ScalarStyle::Plain {
                let value = self.node(event, value_at, &member, depth.saturating_add(1))?;
                merged.push((value, at));
                continue;
            }
            if map.contains_key(&*key) {
                return Err(Fault::at(place(at), &member, "is given twice"));
            }
            self.places.insert(member.clone(), place(at));
            let value = self.node(event, value_at, &member, depth.saturating_add(1))?;
            map.insert(key.into_owned(), value);
        }
        for (value, at) in merged {
            let sources = match value {
                Value::Array(sources) => sources,
                one @ (Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Object(_)) => vec![one],
            };
            for source in sources {
                let Value::Object(source) = source else {
                    return Err(Fault::at(place(at), pointer, "merges what is no mapping"));
                };
                for (key, value) in source {
                    map.entry(key).or_insert(value);
                }
            }
        }
        Ok(Value::Object(map))
    }

    fn alias(&mut self, anchor: usize) -> Result<Value, &'static str> {
        let value = self.anchors.get(&anchor).ok_or("stands for a value that is not complete")?;
        self.aliased = self.aliased.saturating_add(count(value));
        if self.aliased > ALIASED_MAX {
            return Err("stands for too much");
        }
        Ok(value.clone())
    }
}

/// Returns the number of values within one, with itself.
fn count(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
        Value::Array(list) => list.iter().map(count).sum::<usize>().saturating_add(1),
        Value::Object(map) => map.values().map(count).sum::<usize>().saturating_add(1),
    }
}

fn place(span: Span) -> Place {
    let start = span.start;
    Place { line: start.line(), column: start.col().saturating_add(1) }
}

fn broken(error: &ScanError) -> Fault {
    let at = error.marker();
    let place = Place { line: at.line(), column: at.col().saturating_add(1) };
    Fault::at(place, "", format!("is not YAML: {}", error.info()))
}

/// Returns the value of a scalar by the core schema: what is quoted is a text.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, &'static str> {
    let owned = || Ok(Value::String(text.to_owned()));
    match tag {
        Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => return owned(),
        Some(_) => return Err("has a tag, which no task needs"),
        None if style != ScalarStyle::Plain => return owned(),
        None => {}
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Ok(Value::Null),
        "true" | "True" | "TRUE" => Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => Ok(Value::Bool(false)),
        _ => match number(text) {
            Some(number) => Ok(Value::Number(number)),
            None => owned(),
        },
    }
}

fn number(text: &str) -> Option<Number> {
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix).filter(|rest| !rest.starts_with('+')) {
            return u64::from_str_radix(digits, radix).ok().map(Number::from);
        }
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_numeric = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.contains(|c: char| c.is_ascii_digit())
        && unsigned.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '-' | '+'));
    if !is_numeric {
        return None;
    }
    let whole = text.parse::<u64>().ok().map(Number::from);
    let whole = whole.or_else(|| text.parse::<i64>().ok().map(Number::from));
    whole.or_else(|| text.parse::<f64>().ok().and_then(Number::from_f64))
}
