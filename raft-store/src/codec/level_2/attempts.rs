//! Attempts and reports of workers, which tell of usage and results since level 2.

use cluster_state::{
    AddressSource, Attempt, AttemptNumber, AttemptOutcome, AttemptRef, ConnectWorker, Epoch,
    FinishAttempts, FinishedAttempt, LeaseTimes, Level, Process, Specs, StopReason, Term,
    Timestamp, TokenId, WorkerId,
};
use serde::{Deserialize, Serialize};

use super::LEVEL;
use crate::codec::{CodecError, Versioned, read_body, write_body};

/// An attempt without its usage.
#[derive(Serialize, Deserialize)]
pub(super) struct AttemptBefore {
    number: AttemptNumber,
    worker: WorkerId,
    epoch: Epoch,
    assigned_at: Timestamp,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    stop: Option<StopReason>,
    outcome: Option<AttemptOutcome>,
}

impl AttemptBefore {
    /// Fails where the attempt has what no worker tells a cluster below the level.
    pub(super) fn of(attempt: &Attempt, cluster: Level) -> Result<Self, CodecError> {
        let Attempt {
            number,
            worker,
            epoch,
            assigned_at,
            started_at,
            finished_at,
            stop,
            outcome,
            usage,
        } = attempt.clone();
        if usage.is_some() {
            return Err(CodecError::NoSuchEncoding(cluster));
        }
        Ok(Self { number, worker, epoch, assigned_at, started_at, finished_at, stop, outcome })
    }
}

impl From<AttemptBefore> for Attempt {
    fn from(before: AttemptBefore) -> Self {
        let AttemptBefore {
            number,
            worker,
            epoch,
            assigned_at,
            started_at,
            finished_at,
            stop,
            outcome,
        } = before;
        Self {
            number,
            worker,
            epoch,
            assigned_at,
            started_at,
            finished_at,
            stop,
            outcome,
            usage: None,
        }
    }
}

/// An end without a report.
#[derive(Serialize, Deserialize)]
struct FinishedBefore {
    attempt: AttemptRef,
    outcome: AttemptOutcome,
}

impl From<FinishedBefore> for FinishedAttempt {
    fn from(FinishedBefore { attempt, outcome }: FinishedBefore) -> Self {
        Self::new(attempt, outcome)
    }
}

/// Fails where an end has a report, which the leader of a cluster below the level leaves out.
fn without_reports(
    finished: &[FinishedAttempt],
    cluster: Level,
) -> Result<Vec<FinishedBefore>, CodecError> {
    let before = finished.iter().map(|finished| match finished {
        FinishedAttempt { attempt, outcome, report: None } => {
            Ok(FinishedBefore { attempt: *attempt, outcome: outcome.clone() })
        }
        FinishedAttempt { report: Some(_), .. } => Err(CodecError::NoSuchEncoding(cluster)),
    });
    before.collect()
}

fn with_reports(finished: Vec<FinishedBefore>) -> Vec<FinishedAttempt> {
    finished.into_iter().map(Into::into).collect()
}

#[derive(Serialize, Deserialize)]
struct FinishAttemptsBefore {
    worker: WorkerId,
    epoch: Epoch,
    attempts: Vec<FinishedBefore>,
}

impl Versioned for FinishAttemptsBefore {
    const TYPE: u8 = FinishAttempts::TYPE;
}

impl Versioned for FinishAttempts {
    const TYPE: u8 = 9;
    const LEVEL: Level = LEVEL;

    fn read_earlier(level: Level, body: &[u8]) -> Result<Self, CodecError> {
        let FinishAttemptsBefore { worker, epoch, attempts } = read_body(level, body)?;
        Ok(Self { worker, epoch, attempts: with_reports(attempts) })
    }

    fn write_earlier(&self, cluster: Level, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let attempts = without_reports(&self.attempts, cluster)?;
        let (worker, epoch) = (self.worker.clone(), self.epoch);
        out.push(Level::FIRST.0);
        write_body(&FinishAttemptsBefore { worker, epoch, attempts }, out)
    }
}

#[derive(Serialize, Deserialize)]
struct ConnectWorkerBefore {
    term: Term,
    worker: WorkerId,
    process: Process,
    address: Option<String>,
    address_source: AddressSource,
    granted: LeaseTimes,
    token: Option<TokenId>,
    specs: Specs,
    unfit: Option<String>,
    running: Vec<AttemptRef>,
    finished: Vec<FinishedBefore>,
}

impl Versioned for ConnectWorkerBefore {
    const TYPE: u8 = ConnectWorker::TYPE;
}

impl Versioned for ConnectWorker {
    const TYPE: u8 = 4;
    const LEVEL: Level = LEVEL;

    fn read_earlier(level: Level, body: &[u8]) -> Result<Self, CodecError> {
        let ConnectWorkerBefore {
            term,
            worker,
            process,
            address,
            address_source,
            granted,
            token,
            specs,
            unfit,
            running,
            finished,
        } = read_body(level, body)?;
        Ok(Self {
            term,
            worker,
            process,
            address,
            address_source,
            granted,
            token,
            specs,
            unfit,
            running,
            finished: with_reports(finished),
        })
    }

    fn write_earlier(&self, cluster: Level, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let finished = without_reports(&self.finished, cluster)?;
        let Self {
            term,
            worker,
            process,
            address,
            address_source,
            granted,
            token,
            specs,
            unfit,
            running,
            finished: _,
        } = self.clone();
        let before = ConnectWorkerBefore {
            term,
            worker,
            process,
            address,
            address_source,
            granted,
            token,
            specs,
            unfit,
            running,
            finished,
        };
        out.push(Level::FIRST.0);
        write_body(&before, out)
    }
}

#[cfg(test)]
mod tests {
    use cluster_state::{AttemptReport, AttemptUsage, Payload, TaskId, TaskResult};

    use super::*;
    use crate::codec::{decode, encode};

    fn ended(report: Option<AttemptReport>) -> FinishAttempts {
        let attempt = AttemptRef { task: TaskId(7), attempt: AttemptNumber(2) };
        let outcome = AttemptOutcome::Exited { code: 0 };
        let report = report.map(Box::new);
        FinishAttempts {
            worker: "w1".parse().unwrap(),
            epoch: Epoch(3),
            attempts: vec![FinishedAttempt { attempt, outcome, report }],
        }
    }

    #[test]
    fn an_end_costs_one_byte_more_than_before_where_nothing_else_is_told() {
        let plain = ended(None);
        let early = encode(&plain, Level::FIRST).unwrap();
        assert_eq!(early.get(..2), Some([9, 1].as_slice()));
        assert_eq!(decode::<FinishAttempts>(&early).unwrap(), plain);
        let written = encode(&plain, LEVEL).unwrap();
        assert_eq!(written.len(), early.len() + 1);
        assert_eq!(decode::<FinishAttempts>(&written).unwrap(), plain);
    }

    #[test]
    fn a_report_is_written_for_those_who_read_it() {
        let usage = AttemptUsage { cpu_micros: 5, memory_peak_bytes: Some(9), out_of_memory: true };
        let result = TaskResult::Kept(Payload::from([0, 255, 7].as_slice()));
        let told = ended(Some(AttemptReport { usage: Some(usage), result: Some(result) }));
        assert!(encode(&told, Level::FIRST).is_err());
        assert_eq!(decode::<FinishAttempts>(&encode(&told, LEVEL).unwrap()).unwrap(), told);
    }
}
