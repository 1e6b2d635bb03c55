//! The caller of one request: a principal in front of the gate that it came through.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use cluster_state::{Actor, Role, Scope, TextMap, Timestamp, TokenId};
use proto::problem::Problem;

use super::Gate;
use crate::access::{Action, Object, Origin, Principal, RequestId};

/// One request, and where it comes from.
#[derive(Debug, Clone)]
pub(super) struct Visit {
    pub(super) request: RequestId,
    pub(super) remote: Option<SocketAddr>,
    /// Address that stands for the caller.
    pub(super) site: IpAddr,
}

impl Visit {
    pub(super) fn of(origin: &Origin, request: RequestId) -> Self {
        Self { request, remote: origin.remote, site: origin.site() }
    }
}

/// Caller of one request. It travels among the extensions of the request.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    principal: Arc<Principal>,
    visit: Visit,
    gate: Gate,
}

impl Caller {
    pub(super) const fn new(principal: Arc<Principal>, visit: Visit, gate: Gate) -> Self {
        Self { principal, visit, gate }
    }

    /// Returns who calls.
    pub(crate) fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Returns the role of the caller, if it has one.
    pub(crate) fn role(&self) -> Option<Role> {
        self.gate.role(&self.principal)
    }

    /// Returns the id of the request.
    pub(crate) const fn request(&self) -> &RequestId {
        &self.visit.request
    }

    /// Returns the request, and where it comes from.
    pub(super) const fn visit(&self) -> &Visit {
        &self.visit
    }

    /// Returns what the trail says of the caller.
    pub(crate) fn actor(&self) -> Actor {
        Actor {
            principal: self.principal.to_string(),
            request: self.visit.request.to_string(),
            remote: self.visit.remote.map(|remote| remote.to_string()),
        }
    }

    /// Returns the label of the only tasks that the caller may know of; none for all.
    pub(crate) fn scope(&self) -> Option<&Scope> {
        match &*self.principal {
            Principal::User { scope, .. } => scope.as_ref(),
            Principal::Anonymous | Principal::Worker(_) | Principal::Master(_) => None,
        }
    }

    /// Returns the last time that each token of a user has admitted somebody on this master.
    pub(crate) fn last_uses(&self) -> BTreeMap<TokenId, Timestamp> {
        self.gate.last_uses()
    }

    /// Counts a request against the caller's budget, and refuses what the caller may do to nothing.
    pub(crate) fn check(&self, action: Action) -> Result<(), Problem> {
        self.gate.spend(self, action)?;
        self.gate.check(self, action, Object::Cluster)
    }

    /// Returns whether the caller may take an action at all. A refusal is counted nowhere.
    pub(crate) fn may(&self, action: Action) -> bool {
        self.gate.allows(&self.principal, action, Object::Cluster)
    }

    /// Returns whether the caller may do something to a task with these labels. A refusal is counted
    /// nowhere: the caller did not ask for it.
    pub(crate) fn may_on_task(&self, action: Action, labels: &TextMap) -> bool {
        self.gate.allows(&self.principal, action, Object::Task(labels))
    }

    /// Refuses what the caller may do to some tasks only.
    pub(crate) fn check_all_tasks(&self, action: Action) -> Result<(), Problem> {
        match self.scope() {
            // The action itself was checked before the request was read.
            None => Ok(()),
            Some(_) => self.gate.check(self, action, Object::AllTasks),
        }
    }

    /// Refuses what the caller may not do to a task with these labels, although it may to others.
    pub(crate) fn check_task(&self, action: Action, labels: &TextMap) -> Result<(), Problem> {
        match self.scope() {
            // The action itself was checked before the request was read.
            None => Ok(()),
            Some(_) => self.gate.check(self, action, Object::Task(labels)),
        }
    }
}
