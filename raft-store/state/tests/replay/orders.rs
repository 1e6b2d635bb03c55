//! Random orders: commands with who has given them, and commands about the trail.

use cluster_state::{
    Actor, AuditAction, AuditOutcome, Command, DropOrphans, LogIndex, NoteOrder, Ordered, OrphanId,
    OrphanSelection, PruneTrail,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::values::term;

/// Has somebody order some of the commands, and seldom those of duties, which nobody may.
pub(super) fn ordered(commands: impl Strategy<Value = Command>) -> impl Strategy<Value = Command> {
    (commands, 0..50_u8, actor()).prop_map(|(command, chance, by)| {
        let is_ordered = chance < if is_of_a_duty(&command) { 1 } else { 10 };
        match is_ordered {
            true => Command::Ordered(Ordered { by, command: Box::new(command) }),
            false => command,
        }
    })
}

const fn is_of_a_duty(command: &Command) -> bool {
    matches!(
        command,
        Command::BeginTerm(_)
            | Command::RaiseLevel(_)
            | Command::SeedSettings(_)
            | Command::ConnectWorker(_)
            | Command::DisconnectWorkers(_)
            | Command::AssignTasks(_)
            | Command::AssignAhead(_)
            | Command::HoldAttempts(_)
            | Command::StartAttempts(_)
            | Command::FinishAttempts(_)
            | Command::RequeueAttempts(_)
            | Command::ForgetDeparted(_)
            | Command::ChangeHealth(_)
            | Command::Tick(_)
            | Command::AdvanceJob(_)
            | Command::AdvanceSchedules(_)
    )
}

/// Draws an order about orphaned results.
pub(super) fn orphans() -> impl Strategy<Value = Command> {
    let id = || (1..5_u64).prop_map(OrphanId);
    let selection = prop_oneof![
        vec(id(), 1..3).prop_map(OrphanSelection::These),
        id().prop_map(OrphanSelection::UpTo),
    ];
    selection.prop_map(|selection| Command::DropOrphans(DropOrphans { selection }))
}

/// Draws a command about the trail.
pub(super) fn trail() -> impl Strategy<Value = Command> {
    let reason = || "[ab]".prop_map(|reason| reason.as_str().into());
    let outcome = prop_oneof![
        Just(AuditOutcome::Begun),
        Just(AuditOutcome::Done),
        reason().prop_map(|reason| AuditOutcome::Rejected { reason }),
        reason().prop_map(|reason| AuditOutcome::Unknown { reason }),
    ];
    let action = prop::sample::select(AuditAction::ALL.to_vec());
    prop_oneof![
        (action, outcome).prop_map(|(action, outcome)| {
            let (object, detail) = ("member/3".to_owned(), String::new());
            Command::NoteOrder(NoteOrder { action, object, detail, outcome })
        }),
        (term(), 1..60_u64).prop_map(|(term, index)| {
            Command::PruneTrail(PruneTrail { term, up_to: LogIndex(index) })
        }),
    ]
}

fn actor() -> impl Strategy<Value = Actor> {
    let remote = option::of("10\\.0\\.0\\.[12]:4000");
    // Another master may have written more than a text may have.
    let principal = prop_oneof![8 => Just(1), 1 => Just(300)];
    (principal, remote).prop_map(|(repeats, remote)| Actor {
        principal: "user:ada".repeat(repeats),
        request: "r-1".to_owned(),
        remote,
    })
}
