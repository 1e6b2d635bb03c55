//! Calls of operators about the members of the cluster, each with its rule for repeating.

use std::time::Duration;

use super::{Client, ClientError, Repeat, Rules};
use crate::problem::ErrorKind;
use crate::v1;
use crate::v1::cluster_service_client::ClusterServiceClient;

/// Longest change of the membership: it may wait for another change, and for the leader to hand over.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(15);

impl Client {
    /// Returns the members; needs no leader.
    pub async fn members(&self) -> Result<v1::MemberList, ClientError> {
        let request = v1::ListMembersRequest {};
        self.call(self.rules(Repeat::Always), request, |channel, request| async move {
            ClusterServiceClient::new(channel).list_members(request).await
        })
        .await
    }

    /// Adds the master at an address. Whoever is a member already is not added again.
    pub async fn add_member(
        &self,
        request: v1::AddMemberRequest,
    ) -> Result<v1::MemberChanged, ClientError> {
        self.call(self.change_rules(), request, |channel, request| async move {
            ClusterServiceClient::new(channel).add_member(request).await
        })
        .await
    }

    /// Gives a member a vote.
    pub async fn promote_member(&self, name: &str) -> Result<v1::MemberChanged, ClientError> {
        let request = v1::PromoteMemberRequest { name: name.to_owned() };
        self.call(self.change_rules(), request, |channel, request| async move {
            ClusterServiceClient::new(channel).promote_member(request).await
        })
        .await
    }

    /// Gives one member the vote of another, which leaves.
    pub async fn replace_member(
        &self,
        request: v1::ReplaceMemberRequest,
    ) -> Result<v1::MemberChanged, ClientError> {
        self.call(self.change_rules(), request, |channel, request| async move {
            ClusterServiceClient::new(channel).replace_member(request).await
        })
        .await
    }

    /// Removes a member. A repetition that does not find it any more has removed it the first time.
    pub async fn remove_member(
        &self,
        request: v1::RemoveMemberRequest,
    ) -> Result<v1::MemberChanged, ClientError> {
        let answer = self
            .call(self.change_rules(), request, |channel, request| async move {
                ClusterServiceClient::new(channel).remove_member(request).await
            })
            .await;
        match answer {
            Err(error) if error.may_be_own_doing(ErrorKind::NotFound) => {
                Ok(v1::MemberChanged { changed: true, ..v1::MemberChanged::default() })
            }
            answer => answer,
        }
    }

    /// Returns the rules of an order, which says what the membership is to be and so may be repeated.
    fn change_rules(&self) -> Rules {
        self.rules(Repeat::Always).longer_by(CHANGE_TIMEOUT)
    }
}
