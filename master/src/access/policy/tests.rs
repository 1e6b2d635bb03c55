//! The whole table of the policy.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use cluster_state::Scope;

use super::*;
use crate::access::principal::Account;

const CLOSED: Policy =
    Policy { anonymous: None, anonymous_metrics: false, has_certificates: false };

fn user(role: Role, scope: Option<&str>) -> Principal {
    let scope = scope.map(|value| Scope { key: "team".to_owned(), value: value.to_owned() });
    Principal::User { name: Account::Own("ada".parse().unwrap()), role, scope }
}

/// Writes a row for each action: those who may do it.
fn table(policy: Policy) -> String {
    let mut principals = vec![("anonymous", Principal::Anonymous)];
    principals.extend(Role::ALL.map(|role| (role.name(), user(role, None))));
    principals.push(("worker", Principal::Worker("w1".parse().unwrap())));
    principals.push(("master", Principal::Master(cluster_state::MasterId(1))));
    let mut table = String::new();
    for action in Action::ALL {
        let may = |principal: &Principal| {
            policy.allows(principal, action, Object::Cluster) == Verdict::Allowed
        };
        let who = principals.iter().filter(|(_, one)| may(one)).map(|(name, _)| *name);
        writeln!(table, "{action:?}: {}", who.collect::<Vec<_>>().join(" ")).unwrap();
    }
    table
}

#[test]
fn each_action_is_for_whom_it_is() {
    let expected = "\
Probe: anonymous viewer submitter operator admin worker master
LoadPages: anonymous viewer submitter operator admin worker master
WhoAmI: anonymous viewer submitter operator admin worker master
ReadMetrics: viewer submitter operator admin master
Read: viewer submitter operator admin master
ReadTasks: viewer submitter operator admin master
ReadEnvironment: submitter operator admin
SubmitTasks: submitter operator admin
CancelTasks: submitter operator admin
ManageWorkers: operator admin
ManageJoinTokens: operator admin
Lead: operator admin
ChangeSettings: operator admin
Upgrade: operator admin
ManageMembers: admin
SaveBackup: admin
ManageUsers: admin
ReadAudit: admin
JoinCluster: anonymous viewer submitter operator admin worker master
ManageCertificates: admin
ServeAsWorker: anonymous worker master
ServeAsMaster: anonymous master
";
    assert_eq!(table(CLOSED), expected);
}

#[test]
fn anonymous_callers_may_what_their_role_may() {
    for action in Action::ALL {
        for role in Role::ALL {
            let policy = Policy { anonymous: Some(role), ..CLOSED };
            let anonymous = policy.allows(&Principal::Anonymous, action, Object::Cluster);
            let named = policy.allows(&user(role, None), action, Object::Cluster);
            let is_for_users = !matches!(action, Action::ServeAsWorker | Action::ServeAsMaster);
            let agree = (anonymous == Verdict::Allowed) == (named == Verdict::Allowed);
            assert!(agree || !is_for_users, "{action:?} as {role}");
        }
        let open = Policy { anonymous_metrics: true, ..CLOSED };
        let [closed, open] =
            [CLOSED, open].map(|it| it.allows(&Principal::Anonymous, action, Object::Cluster));
        assert_eq!(closed != open, action == Action::ReadMetrics, "{action:?}");
    }
}

#[test]
fn a_scope_ends_at_its_label() {
    let labels = |team: &str| TextMap::from(BTreeMap::from([("team".to_owned(), team.to_owned())]));
    let (own, other) = (labels("blue"), labels("red"));
    let submitter = user(Role::Submitter, Some("blue"));
    let may = |labels| CLOSED.allows(&submitter, Action::CancelTasks, Object::Task(labels));
    assert_eq!(may(&own), Verdict::Allowed);
    assert_eq!(may(&other), Verdict::OutOfScope);
    assert_eq!(may(&TextMap::default()), Verdict::OutOfScope);
    let viewer = user(Role::Viewer, Some("blue"));
    let read = CLOSED.allows(&viewer, Action::ReadTasks, Object::Task(&other));
    assert_eq!(read, Verdict::OutOfScope);
    let all = |who: &Principal| CLOSED.allows(who, Action::ReadTasks, Object::AllTasks);
    assert_eq!(all(&viewer), Verdict::OutOfScope);
    assert_eq!(all(&user(Role::Viewer, None)), Verdict::Allowed);
}

#[test]
fn a_refusal_names_the_role_and_the_action() {
    let refused = |policy: Policy, principal: &Principal, action| {
        let verdict = policy.allows(principal, action, Object::Cluster);
        let problem = policy.explain(verdict, principal, action).unwrap_err();
        (problem.kind, problem.detail)
    };
    let viewer = user(Role::Viewer, None);
    let expected = "user 'ada' has the role viewer and may not submit tasks";
    let forbidden = (ErrorKind::Forbidden, expected.to_owned());
    assert_eq!(refused(CLOSED, &viewer, Action::SubmitTasks), forbidden);
    let (kind, detail) = refused(CLOSED, &Principal::Anonymous, Action::Read);
    assert_eq!(kind, ErrorKind::Unauthenticated);
    assert_eq!(detail, "anonymous callers may not look at the cluster: present a token");
}

#[test]
fn where_there_are_certificates_nobody_serves_without_one() {
    let policy = Policy { anonymous: Some(Role::Admin), has_certificates: true, ..CLOSED };
    for action in [Action::ServeAsWorker, Action::ServeAsMaster] {
        let verdict = policy.allows(&Principal::Anonymous, action, Object::Cluster);
        assert_eq!(verdict, Verdict::Unauthenticated, "{action}");
        let problem = policy.explain(verdict, &Principal::Anonymous, action).unwrap_err();
        assert!(problem.to_string().contains("without a certificate"), "{problem}");
    }
    let worker = Principal::Worker("w1".parse().unwrap());
    let verdict = policy.allows(&worker, Action::ServeAsMaster, Object::Cluster);
    assert_eq!(verdict, Verdict::Forbidden);
}
