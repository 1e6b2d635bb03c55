//! Names of the values of wire enums, as JSON, commands and tables write them.

use std::borrow::Cow;

/// An enum of the wire.
pub trait Named {
    /// Numbers of its values and their names; the value that says nothing has an empty one.
    const NAMES: &'static [(i32, &'static str)];
}

include!(concat!(env!("OUT_DIR"), "/names.rs"));

/// Returns the name of the value with this number; `unknown(7)` for a number that is not known, as in
/// an answer of a later version.
#[must_use]
pub fn name_of<E: Named>(number: i32) -> Cow<'static, str> {
    match E::NAMES.iter().find(|(known, _)| *known == number) {
        Some((_, name)) => Cow::Borrowed(name),
        None => Cow::Owned(format!("unknown({number})")),
    }
}

/// Returns the number of the value with this name.
#[must_use]
pub fn number_of<E: Named>(name: &str) -> Option<i32> {
    E::NAMES.iter().find(|(_, known)| *known == name).map(|(number, _)| *number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1;

    #[test]
    fn a_name_is_what_follows_the_prefix_of_the_enum() {
        assert_eq!(name_of::<v1::TaskState>(v1::TaskState::Queued.into()), "queued");
        let deadline = v1::WorkerEventKind::DrainDeadlinePassed.into();
        assert_eq!(name_of::<v1::WorkerEventKind>(deadline), "drain-deadline-passed");
        assert_eq!(name_of::<v1::OnDisconnect>(v1::OnDisconnect::Keep.into()), "keep");
        assert_eq!(
            v1::ConstraintOperator::NAMES,
            [(0, ""), (1, "="), (2, "!="), (3, "in"), (4, "exists")]
        );
    }

    #[test]
    fn a_value_of_a_later_version_is_shown_by_its_number() {
        assert_eq!(name_of::<v1::TaskState>(77), "unknown(77)");
        assert_eq!(number_of::<v1::TaskState>("paused"), None);
    }
}
