//! Every test that starts processes; one behavior per file.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on should panic, and says what it saw"
)]

mod alert_rules;
mod all_masters_gone_longer_than_the_lease;
mod all_masters_killed_and_restarted;
mod backup_restored;
mod backup_saved_under_load;
mod bad_input;
mod bad_start;
mod behind_at_full_rate;
mod behind_haproxy;
mod cancel_running_task;
mod certificates_issued;
mod certificates_renewed;
mod certificates_rotated;
mod chaos;
mod clusterctl_commands;
mod clusterctl_shell;
mod contexts_of_clusterctl;
mod dev_cluster;
mod dying_disk;
mod end_to_end;
mod failed_task_retries_then_fails;
mod few_open_files;
mod follower_caught_up_by_log;
mod follower_caught_up_by_snapshot;
mod followers_stalled;
mod foreign_master;
mod full_disk;
mod garbage_on_every_port;
mod graph_outlives_the_leader;
mod heartbeats_through_followers;
mod immediate_reconnection;
mod leader_change_during_reconnection;
mod leader_frozen_and_thawed;
mod leader_killed_during_submissions;
mod lives_of_tasks;
mod logs_are_streamed;
mod lost_quorum;
mod lying_worker;
mod malformed_over_tls;
mod mass_loss_brakes_requeueing;
mod masters_join;
mod members_by_command;
mod minority_cut_off;
mod no_leader_answers;
mod orders_about_many_tasks;
mod orders_that_reach_nobody;
mod results_of_tasks;
mod rolling_restart_under_load;
mod schedule_outlives_the_leader;
mod second_signal_ends_a_master;
mod secrets_of_tasks;
mod secured;
mod secured_behind_haproxy;
mod settings_outlive_the_leader;
mod several_workers;
mod short_tasks;
mod supervisor_is_told_when_a_master_takes_part;
mod task_events_outlive_the_leader;
mod task_leaves_a_silent_worker;
mod tasks_survive_a_leader_change;
mod trail_of_orders;
mod upgrade;
mod users_by_token;
mod users_of_an_identity_provider;
mod websocket_resumes_on_another_replica;
mod wiped_master_catches_up;
mod worker_accepts_but_never_answers;
mod worker_address_reused;
mod worker_drained;
mod worker_frozen_past_its_lease;
mod worker_killed_requeues;
mod worker_obeys_the_newer_leader;
mod worker_offline_registered_then_started;
mod worker_on_a_flapping_link;
mod worker_reconnection_script;
mod worker_restart;
mod worker_stopped_during_an_election;
mod worker_unregistered_during_an_attempt;
mod workers_join_with_a_token;
