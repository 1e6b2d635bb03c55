//! Fields of a type that is read from a query, found by having it read from one that has them all.

use serde::de::value::Error;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, Visitor,
};
use serde::forward_to_deserialize_any;

/// Parameter of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// True if there is no request without it.
    pub(crate) is_required: bool,
}

/// Kind of a value in a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A text.
    Text,
    /// `true` or `false`.
    Boolean,
    /// A number, 0 or more.
    Number,
}

/// Returns the fields that a type has, in their order; none for a type that reads whatever there is.
pub(super) fn of<T: DeserializeOwned>() -> Vec<Field> {
    let mut found = Vec::new();
    // Whatever it makes of these values, what it asked for is known.
    drop(T::deserialize(Query { without: None, found: &mut found }));
    for field in &mut found {
        let mut others = Vec::new();
        let query = Query { without: Some(field.name), found: &mut others };
        field.is_required = T::deserialize(query).is_err();
    }
    found
}

/// A query with all fields but one.
struct Query<'a> {
    without: Option<&'static str>,
    found: &'a mut Vec<Field>,
}

impl<'de> Deserializer<'de> for Query<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let Self { without, found } = self;
        visitor.visit_map(Pairs { left: fields.iter(), without, name: "", found })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// Pairs of names and values that are still to be read.
struct Pairs<'a> {
    left: std::slice::Iter<'static, &'static str>,
    without: Option<&'static str>,
    name: &'static str,
    found: &'a mut Vec<Field>,
}

impl<'de> MapAccess<'de> for Pairs<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let without = self.without;
        let Some(&name) = self.left.find(|name| Some(**name) != without) else { return Ok(None) };
        self.name = name;
        seed.deserialize(name.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let mut kind = Kind::Text;
        let value = seed.deserialize(Example { kind: &mut kind });
        self.found.push(Field { name: self.name, kind, is_required: false });
        value
    }
}

/// A value of whichever kind is asked for, which is noted.
struct Example<'a> {
    kind: &'a mut Kind,
}

impl<'de> Deserializer<'de> for Example<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str("")
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        *self.kind = Kind::Boolean;
        visitor.visit_bool(false)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        *self.kind = Kind::Number;
        visitor.visit_u32(0)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        *self.kind = Kind::Number;
        visitor.visit_u64(0)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Example {
        #[serde(default)]
        #[expect(dead_code, reason = "its name is read")]
        consistency: String,
        #[expect(dead_code, reason = "its name is read")]
        limit: Option<usize>,
        #[expect(dead_code, reason = "its name is read")]
        up_to: String,
        #[serde(default)]
        #[expect(dead_code, reason = "its name is read")]
        follow: bool,
    }

    #[test]
    fn the_fields_of_a_query_are_those_of_its_type() {
        let field = |name, kind, is_required| Field { name, kind, is_required };
        let expected = [
            field("consistency", Kind::Text, false),
            field("limit", Kind::Number, false),
            field("up_to", Kind::Text, true),
            field("follow", Kind::Boolean, false),
        ];
        assert_eq!(of::<Example>(), expected);
        assert_eq!(of::<Vec<(String, String)>>(), []);
    }
}
