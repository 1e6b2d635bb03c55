//! Admits workers that an operator has registered, and those with a valid join token.

use std::sync::Arc;

use cluster_state::{ConnectWorker, Rejection, State, Timestamp, TokenId, WorkerId};
use proto::address::is_unspecified;
use proto::convert::Registration;
use raft_store::ProposeError;
use sha2::{Digest, Sha256};

use super::state::LeaderState;

/// Returns the digest of a token's secret, which is stored in its place.
#[must_use]
pub(crate) fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// Decides whether a worker may register. Returns the token that admits it, if it needs one.
///
/// An operator outweighs a token: a worker that was just unregistered does not come back by its
/// token before it has been dismissed.
///
/// Fails with [`Rejection::UnknownWorker`] without a token, and with [`Rejection::InvalidToken`]
/// when the token is unknown, expired, or has another secret. The worker is not told which.
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
    // An ordinary comparison: its duration reveals something about the digest only, which cannot be
    // turned back into a secret.
    let is_valid = state
        .token(&id)
        .is_some_and(|known| known.digest == digest(&secret) && !known.is_expired(now));
    if is_valid { Ok(Some(id)) } else { Err(Rejection::InvalidToken { token: id.as_str().into() }) }
}

impl LeaderState {
    /// Returns the command that registers a worker, if it may register. A rejection takes no entry
    /// in the replicated log, because anybody can ask.
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
                let granted = self.worker_settings().times();
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
                if self.refused.is_news(worker) {
                    tracing::warn!(%worker, %rejection, "a worker was turned away");
                }
                Err(ProposeError::Rejected { rejection, index })
            }
        }
    }
}

/// Returns the worker's address, unless it names all interfaces: then no master saw the source of
/// its call.
fn reachable_address(address: &str) -> Option<String> {
    let can_be_called = !address.is_empty() && !is_unspecified(address);
    can_be_called.then(|| address.to_owned())
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
    fn an_unspecified_host_is_no_address() {
        for address in ["0.0.0.0:50052", "[::]:50052", ":50052"] {
            assert_eq!(reachable_address(address), None, "{address}");
        }
        assert_eq!(reachable_address("node1:50052").as_deref(), Some("node1:50052"));
        assert_eq!(reachable_address(""), None);
    }
}
