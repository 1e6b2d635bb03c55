//! Who may register: workers that an operator has registered, and those with a valid join token.

use std::collections::BTreeSet;
use std::sync::Arc;

use cluster_state::{ConnectWorker, Rejection, State, Timestamp, TokenId, WorkerId};
use parking_lot::Mutex;
use proto::convert::Registration;
use raft_store::ProposeError;
use sha2::{Digest, Sha256};

use super::sessions::Lead;

/// What is stored of a token's secret.
#[must_use]
pub(crate) fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// Decides about a worker that wants to register; the token that admits it, if it needs one.
///
/// An operator's word outweighs a token: a worker that was just taken off the registry does not
/// come back by its token before it has been told.
///
/// Fails with [`Rejection::UnknownWorker`] without a token, and with [`Rejection::InvalidToken`] when
/// the token is unknown, expired, or has another secret. The refused are not told which.
fn admit(
    worker: &WorkerId,
    token: Option<(TokenId, String)>,
    state: &State,
    now: Timestamp,
) -> Result<Option<TokenId>, Rejection> {
    if state.worker(worker).is_some() {
        return Ok(None);
    }
    let token = token.filter(|_| state.departed_worker(worker).is_none());
    let Some((id, secret)) = token else {
        return Err(Rejection::UnknownWorker { worker: worker.as_str().into() });
    };
    // An ordinary comparison: how far it got tells something of the digest alone, which nobody can
    // turn back into a secret or steer by the secret that is offered.
    let is_valid = state
        .token(&id)
        .is_some_and(|known| known.digest == digest(&secret) && !known.is_expired(now));
    if is_valid { Ok(Some(id)) } else { Err(Rejection::InvalidToken { token: id.as_str().into() }) }
}

/// Names kept of those who were turned away: beyond it they are only counted, because anybody can
/// knock under any name.
const KNOCKS_MAX: usize = 1_000;

/// Who was turned away in this term of leadership, so that each is logged once.
#[derive(Debug, Default)]
pub(crate) struct Knocks(Mutex<BTreeSet<WorkerId>>);

impl Knocks {
    /// Notes one; whether it is worth a line in the log.
    pub(crate) fn is_news(&self, worker: &WorkerId) -> bool {
        let mut known = self.0.lock();
        known.len() < KNOCKS_MAX && known.insert(worker.clone())
    }

    /// It was let in: the next time that it is turned away is worth a line again.
    pub(crate) fn forget(&self, worker: &WorkerId) {
        self.0.lock().remove(worker);
    }
}

impl Lead {
    /// Returns the proposal for a worker that wants to register, if it may. A rejection takes no
    /// entry in the replicated log: anybody can knock.
    pub(super) fn admit(
        self: &Arc<Self>,
        mut registration: Registration,
    ) -> Result<ConnectWorker, ProposeError> {
        let (worker, token) = (&registration.worker, registration.token.take());
        let now = self.node.clock().now();
        let admitted = self.node.reader().with_applied(|state, applied| {
            let admitted = admit(worker, token, state, now).and_then(|token| {
                if let Some(holder) = state.worker(worker) {
                    state.check_claim(holder, &registration.process)?;
                }
                Ok(token)
            });
            admitted.map_err(|rejection| (rejection, applied.index))
        });
        let address = reachable_address(&registration.address);
        match admitted {
            Ok(token) => {
                let granted = self.leases().times();
                let command = registration.into_command(self.term, granted);
                Ok(ConnectWorker { address, token, ..command })
            }
            Err((
                rejection @ (Rejection::NameInUse { .. } | Rejection::LateStart { .. }),
                index,
            )) => {
                let address = address.as_deref().unwrap_or(&registration.address);
                self.on_claim_refused(worker, address, &rejection);
                Err(ProposeError::Rejected { rejection, index })
            }
            Err((rejection, index)) => {
                if matches!(rejection, Rejection::InvalidToken { .. }) {
                    self.metrics.on_stale("join-token", 1);
                }
                if self.knocks.is_news(worker) {
                    tracing::warn!(%worker, %rejection, "a worker was turned away");
                }
                Err(ProposeError::Rejected { rejection, index })
            }
        }
    }
}

/// The worker's address, unless it names all interfaces, and no master saw where its call came from.
fn reachable_address(address: &str) -> Option<String> {
    let host = address.rsplit_once(':').map_or("", |(host, _)| host);
    let is_unspecified = matches!(host, "0.0.0.0" | "[::]" | "");
    Some(address).filter(|_| !is_unspecified).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cluster_state::{Command, CreateToken, LogIndex, Proposal, RegisterWorker};

    use super::*;

    fn id(name: &str) -> WorkerId {
        name.parse().unwrap()
    }

    fn token(secret: &str) -> Option<(TokenId, String)> {
        Some(("fleet".parse().unwrap(), secret.to_owned()))
    }

    /// Worker `known` is registered, and the token `fleet` admits others until second 60.
    fn state() -> State {
        let mut state = State::new();
        let register = RegisterWorker { worker: id("known"), address: None, labels: None };
        let create = CreateToken {
            token: "fleet".parse().unwrap(),
            digest: digest("secret"),
            ttl: Some(Duration::from_secs(60)),
            description: String::new(),
        };
        let commands = [Command::RegisterWorker(register), Command::CreateToken(create)];
        for (index, command) in (1..).zip(commands) {
            let proposal = Proposal { proposed_at: Timestamp(0), command };
            state.apply(LogIndex(index), proposal).reply.unwrap();
        }
        state
    }

    #[test]
    fn a_registered_worker_needs_no_token() {
        let admitted = admit(&id("known"), token("wrong"), &state(), Timestamp(0));
        assert_eq!(admitted, Ok(None));
    }

    #[test]
    fn a_token_admits_until_it_expires() {
        let admitted = |secret, now| admit(&id("new"), token(secret), &state(), Timestamp(now));
        let refused = Rejection::InvalidToken { token: "fleet".into() };
        assert_eq!(admitted("secret", 59_999), Ok(Some("fleet".parse().unwrap())));
        assert_eq!(admitted("secret", 60_000), Err(refused.clone()));
        assert_eq!(admitted("guess", 0), Err(refused));
    }

    #[test]
    fn without_a_token_only_the_registered_are_let_in() {
        let refused = admit(&id("new"), None, &state(), Timestamp(0)).unwrap_err();
        assert_eq!(refused, Rejection::UnknownWorker { worker: "new".into() });
    }

    #[test]
    fn each_name_is_news_once_and_their_number_is_bounded() {
        let knocks = Knocks::default();
        assert!(knocks.is_news(&id("w0")) && !knocks.is_news(&id("w0")));
        knocks.forget(&id("w0"));
        assert!(knocks.is_news(&id("w0")));
        for number in 1..KNOCKS_MAX {
            assert!(knocks.is_news(&id(&format!("w{number}"))));
        }
        assert!(!knocks.is_news(&id("one-more")));
    }

    #[test]
    fn an_unspecified_host_is_no_address() {
        assert_eq!(reachable_address("0.0.0.0:50052"), None);
        assert_eq!(reachable_address("node1:50052").as_deref(), Some("node1:50052"));
        assert_eq!(reachable_address(""), None);
    }
}
