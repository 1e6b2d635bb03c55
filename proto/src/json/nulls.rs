//! Copies the JSON of tasks without the fields that are null, in no more memory than the text itself
//! takes.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::Serialize;
use serde_json::Error;

/// Returns the same text without nulls. They are removed from tasks and from their parts, but not
/// from objects whose names a user has chosen, such as labels.
pub(super) fn without_nulls(body: &[u8]) -> Result<Vec<u8>, Error> {
    let mut copy = Vec::with_capacity(body.len());
    let mut from = serde_json::Deserializer::from_slice(body);
    Copy { to: &mut copy, place: Place::Body }.deserialize(&mut from)?;
    from.end()?;
    Ok(copy)
}

/// Place of a value in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// One task, or a list of them.
    Body,
    /// A task.
    Task,
    /// Resources that a task wants.
    Resources,
    /// Constraints of a task.
    Constraints,
    /// One of them.
    Constraint,
    /// Anything else.
    Other,
}

impl Place {
    /// Returns the place of a field of an object.
    fn of_field(self, name: &str) -> Self {
        match (self, name) {
            (Self::Body | Self::Task, "resources") => Self::Resources,
            (Self::Body | Self::Task, "constraints") => Self::Constraints,
            // That of a schedule.
            (Self::Body, "task") => Self::Task,
            _ => Self::Other,
        }
    }

    /// Returns the place of an element of a list.
    const fn of_element(self) -> Self {
        match self {
            Self::Body => Self::Task,
            Self::Constraints => Self::Constraint,
            Self::Task | Self::Resources | Self::Constraint | Self::Other => Self::Other,
        }
    }

    /// Returns true if an object has fields, and not names that a user has chosen.
    const fn has_fields(self) -> bool {
        match self {
            Self::Body | Self::Task | Self::Resources | Self::Constraint => true,
            Self::Constraints | Self::Other => false,
        }
    }
}

/// Copies one value.
struct Copy<'to> {
    to: &'to mut Vec<u8>,
    place: Place,
}

impl Copy<'_> {
    fn write<E: serde::de::Error>(self, value: impl Serialize) -> Result<(), E> {
        serde_json::to_writer(self.to, &value).map_err(E::custom)
    }
}

impl<'de> DeserializeSeed<'de> for Copy<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Copy<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.write(())
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.write(value)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.write(value)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.write(value)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        self.write(value)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        self.write(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let Self { to, place } = self;
        let mut opening = b'[';
        loop {
            let end = to.len();
            to.push(opening);
            let element = Copy { to: &mut *to, place: place.of_element() };
            if elements.next_element_seed(element)?.is_none() {
                to.truncate(end);
                break;
            }
            opening = b',';
        }
        if opening == b'[' {
            to.push(b'[');
        }
        to.push(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let Self { to, place } = self;
        let mut opening = b'{';
        while let Some(name) = fields.next_key::<String>()? {
            let end = to.len();
            to.push(opening);
            serde_json::to_writer(&mut *to, &name).map_err(A::Error::custom)?;
            to.push(b':');

            let value = to.len();
            fields.next_value_seed(Copy { to: &mut *to, place: place.of_field(&name) })?;
            if place.has_fields() && to.get(value..) == Some(b"null") {
                to.truncate(end);
            } else {
                opening = b',';
            }
        }
        if opening == b'{' {
            to.push(b'{');
        }
        to.push(b'}');
        Ok(())
    }
}
