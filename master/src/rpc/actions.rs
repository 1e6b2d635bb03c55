//! The action of each gRPC method.

use crate::access::Action;

/// Methods of each service, with the action that their callers must be allowed. A method that is not
/// here is refused.
const ACTIONS: [(&str, &[(&str, Action)]); 14] = [
    (
        "cloudai.v1.TaskService",
        &[
            ("Submit", Action::SubmitTasks),
            ("Get", Action::ReadTasks),
            ("List", Action::ReadTasks),
            ("Cancel", Action::CancelTasks),
            ("Retry", Action::SubmitTasks),
            ("Wait", Action::ReadTasks),
            ("Logs", Action::ReadTasks),
            ("Watch", Action::Read),
        ],
    ),
    (
        "cloudai.v1.RegistryService",
        &[
            ("Register", Action::ManageWorkers),
            ("Unregister", Action::ManageWorkers),
            ("Forget", Action::ManageWorkers),
            ("Get", Action::Read),
            ("List", Action::Read),
            ("SetScheduling", Action::ManageWorkers),
            ("Label", Action::ManageWorkers),
            ("Reconnect", Action::ManageWorkers),
            ("History", Action::Read),
            ("Usage", Action::Read),
            ("WatchUsage", Action::Read),
            ("CreateToken", Action::ManageJoinTokens),
            ("ListTokens", Action::ManageJoinTokens),
            ("RevokeToken", Action::ManageJoinTokens),
        ],
    ),
    (
        "cloudai.v1.ClusterService",
        &[
            ("Status", Action::Read),
            ("Leader", Action::Read),
            ("TransferLeader", Action::Lead),
            ("AcknowledgeMassLoss", Action::Lead),
            ("GetConfig", Action::Read),
            ("SetConfig", Action::ChangeSettings),
            ("SaveSnapshot", Action::SaveBackup),
            ("ListMembers", Action::Read),
            ("AddMember", Action::ManageMembers),
            ("PromoteMember", Action::ManageMembers),
            ("ReplaceMember", Action::ManageMembers),
            ("RemoveMember", Action::ManageMembers),
            ("GetUpgrade", Action::Read),
            ("SetUpgrade", Action::Upgrade),
            ("ListOrphans", Action::Read),
            ("DropOrphans", Action::Lead),
        ],
    ),
    (
        "cloudai.v1.UserService",
        &[
            ("WhoAmI", Action::WhoAmI),
            ("CreateUserToken", Action::ManageUsers),
            ("ListUserTokens", Action::ManageUsers),
            ("RevokeUserToken", Action::ManageUsers),
        ],
    ),
    (
        "cloudai.v1.QueueService",
        &[
            ("Show", Action::Read),
            ("Explain", Action::ReadTasks),
            ("List", Action::Read),
            ("Get", Action::Read),
            ("Put", Action::ChangeSettings),
            ("Pause", Action::ChangeSettings),
            ("Delete", Action::ChangeSettings),
        ],
    ),
    (
        "cloudai.v1.JobService",
        &[
            ("CancelTasks", Action::CancelTasks),
            ("RetryTasks", Action::SubmitTasks),
            ("Get", Action::ReadTasks),
            ("List", Action::ReadTasks),
        ],
    ),
    (
        "cloudai.v1.ScheduleService",
        &[
            ("Create", Action::SubmitTasks),
            ("Replace", Action::SubmitTasks),
            ("Get", Action::ReadTasks),
            ("List", Action::ReadTasks),
            ("Next", Action::ReadTasks),
            ("Run", Action::SubmitTasks),
            ("Pause", Action::SubmitTasks),
            ("Delete", Action::SubmitTasks),
        ],
    ),
    ("cloudai.v1.AuditService", &[("ListAudit", Action::ReadAudit)]),
    (
        "cloudai.v1.CertificateService",
        &[
            ("GetRoots", Action::JoinCluster),
            ("Issue", Action::JoinCluster),
            ("Adopt", Action::ManageCertificates),
            ("Rotate", Action::ManageCertificates),
            ("RotationProgress", Action::ServeAsMaster),
            ("Status", Action::Read),
            ("Revoke", Action::ManageCertificates),
            ("FetchKey", Action::ServeAsMaster),
            ("HoldsKey", Action::ServeAsMaster),
        ],
    ),
    (
        "cloudai.v1.MasterService",
        &[
            ("RegisterWorker", Action::ServeAsWorker),
            ("SendHeartbeat", Action::ServeAsWorker),
            ("ReportTaskCompletion", Action::ServeAsWorker),
            ("RelayHeartbeats", Action::ServeAsMaster),
        ],
    ),
    (
        "cloudai.v1.RaftService",
        &[
            ("Append", Action::ServeAsMaster),
            ("Vote", Action::ServeAsMaster),
            ("PreVote", Action::ServeAsMaster),
            ("TransferLeader", Action::ServeAsMaster),
            ("InstallSnapshot", Action::ServeAsMaster),
            ("ResumeSnapshot", Action::ServeAsMaster),
            ("Propose", Action::ServeAsMaster),
            ("ReadIndex", Action::ServeAsMaster),
            ("NodeStatus", Action::ServeAsMaster),
            ("Introduce", Action::ServeAsMaster),
            ("Join", Action::ServeAsMaster),
            ("Recognize", Action::ServeAsMaster),
            ("Farewell", Action::ServeAsMaster),
            ("Remember", Action::ServeAsMaster),
        ],
    ),
    ("grpc.health.v1.Health", &[("Check", Action::Probe), ("Watch", Action::Read)]),
    ("grpc.reflection.v1.ServerReflection", &[("ServerReflectionInfo", Action::Read)]),
    ("grpc.reflection.v1alpha.ServerReflection", &[("ServerReflectionInfo", Action::Read)]),
];

