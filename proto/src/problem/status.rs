//! Converts a problem to a gRPC status and back: the kind, the faults and the outcome travel as
//! metadata.

use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::{Code, Status};

use super::{ErrorKind, Fault, Outcome, Problem};

/// Metadata key of the kind's name.
pub const ERROR_KIND_KEY: &str = "error-kind";
/// Metadata key of the outcome of a mutation.
pub const OUTCOME_KEY: &str = "outcome";
/// Metadata key and HTTP header of the request's id.
pub const REQUEST_ID_KEY: &str = "x-request-id";
/// Metadata key of the faults, as a JSON list.
pub const ERRORS_KEY: &str = "errors-bin";
/// Metadata key of the leader's address, on answers of masters that do not lead.
pub const LEADER_ADDRESS_KEY: &str = "leader-address";

/// Maximum bytes of faults in a status: clients refuse more than 16 KiB of headers in all.
const FAULT_BYTES_MAX: usize = 4 * 1024;

impl From<Problem> for Status {
    fn from(problem: Problem) -> Self {
        let mut metadata = MetadataMap::new();
        metadata.insert(ERROR_KIND_KEY, MetadataValue::from_static(problem.kind.name()));
        if let Some(outcome) = problem.outcome {
            metadata.insert(OUTCOME_KEY, MetadataValue::from_static(outcome.name()));
        }
        let request_id = problem.request_id.map(|id| MetadataValue::try_from(id.into_string()));
        if let Some(Ok(request_id)) = request_id {
            metadata.insert(REQUEST_ID_KEY, request_id);
        }
        if let Some(faults) = encode_faults(&problem.errors) {
            metadata.insert_bin(ERRORS_KEY, MetadataValue::from_bytes(&faults));
        }
        Self::with_metadata(problem.kind.code(), problem.detail, metadata)
    }
}

impl From<&Status> for Problem {
    fn from(status: &Status) -> Self {
        let metadata = status.metadata();
        let kind = text(metadata, ERROR_KIND_KEY)
            .and_then(ErrorKind::named)
            .unwrap_or_else(|| kind_of(status.code()));
        Self {
            kind,
            detail: detail(status),
            errors: decode_faults(metadata),
            outcome: text(metadata, OUTCOME_KEY).and_then(Outcome::named),
            request_id: text(metadata, REQUEST_ID_KEY).map(Into::into),
        }
    }
}

/// Returns what a status says. One that says nothing is not a master's word: a server answers so where it
/// does not have the method, as one of an older release.
fn detail(status: &Status) -> String {
    match status.message() {
        "" if status.code() == Code::Unimplemented => {
            "the server does not have this method: it may be of an older release".to_owned()
        }
        "" => status.code().description().to_owned(),
        said => said.to_owned(),
    }
}

/// Returns the kind of a status that no master wrote, such as a proxy's.
fn kind_of(code: Code) -> ErrorKind {
    match code {
        Code::Cancelled => ErrorKind::Timeout,
        Code::Aborted => ErrorKind::Conflict,
        // Tonic's code for a message above its size limit.
        Code::ResourceExhausted => ErrorKind::Overloaded,
        Code::Ok
        | Code::Unknown
        | Code::InvalidArgument
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss
        | Code::Unauthenticated => ErrorKind::from_code(code),
    }
}

fn text<'a>(metadata: &'a MetadataMap, key: &str) -> Option<&'a str> {
    metadata.get(key).and_then(|value: &MetadataValue<Ascii>| value.to_str().ok())
}

/// Encodes as many faults as fit, the first ones first.
fn encode_faults(faults: &[Fault]) -> Option<Vec<u8>> {
    (1..=faults.len())
        .rev()
        .filter_map(|count| serde_json::to_vec(faults.get(..count)?).ok())
        .find(|encoded| encoded.len() <= FAULT_BYTES_MAX)
}

fn decode_faults(metadata: &MetadataMap) -> Vec<Fault> {
    metadata
        .get_bin(ERRORS_KEY)
        .and_then(|value| value.to_bytes().ok())
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_that_says_nothing_is_told_by_its_code() {
        let problem = Problem::from(&Status::new(Code::Unimplemented, ""));
        assert!(problem.detail.contains("an older release"), "{problem:?}");
        let problem = Problem::from(&Status::new(Code::DataLoss, ""));
        assert!(!problem.detail.is_empty(), "{problem:?}");
    }

    #[test]
    fn a_problem_reads_back_from_its_status() {
        for kind in ErrorKind::all() {
            let problem = Problem {
                kind,
                detail: "it did not work".to_owned(),
                errors: vec![Fault { pointer: "/a".to_owned(), detail: "ä is wrong".to_owned() }],
                outcome: Some(Outcome::Unknown),
                request_id: Some("r-1".into()),
            };
            let status = Status::from(problem.clone());
            assert_eq!(status.code(), kind.code());
            assert_eq!(Problem::from(&status), problem);
        }
    }

    #[test]
    fn a_status_without_metadata_gets_the_nearest_kind() {
        assert_eq!(Problem::from(&Status::not_found("x")).kind, ErrorKind::NotFound);
        assert_eq!(Problem::from(&Status::unavailable("x")).kind, ErrorKind::NoLeader);
        assert_eq!(Problem::from(&Status::unknown("x")).kind, ErrorKind::Internal);
    }

    #[test]
    fn faults_beyond_the_header_limit_are_left_out() {
        let fault = Fault { pointer: "/x".to_owned(), detail: "y".repeat(1_000) };
        let problem =
            Problem { errors: vec![fault; 50], ..Problem::new(ErrorKind::InvalidTask, "many") };
        let read_back = Problem::from(&Status::from(problem));
        assert_eq!(read_back.errors.len(), 3);
    }
}
