//! Formats the members of the cluster.

use proto::v1;

use super::table::{Style, columns, or_nothing, shown};

/// Formats the members as rows.
#[must_use]
pub fn members(list: &v1::MemberList, style: Style) -> String {
    let rows = list.members.iter().map(|member| {
        [
            member.name.clone(),
            shown::<v1::MemberRole>(member.role),
            member.grpc_address.clone(),
            if member.reachable { "yes" } else { "no" }.to_owned(),
            or_nothing(member.match_index.as_ref()),
            or_nothing(member.lag.as_ref()),
            or_nothing(member.zone.as_ref()),
            or_nothing(member.version.as_ref()),
            member.id.clone(),
        ]
    });
    let heading =
        ["NAME", "ROLE", "ADDRESS", "REACHABLE", "MATCHED", "LAG", "ZONE", "VERSION", "ID"];
    columns(heading, rows.collect(), style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_rows_and_what_is_unknown_is_a_dash() {
        let leader = v1::ClusterMember {
            name: "1".to_owned(),
            id: "1".to_owned(),
            role: v1::MemberRole::Leader.into(),
            grpc_address: "10.0.0.1:50051".to_owned(),
            zone: Some("a".to_owned()),
            version: Some("0.3.0".to_owned()),
            reachable: true,
            match_index: Some(42),
            lag: Some(0),
            ..v1::ClusterMember::default()
        };
        let lost = v1::ClusterMember {
            name: "4".to_owned(),
            id: "00000a0000000000".to_owned(),
            role: v1::MemberRole::Learner.into(),
            grpc_address: "10.0.0.4:50051".to_owned(),
            ..v1::ClusterMember::default()
        };
        let list = v1::MemberList { members: vec![leader, lost] };
        let expected = "\
NAME  ROLE     ADDRESS         REACHABLE  MATCHED  LAG  ZONE  VERSION  ID
1     leader   10.0.0.1:50051  yes        42       0    a     0.3.0    1
4     learner  10.0.0.4:50051  no         -        -    -     -        00000a0000000000";
        assert_eq!(members(&list, Style::Plain), expected);
    }
}
