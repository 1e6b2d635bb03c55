//! Adds the master that waits at an address, on an operator's word.

use std::time::Duration;

use cluster_state::{ClusterId, MasterId};
use proto::v1;
use tonic::Request;

use super::turn::Turn;
use super::{Admission, Joiner, MembershipError};
use crate::leadership::Leadership;
use crate::node::Node;

/// Limit of an introduction: a master that is there answers at once.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Effect of adding a master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It has become a member without a vote.
    Now,
    /// It was a member already.
    Before,
}

impl Node {
    /// Makes the master at an address a member, if it is the one of that name and has no data.
    ///
    /// # Errors
    ///
    /// As [`MembershipError`] says.
    pub async fn add_member(
        &self,
        name: MasterId,
        address: &str,
    ) -> Result<Added, MembershipError> {
        let leadership = *self.leadership().borrow();
        let (Leadership::Leading { .. }, Some(cluster)) = (leadership, self.cluster_id()) else {
            return Err(MembershipError::NotLeader);
        };
        let was_member = |node| self.membership().get(node).is_some();
        let Some(answer) = self.introduction_at(address, None).await else {
            let is_known = self.member(name).is_some_and(|member| member.address == address);
            return if is_known { Ok(Added::Before) } else { Err(refused(silence(name, address))) };
        };

        let ours = Ours { cluster, cluster_name: self.cluster_name() };
        let joiner = match read(&ours, name, &answer).map_err(refused)? {
            Answerer::Member(joiner) if was_member(joiner.node()) => return Ok(Added::Before),
            Answerer::Member(_) => {
                return Err(refused(format!(
                    "the master at {address} was removed from this cluster: move its data directory \
                     away and start it empty"
                )));
            }
            Answerer::Blank(joiner) => joiner,
        };
        let was_member = was_member(joiner.node());
        self.admit_in_turn(joiner).await?;
        // It may have been told of no master of this cluster. If it was, it asks by itself.
        self.introduction_at(address, Some(self.config().grpc_address.clone())).await;
        Ok(if was_member { Added::Before } else { Added::Now })
    }

