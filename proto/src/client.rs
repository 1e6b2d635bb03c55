//! The client that follows the leader: it asks any known master, moves on to the leader, and
//! repeats calls that are safe to repeat until its deadline.
//!
//! [`Client`] is for every program that uses a cluster, ours and those of others. It speaks gRPC to the
//! addresses that `clusterctl` takes (`CLUSTERCTL_ENDPOINTS`); [`ClientOptions`] hold timeouts, a token,
//! and how to connect: in clear text, or with certificates. Calls of tasks, schedules, workers and the
//! cluster are its methods, with the messages of [`crate::v1`]. A submission has an idempotency key,
//! drawn unless one is given. A log ([`LogStream`]) and events ([`EventStream`]) go on over broken connections
//! without a gap or a repetition. [`ClientError::outcome`] says whether a change that failed may have been
//! made. `proto/examples/submit.rs` is a whole program.
//!
//! **Invariant:** an answer that was lost is never taken for a refusal. Either the request is
//! repeated under the same idempotency key, or the error says that the outcome is unknown.

mod audit_calls;
mod bearer;
mod calls;
mod certificate_calls;
mod error;
mod job_calls;
mod logs;
mod member_calls;
mod operator_calls;
mod orphan_calls;
mod queue_calls;
mod schedule_calls;
mod snapshot;
mod targets;
mod upgrade_calls;
mod user_calls;
mod watch;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rand::RngExt;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

pub use bearer::{BearerToken, InvalidToken};
pub use calls::task_service;
pub use error::{AttemptFailure, ClientError};
pub use logs::LogStream;
pub use snapshot::SnapshotStream;
pub use watch::EventStream;

use crate::channel::{self, Dialer, EverConnected};
use crate::problem::LEADER_ADDRESS_KEY;
use targets::Targets;

/// First pause after all endpoints have failed once; doubles with each further round. An election
/// takes some hundred milliseconds: a much longer pause would show in every failover.
const BACKOFF_BASE: Duration = Duration::from_millis(20);
/// Longest pause between two rounds.
const BACKOFF_MAX: Duration = Duration::from_millis(500);

/// Timeouts and retries of a client.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Timeout of one attempt. Longer than the 5 s for which a follower holds a request while there
    /// is no leader, so that its answer arrives.
    pub attempt_timeout: Duration,
    /// Time for a call with all its attempts.
    pub deadline: Duration,
    /// Token to present; none to call anonymously.
    pub token: Option<BearerToken>,
    /// Opens the connections.
    pub dialer: Dialer,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            attempt_timeout: Duration::from_secs(6),
            deadline: Duration::from_secs(30),
            token: None,
            dialer: Dialer::plain(),
        }
    }
}

/// A client of the cluster. Clones share its connection.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: ClientOptions,
    routes: Mutex<Routes>,
}

#[derive(Debug)]
struct Routes {
    targets: Targets,
    channels: BTreeMap<String, (Channel, EverConnected)>,
}

/// Policy for repeating a call whose outcome is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeat {
    /// A second time has no further effect, whatever other clients have done in between.
    Always,
    /// Repeat only if the first time certainly had no effect: a second time could undo what another
    /// client was told is done.
    UnlessAmbiguous,
}

/// Rules for one call.
#[derive(Debug, Clone, Copy)]
struct Rules {
    repeat: Repeat,
    attempt_timeout: Duration,
    deadline: Duration,
}

impl Client {
    /// Creates a client of the cluster that has these masters. It connects when it is first used.
    pub fn new<E: Into<String>>(
        endpoints: impl IntoIterator<Item = E>,
        options: ClientOptions,
    ) -> Result<Self, ClientError> {
        let endpoints = endpoints.into_iter().map(Into::into).collect::<Vec<String>>();
        for address in &endpoints {
            channel::check_address(address)?;
        }
        let targets = Targets::new(endpoints).ok_or(ClientError::NoEndpoint)?;
        let routes = Mutex::new(Routes { targets, channels: BTreeMap::new() });
        Ok(Self { shared: Arc::new(Shared { options, routes }) })
    }

    /// Returns the client's timeouts and retries.
    #[must_use]
    pub fn options(&self) -> &ClientOptions {
        &self.shared.options
    }

    /// Returns the target of the next call: the leader if it is known.
    #[must_use]
    pub fn target(&self) -> String {
        self.routes().targets.current().to_owned()
    }

