//! The freshness of reads, as requests name it.

use crate::names::number_of;
use crate::problem::{ErrorKind, Problem};
use crate::v1;

/// Freshness that an answer must have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Consistency {
    /// As new as every write that was acknowledged before the read began.
    #[default]
    Linearizable,
    /// As new as the state of one master: immediate, but perhaps outdated, and without a leader
    /// too.
    Stale,
}

impl Consistency {
    /// Parses the text of a query; the default when it is empty.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Malformed`] for any other text than a name.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let unknown = || {
            let detail = format!("consistency '{text}' is neither linearizable nor stale");
            Problem::new(ErrorKind::Malformed, detail)
        };
        number_of::<v1::Consistency>(text).ok_or_else(unknown)?.try_into()
    }
}

impl TryFrom<i32> for Consistency {
    type Error = Problem;

    /// Converts the field of a message; the default when it is unspecified.
    fn try_from(wire: i32) -> Result<Self, Problem> {
        match v1::Consistency::try_from(wire) {
            Ok(v1::Consistency::Unspecified | v1::Consistency::Linearizable) => {
                Ok(Self::Linearizable)
            }
            Ok(v1::Consistency::Stale) => Ok(Self::Stale),
            Err(_) => {
                let detail = format!("consistency {wire} is neither linearizable nor stale");
                Err(Problem::new(ErrorKind::Malformed, detail))
            }
        }
    }
}

impl From<Consistency> for i32 {
    /// Returns the field of a message.
    fn from(consistency: Consistency) -> Self {
        match consistency {
            Consistency::Linearizable => v1::Consistency::Linearizable.into(),
            Consistency::Stale => v1::Consistency::Stale.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consistency_is_read_from_a_name_or_a_number() {
        for (name, consistency) in
            [("linearizable", Consistency::Linearizable), ("stale", Consistency::Stale)]
        {
            assert_eq!(Consistency::parse(name), Ok(consistency));
            assert_eq!(Consistency::try_from(i32::from(consistency)), Ok(consistency));
        }
        assert_eq!(Consistency::parse(""), Ok(Consistency::default()));
        assert_eq!(Consistency::try_from(0), Ok(Consistency::default()));
        assert_eq!(Consistency::parse("Stale").unwrap_err().kind, ErrorKind::Malformed);
        assert_eq!(Consistency::try_from(7).unwrap_err().kind, ErrorKind::Malformed);
    }
}
