//! The gate: finds out who calls, and keeps those out who say so wrongly.

mod caller;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use cluster_state::{Role, Timestamp, TokenId, UserToken};
use http::HeaderMap;
use parking_lot::Mutex;
use proto::problem::{ErrorKind, Outcome, Problem};
use raft_store::Node;
use tokio::time::Instant;

pub(crate) use self::caller::Caller;
use self::caller::Visit;
use super::bearer::Presented;
use super::budgets::{Budgets, Exhausted};
use super::failures::{Failures, Standing};
use super::federation::{Federation, NotAdmitted};
use super::fresh_reads::FreshReads;
use super::policy::Verdict;
use super::{Action, Object, Origin, Policy, Principal, RequestId, TokenFile, secret};
use crate::metrics::{Metrics, Refused};
use crate::refusal;
use crate::trail::{RefusalKind, Trail};

/// Rules of a gate.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) policy: Policy,
    /// Tokens of the file, which are good until an admin has one of the cluster's own.
    pub(crate) tokens: TokenFile,
    /// Identity provider whose tokens are good, too.
    pub(crate) federation: Option<Federation>,
    /// Requests that each caller may make; none for any number.
    pub(crate) requests_per_second: Option<NonZeroU32>,
}

/// Finds out who calls. Clones share everything.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    policy: Policy,
    anonymous: Arc<Principal>,
    file: TokenFile,
    federation: Option<Federation>,
    node: Node,
    metrics: Metrics,
    trail: Trail,
    failures: Mutex<Failures>,
    fresh_reads: Mutex<FreshReads>,
    /// Requests that each caller may make; none for any number.
    budgets: Option<Budgets>,
    /// Last time that a token has admitted somebody here.
    last_uses: Mutex<BTreeMap<TokenId, Timestamp>>,
}

/// Answer of the state of this master about a token.
enum Found {
    User(Arc<Principal>),
    /// It knows the token, and it is not good.
    Refused,
    /// It has never heard of the token.
    Unknown,
    /// The token has not the form of the cluster's own.
    Foreign,
}

/// Reason that a token is refused, for the log. It holds nothing of the token.
type Reason = Cow<'static, str>;
/// User of a token, or the reason that it is not good.
type Admission = Result<Arc<Principal>, Reason>;

const NO_TOKEN: Reason = Cow::Borrowed("it is no bearer token");
const REFUSED: Reason = Cow::Borrowed("its secret is wrong, or it has expired");
const UNKNOWN: Reason = Cow::Borrowed("it was revoked, or never issued");