/// Calls that a master passes on to the leader, or that only another master makes: it has asked its
/// own caller for the rights, and now asks as a master.
const PASSED_ON: [&str; 16] = [
    "/cloudai.v1.TaskService/Get",
    "/cloudai.v1.TaskService/List",
    "/cloudai.v1.RegistryService/Get",
    "/cloudai.v1.RegistryService/List",
    "/cloudai.v1.RegistryService/Reconnect",
    "/cloudai.v1.RegistryService/Usage",
    "/cloudai.v1.RegistryService/WatchUsage",
    "/cloudai.v1.ClusterService/TransferLeader",
    "/cloudai.v1.ClusterService/ListMembers",
    "/cloudai.v1.ClusterService/AddMember",
    "/cloudai.v1.ClusterService/PromoteMember",
    "/cloudai.v1.ClusterService/ReplaceMember",
    "/cloudai.v1.ClusterService/RemoveMember",
    "/cloudai.v1.MasterService/RegisterWorker",
    "/cloudai.v1.MasterService/SendHeartbeat",
    "/cloudai.v1.MasterService/ReportTaskCompletion",
];

/// Lists every method as a path, with its action.
pub(crate) fn list() -> impl Iterator<Item = (String, Action)> {
    ACTIONS.iter().flat_map(|(service, methods)| {
        methods.iter().map(move |(method, action)| (format!("/{service}/{method}"), *action))
    })
}

/// Returns the action of a call that says that another master has passed it on.
pub(super) fn action_passed_on(path: &str) -> Option<Action> {
    if PASSED_ON.contains(&path) { Some(Action::ServeAsMaster) } else { action_of(path) }
}

/// Returns the action of the method with a path such as `/cloudai.v1.TaskService/Submit`.
pub(super) fn action_of(path: &str) -> Option<Action> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    let (_, methods) = ACTIONS.iter().find(|(name, _)| *name == service)?;
    methods.iter().find(|(name, _)| *name == method).map(|(_, action)| *action)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    /// Calls of masters to workers, which a master does not serve.
    const NOT_SERVED: &str = "cloudai.v1.WorkerService";

    /// Returns the paths of all methods that the described services have.
    fn methods(descriptors: &[u8]) -> BTreeSet<String> {
        let files = FileDescriptorSet::decode(descriptors).unwrap().file;
        let services = files.iter().flat_map(|file| {
            let package = file.package().to_owned();
            file.service
                .iter()
                .map(move |service| (format!("{package}.{}", service.name()), service))
        });
        let served = services.filter(|(name, _)| name != NOT_SERVED);
        let paths = served.flat_map(|(name, service)| {
            service.method.iter().map(move |method| format!("/{name}/{}", method.name()))
        });
        paths.collect()
    }

    #[test]
    fn each_method_of_each_service_has_an_action_and_no_other_has() {
        let mut served = methods(proto::v1::FILE_DESCRIPTOR_SET);
        assert!(served.len() > 40, "{served:?}");
        served.extend(methods(tonic_health::pb::FILE_DESCRIPTOR_SET));
        served.extend(methods(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET));
        served.extend(methods(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET));

        let without = served.iter().filter(|path| action_of(path).is_none()).collect::<Vec<_>>();
        assert!(without.is_empty(), "methods without an action: {without:?}");
        let known = list().map(|(path, _)| path);
        let gone = known.filter(|path| !served.contains(path)).collect::<Vec<_>>();
        assert!(gone.is_empty(), "actions of methods that do not exist: {gone:?}");
    }

    #[test]
    fn what_is_passed_on_is_a_method_and_gives_no_rights_over_users() {
        for path in PASSED_ON {
            assert!(action_of(path).is_some(), "{path}");
        }
        let create = "/cloudai.v1.UserService/CreateUserToken";
        assert_eq!(action_passed_on(create), Some(Action::ManageUsers));
    }

    #[test]
    fn what_is_no_method_has_no_action() {
        for path in
            ["", "/", "/cloudai.v1.TaskService", "/cloudai.v1.TaskService/Drop", "/x/Submit"]
        {
            assert_eq!(action_of(path), None, "{path}");
        }
    }
}
