//! Runs the golden scripts: each file of `scripts/` keeps the promise that its name makes.
//!
//! A script opens with a sentence. Then it lists commands, each after `> `, and below each the
//! reply that it must give and the records that it must change. A command in parentheses is set-up:
//! it must not be rejected, and its output is left out. `UPDATE_SCRIPTS=1` writes the actual
//! outputs into the scripts instead.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should panic")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use cluster_state::{Change, Meta, Proposal, Record, State, Timestamp};

use syntax::{Known, Line};

#[path = "scripts/syntax.rs"]
mod syntax;
#[path = "scripts/wording.rs"]
mod wording;

/// Names the scripts: each is a test of its own.
macro_rules! scripts {
    ($($name:ident)+) => {
        const NAMES: &[&str] = &[$(stringify!($name)),+];
        $(
            #[test]
            fn $name() {
                check(stringify!($name));
            }
        )+
    };
}

scripts! {
    a_cancel_by_filter_covers_what_there_was
    a_certificate_is_renewed_until_it_is_revoked
    an_authority_is_changed_with_an_overlap
    a_change_of_the_authority_is_taken_back
    a_blocked_task_ends_without_its_dependencies
    a_broken_dependency_aborts_what_waits
    a_dependency_that_is_over_is_judged_by_the_log
    a_graph_is_accepted_whole_or_not_at_all
    a_task_waits_for_others
    an_aborted_task_waits_again
    a_retry_by_filter_follows_the_graph
    a_cancelled_task_ends_when_its_worker_is_lost
    a_confirmation_after_the_result_changes_nothing
    a_cordoned_worker_gets_no_tasks
    a_certified_name_is_nobody_elses
    a_deadline_stops_whatever_a_task_does
    a_departed_worker_comes_back_as_who_it_was
    a_departed_worker_is_told
    a_drain_can_be_taken_back_half_way
    a_drain_without_deadline_waits
    a_drained_worker_is_emptied_by_its_deadline
    a_drained_worker_stays_closed_when_it_restarts
    a_failure_waits_for_its_backoff
    a_failure_without_backoff_is_due_at_once
    a_finished_task_is_retried_by_hand
    a_join_token_admits_until_it_expires
    a_lost_worker_burns_no_attempt
    a_mass_loss_is_raised_once_and_acknowledged
    a_mass_loss_requeues_a_few_at_a_time
    a_new_process_takes_the_place_of_the_old_one
    a_name_that_is_forgotten_is_free
    a_queue_goes_by_the_time_of_queueing
    a_queue_starts_no_more_than_it_may
    tasks_with_one_concurrency_key_run_one_after_the_other
    a_queued_again_task_keeps_its_place
    a_reconnecting_worker_keeps_its_tasks
    a_registration_that_arrives_late_is_refused
    a_registration_without_address_keeps_the_known_one
    a_repeated_barrier_is_recorded_once
    a_repeated_submission_gives_the_same_tasks
    a_restarted_worker_loses_what_it_ran
    a_retry_by_filter_covers_what_had_ended
    a_result_that_survived_a_restart_still_counts
    a_rival_is_remembered_until_it_gives_up
    a_run_is_left_out_while_the_last_one_goes_on
    a_run_that_comes_too_late_is_missed
    a_run_timeout_counts_as_a_failure
    a_run_waits_for_the_one_before
    a_schedule_is_fired_once_for_each_of_its_times
    a_schedule_is_run_by_hand
    a_setting_that_is_not_allowed_changes_nothing
    a_shorter_grant_waits_for_the_longer_one
    a_silent_worker_keeps_its_attempts_until_its_lease_ends
    a_stale_attempt_never_finishes_a_task
    a_stale_registration_never_finishes_a_task
    a_start_that_comes_late_is_refused
    a_submission_is_accepted_whole_or_not_at_all
    a_suspended_worker_is_tried_with_one_task
    a_task_goes_only_where_it_may
    a_task_is_placed_once
    a_task_may_ask_not_to_wait_for_a_silent_worker
    a_task_that_is_over_keeps_no_secrets
    a_task_that_starts_too_late_fails
    a_task_whose_time_is_over_is_not_placed
    a_task_that_starts_nowhere_suspends_nobody
    a_task_waits_for_its_start_time
    a_token_admits_nobody_who_has_departed
    a_users_token_is_good_until_it_is_revoked
    a_wait_between_attempts_is_at_most_five_minutes
    a_worker_is_never_oversubscribed
    a_worker_never_finishes_what_another_runs
    a_worker_says_itself_that_it_is_unfit
    a_worker_takes_no_more_attempts_than_it_says
    a_worker_that_is_back_is_not_declared_lost
    a_worker_that_registers_again_changes_nothing_else
    a_worker_that_said_goodbye_leaves_its_name
    a_worker_that_starts_nothing_is_suspended
    an_attempt_ahead_begins_when_there_is_room
    an_attempt_ahead_is_given_back
    an_attempt_ahead_survives_what_a_running_one_does
    an_attempt_that_is_not_wanted_is_killed
    an_attempt_without_devices_is_given_back
    an_epoch_is_never_used_again
    an_old_leader_is_refused
    an_operator_burns_neither_attempts_nor_losses
    an_operator_drops_orphaned_results
    an_order_to_retry_comes_too_late
    an_orphaned_result_is_kept_once
    an_unfit_worker_burns_no_attempt
    an_unreachable_worker_gives_back_what_it_never_had
    bounds_on_a_life_need_the_second_level
    cancelling_a_running_task_waits_for_its_worker
    cancelling_a_waiting_task_ends_it_at_once
    finished_tasks_are_forgotten_when_told
    five_lost_workers_end_a_task
    losses_of_different_workers_end_a_task
    a_result_stays_with_the_task_that_it_ends
    higher_priorities_come_first
    labels_are_changed_one_by_one
    log_time_never_goes_back
    nothing_is_given_out_twice_after_a_restoration
    registering_a_worker_again_keeps_its_session
    registering_again_changes_what_is_named
    resources_are_released_once
    results_that_follow_a_registration_still_count
    secret_variables_need_the_second_level
    settings_are_changed_by_whoever_has_seen_them
    settings_need_the_second_level
    some_exit_codes_are_final
    the_first_leader_gives_a_cluster_its_settings
    the_last_sign_of_a_silent_worker_is_on_record
    the_same_key_with_another_body_is_a_conflict
    two_workers_do_not_share_a_name
    unregistering_requeues
    what_a_restored_cluster_has_lost_is_kept
    what_a_restoration_may_have_started_is_not_late
    what_cannot_run_again_is_not_retried
    what_is_known_is_no_orphan
    what_starts_elsewhere_counts_against_a_worker
    where_a_worker_listens_is_not_what_an_operator_said
}

