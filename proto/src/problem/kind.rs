//! Stable names of errors, and their HTTP and gRPC codes.

use std::fmt;
use std::time::Duration;

use tonic::Code;

/// Kind of an error, which a client may act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorKind {
    /// The request could not be read.
    Malformed,
    /// The request has an unknown field.
    UnknownField,
    /// The task was read, but a value in it is not allowed.
    InvalidTask,
    /// The request was read, and is not a task, but a value in it is not allowed.
    InvalidValue,
    /// No or wrong credentials.
    Unauthenticated,
    /// The credentials do not allow it.
    Forbidden,
    /// The requested object does not exist.
    NotFound,
    /// The path has no such method.
    MethodNotAllowed,
    /// The present state does not allow the request.
    Conflict,
    /// The idempotency key was used for another request.
    IdempotencyConflict,
    /// Another worker has the name.
    NameInUse,
    /// The requested index is not one of this cluster's log.
    IndexAhead,
    /// Too few of the masters that a change leaves with a vote answer.
    TooFewVoters,
    /// The master that is to get a vote has not caught up: a moment later it may have.
    NotCaughtUp,
    /// The request did not arrive in time.
    RequestTimeout,
    /// The request is larger than the bound.
    TooLarge,
    /// The body is not JSON.
    UnsupportedMediaType,
    /// A configured bound would be exceeded.
    LimitReached,
    /// Live tasks take as much memory as they may: more fit when some have finished.
    QueueFull,
    /// Too many requests are in progress; the same request may succeed a moment later.
    Overloaded,
    /// A disk that new tasks need has no room for them: the leader's, or one that a quorum needs.
    DiskFull,
    /// The cluster has no leader.
    NoLeader,
    /// The master does not lead and could not pass the request on.
    NotLeader,
    /// The request took too long.
    Timeout,
    /// An internal error, not the client's fault.
    Internal,
}

/// Row of the table of error kinds: its external forms.
struct Row {
    kind: ErrorKind,
    name: &'static str,
    title: &'static str,
    http_status: u16,
    code: Code,
}

const fn row(
    kind: ErrorKind,
    name: &'static str,
    http_status: u16,
    code: Code,
    title: &'static str,
) -> Row {
    Row { kind, name, title, http_status, code }
}

/// All kinds, in the order of the enum. When a foreign status is read back, the first match counts.
const ROWS: [Row; 25] = {
    use ErrorKind as Kind;
    [
        row(Kind::Malformed, "malformed", 400, Code::InvalidArgument, "The request cannot be read"),
        row(Kind::UnknownField, "unknown-field", 400, Code::InvalidArgument, "Unknown field"),
        row(Kind::InvalidTask, "invalid-task", 422, Code::InvalidArgument, "The task is not valid"),
        row(
            Kind::InvalidValue,
            "invalid-value",
            422,
            Code::InvalidArgument,
            "A value is not allowed",
        ),
        row(
            Kind::Unauthenticated,
            "unauthenticated",
            401,
            Code::Unauthenticated,
            "Not authenticated",
        ),
        row(Kind::Forbidden, "forbidden", 403, Code::PermissionDenied, "Not allowed"),
        row(Kind::NotFound, "not-found", 404, Code::NotFound, "Not found"),
        row(
            Kind::MethodNotAllowed,
            "method-not-allowed",
            405,
            Code::Unimplemented,
            "Method not allowed",
        ),
        row(
            Kind::Conflict,
            "conflict",
            409,
            Code::FailedPrecondition,
            "Conflict with the present state",
        ),
        row(
            Kind::IdempotencyConflict,
            "idempotency-conflict",
            409,
            Code::AlreadyExists,
            "The idempotency key was used for another request",
        ),
        row(
            Kind::NameInUse,
            "name-in-use",
            409,
            Code::AlreadyExists,
            "Another worker has the name",
        ),
        row(
            Kind::IndexAhead,
            "index-ahead",
            409,
            Code::FailedPrecondition,
            "The index is not one of this cluster",
        ),
        row(
            Kind::TooFewVoters,
            "too-few-voters",
            409,
            Code::FailedPrecondition,
            "Too few voters would answer",
        ),
        row(
            Kind::NotCaughtUp,
            "not-caught-up",
            409,
            Code::FailedPrecondition,
            "The master has not caught up",
        ),
        row(
            Kind::RequestTimeout,
            "request-timeout",
            408,
            Code::Aborted,
            "The request did not arrive in time",
        ),
        row(Kind::TooLarge, "too-large", 413, Code::OutOfRange, "The request is too large"),
        row(
            Kind::UnsupportedMediaType,
            "unsupported-media-type",
            415,
            Code::InvalidArgument,
            "The body is not JSON",
        ),
        row(
            Kind::LimitReached,
            "limit-reached",
            422,
            Code::ResourceExhausted,
            "A limit is reached",
        ),
        row(Kind::QueueFull, "queue-full", 429, Code::ResourceExhausted, "The queue is full"),
        row(Kind::Overloaded, "overloaded", 429, Code::ResourceExhausted, "Too many requests"),
        row(Kind::DiskFull, "disk-full", 429, Code::ResourceExhausted, "The disk is nearly full"),
        row(Kind::NoLeader, "no-leader", 503, Code::Unavailable, "The cluster has no leader"),
        row(Kind::NotLeader, "not-leader", 503, Code::Unavailable, "This master does not lead"),
        row(Kind::Timeout, "timeout", 504, Code::DeadlineExceeded, "It took too long"),
        row(Kind::Internal, "internal", 500, Code::Internal, "Internal error"),
    ]
};

