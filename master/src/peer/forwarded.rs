//! Answers that the leader gives in place of a follower, which passes them on as they came.

use proto::v1;

pub(crate) type Task = v1::Task;
pub(crate) type TaskPage = v1::TaskPage;
pub(crate) type Worker = v1::Worker;
pub(crate) type ReconnectResponse = v1::ReconnectResponse;
pub(crate) type WorkerMetrics = v1::WorkerMetrics;
pub(crate) type UsageSample = v1::UsageSample;
pub(crate) type LeaderStatus = v1::LeaderStatus;
pub(crate) type MemberList = v1::MemberList;
pub(crate) type RotationStatus = v1::RotationStatus;
pub(crate) type MemberChanged = v1::MemberChanged;
