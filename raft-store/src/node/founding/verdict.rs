//! Decides from the answers of other masters whether to found a cluster, or to join one. Pure.

use std::collections::BTreeMap;
use std::fmt;

use cluster_state::{Generation, Level, MasterId};
use proto::v1;

use crate::log_node::{MasterNode, NodeId};
use crate::network::generation;

/// This master's configuration of its cluster.
#[derive(Debug, Clone, Copy)]
pub(super) struct Us<'a> {
    pub(super) name: &'a str,
    pub(super) initial_cluster: &'a BTreeMap<MasterId, String>,
}

/// A master that was asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Asked {
    /// First member of that name.
    First(MasterId),
    /// Whoever answers at an address through which to join.
    Entrance(String),
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First(name) => write!(f, "master {name}"),
            Self::Entrance(address) => write!(f, "the master at {address}"),
        }
    }
}

/// One master's answer, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finding {
    /// It has no data either, and the same configuration.
    Blank {
        /// Its log.
        node: NodeId,
        /// Its description of itself.
        record: MasterNode,
    },
    /// It has founded a cluster, or was reached by the master that has.
    Founding,
    /// It does not answer.
    Silent,
    /// Another master answers at its address.
    Another(MasterId),
    /// It belongs to a cluster of another name.
    OtherName { ours: String, theirs: String },
    /// It has other first members.
    OtherList { ours: String, theirs: String },
    /// It belongs to a cluster already; the generation is unknown while it has no state, and in release
    /// 0.2.0.
    Member { cluster: String, generation: Option<Generation> },
    /// It waits for a cluster, too.
    Waiting,
    /// It runs a release whose answer is not understood.
    Unclear,
}

/// Conclusion from all answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// This master founds the cluster, with these other members.
    Found(BTreeMap<MasterId, (NodeId, MasterNode)>),
    /// There is a cluster to join, in the latest generation that a master has named.
    Join(Option<Generation>),
    /// Another master founds it, or has founded it.
    LeaveIt,
    /// Nobody is there to ask, and this master is none of the first members: it waits to be added.
    Alone,
    /// Nothing is founded until an operator acts.
    Wait { why: String, advice: &'static str },
}

/// Compares a member's answer with this master's configuration.
pub(super) fn judge(us: &Us<'_>, asked: &Asked, answer: Option<v1::IntroduceResponse>) -> Finding {
    let Some(answer) = answer else { return Finding::Silent };
    if answer.cluster_name != us.name {
        return Finding::OtherName { ours: us.name.to_owned(), theirs: answer.cluster_name };
    }
    match answer.standing() {
        v1::Standing::Member => {
            let cluster = answer.cluster_id.unwrap_or_default();
            let generation = answer.generation.as_deref().and_then(generation::read);
            return Finding::Member { cluster, generation };
        }
        v1::Standing::Founding => return Finding::Founding,
        v1::Standing::Blank => {}
        v1::Standing::Unspecified => return Finding::Unclear,
    }
    let Asked::First(name) = asked else { return Finding::Waiting };
    let answering = MasterId(answer.node_id);
    if answering != *name {
        return Finding::Another(answering);
    }

    let theirs = answer.initial_cluster.into_iter().map(|(id, at)| (MasterId(id), at));
    let theirs = theirs.collect::<BTreeMap<_, _>>();
    if theirs == *us.initial_cluster {
        let at = us.initial_cluster.get(name).map_or("", String::as_str);
        let master = answer.master.unwrap_or_default();
        // Release 0.2.0 does not describe itself, and its log has its number.
        let node = NodeId(if master.node == 0 { name.0 } else { master.node });
        let record = MasterNode { addr: at.to_owned(), ..record_of(*name, &master) };
        return Finding::Blank { node, record };
    }
    Finding::OtherList { ours: text(us.initial_cluster), theirs: text(&theirs) }
}

fn text(members: &BTreeMap<MasterId, String>) -> String {
    let members = members.iter().map(|(id, address)| format!("{id}={address}"));
    members.collect::<Vec<_>>().join(",")
}

impl Verdict {
    /// Decides from all other answers, for the first member `founder`, or for a master that only
    /// joins. The lowest first member founds, so that nothing is founded twice. Whoever finds a
    /// cluster joins it: nothing is founded beside what there is.
    pub(super) fn of(founder: Option<MasterId>, findings: &BTreeMap<Asked, Finding>) -> Self {
        if let Some(verdict) = Self::of_members(findings) {
            return verdict;
        }
        let obstacles = findings.iter().filter_map(|(asked, finding)| {
            finding.obstacle().map(|what| (finding.rank(), format!("{asked} {what}")))
        });
        let mut obstacles = obstacles.collect::<Vec<_>>();
        obstacles.sort();
        let Some((rank, _)) = obstacles.first() else {
            let is_begun = findings.values().any(|finding| *finding == Finding::Founding);
            let members = findings.iter().filter_map(|(asked, finding)| match (asked, finding) {
                (Asked::First(name), Finding::Blank { node, record }) => {
                    Some((*name, (*node, record.clone())))
                }
                _ => None,
            });
            let members = members.collect::<BTreeMap<_, _>>();
            let is_lowest = founder.is_some_and(|me| members.keys().all(|other| me < *other));
            return match founder {
                _ if is_lowest && !is_begun => Self::Found(members),
                None if findings.is_empty() => Self::Alone,
                _ => Self::LeaveIt,
            };
        };

        let advice = match (rank, founder) {
            (_, None) => "start the masters of that cluster, or correct join and cluster_name",
            (Rank::Misconfigured, Some(_)) => {
                "give all first members the same cluster_name and initial_cluster"
            }
            (Rank::Silent, Some(_)) => "start every master of initial_cluster: all must be up once",
        };
        let why = obstacles.iter().map(|(_, what)| what.as_str()).collect::<Vec<_>>().join("; ");
        Self::Wait { why, advice }
    }

