//! JSON forms of enums: the names of their values.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::names::{Named, name_of, number_of};

/// Number that stands for a name which is not known. It is no value of any enum, so the check of the
/// whole message refuses it together with the message's other faults.
const UNKNOWN: i32 = -1;

/// Form of a field that holds a value.
pub(crate) struct Name<E>(PhantomData<E>);

/// Form of a field that may hold none.
pub(crate) struct OptionalName<E>(PhantomData<E>);

impl<E: Named> Name<E> {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
    pub(crate) fn serialize<S: Serializer>(number: &i32, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&name_of::<E>(*number))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<i32, D::Error> {
        Value::<E>::deserialize(from).map(|value| value.number)
    }
}

impl<E: Named> OptionalName<E> {
    #[expect(clippy::ref_option, reason = "serde passes fields by reference")]
    pub(crate) fn serialize<S: Serializer>(number: &Option<i32>, to: S) -> Result<S::Ok, S::Error> {
        number.map(|number| name_of::<E>(number)).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i32>, D::Error> {
        let value = Option::<Value<E>>::deserialize(from)?;
        Ok(value.map(|value| value.number))
    }
}

/// Form of a field that holds several.
pub(crate) struct Names<E>(PhantomData<E>);

impl<E: Named> Names<E> {
    pub(crate) fn serialize<S: Serializer>(numbers: &[i32], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(numbers.iter().map(|number| name_of::<E>(*number)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<i32>, D::Error> {
        let values = Vec::<Value<E>>::deserialize(from)?;
        Ok(values.into_iter().map(|value| value.number).collect())
    }
}

/// A value that is read by its name.
struct Value<E> {
    number: i32,
    values: PhantomData<E>,
}

impl<'de, E: Named> Deserialize<'de> for Value<E> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let number = from.deserialize_str(NameVisitor::<E>(PhantomData))?;
        Ok(Self { number, values: PhantomData })
    }
}

struct NameVisitor<E>(PhantomData<E>);

impl<E: Named> Visitor<'_> for NameVisitor<E> {
    type Value = i32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<F: Error>(self, name: &str) -> Result<i32, F> {
        Ok(number_of::<E>(name).unwrap_or(UNKNOWN))
    }
}

#[cfg(test)]
mod tests {
    use crate::v1;

    #[test]
    fn a_value_is_written_and_read_by_its_name() {
        let read = |json: &str| serde_json::from_str::<v1::TaskSpec>(json).unwrap().on_disconnect;
        assert_eq!(read(r#"{"on_disconnect": "requeue"}"#), Some(v1::OnDisconnect::Requeue.into()));
        assert_eq!(read(r#"{"on_disconnect": null}"#), None);
        assert_eq!(read(r#"{"on_disconnect": "flee"}"#), Some(super::UNKNOWN));

        let state = v1::TaskState::Running.into();
        let task = v1::SubmittedTask { task_id: "t1".to_owned(), state };
        let json = serde_json::json!({"task_id": "t1", "state": "running"});
        assert_eq!(serde_json::to_value(&task).unwrap(), json);
        assert_eq!(serde_json::from_value::<v1::SubmittedTask>(json).unwrap(), task);

        let live = serde_json::to_value(v1::Attempt::default()).unwrap();
        assert_eq!(live["outcome"], serde_json::Value::Null);
    }
}
