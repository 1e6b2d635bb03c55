//! Converts members, and changes of them.

use proto::v1;
use raft_store::PeerStatus;

use crate::operations::{Changed, MemberPart, MemberRow, Members, View};

/// Converts the members.
pub(crate) fn members(members: Members) -> v1::MemberList {
    match members {
        View::Own(rows) => {
            v1::MemberList { members: rows.into_iter().map(cluster_member).collect() }
        }
        View::Leaders(list) => list,
    }
}

/// Converts a change of the membership.
pub(crate) fn member_changed(changed: Changed) -> v1::MemberChanged {
    match changed {
        View::Own(own) => v1::MemberChanged {
            changed: own.has_changed,
            member: own.member.map(cluster_member),
            warnings: own.warnings,
        },
        View::Leaders(changed) => changed,
    }
}

fn cluster_member(row: MemberRow) -> v1::ClusterMember {
    let MemberRow { member, record, part, status, matched, lag } = row;
    let role = match part {
        MemberPart::Leader => v1::MemberRole::Leader,
        MemberPart::Follower => v1::MemberRole::Follower,
        MemberPart::Learner => v1::MemberRole::Learner,
    };
    let reachable = status.is_some();
    // What it says itself is newer than what was recorded.
    let (http_address, version) = match status {
        Some(PeerStatus { http_address, version, .. }) => (http_address, version),
        None => (record.http, record.release),
    };
    let known = |text: String| Some(text).filter(|text| !text.is_empty());
    v1::ClusterMember {
        name: member.name.to_string(),
        id: member.node.to_string(),
        role: role.into(),
        grpc_address: member.address,
        http_address: known(http_address),
        zone: member.zone,
        version: known(version),
        reachable,
        match_index: matched.map(|index| index.0),
        lag,
    }
}

#[cfg(test)]
mod tests {
    use cluster_state::MasterId;
    use raft_store::{MasterNode, Member, NodeId};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_member_that_cannot_be_reached_is_what_the_membership_records() {
        let (node, name) = (NodeId(1 << 40), MasterId(4));
        let address = "10.0.0.4:50051".to_owned();
        let zone = Some("b".to_owned());
        let row = MemberRow {
            member: Member { node, name, address, zone, is_voter: false },
            record: MasterNode { release: "0.3.0".to_owned(), ..MasterNode::default() },
            part: MemberPart::Learner,
            status: None,
            matched: None,
            lag: None,
        };
        let expected = json!({
            "name": "4", "id": "0000010000000000", "role": "learner",
            "grpc_address": "10.0.0.4:50051", "http_address": null, "zone": "b",
            "version": "0.3.0", "reachable": false, "match_index": null, "lag": null,
        });
        assert_eq!(serde_json::to_value(cluster_member(row)).unwrap(), expected);
    }
}