    fn rules(&self, repeat: Repeat) -> Rules {
        let ClientOptions { attempt_timeout, deadline, .. } = self.shared.options;
        Rules { repeat, attempt_timeout, deadline }
    }

    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.shared.routes.lock()
    }

    /// Calls one master after the other until an answer is final.
    async fn call<Q, R, F, Fut>(&self, rules: Rules, request: Q, send: F) -> Result<R, ClientError>
    where
        Q: Clone,
        F: Fn(Channel, Request<Q>) -> Fut,
        Fut: Future<Output = Result<Response<R>, Status>>,
    {
        let started = Instant::now();
        let deadline = started + rules.deadline;
        let mut failures = 0;
        let mut is_ambiguous = false;
        // Attempts in a row that failed for a certificate: when that is all masters, it stays so.
        let mut untrusted = 0;
        // Failure of an attempt that was not cut short by the deadline.
        let mut told = None;

        loop {
            let (address, (channel, ever_connected)) = self.route()?;
            let limit = deadline.min(Instant::now() + rules.attempt_timeout);
            let request = self.authorized(request.clone());
            let answer = tokio::time::timeout_at(limit, send(channel, request)).await;
            let failure = match answer {
                Ok(Ok(response)) => {
                    self.learn(response.metadata());
                    return Ok(response.into_inner());
                }
                Ok(Err(status)) => self.on_status(&address, &status),
                Err(_) => AttemptFailure::TimedOut,
            };

            // The attempt is over by now: a request that has not been sent will not be sent any
            // more.
            let failure = if ever_connected.get() { failure } else { failure.unsent(&address) };
            tracing::debug!(%address, %failure, "attempt failed");
            self.avoid(&address, &failure);

            let after_unknown = is_ambiguous;
            is_ambiguous |= failure.may_have_taken_effect();
            untrusted = if failure.is_certain() { untrusted + 1 } else { 0 };
            let is_hopeless = untrusted >= self.routes().targets.len();
            if is_hopeless || !failure.is_transient() {
                return Err(failure.into_final(after_unknown));
            }

            let wait = self.backoff(failures, &failure);
            let may_repeat = rules.repeat == Repeat::Always || !is_ambiguous;
            if !may_repeat || Instant::now() + wait >= deadline {
                let waited = started.elapsed();
                let is_cut_short = failure == AttemptFailure::TimedOut && limit == deadline;
                let failure = told.filter(|_| is_cut_short).unwrap_or(failure);
                return Err(ClientError::GaveUp { waited, failure, is_ambiguous });
            }

            told = Some(failure);
            failures += 1;
            tokio::time::sleep(wait).await;
        }
    }

    /// Makes a request that presents the client's token.
    fn authorized<Q>(&self, message: Q) -> Request<Q> {
        let mut request = Request::new(message);
        if let Some(token) = &self.shared.options.token {
            request.metadata_mut().insert("authorization", token.value());
        }
        request
    }

    fn route(&self) -> Result<(String, (Channel, EverConnected)), ClientError> {
        let mut routes = self.routes();
        let address = routes.targets.current().to_owned();
        if let Some(channel) = routes.channels.get(&address) {
            return Ok((address, channel.clone()));
        }
        let channel = self.shared.options.dialer.connect_lazily_and_tell(&address)?;
        let Routes { targets, channels } = &mut *routes;
        channels.retain(|address, _| targets.contains(address));
        channels.insert(address.clone(), channel.clone());
        Ok((address, channel))
    }

    fn on_status(&self, address: &str, status: &Status) -> AttemptFailure {
        self.learn(status.metadata());
        AttemptFailure::of(address, status)
    }

    /// Takes the leader's address from the answer of a master that does not lead.
    fn learn(&self, metadata: &MetadataMap) {
        let named = metadata.get(LEADER_ADDRESS_KEY).and_then(|value| value.to_str().ok());
        let Some(leader) = named.filter(|address| !address.is_empty()) else { return };
        if channel::check_address(leader).is_ok() {
            self.routes().targets.on_leader(leader, Instant::now());
        }
    }

    /// Moves on to another master, unless this one itself is well.
    fn avoid(&self, address: &str, failure: &AttemptFailure) {
        if failure.is_about_the_master() {
            self.routes().targets.on_failed(address, Instant::now());
        }
    }

    /// Returns no pause before an endpoint that has not been tried in this round.
    fn backoff(&self, failures: u32, failure: &AttemptFailure) -> Duration {
        let endpoints = self.routes().targets.len();
        let round = failures.saturating_add(1) / endpoints;
        if round == 0 && failure.is_about_the_master() {
            return Duration::ZERO;
        }
        let longest = BACKOFF_BASE.saturating_mul(1 << round.min(16)).min(BACKOFF_MAX);
        longest.mul_f64(rand::rng().random_range(0.5..1.0))
    }
}

#[cfg(test)]
mod tests;