    /// Decides by the generations of those that belong to a cluster; none if nobody does.
    fn of_members(findings: &BTreeMap<Asked, Finding>) -> Option<Self> {
        let is_member = |finding: &Finding| matches!(finding, Finding::Member { .. });
        if !findings.values().any(is_member) {
            return None;
        }
        let named = findings.iter().filter_map(|(asked, finding)| {
            let Finding::Member { generation, .. } = finding else { return None };
            Some((asked, (*generation)?))
        });
        let Some((one, latest)) = named.clone().max_by_key(|(_, generation)| generation.number)
        else {
            return Some(Self::Join(None));
        };
        let is_rival = |other: &Generation| other.number == latest.number && other.id != latest.id;
        let Some((other, rival)) = named.clone().find(|(_, generation)| is_rival(generation))
        else {
            return Some(Self::Join(Some(latest)));
        };
        let why = format!(
            "{one} belongs to generation {} ({:016x}) of the cluster, and {other} to generation {} ({:016x})",
            latest.number, latest.id, rival.number, rival.id
        );
        let advice = "stop one of the two clusters, and keep it stopped: they began apart, each with a \
                      restoration or a recovery of its own";
        Some(Self::Wait { why, advice })
    }
}

/// Weight of an obstacle: the heaviest decides the advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Misconfigured,
    Silent,
}

impl Finding {
    fn obstacle(&self) -> Option<String> {
        match self {
            Self::Blank { .. } | Self::Founding | Self::Member { .. } => None,
            Self::Waiting => Some("belongs to no cluster yet".to_owned()),
            Self::Silent => Some("does not answer".to_owned()),
            Self::Another(id) => Some(format!("is not at its address: master {id} answers there")),
            Self::OtherName { ours, theirs } => {
                Some(format!("belongs to cluster '{theirs}', and this one to '{ours}'"))
            }
            Self::OtherList { ours, theirs } => {
                Some(format!("was told initial_cluster {theirs}, and this one {ours}"))
            }
            Self::Unclear => Some("runs a release that cannot say whether it has data".to_owned()),
        }
    }

    const fn rank(&self) -> Rank {
        match self {
            Self::Another(_) | Self::OtherName { .. } | Self::OtherList { .. } | Self::Unclear => {
                Rank::Misconfigured
            }
            Self::Blank { .. }
            | Self::Founding
            | Self::Member { .. }
            | Self::Waiting
            | Self::Silent => Rank::Silent,
        }
    }

    /// Returns the log of a first member that has no data.
    pub(super) const fn node(&self) -> Option<NodeId> {
        if let Self::Blank { node, .. } = self { Some(*node) } else { None }
    }
}

