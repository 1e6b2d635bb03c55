//! Calls of operators: scheduling, labels, history, reconnection, usage, join tokens, settings and the
//! mass-loss alarm; each with its rule for repeating.

use uuid::Uuid;

use super::calls::registry_service;
use super::{Client, ClientError, Repeat, Rules};
use crate::consistency::Consistency;
use crate::problem::{ErrorKind, Outcome, Problem};
use crate::v1;
use crate::v1::cluster_service_client::ClusterServiceClient;

/// Number of letters of a random token name: enough for people to tell tokens apart.
const DRAWN_NAME_LEN: usize = 8;

impl Client {
    /// Cordons, uncordons or drains a worker.
    pub async fn set_scheduling(
        &self,
        request: v1::SetSchedulingRequest,
    ) -> Result<v1::Worker, ClientError> {
        self.call(self.rules(Repeat::UnlessAmbiguous), request, |channel, request| async move {
            registry_service(channel).set_scheduling(request).await
        })
        .await
    }

    /// Sets and removes some of a worker's labels.
    pub async fn label_worker(
        &self,
        request: v1::LabelWorkerRequest,
    ) -> Result<v1::Worker, ClientError> {
        self.call(self.rules(Repeat::UnlessAmbiguous), request, |channel, request| async move {
            registry_service(channel).label(request).await
        })
        .await
    }

    /// Returns the history of a worker, oldest first.
    pub async fn worker_history(
        &self,
        worker_id: &str,
        consistency: Consistency,
    ) -> Result<v1::WorkerHistory, ClientError> {
        let (worker_id, consistency) = (worker_id.to_owned(), consistency.into());
        let request = v1::WorkerHistoryRequest { worker_id, consistency };
        self.call(self.rules(Repeat::Always), request, |channel, request| async move {
            registry_service(channel).history(request).await
        })
        .await
    }

    /// Contacts one worker immediately, or every inactive one, and returns each outcome. A worker
    /// that was reached in the meantime is not contacted again, so the call may be repeated.
    pub async fn reconnect(
        &self,
        worker_id: Option<&str>,
    ) -> Result<v1::ReconnectResponse, ClientError> {
        let request = v1::ReconnectRequest { worker_id: worker_id.unwrap_or_default().to_owned() };
        // The answer comes after the last contact; an offline fleet takes its time.
        let rules = self.rules(Repeat::Always);
        let rules = Rules { attempt_timeout: rules.deadline, ..rules };
        self.call(rules, request, |channel, request| async move {
            registry_service(channel).reconnect(request).await
        })
        .await
    }

    /// Returns the usage of a worker, now and in the past. Without a `latest` it has not reported
    /// to this leader yet.
    pub async fn worker_usage(&self, worker_id: &str) -> Result<v1::WorkerMetrics, ClientError> {
        let request = v1::WorkerUsageRequest { worker_id: worker_id.to_owned() };
        self.call(self.rules(Repeat::Always), request, |channel, request| async move {
            registry_service(channel).usage(request).await
        })
        .await
    }

    /// Creates a join token. Its name is chosen here unless it is given: a repetition after a lost
    /// answer then finds the token of the first time, whose secret nobody knows, and the error says
    /// so.
    pub async fn create_token(
        &self,
        mut request: v1::CreateTokenRequest,
    ) -> Result<v1::CreatedToken, ClientError> {
        if request.token_id.is_empty() {
            let drawn = Uuid::new_v4().simple().to_string();
            request.token_id = drawn.chars().take(DRAWN_NAME_LEN).collect();
        }
        let name = request.token_id.clone();
        let answer = self
            .call(self.rules(Repeat::Always), request, |channel, request| async move {
                registry_service(channel).create_token(request).await
            })
            .await;
        answer.map_err(|error| naming_lost_secret(error, &name))
    }

    /// Returns every join token, without secrets.
    pub async fn tokens(&self) -> Result<v1::TokenList, ClientError> {
        let request = v1::ListTokensRequest {};
        self.call(self.rules(Repeat::Always), request, |channel, request| async move {
            registry_service(channel).list_tokens(request).await
        })
        .await
    }

    /// Revokes a join token.
    pub async fn revoke_token(&self, token_id: &str) -> Result<(), ClientError> {
        let request = v1::RevokeTokenRequest { token_id: token_id.to_owned() };
        let rules = self.rules(Repeat::UnlessAmbiguous);
        self.call(rules, request, |channel, request| async move {
            registry_service(channel).revoke_token(request).await
        })
        .await?;
        Ok(())
    }

    /// Returns the settings of the cluster.
    pub async fn config(&self) -> Result<v1::ClusterConfig, ClientError> {
        let request = v1::GetConfigRequest::default();
        self.call(self.rules(Repeat::Always), request, |channel, request| async move {
            ClusterServiceClient::new(channel).get_config(request).await
        })
        .await
    }

    /// Changes settings of the cluster.
    pub async fn set_config(
        &self,
        request: v1::SetConfigRequest,
    ) -> Result<v1::ClusterConfig, ClientError> {
        self.call(self.rules(Repeat::UnlessAmbiguous), request, |channel, request| async move {
            ClusterServiceClient::new(channel).set_config(request).await
        })
        .await
    }

    /// Ends the slow requeueing after a mass loss.
    pub async fn acknowledge_mass_loss(&self) -> Result<v1::MassLoss, ClientError> {
        let request = v1::AcknowledgeMassLossRequest {};
        self.call(self.rules(Repeat::UnlessAmbiguous), request, |channel, request| async move {
            ClusterServiceClient::new(channel).acknowledge_mass_loss(request).await
        })
        .await
    }
}

/// Explains a conflict after a lost answer: the token exists, and nobody knows its secret.
pub(super) fn naming_lost_secret(error: ClientError, name: &str) -> ClientError {
    if !error.may_be_own_doing(ErrorKind::Conflict) {
        return error;
    }
    let detail = format!(
        "token '{name}' exists, most likely because an earlier attempt created it and its answer \
         was lost, and the secret with it: revoke the token and create another"
    );
    let problem = Problem::new(ErrorKind::Conflict, detail).with_outcome(Outcome::Unknown);
    ClientError::Refused { problem, after_unknown: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conflict(after_unknown: bool) -> ClientError {
        let problem = Problem::new(ErrorKind::Conflict, "token 'a' exists already");
        ClientError::Refused { problem, after_unknown }
    }

    #[test]
    fn a_token_whose_secret_was_lost_is_to_be_revoked() {
        let told = naming_lost_secret(conflict(true), "a");
        assert!(told.to_string().contains("revoke the token and create another"), "{told}");
        assert_eq!((told.kind(), told.outcome()), (ErrorKind::Conflict, Outcome::Unknown));
    }

    #[test]
    fn a_name_that_was_taken_before_is_a_plain_conflict() {
        assert_eq!(naming_lost_secret(conflict(false), "a"), conflict(false));
    }
}
