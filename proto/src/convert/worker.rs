//! Converts workers: as displayed, as they describe themselves, and as an operator registers them.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_state::{
    JoinToken, MassLoss, RegisterWorker, Resources, SchedulingOrder, Specs, Timestamp, Worker,
    WorkerEvent, WorkerEventKind, WorkerId,
};

use super::faults::Faults;
use super::spec::check_labels;
use super::{Breach, Invalid, kinds, rfc3339, time};
use crate::address::is_unspecified;
use crate::channel;
use crate::problem::ErrorKind;
use crate::v1;

/// Maximum length of an address: a DNS name (RFC 1035 allows 253), a colon and a port.
const ADDRESS_BYTES_MAX: usize = 259;
/// Maximum length of the description of a token.
const DESCRIPTION_BYTES_MAX: usize = 256;
/// Maximum length of the version that a worker reports.
const VERSION_BYTES_MAX: usize = 64;

/// Converts a worker with so many live attempts, which have been allocated these resources. The leader
/// alone knows of heartbeats, except for the recorded last one before a silence.
#[must_use]
pub fn worker(
    worker: &Worker,
    allocated: &Resources,
    running: usize,
    last_heartbeat: Option<Timestamp>,
) -> v1::Worker {
    let total = worker.total();

    v1::Worker {
        worker_id: worker.id.to_string(),
        address: worker.address.clone(),
        is_active: worker.is_active(),
        state: v1::WorkerState::from(worker.state()).into(),
        reason: reason(worker),
        epoch: worker.epoch.0,
        total: Some((&total).into()),
        allocated: Some(allocated.into()),
        available: Some((&total.saturating_sub(allocated)).into()),
        labels: worker.effective_labels(),
        running_tasks: u32::try_from(running).unwrap_or(u32::MAX),
        registered_at: rfc3339(worker.registered_at),
        last_heartbeat: worker.last_heard.or(last_heartbeat).map(rfc3339),
        index: worker.index.0,
        version: worker.specs.as_ref().map(|specs| specs.version.clone()),
        scheduling: kinds::scheduling(worker.scheduling, running).into(),
        drain_deadline: worker.drain_deadline().map(rfc3339),
        changed_at: rfc3339(worker.changed_at),
        since: rfc3339(worker.state_since()),
        attempts_max: Some(total.slots).filter(|slots| *slots < Resources::SLOTS_UNBOUNDED),
        certificate_not_after: None,
    }
}

/// Explains a worker's state, and names a rival for its name.
fn reason(worker: &Worker) -> String {
    match &worker.rival {
        None => worker.state_reason(),
        Some(rival) => {
            let reason = worker.state_reason();
            format!("{reason}; another worker at {} wants its name", rival.address)
        }
    }
}

/// Converts the history of a worker.
#[must_use]
pub fn worker_history(worker: &Worker) -> v1::WorkerHistory {
    let event = |event: &WorkerEvent| v1::WorkerEvent {
        timestamp: rfc3339(event.at),
        index: event.index.0,
        event: v1::WorkerEventKind::from(&event.kind).into(),
        detail: match &event.kind {
            WorkerEventKind::Connected(epoch) | WorkerEventKind::Replaced(epoch) => {
                Some(format!("epoch {}", epoch.0))
            }
            WorkerEventKind::Disconnected(reason) => Some(reason.to_string()),
            WorkerEventKind::Updated(what) => Some(what.to_string()),
            WorkerEventKind::NameContested(address) => {
                Some(format!("another worker at {address} wants the name and was refused"))
            }
            WorkerEventKind::Registered
            | WorkerEventKind::Cordoned
            | WorkerEventKind::Uncordoned
            | WorkerEventKind::DrainStarted
            | WorkerEventKind::DrainDeadlinePassed
            | WorkerEventKind::Reachable
            | WorkerEventKind::Fit => None,
            WorkerEventKind::Unreachable(detail) | WorkerEventKind::Unfit(detail) => {
                Some(detail.clone())
            }
        },
    };

    let events = worker.history.iter().map(event).collect();
    v1::WorkerHistory { worker_id: worker.id.to_string(), events }
}

/// Converts a join token, without its secret, which nobody has.
#[must_use]
pub fn token(token: &JoinToken, now: Timestamp) -> v1::Token {
    v1::Token {
        token_id: token.id.to_string(),
        description: token.description.clone(),
        created_at: rfc3339(token.created_at),
        expires_at: token.expires_at.map(rfc3339),
        expired: token.is_expired(now),
    }
}

/// Converts the mass-loss alarm.
#[must_use]
pub fn mass_loss(raised: &MassLoss) -> v1::MassLoss {
    v1::MassLoss {
        since: rfc3339(raised.since),
        lost: raised.lost,
        of: raised.of,
        acknowledged_at: raised.acknowledged_at.map(rfc3339),
    }
}

