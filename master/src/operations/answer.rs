//! Answers of operations, and the state on which they are based.

use std::time::Duration;

use cluster_state::{LogIndex, Term};

/// Answer of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer<T> {
    pub(crate) body: T,
    pub(crate) mark: Mark,
}

/// State on which an answer is based.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The answer is at least as new as this.
    pub(crate) index: LogIndex,
    /// The newest term known.
    pub(crate) term: Term,
    /// For a stale read, how long ago the leader was heard.
    pub(crate) last_contact: Option<Duration>,
}

impl Mark {
    /// Puts the mark on a body.
    pub(crate) const fn on<T>(self, body: T) -> Answer<T> {
        Answer { body, mark: self }
    }
}

impl<T> Answer<T> {
    /// Converts the body.
    pub(crate) fn map<U>(self, convert: impl FnOnce(T) -> U) -> Answer<U> {
        self.mark.on(convert(self.body))
    }
}