impl Gate {
    /// Creates a gate that keeps the rules.
    pub(crate) fn new(rules: Rules, node: Node, (metrics, trail): (Metrics, Trail)) -> Self {
        let Rules { policy, tokens, federation, requests_per_second } = rules;
        let shared = Shared {
            policy,
            anonymous: Arc::new(Principal::Anonymous),
            file: tokens,
            federation,
            node,
            metrics,
            trail,
            failures: Mutex::default(),
            fresh_reads: Mutex::default(),
            budgets: Budgets::new(requests_per_second),
            last_uses: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Returns a caller that nobody has asked anything.
    pub(crate) fn anyone(&self) -> Caller {
        let visit = Visit::of(&Origin::default(), RequestId::draw());
        Caller::new(Arc::clone(&self.shared.anonymous), visit, self.clone())
    }

    /// Returns the caller if the request presents no token: it is whoever the connection belongs to,
    /// unless its certificate was revoked.
    pub(crate) fn without_token(&self, origin: &Origin, headers: &HeaderMap) -> Option<Caller> {
        let is_bare = Presented::of(headers) == Presented::Nothing && !self.is_revoked(origin);
        let principal = origin.identity.as_ref().unwrap_or(&self.shared.anonymous);
        let visit = || Visit::of(origin, RequestId::of(headers));
        is_bare.then(|| Caller::new(Arc::clone(principal), visit(), self.clone()))
    }

    /// Returns the caller. A token counts for more than the connection, and a wrong one is refused
    /// even where none is needed: its user must hear of it.
    pub(crate) async fn admit(
        &self,
        origin: &Origin,
        headers: &HeaderMap,
    ) -> Result<Caller, Problem> {
        if let Some(caller) = self.without_token(origin, headers) {
            return Ok(caller);
        }
        let visit = Visit::of(origin, RequestId::of(headers));
        if self.is_revoked(origin) {
            self.shared.metrics.on_refused(Refused::Unauthenticated);
            let problem = Problem::new(ErrorKind::Unauthenticated, "the certificate was revoked");
            return Err(self.on_stranger(problem.with_outcome(Outcome::Rejected), &visit));
        }
        let user = match Presented::of(headers) {
            Presented::Token(token) => {
                let user = self.user(token, origin).await;
                user.map_err(|problem| self.on_stranger(problem, &visit))?
            }
            Presented::Nothing | Presented::Unreadable => Err(NO_TOKEN),
        };
        match user {
            Ok(user) => Ok(Caller::new(user, visit, self.clone())),
            Err(reason) => Err(self.on_stranger(self.on_failure(origin, &reason), &visit)),
        }
    }

    /// Returns true if the peer has shown a certificate that was revoked since, or before.
    fn is_revoked(&self, origin: &Origin) -> bool {
        origin
            .certificate
            .as_ref()
            .is_some_and(|shown| self.shared.node.reader().with(|state| state.is_revoked(shown)))
    }

    /// Returns the user of a token or, if it is not good, a reason for the log. This master may be a
    /// moment behind the one that has created it, so an unknown one is looked for once more in a state
    /// that is certainly new enough.
    async fn user(&self, token: &str, origin: &Origin) -> Result<Admission, Problem> {
        match self.find(token) {
            Found::User(user) => return Ok(Ok(user)),
            Found::Foreign => return self.federated(token, origin).await,
            Found::Refused => return Ok(Err(REFUSED)),
            Found::Unknown => {}
        }
        let now = Instant::now();
        if self.shared.failures.lock().is_exhausted(origin.site(), now) {
            return Ok(Err(UNKNOWN));
        }
        if !self.shared.fresh_reads.lock().admits(now) {
            self.shared.failures.lock().on_failure(origin.site(), now);
            self.shared.metrics.on_refused(Refused::TooManyFailures);
            let detail = "too many unknown tokens are presented to this master";
            let problem = Problem::new(ErrorKind::Overloaded, detail);
            return Err(problem.with_outcome(Outcome::Rejected));
        }
        self.shared.node.linearize().await.map_err(|error| {
            // It may be good: nobody can tell now.
            refusal::of_read(&error).with_outcome(Outcome::Rejected)
        })?;
        match self.find(token) {
            Found::User(user) => Ok(Ok(user)),
            Found::Refused | Found::Foreign => Ok(Err(REFUSED)),
            Found::Unknown => Ok(Err(UNKNOWN)),
        }
    }

    /// Returns the bearer of a token that the cluster has not issued: a user of the identity provider, if
    /// there is one. Those who fail too often have no keys looked for.
    async fn federated(&self, token: &str, origin: &Origin) -> Result<Admission, Problem> {
        let Some(federation) = &self.shared.federation else { return Ok(Err(REFUSED)) };
        let now = Instant::now();
        let may_look = !self.shared.failures.lock().is_exhausted(origin.site(), now);
        match federation.user(token, may_look).await {
            Ok(user) => Ok(Ok(user)),
            Err(NotAdmitted::Rejected(rejected)) => Ok(Err(rejected.to_string().into())),
            Err(NotAdmitted::Unmapped(unmapped)) => {
                self.shared.metrics.on_refused(Refused::Forbidden);
                let problem = Problem::new(ErrorKind::Forbidden, unmapped.to_string());
                Err(problem.with_outcome(Outcome::Rejected))
            }
        }
    }

    fn find(&self, token: &str) -> Found {
        let now = self.shared.node.clock().now();
        if let Some(user) = self.shared.file.user(token)
            && !self.has_admin(now)
        {
            return Found::User(user);
        }
        let Some((id, secret)) = secret::parts(token) else { return Found::Foreign };
        let digest = secret::digest(secret);
        let known = self.shared.node.reader().with(|state| state.user_token(&id).cloned());
        let Some(known) = known else { return Found::Unknown };
        if !secret::is_same(&known.digest, &digest) || known.is_expired(now) {
            return Found::Refused;
        }
        self.shared.last_uses.lock().insert(id, now);
        let UserToken { user: name, role, scope, .. } = known;
        Found::User(Arc::new(Principal::User { name: name.into(), role, scope }))
    }

    /// Returns true if an admin has a token of the cluster's own.
    fn has_admin(&self, now: Timestamp) -> bool {
        self.shared.node.reader().with(|state| {
            state.user_tokens().any(|token| token.role == Role::Admin && !token.is_expired(now))
        })
    }

    /// Counts a wrong token and explains it, without saying what is wrong with it: only the log has the
    /// reason.
    fn on_failure(&self, origin: &Origin, reason: &str) -> Problem {
        let standing = self.shared.failures.lock().on_failure(origin.site(), Instant::now());
        if standing == Standing::First {
            let address = origin.remote.map(|remote| remote.ip().to_string()).unwrap_or_default();
            tracing::warn!(address, reason, "a wrong, expired or revoked token was presented");
        }
        let (kind, refused, detail) = match standing {
            Standing::TooMany => (
                ErrorKind::Overloaded,
                Refused::TooManyFailures,
                "too many wrong tokens have come from this address",
            ),
            Standing::First | Standing::Few => (
                ErrorKind::Unauthenticated,
                Refused::Unauthenticated,
                "the token is wrong, expired or revoked",
            ),
        };
        self.shared.metrics.on_refused(refused);
        Problem::new(kind, detail).with_outcome(Outcome::Rejected)
    }

    /// Returns the role of a principal, if it has one.
    pub(super) fn role(&self, principal: &Principal) -> Option<Role> {
        self.shared.policy.role(principal)
    }

    /// Returns whether a principal may do something.
    fn allows(&self, principal: &Principal, action: Action, object: Object<'_>) -> bool {
        self.shared.policy.allows(principal, action, object) == Verdict::Allowed
    }

    /// Counts a request of a principal at an address. What masters and workers do is bounded by what
    /// there is to do.
    pub(super) fn spend(&self, caller: &Caller, action: Action) -> Result<(), Problem> {
        let Some(budgets) = &self.shared.budgets else { return Ok(()) };
        if !action.is_for_users() {
            return Ok(());
        }
        let spent = match caller.principal() {
            Principal::Anonymous => budgets.spend_of_stranger(caller.visit().site),
            Principal::User { name, .. } => budgets.spend_of_user(name),
            Principal::Worker(_) | Principal::Master(_) => Ok(()),
        };
        spent.map_err(|Exhausted| {
            self.shared.metrics.on_refused(Refused::TooManyRequests);
            let detail =
                "this caller has made as many requests as limits.requests_per_second allows";
            let problem = Problem::new(ErrorKind::Overloaded, detail);
            self.note(&problem, Some((caller.principal(), action)), caller.visit());
            problem.with_outcome(Outcome::Rejected)
        })
    }

    /// Notes the refusal of somebody whom nobody knows.
    fn on_stranger(&self, problem: Problem, visit: &Visit) -> Problem {
        self.note(&problem, None, visit);
        problem.of_request(&visit.request)
    }

    /// Notes a refusal for the file of the trail.
    fn note(&self, problem: &Problem, asked: Option<(&Principal, Action)>, visit: &Visit) {
        let kind = || RefusalKind {
            error: problem.kind.name(),
            principal: asked.map(|(principal, _)| principal.to_string()),
            action: asked.map(|(_, action)| action.phrase()),
            remote: visit.remote.map(|remote| remote.ip()),
        };
        self.shared.trail.on_refused(kind, self.shared.node.clock().now(), &visit.request);
    }

    /// Refuses what a principal may not do.
    pub(super) fn check(
        &self,
        caller: &Caller,
        action: Action,
        object: Object<'_>,
    ) -> Result<(), Problem> {
        let policy = self.shared.policy;
        let principal = caller.principal();
        let verdict = policy.allows(principal, action, object);
        if verdict == Verdict::Allowed && action.is_order() && *principal != Principal::Anonymous {
            let request = caller.request();
            tracing::info!(by = %principal, %action, %request, "a user gives an order");
        }
        policy.explain(verdict, principal, action).inspect_err(|problem| {
            let is_known = problem.kind == ErrorKind::Forbidden;
            let reason = if is_known { Refused::Forbidden } else { Refused::Unauthenticated };
            self.shared.metrics.on_refused(reason);
            self.note(problem, Some((principal, action)), caller.visit());
        })
    }

    /// Returns the last time that each token has admitted somebody here, and forgets tokens that
    /// are revoked.
    pub(crate) fn last_uses(&self) -> BTreeMap<TokenId, Timestamp> {
        let is_known =
            |id: &TokenId| self.shared.node.reader().with(|state| state.user_token(id).is_some());
        let mut last_uses = self.shared.last_uses.lock().clone();
        last_uses.retain(|id, _| is_known(id));
        self.shared.last_uses.lock().retain(|id, _| last_uses.contains_key(id));
        last_uses
    }
}
