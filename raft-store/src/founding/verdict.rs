//! Decides from the first members' answers whether to found the cluster. Pure.

use std::collections::BTreeMap;

use cluster_state::MasterId;
use proto::v1;

/// This master's configuration of its cluster.
#[derive(Debug, Clone, Copy)]
pub(super) struct Us<'a> {
    pub(super) name: &'a str,
    pub(super) initial_cluster: &'a BTreeMap<MasterId, String>,
}

/// One first member's answer, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finding {
    /// It has no data either, and the same configuration.
    Blank,
    /// It has founded a cluster, or was reached by the master that has.
    Founding,
    /// It does not answer.
    Silent,
    /// Another master answers at its address.
    Another(u64),
    /// It belongs to a cluster of another name.
    OtherName { ours: String, theirs: String },
    /// It has other first members.
    OtherList { ours: String, theirs: String },
    /// It belongs to a cluster already.
    Member { cluster: String },
    /// It runs a release whose answer is not understood.
    Unclear,
}

/// Conclusion from all answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// This master founds the cluster.
    Found,
    /// Another master founds it, or has founded it.
    LeaveIt,
    /// Nothing is founded until an operator acts.
    Wait { why: String, advice: &'static str },
}

/// Compares a member's answer with this master's configuration.
pub(super) fn judge(
    us: &Us<'_>,
    asked: MasterId,
    answer: Option<v1::IntroduceResponse>,
) -> Finding {
    let Some(answer) = answer else { return Finding::Silent };
    if answer.node_id != asked.0 {
        return Finding::Another(answer.node_id);
    }
    if answer.cluster_name != us.name {
        return Finding::OtherName { ours: us.name.to_owned(), theirs: answer.cluster_name };
    }
    match answer.standing() {
        v1::Standing::Member => {
            return Finding::Member { cluster: answer.cluster_id.unwrap_or_default() };
        }
        v1::Standing::Founding => return Finding::Founding,
        v1::Standing::Blank => {}
        v1::Standing::Unspecified => return Finding::Unclear,
    }

    let theirs = answer.initial_cluster.into_iter().map(|(id, at)| (MasterId(id), at));
    let theirs = theirs.collect::<BTreeMap<_, _>>();
    if theirs == *us.initial_cluster {
        return Finding::Blank;
    }
    Finding::OtherList { ours: text(us.initial_cluster), theirs: text(&theirs) }
}

fn text(members: &BTreeMap<MasterId, String>) -> String {
    let members = members.iter().map(|(id, address)| format!("{id}={address}"));
    members.collect::<Vec<_>>().join(",")
}

impl Verdict {
    /// Decides for the master `id` from all other answers. The lowest id founds, so that nothing is
    /// founded twice.
    pub(super) fn of(id: MasterId, findings: &BTreeMap<MasterId, Finding>) -> Self {
        let obstacles = findings.iter().filter_map(|(id, finding)| {
            finding.obstacle().map(|what| (finding.rank(), format!("master {id} {what}")))
        });
        let mut obstacles = obstacles.collect::<Vec<_>>();
        obstacles.sort();
        let Some((rank, _)) = obstacles.first() else {
            let is_begun = findings.values().any(|finding| *finding == Finding::Founding);
            let is_lowest = findings.keys().all(|other| id < *other);
            return if is_lowest && !is_begun { Self::Found } else { Self::LeaveIt };
        };

        let advice = match rank {
            Rank::Member => {
                "if this master's disk was replaced, it is sent everything once the masters that \
                 have data lead again: start them all; if it is new, it must be added to that \
                 cluster, because initial_cluster adds nobody; if most masters have lost their \
                 data, bring back the disk of one of them, because nothing is founded beside what \
                 is left"
            }
            Rank::Misconfigured => {
                "give all first members the same cluster_name and initial_cluster"
            }
            Rank::Silent => "start every master of initial_cluster: all must be up once",
        };
        let why = obstacles.iter().map(|(_, what)| what.as_str()).collect::<Vec<_>>().join("; ");
        Self::Wait { why, advice }
    }
}

/// Weight of an obstacle: the heaviest decides the advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Member,
    Misconfigured,
    Silent,
}

impl Finding {
    fn obstacle(&self) -> Option<String> {
        match self {
            Self::Blank | Self::Founding => None,
            Self::Silent => Some("does not answer".to_owned()),
            Self::Another(id) => Some(format!("is not at its address: master {id} answers there")),
            Self::OtherName { ours, theirs } => {
                Some(format!("belongs to cluster '{theirs}', and this one to '{ours}'"))
            }
            Self::OtherList { ours, theirs } => {
                Some(format!("was told initial_cluster {theirs}, and this one {ours}"))
            }
            Self::Member { cluster } => {
                Some(format!("has data of cluster {cluster}, and this master has none"))
            }
            Self::Unclear => Some("runs a release that cannot say whether it has data".to_owned()),
        }
    }

    const fn rank(&self) -> Rank {
        match self {
            Self::Member { .. } => Rank::Member,
            Self::Another(_) | Self::OtherName { .. } | Self::OtherList { .. } | Self::Unclear => {
                Rank::Misconfigured
            }
            Self::Blank | Self::Founding | Self::Silent => Rank::Silent,
        }
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
        }
    }

    /// Decides for master `id` of three when the others answer so.
    fn verdict(id: u64, answers: &[(u64, Option<v1::IntroduceResponse>)]) -> Verdict {
        let initial_cluster = list(&[1, 2, 3]);
        let us = Us { name: "prod", initial_cluster: &initial_cluster };
        let findings = answers
            .iter()
            .map(|(id, answer)| (MasterId(*id), judge(&us, MasterId(*id), answer.clone())));
        Verdict::of(MasterId(id), &findings.collect())
    }

    fn why(verdict: Verdict) -> String {
        let Verdict::Wait { why, .. } = verdict else { panic!("{verdict:?}") };
        why
    }

    #[test]
    fn the_lowest_founds_when_all_are_blank() {
        let blank = |id| (id, Some(answer(id, v1::Standing::Blank)));
        assert_eq!(verdict(1, &[blank(2), blank(3)]), Verdict::Found);
        assert_eq!(verdict(2, &[blank(1), blank(3)]), Verdict::LeaveIt);
        assert_eq!(verdict(1, &[]), Verdict::Found);
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
    fn nothing_is_founded_beside_a_cluster() {
        let member = v1::IntroduceResponse {
            cluster_id: Some("c1".to_owned()),
            ..answer(3, v1::Standing::Member)
        };
        let Verdict::Wait { why, advice } = verdict(1, &[(2, None), (3, Some(member))]) else {
            panic!("it founds")
        };
        assert_eq!(
            why,
            "master 3 has data of cluster c1, and this master has none; master 2 does not answer"
        );
        assert!(advice.contains("initial_cluster adds nobody"), "{advice}");
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