#[test]
fn every_script_is_run() {
    let files = fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_none())
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect::<BTreeSet<_>>();

    assert_eq!(files, NAMES.iter().map(|name| (*name).to_owned()).collect());
}

fn directory() -> PathBuf {
    // Read when the test runs and not when it is built, because checkouts may share what is built.
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("tests/scripts")
}

fn check(name: &str) {
    let path = directory().join(name);
    let script = fs::read_to_string(&path).unwrap();
    assert!(script.starts_with("# "), "{name} does not open with a sentence");
    let given = Run::default().play(&script);

    if std::env::var_os("UPDATE_SCRIPTS").is_some() {
        fs::write(&path, given).unwrap();
        return;
    }
    let same = script.lines().zip(given.lines()).take_while(|(want, have)| want == have).count();
    assert!(
        script == given,
        "{name} differs from line {} on; UPDATE_SCRIPTS=1 accepts what it gives now:\n{given}",
        same + 1,
    );
}

/// Returns the command in the parentheses of a set-up line.
fn set_up_command(command: &str) -> Option<&str> {
    command.strip_prefix('(')?.strip_suffix(')')
}

/// A script that is being run.
#[derive(Default)]
struct Run {
    state: State,
    /// State that is built from the changes alone, as a master's disk is.
    rebuilt: State,
    past: Known,
    clock: Timestamp,
}

impl Run {
    /// Replays the script and returns it with the outputs that the commands gave.
    fn play(mut self, script: &str) -> String {
        let mut out = String::new();
        let mut last = "#";
        for line in script.lines() {
            let command = line.strip_prefix("> ");
            let set_up = command.and_then(set_up_command);
            if command.is_none() && !line.starts_with('#') {
                continue;
            }

            // A comment stands on its command, and commands of the set-up stand together.
            let follows_set_up = last.strip_prefix("> ").and_then(set_up_command).is_some();
            if !(last.starts_with('#') || follows_set_up && set_up.is_some()) {
                out.push('\n');
            }
            writeln!(out, "{line}").unwrap();
            last = line;

            if let Some(set_up) = set_up {
                let given = self.step(set_up);
                assert!(!given.contains("rejected"), "{line}\n{given}");
            } else if let Some(command) = command {
                out.push_str(&self.step(command));
            }
        }
        out
    }

    /// Goes on with the state that a restored cluster begins with.
    fn restore(&mut self) -> String {
        let meta = *self.state.meta();
        let generation = meta.generation.following(meta.next_task, 7);
        let next = |record: Record| record.in_generation(generation, &meta).unwrap_or(record);
        let records = self.state.records().map(next).collect::<Vec<_>>();
        for state in [&mut self.state, &mut self.rebuilt] {
            *state = State::new();
            records.iter().cloned().for_each(|record| state.restore(record));
        }
        assert_eq!(self.state.check_invariants(), Ok(()), "after the restoration");
        format!("generation {}\n", generation.number)
    }

    fn step(&mut self, line: &str) -> String {
        match syntax::parse(line, &self.state, &self.past) {
            Line::Show(view) => wording::view(view, &self.state),
            Line::Restore => self.restore(),
            Line::Apply { at, command } => {
                self.clock = at.unwrap_or(self.clock);
                self.past.index = self.past.index.next();
                let before: Meta = *self.state.meta();
                let proposal = Proposal { proposed_at: self.clock, command: *command };
                let applied = self.state.apply(self.past.index, proposal);

                for change in applied.changes.clone() {
                    if let Change::Put(Record::Task(task)) = &change
                        && task.state.is_terminal()
                    {
                        self.past.finished.push(Arc::clone(task));
                    }
                    self.rebuilt.follow(change);
                }
                assert_eq!(self.state.check_invariants(), Ok(()), "after {line}");
                assert_eq!(format!("{:?}", self.rebuilt), format!("{:?}", self.state));
                wording::applied(&applied, &before)
            }
        }
    }
}
