//! Fuzz tests of the codec: any bytes as any message.

use cluster_fuzz::{Fuzz, Memory, mutated};

use super::encoded;
use crate::codec::Measured;
use crate::v1;

/// One text is read, where a part reaches beyond its message, that is as long as the rest. A message
/// has some texts that are no elements of lists.
const BESIDE: u64 = 1_024;

fn check<M: Measured + Default>(bytes: &[u8]) {
    let Some(decoded) = M::LAYOUT.decoded_bytes(bytes) else { return };
    let memory = Memory { per_byte: 1, fixed: BESIDE + u64::try_from(decoded).unwrap() };
    let Ok(message) = memory.hold(bytes, M::decode) else { return };
    assert!(message.encoded_len() <= usize::MAX / 2);
    // Compared as bytes, because NaN is not equal to itself.
    let written = message.encode_to_vec();
    assert_eq!(M::decode(written.as_slice()).unwrap().encode_to_vec(), written);
}

macro_rules! check_all {
    ($bytes:expr, $($message:ident)*) => { $(check::<v1::$message>($bytes);)* };
}

#[test]
fn a_message_is_read_as_sent_or_refused() {
    Fuzz::of("messages").at_most(128).run(mutated(encoded()), |bytes| {
        check_all!(&bytes,
            StatusRequest ClusterStatus GetConfigRequest SetConfigRequest ClusterConfig LeaderRequest LeaderStatus TransferLeaderRequest
            RegisterWorkerRequest RegisterWorkerResponse HeartbeatRequest HeartbeatResponse
            RelayHeartbeatsRequest RelayHeartbeatsResponse ReportTaskCompletionRequest
            ReportTaskCompletionResponse AppendRequest AppendResponse VoteRequest VoteResponse
            HandOverRequest HandOverResponse SnapshotMessage SnapshotResponse
            ResumeSnapshotRequest ResumeSnapshotResponse ProposeRequest ProposeResponse
            ReadIndexResponse NodeStatusResponse IntroduceResponse RegisterRequest
            UnregisterRequest GetWorkerRequest ListWorkersRequest WorkerPage SetSchedulingRequest
            LabelWorkerRequest ReconnectRequest ReconnectResponse WorkerHistoryRequest
            WorkerHistory WorkerUsageRequest WorkerMetrics CreateTokenRequest CreatedToken
            CreateUserTokenRequest CreatedUserToken UserTokenList RevokeUserTokenRequest
            TokenList RevokeTokenRequest SubmitRequest SubmitResponse Task GetTaskRequest
            ListTasksRequest TaskPage CancelTaskByIdRequest WaitTaskRequest TaskLogsRequest
            LogChunk MasterRegisterRequest MasterRegisterResponse AssignTaskRequest
            AssignTaskResponse CancelTaskRequest CancelTaskResponse DismissRequest
            DismissResponse StreamTaskLogsRequest SaveSnapshotRequest SnapshotPart
            ListMembersRequest MemberList AddMemberRequest PromoteMemberRequest
            ReplaceMemberRequest RemoveMemberRequest MemberChanged IntroduceRequest RememberRequest
            ListOrphansRequest OrphanPage DropOrphansRequest DropOrphansResponse
            ListAuditRequest AuditPage ShowQueueRequest QueueSummary ExplainTaskRequest
            TaskSelection Job JobList GetJobRequest ListJobsRequest TaskExplanation Roots RotateAuthorityRequest CertificateStatus ScheduleSpec Schedule GetScheduleRequest ListSchedulesRequest SchedulePage NextRunsRequest NextRuns RunScheduleRequest PauseScheduleRequest DeleteScheduleRequest QueueSpec Queue QueueList ListQueuesRequest GetQueueRequest PauseQueueRequest DeleteQueueRequest
        );
    });
}