/// Returns the record of a member from its own description.
pub(crate) fn record_of(name: MasterId, master: &v1::MasterDescription) -> MasterNode {
    MasterNode {
        addr: master.address.clone(),
        name: Some(name),
        http: master.http_address.clone(),
        zone: master.zone.clone(),
        release: master.version.clone(),
        level_max: u8::try_from(master.level_max).ok().filter(|level| *level > 0).map(Level),
        vote_by: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(ids: &[u64]) -> BTreeMap<MasterId, String> {
        ids.iter().map(|id| (MasterId(*id), format!("m{id}:1"))).collect()
    }

    fn answer(node_id: u64, standing: v1::Standing) -> v1::IntroduceResponse {
        let initial_cluster = list(&[1, 2, 3]).into_iter().map(|(id, at)| (id.0, at)).collect();
        v1::IntroduceResponse {
            node_id,
            cluster_name: "prod".to_owned(),
            cluster_id: None,
            standing: standing.into(),
            initial_cluster,
            master: Some(v1::MasterDescription { node: node_id << 40, ..Default::default() }),
            generation: None,
        }
    }

    /// Decides for master `id` of three when the others answer so.
    fn verdict(id: u64, answers: &[(u64, Option<v1::IntroduceResponse>)]) -> Verdict {
        let initial_cluster = list(&[1, 2, 3]);
        let us = Us { name: "prod", initial_cluster: &initial_cluster };
        let findings = answers
            .iter()
            .map(|(id, answer)| (Asked::First(MasterId(*id)), answer.clone()))
            .map(|(asked, answer)| (asked.clone(), judge(&us, &asked, answer)));
        Verdict::of(Some(MasterId(id)), &findings.collect())
    }

    fn why(verdict: Verdict) -> String {
        let Verdict::Wait { why, .. } = verdict else { panic!("{verdict:?}") };
        why
    }

    #[test]
    fn the_lowest_founds_when_all_are_blank() {
        let blank = |id| (id, Some(answer(id, v1::Standing::Blank)));
        let Verdict::Found(others) = verdict(1, &[blank(2), blank(3)]) else { panic!("it waits") };
        let others = others.into_values().map(|(node, record)| (node.0 >> 40, record.addr));
        assert_eq!(others.collect::<Vec<_>>(), [(2, "m2:1".to_owned()), (3, "m3:1".to_owned())]);
        assert_eq!(verdict(2, &[blank(1), blank(3)]), Verdict::LeaveIt);
        assert_eq!(verdict(1, &[]), Verdict::Found(BTreeMap::new()));
    }

    #[test]
    fn what_another_has_begun_is_left_to_it() {
        let begun = (2, Some(answer(2, v1::Standing::Founding)));
        let blank = (3, Some(answer(3, v1::Standing::Blank)));
        assert_eq!(verdict(1, &[begun, blank]), Verdict::LeaveIt);
    }

    #[test]
    fn nothing_is_founded_while_one_does_not_answer() {
        let blank = (2, Some(answer(2, v1::Standing::Blank)));
        assert_eq!(why(verdict(1, &[blank, (3, None)])), "master 3 does not answer");
    }

    #[test]
    fn whoever_finds_a_cluster_joins_it() {
        let member = v1::IntroduceResponse {
            cluster_id: Some("c1".to_owned()),
            ..answer(3, v1::Standing::Member)
        };
        assert_eq!(verdict(1, &[(2, None), (3, Some(member.clone()))]), Verdict::Join(None));
        let of_another_name =
            v1::IntroduceResponse { cluster_name: "test".to_owned(), ..member.clone() };
        assert_eq!(
            why(verdict(1, &[(2, None), (3, Some(of_another_name))])),
            "master 3 belongs to cluster 'test', and this one to 'prod'; master 2 does not answer"
        );
    }

    #[test]
    fn the_latest_generation_is_joined_and_neither_of_two_that_began_apart() {
        let member = |id: u64, generation: &str| {
            let generation = Some(generation.to_owned());
            (id, Some(v1::IntroduceResponse { generation, ..answer(id, v1::Standing::Member) }))
        };
        let later = Generation { number: 1, id: 10 };
        assert_eq!(verdict(1, &[member(2, "1-a"), member(3, "0-0")]), Verdict::Join(Some(later)));
        let silent = (3, Some(answer(3, v1::Standing::Member)));
        assert_eq!(verdict(1, &[member(2, "1-a"), silent]), Verdict::Join(Some(later)));
        assert_eq!(
            why(verdict(1, &[member(2, "1-a"), member(3, "1-b")])),
            "master 3 belongs to generation 1 (000000000000000b) of the cluster, and master 2 to \
             generation 1 (000000000000000a)"
        );
    }

    #[test]
    fn a_master_that_only_joins_founds_nothing() {
        let us = Us { name: "prod", initial_cluster: &BTreeMap::new() };
        let verdict = |answer: Option<v1::IntroduceResponse>| {
            let asked = Asked::Entrance("m3:1".to_owned());
            let finding = judge(&us, &asked, answer);
            Verdict::of(None, &BTreeMap::from([(asked, finding)]))
        };
        assert_eq!(verdict(Some(answer(3, v1::Standing::Member))), Verdict::Join(None));
        assert_eq!(why(verdict(None)), "the master at m3:1 does not answer");
        assert_eq!(
            why(verdict(Some(answer(3, v1::Standing::Blank)))),
            "the master at m3:1 belongs to no cluster yet"
        );
    }

    #[test]
    fn masters_that_were_told_different_things_found_nothing() {
        let mut other_list = answer(2, v1::Standing::Blank);
        other_list.initial_cluster.remove(&3);
        let other_name = v1::IntroduceResponse {
            cluster_name: "test".to_owned(),
            ..answer(3, v1::Standing::Blank)
        };
        assert_eq!(
            why(verdict(1, &[(2, Some(other_list)), (3, Some(other_name))])),
            "master 2 was told initial_cluster 1=m1:1,2=m2:1, and this one \
             1=m1:1,2=m2:1,3=m3:1; master 3 belongs to cluster 'test', and this one to 'prod'"
        );
        let elsewhere = (2, Some(answer(7, v1::Standing::Blank)));
        let blank = (3, Some(answer(3, v1::Standing::Blank)));
        assert_eq!(
            why(verdict(1, &[elsewhere, blank])),
            "master 2 is not at its address: master 7 answers there"
        );
    }
}