const URI_PREFIX: &str = "urn:cloudai:error:";

impl ErrorKind {
    /// Iterates over all kinds.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.kind)
    }

    /// Returns the stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().map_or("internal", |row| row.name)
    }

    /// Returns the `type` of the JSON form.
    #[must_use]
    pub fn uri(self) -> String {
        format!("{URI_PREFIX}{}", self.name())
    }

    /// Returns the `title` of the JSON form: the same for every problem of the kind.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.row().map_or("Internal error", |row| row.title)
    }

    /// Returns the status of an HTTP answer.
    #[must_use]
    pub fn http_status(self) -> u16 {
        self.row().map_or(500, |row| row.http_status)
    }

    /// Returns the status of a gRPC answer.
    #[must_use]
    pub fn code(self) -> Code {
        self.row().map_or(Code::Internal, |row| row.code)
    }

    /// Returns the kind of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        ROWS.iter().find(|row| row.name == name).map(|row| row.kind)
    }

    /// Returns the kind of that `type`.
    #[must_use]
    pub fn from_uri(uri: &str) -> Option<Self> {
        Self::named(uri.strip_prefix(URI_PREFIX)?)
    }

    /// Returns the nearest kind for an HTTP status that came without a name.
    #[must_use]
    pub fn from_http_status(status: u16) -> Self {
        let row = ROWS.iter().find(|row| row.http_status == status);
        row.map_or(Self::Internal, |row| row.kind)
    }

    /// Returns the nearest kind for a gRPC status that came without a name.
    #[must_use]
    pub fn from_code(code: Code) -> Self {
        ROWS.iter().find(|row| row.code == code).map_or(Self::Internal, |row| row.kind)
    }

    /// Returns true if the same request may succeed a moment later, here or at another master.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::QueueFull | Self::Overloaded | Self::NoLeader | Self::NotLeader | Self::Timeout
        )
    }

    /// Returns the time that a client should wait before it repeats the request.
    #[must_use]
    pub const fn retry_after(self) -> Option<Duration> {
        if matches!(self, Self::Overloaded | Self::NoLeader | Self::NotLeader) {
            return Some(Duration::from_secs(1));
        }
        None
    }

    fn row(self) -> Option<&'static Row> {
        ROWS.iter().find(|row| row.kind == self)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_has_a_name_of_its_own_and_reads_back_from_it() {
        for kind in ErrorKind::all() {
            assert_eq!(ErrorKind::from_uri(&kind.uri()), Some(kind));
        }
        let names = ErrorKind::all().map(ErrorKind::name).collect::<BTreeSet<_>>();
        assert_eq!(names.len(), ROWS.len());
    }

    #[test]
    fn the_table_lists_the_kinds_in_the_order_of_the_enum() {
        let kinds = ErrorKind::all().collect::<Vec<_>>();
        assert!(kinds.is_sorted());
        assert_eq!(kinds.last(), Some(&ErrorKind::Internal));
    }

    #[test]
    fn a_client_mistake_is_never_a_server_error() {
        for kind in [ErrorKind::Malformed, ErrorKind::InvalidTask, ErrorKind::InvalidValue] {
            assert!((400..500).contains(&kind.http_status()), "{kind}");
        }
    }
}
