//! Tests of a scrape on a leader and on a follower.

use cluster_state::{QueueName, TaskStateKind};

use super::*;

fn scrape(metrics: &Metrics, is_leader: bool) -> String {
    let sample = ClusterSample {
        backup_age: Some(Duration::ZERO),
        certificate_left: Some(Duration::from_secs(60)),
        worker_certificate_left: Some(Duration::from_secs(60)),
        holds_issuer_key: Some(true),
        is_leader,
        has_leader: true,
        term: 7,
        disk_free: Some(1),
        ..Default::default()
    };
    metrics.encode(sample).unwrap()
}

#[test]
fn series_of_the_leader_are_absent_on_a_follower() {
    let metrics = Metrics::new();
    metrics.on_heartbeat();
    let follower = scrape(&metrics, false);
    for name in [
        "cloudai_worker_heartbeats",
        "cloudai_reconnect_attempts",
        "cloudai_reconnect_successes",
        "cloudai_reconnect_failures",
        "cloudai_reconnect_round",
        "cloudai_reconnect_monitor_running",
        "cloudai_attempts",
        "cloudai_stale_rejections",
        "cloudai_raft_replication_lag",
        "cloudai_worker_disconnects",
        "cloudai_worker_registration_to_connect",
        "cloudai_worker_announcements",
        "cloudai_worker_inactive_seconds_max",
        "cloudai_workers_inactive_over_5m",
        "cloudai_workers_flapping",
        "cloudai_task_submit_to_start_seconds",
        "cloudai_clock_offset_seconds",
        "cloudai_schedule_runs",
        "cloudai_tasks_finished",
        "cloudai_workers_reserved",
    ] {
        assert!(!follower.contains(name), "{name}");
    }
    assert!(follower.contains("\ncloudai_raft_is_leader 0\n"));
    assert!(scrape(&metrics, true).contains("\ncloudai_worker_heartbeats_total 1\n"));
}

#[test]
fn counters_of_a_leader_begin_at_zero() {
    let text = scrape(&Metrics::new(), true);
    for line in [
        "cloudai_worker_heartbeats_total 0",
        "cloudai_reconnect_attempts_total 0",
        "cloudai_reconnect_successes_total 0",
        "cloudai_reconnect_failures_total 0",
        "cloudai_attempts_total{outcome=\"lost\"} 0",
        "cloudai_stale_rejections_total{kind=\"heartbeat\"} 0",
        "cloudai_stale_rejections_total{kind=\"join-token\"} 0",
        "cloudai_raft_leader_changes_total 0",
        "cloudai_raft_is_leader 1",
        "cloudai_raft_term 7",
        "cloudai_worker_up_seconds_count 0",
        "cloudai_worker_registration_to_connect_seconds_count 0",
        "cloudai_worker_disconnects_total{reason=\"shutdown\"} 0",
        "cloudai_worker_announcements_total{outcome=\"reached\"} 0",
        "cloudai_reconnect_monitor_running 0",
        "cloudai_workers_inactive_over_5m 0",
        "cloudai_mass_loss 0",
        "cloudai_schedule_runs_total{outcome=\"missed\"} 0",
        "cloudai_tasks_finished_total{state=\"completed\",queue=\"default\"} 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn what_was_counted_of_a_queue_is_gone_with_the_queue() {
    let metrics = Metrics::new();
    let (leading, night) = (&metrics.shared.leading, "night".parse().unwrap());
    leading.on_task_finished(TaskStateKind::Completed, &night);
    leading.on_task_finished(TaskStateKind::Completed, &QueueName::default());
    assert!(scrape(&metrics, true).contains("queue=\"night\""));
    leading.on_queue_deleted(&night);
    let text = scrape(&metrics, true);
    let left = "cloudai_tasks_finished_total{state=\"completed\",queue=\"default\"} 1";
    assert!(!text.contains("queue=\"night\"") && text.contains(left), "{text}");
}

#[test]
fn an_http_request_is_counted_by_its_route() {
    let metrics = Metrics::new();
    metrics.on_http_request("/api/tasks/{id}", "GET", 404, Duration::from_millis(1));
    let text = scrape(&metrics, false);
    let line =
        "cloudai_http_requests_total{route=\"/api/tasks/{id}\",method=\"GET\",status=\"404\"} 1";
    assert!(text.lines().any(|found| found == line), "{text}");
    assert!(text.contains("cloudai_http_request_seconds_count{route=\"/api/tasks/{id}\"} 1"));
}

#[test]
fn the_process_and_its_build_are_shown() {
    let text = scrape(&Metrics::new(), false);
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
        "cloudai_build_info{version=",
    ] {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name} is not in\n{text}");
    }
}

#[test]
fn each_master_s_clock_is_compared() {
    let metrics = Metrics::new();
    metrics.on_clock_offsets(&BTreeMap::from([(MasterId(1), 0), (MasterId(2), -6_500)]));
    let text = scrape(&metrics, true);
    assert!(text.contains("cloudai_clock_offset_seconds{peer=\"2\"} -6.5\n"), "{text}");
}

#[test]
fn a_duration_falls_into_its_bucket() {
    let metrics = Metrics::new();
    metrics.on_synced(Duration::from_micros(300), 5);
    let text = scrape(&metrics, false);
    assert!(text.contains("cloudai_raft_fsync_seconds_bucket{le=\"0.0002\"} 0"), "{text}");
    assert!(text.contains("cloudai_raft_fsync_seconds_bucket{le=\"0.0004\"} 1"), "{text}");
    assert!(text.contains("cloudai_raft_batch_size_bucket{le=\"8.0\"} 1"), "{text}");
}

#[test]
fn alert_rules_look_at_series_that_there_are() {
    // As the test is run, not as it was built: checkouts may share what is built.
    let path = std::env::var("CARGO_MANIFEST_DIR").unwrap() + "/../deploy/prometheus/alerts.yml";
    let rules = std::fs::read_to_string(path).unwrap();
    let metrics = Metrics::new();
    metrics.on_clock_offsets(&BTreeMap::from([(MasterId(1), 0)]));
    let text = scrape(&metrics, true);
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let words = rules.split(|c| !is_part(c)).filter(|word| word.starts_with("cloudai_"));
    let words = words.collect::<std::collections::BTreeSet<_>>();
    assert!(words.len() >= 10, "{words:?}");
    for name in words {
        // Those with a label for what is counted have no value until somebody looks at a cluster.
        let is_there = text.lines().any(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with([' ', '{']))
                || line.starts_with(&format!("# HELP {name} "))
        });
        assert!(is_there, "{name} is not in\n{text}");
    }
}
