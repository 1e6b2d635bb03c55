//! The freshness of reads, as requests name it.

use crate::problem::{ErrorKind, Problem};

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
    /// Returns its name in requests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linearizable => "linearizable",
            Self::Stale => "stale",
        }
    }

    /// Parses the text of a request; the default when it is empty.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Malformed`] for any other text than a name.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        match text {
            "" | "linearizable" => Ok(Self::Linearizable),
            "stale" => Ok(Self::Stale),
            other => {
                let detail = format!("consistency '{other}' is neither linearizable nor stale");
                Err(Problem::new(ErrorKind::Malformed, detail))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back() {
        for consistency in [Consistency::Linearizable, Consistency::Stale] {
            assert_eq!(Consistency::parse(consistency.name()), Ok(consistency));
        }
        assert_eq!(Consistency::parse(""), Ok(Consistency::default()));
        assert_eq!(Consistency::parse("Stale").unwrap_err().kind, ErrorKind::Malformed);
    }
}