/// Converts an order about a worker's scheduling.
///
/// # Errors
///
/// When the order or its timeout is malformed.
pub fn scheduling_order(wire: &v1::SetSchedulingRequest) -> Result<SchedulingOrder, Invalid> {
    let timeout = wire.timeout.as_deref().map(time::duration).transpose();
    let timeout = timeout.map_err(|breach| Invalid::malformed("/timeout", &breach))?;
    match (wire.order(), timeout) {
        (v1::SchedulingOrder::Unspecified, _) => {
            Err(Invalid::malformed("/order", &Breach::SchedulingOrder))
        }
        (v1::SchedulingOrder::Drain, timeout) => Ok(SchedulingOrder::Drain { timeout }),
        (v1::SchedulingOrder::Cordon | v1::SchedulingOrder::Uncordon, Some(_)) => {
            Err(Invalid::malformed("/timeout", &Breach::TimeoutWithoutDrain))
        }
        (v1::SchedulingOrder::Cordon, None) => Ok(SchedulingOrder::Cordon),
        (v1::SchedulingOrder::Uncordon, None) => Ok(SchedulingOrder::Uncordon),
    }
}

/// Checks the time for a drain.
///
/// # Errors
///
/// When it is longer than durations may be.
pub fn drain_timeout(timeout: Duration) -> Result<Duration, Invalid> {
    time::bounded(timeout).map_err(|breach| Invalid::malformed("/timeout", &breach))
}

/// Converts the labels to set and the names of those to remove.
///
/// # Errors
///
/// When a label is malformed, or both set and removed.
pub fn label_changes(
    wire: v1::LabelWorkerRequest,
) -> Result<(BTreeMap<String, String>, Vec<String>), Invalid> {
    let v1::LabelWorkerRequest { set, remove, .. } = wire;
    let mut faults = Faults::default();
    check_labels("/set", &set, &mut faults);
    for (position, label) in remove.iter().enumerate() {
        if set.contains_key(label) {
            faults.add(&format!("/remove/{position}"), &Breach::SetAndRemoved);
        }
    }
    if set.is_empty() && remove.is_empty() {
        faults.add("/set", &Breach::Required);
    }
    faults.finish(ErrorKind::InvalidValue, (set, remove))
}

/// Converts the time for which a new token admits workers; none means forever.
///
/// # Errors
///
/// When its time to live or its description is malformed.
pub fn token_ttl(wire: &v1::CreateTokenRequest) -> Result<Option<Duration>, Invalid> {
    let bytes = wire.description.len();
    if bytes > DESCRIPTION_BYTES_MAX {
        let breach = Breach::TooLong { bytes, max: DESCRIPTION_BYTES_MAX };
        return Err(Invalid::malformed("/description", &breach));
    }
    let ttl = wire.ttl.as_deref().map(time::duration).transpose();
    let ttl = ttl.map_err(|breach| Invalid::malformed("/ttl", &breach))?;
    if ttl.is_some_and(|ttl| ttl.is_zero()) {
        return Err(Invalid::malformed("/ttl", &Breach::ZeroDuration));
    }
    Ok(ttl)
}

impl From<&Specs> for v1::WorkerSpecs {
    fn from(specs: &Specs) -> Self {
        Self {
            total: Some((&specs.total).into()),
            labels: specs.labels.clone(),
            version: specs.version.clone(),
            attempts_max: match specs.total.slots {
                0 | Resources::SLOTS_UNBOUNDED.. => 0,
                slots => slots,
            },
        }
    }
}

impl TryFrom<v1::WorkerSpecs> for Specs {
    type Error = Invalid;

    fn try_from(wire: v1::WorkerSpecs) -> Result<Self, Invalid> {
        let mut faults = Faults::default();
        check_labels("/specs/labels", &wire.labels, &mut faults);
        if wire.version.len() > VERSION_BYTES_MAX {
            let breach = Breach::TooLong { bytes: wire.version.len(), max: VERSION_BYTES_MAX };
            faults.add("/specs/version", &breach);
        }
        faults.finish(ErrorKind::InvalidValue, ())?;
        let mut total: Resources = wire.total.unwrap_or_default().try_into()?;
        total.slots = match wire.attempts_max {
            0 => Resources::SLOTS_UNBOUNDED,
            most => most.min(Resources::SLOTS_UNBOUNDED),
        };
        Ok(Self { total, labels: wire.labels, version: wire.version })
    }
}

impl TryFrom<v1::RegisterRequest> for RegisterWorker {
    type Error = Invalid;

    fn try_from(wire: v1::RegisterRequest) -> Result<Self, Invalid> {
        let mut faults = Faults::default();
        let id = wire.worker_id.parse::<WorkerId>().map_err(Breach::from);
        let id = faults.keep("/worker_id", id);
        if let Some(address) = &wire.address {
            faults.keep("/address", check_callable(address));
        }
        let labels = wire.labels.map(|labels| labels.entries);
        if let Some(labels) = &labels {
            check_labels("/labels", labels, &mut faults);
        }
        let Some(worker) = faults.finish(ErrorKind::InvalidValue, id)? else {
            return Err(Invalid::malformed("/worker_id", &Breach::Required));
        };
        Ok(Self { worker, address: wire.address, labels })
    }
}

