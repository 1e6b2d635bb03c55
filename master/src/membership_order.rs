//! Order to change the membership, which an operator gives and a follower passes on.

use cluster_state::MasterId;
use proto::convert::Invalid;
use proto::problem::{ErrorKind, Fault, Problem};
use proto::v1;
use raft_store::{Force, MemberOrder};

/// Order to change the membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MembershipOrder {
    /// Addition of the master of that name at that address.
    Add { name: MasterId, address: String },
    /// Change of the members that are there.
    Change { order: MemberOrder, force: Force },
}

impl MembershipOrder {
    const fn change(order: MemberOrder) -> Self {
        Self::Change { order, force: Force::No }
    }
}

impl TryFrom<v1::AddMemberRequest> for MembershipOrder {
    type Error = Problem;

    fn try_from(request: v1::AddMemberRequest) -> Result<Self, Problem> {
        let v1::AddMemberRequest { name, address } = request;
        let name = parse_name(&name).ok_or_else(|| {
            let detail =
                format!("'{name}' is not the name of a master: node_id, a positive number");
            invalid("/name", detail)
        })?;
        proto::channel::check_address(&address)
            .map_err(|error| invalid("/address", error.to_string()))?;
        Ok(Self::Add { name, address })
    }
}

impl TryFrom<v1::PromoteMemberRequest> for MembershipOrder {
    type Error = Problem;

    fn try_from(request: v1::PromoteMemberRequest) -> Result<Self, Problem> {
        Ok(Self::change(MemberOrder::Promote(known_name(&request.name)?)))
    }
}

impl TryFrom<v1::ReplaceMemberRequest> for MembershipOrder {
    type Error = Problem;

    fn try_from(request: v1::ReplaceMemberRequest) -> Result<Self, Problem> {
        let (old, new) = (known_name(&request.old)?, known_name(&request.new)?);
        Ok(Self::change(MemberOrder::Replace { old, new }))
    }
}

impl TryFrom<v1::RemoveMemberRequest> for MembershipOrder {
    type Error = Problem;

    fn try_from(request: v1::RemoveMemberRequest) -> Result<Self, Problem> {
        let force = if request.force { Force::Yes } else { Force::No };
        Ok(Self::Change { order: MemberOrder::Remove(known_name(&request.name)?), force })
    }
}

/// Reads the name of a member. A text that is no name names nobody.
fn known_name(text: &str) -> Result<MasterId, Problem> {
    let detail = || format!("there is no master '{text}' in this cluster");
    parse_name(text).ok_or_else(|| Problem::new(ErrorKind::NotFound, detail()))
}

fn parse_name(text: &str) -> Option<MasterId> {
    text.parse().ok().filter(|number| *number > 0).map(MasterId)
}

fn invalid(pointer: &str, detail: String) -> Problem {
    let fault = Fault { pointer: pointer.to_owned(), detail };
    Invalid::listed(ErrorKind::InvalidValue, vec![fault]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_positive_number() {
        let add = |name: &str, address: &str| {
            let (name, address) = (name.to_owned(), address.to_owned());
            MembershipOrder::try_from(v1::AddMemberRequest { name, address })
        };
        let name = MasterId(4);
        let address = "10.0.0.4:50051".to_owned();
        assert_eq!(add("4", &address), Ok(MembershipOrder::Add { name, address: address.clone() }));
        assert_eq!(add("four", &address).unwrap_err().kind, ErrorKind::InvalidValue);
        assert_eq!(add("4", "nowhere").unwrap_err().kind, ErrorKind::InvalidValue);
        let nobody = MembershipOrder::try_from(v1::PromoteMemberRequest { name: "0".to_owned() });
        assert_eq!(nobody.unwrap_err().kind, ErrorKind::NotFound);
    }
}