    async fn admit_in_turn(&self, joiner: Joiner) -> Result<(), MembershipError> {
        let turn = Turn::begin();
        loop {
            match self.try_to_admit(joiner.clone()).await {
                Ok(Admission::Admitted(_)) => return Ok(()),
                Ok(Admission::AskLeader(_)) => return Err(MembershipError::NotLeader),
                Ok(Admission::Refused(reason)) => return Err(MembershipError::Refused(reason)),
                Ok(Admission::TooOld(level)) => {
                    return Err(refused(format!(
                        "its release cannot read what a cluster of feature level {level} stores"
                    )));
                }
                Err(error) => {
                    let is_turn_of_another = error == MembershipError::InProgress;
                    if !is_turn_of_another || !turn.may_be_tried_again().await {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Asks the master at an address who it is, and where given tells it through whom to join.
    async fn introduction_at(
        &self,
        address: &str,
        join_through: Option<String>,
    ) -> Option<v1::IntroduceResponse> {
        let channel = self.inner.identity.connect(address).ok()?;
        let mut client = crate::network::client(channel);
        let cluster_name = self.config().cluster_name.clone();
        let caller = Some(self.description());
        let question = v1::IntroduceRequest { caller, cluster_name, join_through };
        let answer = client.introduce(Request::new(question));
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, answer).await;
        Some(answer.ok()?.ok()?.into_inner())
    }
}

/// The cluster to which a master is added.
struct Ours<'a> {
    cluster: ClusterId,
    cluster_name: &'a str,
}

/// Master that has answered at the address.
#[derive(Debug)]
enum Answerer {
    /// It has no data.
    Blank(Joiner),
    /// It belongs to this cluster, or did.
    Member(Joiner),
}

/// Reads an introduction; an error says why its master cannot be added.
fn read(
    ours: &Ours<'_>,
    name: MasterId,
    answer: &v1::IntroduceResponse,
) -> Result<Answerer, String> {
    let v1::IntroduceResponse { node_id, cluster_name, cluster_id, master, .. } = answer;
    if cluster_name != ours.cluster_name {
        let ours = ours.cluster_name;
        return Err(format!("the master there belongs to cluster '{cluster_name}', not '{ours}'"));
    }
    if *node_id != name.0 {
        return Err(format!("master {node_id} answers there, not master {name}"));
    }
    let Some(master) = master else {
        return Err("the master there runs release 0.2.0, which cannot be added".to_owned());
    };
    let joiner = Joiner::read(master)?;
    match answer.standing() {
        v1::Standing::Blank => Ok(Answerer::Blank(joiner)),
        v1::Standing::Member => match cluster_id.as_deref().map(str::parse::<ClusterId>) {
            Some(Ok(theirs)) if theirs == ours.cluster => Ok(Answerer::Member(joiner)),
            _ => Err(format!(
                "master {name} there belongs to another cluster named '{cluster_name}': move its data \
                 directory away and start it empty"
            )),
        },
        v1::Standing::Founding => {
            Err(format!("master {name} there is founding a cluster of its own"))
        }
        v1::Standing::Unspecified => {
            Err("the master there does not say whether it has data".to_owned())
        }
    }
}

fn silence(name: MasterId, address: &str) -> String {
    format!(
        "no master answers at {address}: start master {name} there, with an empty data directory"
    )
}

const fn refused(reason: String) -> MembershipError {
    MembershipError::Refused(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Ours<'_> = Ours { cluster: ClusterId(7), cluster_name: "prod" };

    fn answer(standing: v1::Standing) -> v1::IntroduceResponse {
        let master = v1::MasterDescription {
            node: 1 << 40,
            name: 4,
            address: "10.0.0.4:1".to_owned(),
            ..Default::default()
        };
        v1::IntroduceResponse {
            node_id: 4,
            cluster_name: "prod".to_owned(),
            standing: standing.into(),
            master: Some(master),
            ..Default::default()
        }
    }

    fn of(cluster: u128) -> v1::IntroduceResponse {
        let cluster_id = Some(ClusterId(cluster).to_string());
        v1::IntroduceResponse { cluster_id, ..answer(v1::Standing::Member) }
    }

    fn refusal(answer: &v1::IntroduceResponse) -> String {
        read(&OURS, MasterId(4), answer).unwrap_err()
    }

    #[test]
    fn a_master_without_data_and_a_member_can_be_added() {
        let blank = read(&OURS, MasterId(4), &answer(v1::Standing::Blank));
        assert!(matches!(blank, Ok(Answerer::Blank(_))), "{blank:?}");
        let member = read(&OURS, MasterId(4), &of(7));
        assert!(matches!(member, Ok(Answerer::Member(_))), "{member:?}");
    }

    #[test]
    fn whoever_is_not_the_one_that_was_meant_is_named() {
        let blank = answer(v1::Standing::Blank);
        let other = v1::IntroduceResponse { node_id: 5, ..blank.clone() };
        assert_eq!(refusal(&other), "master 5 answers there, not master 4");
        let test = v1::IntroduceResponse { cluster_name: "test".to_owned(), ..blank.clone() };
        assert_eq!(refusal(&test), "the master there belongs to cluster 'test', not 'prod'");
        let old = v1::IntroduceResponse { master: None, ..blank };
        assert_eq!(refusal(&old), "the master there runs release 0.2.0, which cannot be added");
    }

    #[test]
    fn a_master_with_data_of_its_own_is_refused() {
        assert_eq!(
            refusal(&of(8)),
            "master 4 there belongs to another cluster named 'prod': move its data directory away and \
             start it empty"
        );
        let founding = refusal(&answer(v1::Standing::Founding));
        assert_eq!(founding, "master 4 there is founding a cluster of its own");
    }
}
