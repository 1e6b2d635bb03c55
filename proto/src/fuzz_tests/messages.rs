//! Messages as the codec gives them: any bytes as any message.

use cluster_fuzz::{Fuzz, mutated};
use prost::Message;

use super::{MEMORY, encoded};
use crate::codec::count_fields;
use crate::v1;

fn check<M: Message + Default>(bytes: &[u8]) {
    let Ok(message) = MEMORY.hold(bytes, M::decode) else { return };
    assert!(message.encoded_len() <= usize::MAX / 2);
    // Compared as bytes, because a number that is none is not equal to itself.
    let written = message.encode_to_vec();
    assert_eq!(M::decode(written.as_slice()).unwrap().encode_to_vec(), written);
}

macro_rules! check_all {
    ($bytes:expr, $($message:ident)*) => { $(check::<v1::$message>($bytes);)* };
}

#[test]
fn a_message_is_read_as_sent_or_refused() {
    Fuzz::of("messages").at_most(128).run(mutated(encoded()), |bytes| {
        assert!(count_fields(&bytes) <= bytes.len());
        check_all!(&bytes,
            StatusRequest ClusterStatus LeaderRequest LeaderStatus TransferLeaderRequest
            RegisterWorkerRequest RegisterWorkerResponse HeartbeatRequest HeartbeatResponse
            RelayHeartbeatsRequest RelayHeartbeatsResponse ReportTaskCompletionRequest
            ReportTaskCompletionResponse AppendRequest AppendResponse VoteRequest VoteResponse
            HandOverRequest HandOverResponse SnapshotMessage SnapshotResponse
            ResumeSnapshotRequest ResumeSnapshotResponse ProposeRequest ProposeResponse
            ReadIndexResponse NodeStatusResponse IntroduceResponse RegisterRequest
            UnregisterRequest GetWorkerRequest ListWorkersRequest WorkerPage SetSchedulingRequest
            LabelWorkerRequest ReconnectRequest ReconnectResponse WorkerHistoryRequest
            WorkerHistory WorkerUsageRequest WorkerMetrics CreateTokenRequest CreatedToken
            TokenList RevokeTokenRequest SubmitRequest SubmitResponse Task GetTaskRequest
            ListTasksRequest TaskPage CancelTaskByIdRequest WaitTaskRequest TaskLogsRequest
            LogChunk MasterRegisterRequest MasterRegisterResponse AssignTaskRequest
            AssignTaskResponse CancelTaskRequest CancelTaskResponse DismissRequest
            DismissResponse StreamTaskLogsRequest
        );
    });
}
