//! Reads JSON. serde reads the value; a walk over the same text finds where its parts are.

use std::collections::BTreeMap;

use serde_json::Value;

use super::document::{Document, Fault, Lines, Place, pointer_of};

/// Reads a document.
pub(super) fn document(text: &str) -> Result<Document, Fault> {
    let value = serde_json::from_str::<Value>(text).map_err(|error| {
        let place = Place { line: error.line(), column: error.column() };
        let told = error.to_string();
        let detail = told.rfind(" at line ").and_then(|end| told.get(..end)).unwrap_or(&told);
        Fault::at(place, "", format!("is not JSON: {detail}"))
    })?;
    let mut walk = Walk { text, at: 0, lines: Lines::of(text), places: BTreeMap::new() };
    walk.value("")?;
    Ok(Document { value, places: walk.places })
}

/// A walk over JSON that is known to be right.
struct Walk<'a> {
    text: &'a str,
    at: usize,
    lines: Lines<'a>,
    places: BTreeMap<String, Place>,
}

impl Walk<'_> {
    fn value(&mut self, pointer: &str) -> Result<(), Fault> {
        self.skip_blanks();
        let place = self.lines.place(self.at);
        // That of a member is the place of its key.
        self.places.entry(pointer.to_owned()).or_insert(place);
        match self.peek() {
            Some(b'{') => self.members(pointer),
            Some(b'[') => self.elements(pointer),
            Some(b'"') => {
                self.string();
                Ok(())
            }
            Some(_) | None => {
                while self.peek().is_some_and(|byte| !b",]} \n\r\t".contains(&byte)) {
                    self.step();
                }
                Ok(())
            }
        }
    }

    fn members(&mut self, pointer: &str) -> Result<(), Fault> {
        loop {
            // Past the brace or the comma.
            self.step();
            self.skip_blanks();
            if self.peek() != Some(b'"') {
                self.step();
                return Ok(());
            }
            let place = self.lines.place(self.at);
            let key = serde_json::from_str::<String>(self.string()).unwrap_or_default();
            let member = pointer_of(pointer, &key);
            if self.places.insert(member.clone(), place).is_some() {
                return Err(Fault::at(place, &member, "is given twice"));
            }
            self.skip_blanks();
            // Past the colon.
            self.step();
            self.value(&member)?;
            self.skip_blanks();
            if self.peek() != Some(b',') {
                self.step();
                return Ok(());
            }
        }
    }

    fn elements(&mut self, pointer: &str) -> Result<(), Fault> {
        for number in 0_usize.. {
            // Past the bracket or the comma.
            self.step();
            self.skip_blanks();
            if matches!(self.peek(), Some(b']') | None) {
                break;
            }
            self.value(&format!("{pointer}/{number}"))?;
            self.skip_blanks();
            if self.peek() != Some(b',') {
                break;
            }
        }
        self.step();
        Ok(())
    }

    /// Goes past a string and returns it with its quotes.
    fn string(&mut self) -> &str {
        let start = self.at;
        self.step();
        while let Some(byte) = self.peek() {
            self.step();
            match byte {
                b'"' => break,
                b'\\' => self.step(),
                _ => {}
            }
        }
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(|byte| b" \n\r\t".contains(&byte)) {
            self.step();
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    const fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }
}
