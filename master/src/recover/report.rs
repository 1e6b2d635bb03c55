//! Words about a recovery: what is proposed, what may be lost, what was done.

use std::path::Path;

use cluster_state::MasterId;
use raft_store::{RecoveryPlan, RecoveryReport, VoterFound};
use serde::Serialize;

/// The only member of the cluster that begins.
pub(super) struct Target<'a> {
    pub(super) data_dir: &'a Path,
    pub(super) name: MasterId,
    pub(super) address: &'a str,
}

/// Returns what is about to happen, for a person who has to agree.
pub(super) fn proposal(plan: &RecoveryPlan<'_>, target: &Target<'_>) -> String {
    let last = plan.content.last.map_or((0, 0), |last| (last.index, last.leader_id.term));
    let mut text = format!(
        "The log in {} goes furthest: up to entry {} of term {}.\n",
        plan.directory.display(),
        last.0,
        last.1
    );
    if let Some((first, last)) = plan.uncertain {
        text.push_str(&format!(
            "Entries {first} to {last} are kept although a majority may never have had them: some may \
             have been acknowledged.\n"
        ));
    }
    text.push_str(&losses(plan));
    text.push_str(&format!(
        "Master {} at {} becomes a cluster of one in {}, in the next generation. No master of \
         the earlier generation can take part in it; they join it with empty directories.\n",
        target.name,
        target.address,
        target.data_dir.display()
    ));
    text
}

fn losses(plan: &RecoveryPlan<'_>) -> String {
    let of = plan.voters.len();
    let (present, missing): (Vec<_>, Vec<_>) =
        plan.voters.iter().partition(|voter| voter.directory.is_some());
    if plan.is_complete {
        return format!(
            "{} of {of} voters are here, a majority: nothing that was acknowledged is lost. Starting \
             these masters is enough where that is possible.\n",
            present.len()
        );
    }
    let names = missing.iter().map(|voter| voter.name.to_string()).collect::<Vec<_>>();
    format!(
        "{} of {of} voters {} here, {} {} missing: they may have acknowledged entries that no directory \
         here has. How many cannot be known; they are lost.\n",
        present.len(),
        if present.len() == 1 { "is" } else { "are" },
        names.join(", "),
        if names.len() == 1 { "is" } else { "are" },
    )
}

/// A recovery, as it is told.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    cluster_id: String,
    cluster_name: Option<String>,
    /// Number of the generation that begins.
    generation: u32,
    generation_id: String,
    master: u64,
    /// Id of its log.
    node: String,
    address: String,
    data_dir: String,
    /// Directory whose log went furthest.
    source: String,
    /// Last entry of that log.
    index: u64,
    term: u64,
    /// First and last entry that a majority may never have had.
    uncertain: Option<(u64, u64)>,
    /// True if a majority of the voters was there, so that nothing is lost.
    complete: bool,
    /// Voters whose directories were not there.
    missing: Vec<u64>,
}

impl Outcome {
    pub(super) fn of(
        plan: &RecoveryPlan<'_>,
        target: &Target<'_>,
        report: &RecoveryReport,
    ) -> Self {
        let is_missing = |voter: &&VoterFound| voter.directory.is_none();
        Self {
            cluster_id: report.cluster.to_string(),
            cluster_name: plan.cluster_name.map(str::to_owned),
            generation: report.generation.number,
            generation_id: format!("{:016x}", report.generation.id),
            master: target.name.0,
            node: report.node.to_string(),
            address: target.address.to_owned(),
            data_dir: target.data_dir.display().to_string(),
            source: plan.directory.display().to_string(),
            index: report.last.index,
            term: report.last.leader_id.term,
            uncertain: plan.uncertain,
            complete: plan.is_complete,
            missing: plan.voters.iter().filter(is_missing).map(|voter| voter.name.0).collect(),
        }
    }

    pub(super) fn text(&self, report: &RecoveryReport) -> String {
        format!(
            "recovered {} up to entry {}: master {} of cluster {}, generation {} ({})\n\
             start it with its configuration and this data directory; the others join it with empty ones",
            self.source,
            report.last.index,
            self.master,
            self.cluster_id,
            self.generation,
            self.generation_id
        )
    }
}
