//! Outputs of processes, as requests and chunks of logs name them.

use std::fmt;

use crate::v1;

/// One of the two outputs of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A stream of a message that is neither output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stream {0} is neither stdout nor stderr")]
pub struct UnknownStream(i32);

impl OutputStream {
    /// Both, in the order in which they are read.
    pub const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// Returns its name, with which the names of its files begin, too.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// Returns the output with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stream| stream.name() == name)
    }

    /// Converts the field of a message; none when it is unspecified.
    ///
    /// # Errors
    ///
    /// When the number is that of a later version.
    pub fn of(wire: i32) -> Result<Option<Self>, UnknownStream> {
        match v1::OutputStream::try_from(wire) {
            Ok(v1::OutputStream::Unspecified) => Ok(None),
            Ok(v1::OutputStream::Stdout) => Ok(Some(Self::Stdout)),
            Ok(v1::OutputStream::Stderr) => Ok(Some(Self::Stderr)),
            Err(_) => Err(UnknownStream(wire)),
        }
    }

    /// Returns the field of a message: unspecified for none.
    #[must_use]
    pub fn number(stream: Option<Self>) -> i32 {
        match stream {
            None => v1::OutputStream::Unspecified.into(),
            Some(Self::Stdout) => v1::OutputStream::Stdout.into(),
            Some(Self::Stderr) => v1::OutputStream::Stderr.into(),
        }
    }
}

impl fmt::Display for OutputStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_read_from_a_name_or_a_number() {
        for stream in OutputStream::ALL {
            assert_eq!(OutputStream::named(stream.name()), Some(stream));
        }
        for stream in [None, Some(OutputStream::Stdout), Some(OutputStream::Stderr)] {
            assert_eq!(OutputStream::of(OutputStream::number(stream)), Ok(stream));
        }
        let unknown = OutputStream::of(7).unwrap_err();
        assert_eq!(unknown.to_string(), "stream 7 is neither stdout nor stderr");
    }
}
