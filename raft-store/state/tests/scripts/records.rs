//! Writes records that are neither of tasks nor of workers.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use cluster_state::{
    AttemptRef, HolderRecord, IssuerRecord, Job, JobEnd, JoinToken, MassLoss, Orphan, Rotation,
    SettingSource, SettingsRecord, UserToken,
};

use super::time;

pub(super) fn token_line(token: &JoinToken) -> String {
    let until = token.expires_at.map(|at| format!(" until {}", time(at))).unwrap_or_default();
    format!("token {} admits{until}", token.id)
}

pub(super) fn user_token_line(token: &UserToken) -> String {
    let UserToken { id, user, role, expires_at, .. } = token;
    let until = expires_at.map(|at| format!(" until {}", time(at))).unwrap_or_default();
    format!("token {id} is good for {user} as {role}{until}")
}

pub(super) fn issuer_line(issuer: &IssuerRecord) -> String {
    let mut line = format!("issuer {} until {}", issuer.certificate, time(issuer.not_after));
    if !issuer.roots.is_empty() {
        write!(line, ", trusted: {}", issuer.roots).unwrap();
    }
    if let Some(Rotation { phase, from, to, .. }) = issuer.rotation.as_deref() {
        let (from, to) = (&from.certificate, &to.certificate);
        write!(line, ", {} on the way from {from} to {to}", phase.name()).unwrap();
    }
    for dropped in issuer.dropped_roots() {
        write!(line, ", without root {}", dropped.digest.first().unwrap()).unwrap();
    }
    line
}

pub(super) fn holder_line(holder: &HolderRecord) -> String {
    let HolderRecord { id, issued, revoked_at, .. } = holder;
    let issued = issued.iter().map(|one| {
        let (serial, key) = (one.serial.first().unwrap(), one.key.first().unwrap());
        format!(", {serial} of key {key} until {}", time(one.not_after))
    });
    let revoked = revoked_at.map(|at| format!(", revoked {}", time(at))).unwrap_or_default();
    format!("{id}{revoked}{}", issued.collect::<String>())
}

pub(super) fn orphan_line(orphan: &Orphan) -> String {
    let Orphan { id, worker, epoch, attempt, end, reported_at, generation, .. } = orphan;
    let AttemptRef { task, attempt } = attempt;
    let at = time(*reported_at);
    format!("{id}: {task}{attempt} on {worker}, told by {epoch} {at} in life {generation}: {end}")
}

pub(super) fn job_line(job: &Job) -> String {
    let Job { id, action, from, to, passed, done, refused, .. } = job;
    let mut line = format!("{id} {action} from {from} below {to}, passed {passed}");
    for (what, count) in [("done", done), ("refused", refused)] {
        if *count > 0 {
            write!(line, ", {what} {count}").unwrap();
        }
    }
    match &job.end {
        Some((at, JobEnd::Completed)) => write!(line, ", completed {}", time(*at)).unwrap(),
        Some((at, JobEnd::Stopped { reason })) => {
            write!(line, ", stopped {} ({reason})", time(*at)).unwrap();
        }
        None => {}
    }
    line
}

pub(super) fn mass_loss_line(raised: &MassLoss) -> String {
    let known = raised.acknowledged_at.map(|at| format!(", acknowledged {}", time(at)));
    let MassLoss { lost, of, since, .. } = raised;
    format!("{lost} of {of} workers lost, since {}{}", time(*since), known.unwrap_or_default())
}

/// Writes the settings that the change has changed, by their sources, and two of their values.
pub(super) fn settings_lines(record: &SettingsRecord) -> Vec<String> {
    let mut by_source = BTreeMap::<String, Vec<&str>>::new();
    for key in record.last_changed() {
        let source = match record.origins.get(&key).unwrap().source {
            SettingSource::Default => "default".to_owned(),
            SettingSource::Master(master) => format!("of master {master}"),
            SettingSource::Operator => "of an operator".to_owned(),
        };
        by_source.entry(source).or_default().push(key.path());
    }
    let lines = by_source.into_iter().map(|(source, paths)| match paths[..] {
        [first, _, _, ..] => format!("{} settings {source}, {first} first", paths.len()),
        _ => format!("{} {source}", paths.join(", ")),
    });
    let (lease, bytes) = (record.settings.worker.lease, record.settings.limits.live_bytes);
    let values = format!("settings of {}: lease {lease:?}, {bytes} live bytes", record.index);
    lines.chain([values]).collect()
}
