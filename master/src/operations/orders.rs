//! Orders: who gives them goes with the command into the log, and from there into the trail.

use cluster_state::{
    Actor, AuditAction, AuditOutcome, AuditRecord, Command, MasterId, NoteOrder, Ordered, Reply,
};
use proto::problem::{ErrorKind, Outcome, Problem};
use raft_store::MemberOrder;

use super::backup::BackupStream;
use super::members::Changed;
use super::views::{LeaderView, View};
use super::{Answer, Operations};
use crate::access::Caller;
use crate::membership_order::MembershipOrder;
use crate::peer::forwarded;
use crate::refusal;

/// An order that is carried out outside of the replicated state.
struct Note {
    action: AuditAction,
    object: String,
    detail: String,
}

impl Operations {
    /// Returns the command with who has ordered it. A cluster whose level is too low has no trail.
    pub(super) fn ordered(&self, command: Command, by: &Caller) -> Command {
        if self.node().reader().level() < AuditRecord::LEVEL {
            return command;
        }
        Command::Ordered(Ordered { by: by.actor(), command: Box::new(command) })
    }

    /// Proposes a command that somebody has ordered.
    pub(super) async fn order(
        &self,
        command: Command,
        by: &Caller,
    ) -> Result<Answer<Reply>, Problem> {
        self.propose(&self.ordered(command, by)).await
    }

    /// Changes the membership, and puts that on record.
    pub(crate) async fn order_members(
        &self,
        order: MembershipOrder,
        by: &Caller,
    ) -> Result<Answer<Changed>, Problem> {
        let (note, operations) = (note_of(&order), self.clone());
        self.on_record(note, by, async move { operations.change_members(order).await }).await
    }

    /// Has the leader hand over, and puts that on record.
    pub(crate) async fn order_transfer(
        &self,
        to: Option<MasterId>,
        by: &Caller,
    ) -> Result<Answer<View<LeaderView, forwarded::LeaderStatus>>, Problem> {
        let object = to.map_or_else(|| "member".to_owned(), member);
        let note = Note { action: AuditAction::TransferLeader, object, detail: String::new() };
        let operations = self.clone();
        let transfer = async move {
            if operations.is_leading() {
                return Ok(operations.transfer_leader(to).await?.map(View::Own));
            }
            let transferred = operations.leader_peer().transfer_leader(to).await?;
            Ok(operations.mark().on(View::Leaders(transferred)))
        };
        self.on_record(note, by, transfer).await
    }

    /// Takes a backup for somebody, and puts that on record before the first byte is sent.
    pub(crate) async fn send_snapshot(&self, by: &Caller) -> Result<BackupStream, Problem> {
        let (object, detail) = ("snapshot".to_owned(), String::new());
        let note = Note { action: AuditAction::SaveSnapshot, object, detail };
        self.note(&note, AuditOutcome::Begun, &by.actor()).await?;
        self.save_snapshot().await
    }

    /// Carries out an order. Nothing is done that is not on record, and its end is put there, too, also
    /// if the client does not wait for it.
    async fn on_record<T: Send + 'static>(
        &self,
        note: Note,
        by: &Caller,
        work: impl Future<Output = Result<T, Problem>> + Send + 'static,
    ) -> Result<T, Problem> {
        let actor = by.actor();
        self.note(&note, AuditOutcome::Begun, &actor).await?;
        let operations = self.clone();
        let carried_out = self.shared.tasks.spawn(async move {
            let done = work.await;
            let outcome = done.as_ref().map_or_else(outcome_of, |_| AuditOutcome::Done);
            if let Err(problem) = operations.note(&note, outcome, &actor).await {
                let request = &actor.request;
                tracing::warn!(%problem, %request, "the end of an order could not be put on record");
            }
            done
        });
        carried_out.await.unwrap_or_else(|error| {
            tracing::error!(%error, "an order broke off");
            let problem = Problem::new(ErrorKind::Internal, "the order broke off on this master");
            Err(problem.with_outcome(Outcome::Unknown))
        })
    }

    async fn note(&self, note: &Note, outcome: AuditOutcome, actor: &Actor) -> Result<(), Problem> {
        if self.node().reader().level() < AuditRecord::LEVEL {
            return Ok(());
        }
        let Note { action, object, detail } = note;
        let (object, detail) = (object.clone(), detail.clone());
        let noted = NoteOrder { action: *action, object, detail, outcome };
        let command = Box::new(Command::NoteOrder(noted));
        let ordered = Command::Ordered(Ordered { by: actor.clone(), command });
        let proposed = self.node().propose(&ordered).await;
        proposed.map(drop).map_err(|error| refusal::of_mutation(&error))
    }
}

fn note_of(order: &MembershipOrder) -> Note {
    let (action, name, detail) = match order {
        MembershipOrder::Add { name, address } => {
            (AuditAction::AddMember, *name, format!("address {address}"))
        }
        MembershipOrder::Change { order, force: _ } => match order {
            MemberOrder::Promote(name) => (AuditAction::PromoteMember, *name, String::new()),
            MemberOrder::Replace { old, new } => {
                (AuditAction::ReplaceMember, *old, format!("by {new}"))
            }
            MemberOrder::Remove(name) => (AuditAction::RemoveMember, *name, String::new()),
        },
    };
    Note { action, object: member(name), detail }
}

fn member(name: MasterId) -> String {
    format!("member/{name}")
}

fn outcome_of(problem: &Problem) -> AuditOutcome {
    let reason = problem.kind.name().into();
    match problem.outcome {
        Some(Outcome::Unknown) => AuditOutcome::Unknown { reason },
        Some(Outcome::Rejected) | None => AuditOutcome::Rejected { reason },
    }
}
