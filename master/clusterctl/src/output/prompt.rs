//! Formats the registry as a box for the prompt.

use proto::names::name_of;
use proto::v1;

use super::table::{Style, printable};

/// Number of MiB in a GB of the prompt.
const MIB_PER_GB: f64 = 1_024.0;

/// Formats the registered workers in a box.
#[must_use]
pub fn worker_box(workers: &[v1::Worker], _: Style) -> String {
    let mut lines = vec!["╔ Registered Workers".to_owned()];
    if workers.is_empty() {
        lines.push("║ none: register one with: register ID HOST:PORT".to_owned());
    }
    for worker in workers {
        lines.push(format!("║ {}", printable(&worker.worker_id)));
        let status = if worker.is_active { "🟢 Active" } else { "🔴 Inactive" };
        lines.push(format!("║   Status: {status}"));
        if worker.scheduling != i32::from(v1::SchedulingState::Open) {
            let scheduling = name_of::<v1::SchedulingState>(worker.scheduling);
            lines.push(format!("║   Scheduling: {scheduling}"));
        }
        let address = worker.address.as_deref().unwrap_or("unknown");
        lines.push(format!("║   IP: {}", printable(address)));
        lines.push(format!("║   Resources: {}", resources(worker.total.as_ref())));
        lines.push(format!("║   Running Tasks: {}", worker.running_tasks));
    }
    lines.push("╚".to_owned());
    lines.join("\n")
}

#[expect(clippy::cast_precision_loss, reason = "memory of a machine is far below 2^53 MiB")]
fn resources(total: Option<&v1::Resources>) -> String {
    // Nothing is known of a worker that has never connected.
    let Some(total) = total.filter(|total| total.cpu.unwrap_or_default() > 0.0) else {
        return "unknown until it connects".to_owned();
    };
    let cpu = total.cpu.unwrap_or_default();
    let memory = total.memory_mb.unwrap_or_default() as f64 / MIB_PER_GB;
    let gpu = total.gpu.unwrap_or_default() as f64;
    format!("CPU={cpu:.1}, Memory={memory:.1}GB, GPU={gpu:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_stand_in_a_box() {
        let online = v1::Worker {
            worker_id: "worker-1".to_owned(),
            address: Some("192.168.1.100:50052".to_owned()),
            is_active: true,
            scheduling: v1::SchedulingState::Open.into(),
            total: Some(v1::Resources {
                cpu: Some(8.0),
                memory_mb: Some(16_384),
                gpu: Some(0),
                ..v1::Resources::default()
            }),
            ..v1::Worker::default()
        };
        let offline = v1::Worker {
            worker_id: "worker-2".to_owned(),
            scheduling: v1::SchedulingState::Cordoned.into(),
            ..v1::Worker::default()
        };
        let expected = "\
╔ Registered Workers
║ worker-1
║   Status: 🟢 Active
║   IP: 192.168.1.100:50052
║   Resources: CPU=8.0, Memory=16.0GB, GPU=0.0
║   Running Tasks: 0
║ worker-2
║   Status: 🔴 Inactive
║   Scheduling: cordoned
║   IP: unknown
║   Resources: unknown until it connects
║   Running Tasks: 0
╚";
        assert_eq!(worker_box(&[online, offline], Style::Plain), expected);
    }

    #[test]
    fn an_empty_registry_says_how_to_fill_it() {
        assert!(worker_box(&[], Style::Plain).contains("register ID HOST:PORT"));
    }
}