/// Checks that an address is `host:port`, and no longer than a name can be.
pub(super) fn check_address(address: &str) -> Result<(), Breach> {
    if address.is_empty() {
        return Err(Breach::Required);
    }
    if address.len() > ADDRESS_BYTES_MAX {
        return Err(Breach::TooLong { bytes: address.len(), max: ADDRESS_BYTES_MAX });
    }
    channel::check_address(address).map_err(|_| Breach::Address)
}

/// Checks that an address can be called: an operator must name such an address, while a worker may
/// listen on all of its own.
fn check_callable(address: &str) -> Result<(), Breach> {
    check_address(address)?;
    if is_unspecified(address) { Err(Breach::Unspecified) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use cluster_state::{
        AddressSource, Epoch, Health, LogIndex, Rival, Scheduling, WorkerReason, WorkerStatus,
    };

    use super::*;

    fn resources(cpu_milli: u64, memory_mib: u64) -> Resources {
        Resources { cpu_milli, memory_mib, ..Resources::default() }
    }

    #[test]
    fn a_worker_has_the_documented_json_form() {
        let domain = Worker {
            id: "worker-1".parse().unwrap(),
            address: Some("10.0.0.5:50052".to_owned()),
            address_source: AddressSource::Operator,
            labels: [("zone".to_owned(), "a".to_owned())].into(),
            status: WorkerStatus::Active,
            reason: WorkerReason::Registered,
            health: Health::default(),
            epoch: Epoch(3),
            process: None,
            granted: None,
            granted_until: None,
            rival: None,
            specs: Some(Specs {
                total: Resources { slots: 100, ..resources(8_000, 16_384) },
                labels: [("disk".to_owned(), "ssd".to_owned())].into(),
                version: "0.1.0".to_owned(),
            }),
            registered_at: Timestamp(0),
            last_heard: None,
            changed_at: Timestamp(0),
            scheduling: Scheduling::Open,
            history: Vec::new(),
            index: LogIndex(1_040),
        };
        let rival = Rival { address: "10.0.0.9:50052".to_owned(), since: Timestamp(0) };
        let contested = Worker { rival: Some(rival), ..domain.clone() };
        assert_eq!(
            worker(&contested, &Resources::default(), 0, None).reason,
            "registered; another worker at 10.0.0.9:50052 wants its name"
        );
        let shown = worker(&domain, &resources(1_000, 512), 0, Some(Timestamp(5_000)));
        let json = serde_json::to_value(shown);
        let amounts = |cpu: f64, memory_mb: u64| {
            serde_json::json!({"cpu": cpu, "memory_mb": memory_mb, "storage_mb": 0, "gpu": 0,
                               "custom": {}})
        };
        let expected = serde_json::json!({
            "worker_id": "worker-1", "address": "10.0.0.5:50052", "is_active": true,
            "state": "active", "reason": "registered", "epoch": 3,
            "total": amounts(8.0, 16_384), "allocated": amounts(1.0, 512),
            "available": amounts(7.0, 15_872),
            "labels": {"disk": "ssd", "zone": "a"}, "running_tasks": 0,
            "registered_at": "1970-01-01T00:00:00.000Z",
            "last_heartbeat": "1970-01-01T00:00:05.000Z", "index": 1040, "version": "0.1.0",
            "scheduling": "open", "drain_deadline": null, "certificate_not_after": null,
            "changed_at": "1970-01-01T00:00:00.000Z",
            "since": "1970-01-01T00:00:00.000Z", "attempts_max": 100,
        });
        assert_eq!(json.unwrap(), expected);
    }

    #[test]
    fn specs_read_back_as_written() {
        let specs = Specs {
            total: Resources { slots: 7, ..resources(2_500, 1) },
            labels: [("zone".to_owned(), "a".to_owned())].into(),
            version: "0.1.0".to_owned(),
        };
        assert_eq!(Specs::try_from(v1::WorkerSpecs::from(&specs)), Ok(specs));
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for address in ["10.0.0.5:50052", "worker-1.rack.local:1", "[::1]:50052"] {
            assert_eq!(check_address(address), Ok(()), "{address}");
        }
        for address in [
            "host",
            "host:",
            "host:0",
            "host:+1",
            "host:99999",
            ":1",
            "a b:1",
            "::1:1",
            "[::::1]:1",
        ] {
            assert_eq!(check_address(address), Err(Breach::Address), "{address}");
        }
    }

    #[test]
    fn an_operator_names_an_address_that_can_be_called() {
        assert_eq!(check_callable("10.0.0.5:50052"), Ok(()));
        for address in ["0.0.0.0:50052", "[::]:50052"] {
            assert_eq!(check_callable(address), Err(Breach::Unspecified), "{address}");
        }
    }

    #[test]
    fn a_registration_tells_all_its_faults() {
        let wire = v1::RegisterRequest {
            worker_id: "a/b".to_owned(),
            address: Some(String::new()),
            labels: Some(v1::Labels { entries: [(String::new(), "x".to_owned())].into() }),
        };
        let invalid = RegisterWorker::try_from(wire).unwrap_err();
        let pointers = invalid.faults().iter().map(|fault| fault.pointer.as_str());
        assert_eq!(pointers.collect::<Vec<_>>(), ["/worker_id", "/address", "/labels/"]);
    }
}
