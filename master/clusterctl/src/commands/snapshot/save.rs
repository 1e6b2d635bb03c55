//! `snapshot save`: receives a backup, checks it on its way, and puts it in its place.

use std::path::Path;
use std::time::{Duration, Instant};

use daemon::progress::Progress;
use daemon::signals::{StopSignal, StopSignals};
use proto::backup::{BackupError, Decoder, Digest, Section, Summary};
use proto::client::{Client, ClientError, SnapshotStream};
use proto::v1;

use super::is_standard;
use super::target::Target;
use crate::commands::Context;
use crate::failure::Failure;
use crate::output::{self, SavedSnapshot};

/// Number of entries by which a follower may be behind and still counts as close: what it lacks it
/// has a moment later, and the backup waits for that.
const CLOSE: u64 = 10_000;

/// Time without a byte after which a master is given up. It counts a large state before the first.
const SILENCE_MAX: Duration = Duration::from_secs(60);

pub(super) async fn run(context: &Context, file: &Path, force: bool) -> Result<(), Failure> {
    let mut target = Target::create(file, force)?;
    let mut stop = StopSignals::listen(StopSignal::ALL)?;
    let saved = tokio::select! {
        saved = receive(context, &mut target) => saved?,
        _ = stop.next() => return Err(Failure::Interrupted),
    };
    target.finish()?;

    let saved = SavedSnapshot { file: file.display().to_string(), ..saved };
    if is_standard(file) {
        let SavedSnapshot { summary, bytes, .. } = &saved;
        context.output.message(format_args!("{bytes} bytes from master {}", summary.master));
        return Ok(());
    }
    context.output.data(&saved, output::saved_snapshot)
}

async fn receive(context: &Context, target: &mut Target) -> Result<SavedSnapshot, Failure> {
    let started = Instant::now();
    let mut stream = open(context).await?;
    let mut receiver = Receiver::default();
    let mut progress = Progress::new("saved");
    while let Some(bytes) = heard(stream.next()).await? {
        receiver.take(&bytes)?;
        target.write(&bytes)?;
        let expected = receiver.summary.as_ref().map_or(0, |summary| summary.data_bytes);
        progress.show(receiver.bytes, expected);
    }
    progress.clear();

    let (summary, digest) = receiver.finish()?;
    Ok(SavedSnapshot {
        summary,
        file: String::new(),
        bytes: receiver.bytes,
        sha256: digest.to_string(),
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// Asks a follower that is close to the leader, and then the masters that were named.
async fn open(context: &Context) -> Result<SnapshotStream, Failure> {
    let client = context.client()?;
    let status = client.status().await?;
    let Some(follower) = closest_follower(&status) else {
        context.output.message("no follower is close to the leader: any master sends the backup");
        return Ok(client.save_snapshot().await?);
    };
    let endpoints = std::iter::once(follower).chain(context.endpoints.iter().map(String::as_str));
    let client = Client::new(endpoints, client.options().clone())?;
    Ok(client.save_snapshot().await?)
}

fn closest_follower(status: &v1::ClusterStatus) -> Option<&str> {
    let followers = status.members.iter().filter(|member| {
        let follows = matches!(member.role(), v1::MasterRole::Follower | v1::MasterRole::Learner);
        follows && member.reachable
    });
    let close =
        followers.filter_map(|member| Some((member.lag.filter(|lag| *lag <= CLOSE)?, member)));
    close.min_by_key(|(lag, member)| (*lag, member.id)).map(|(_, member)| member.address.as_str())
}

/// Waits for the next bytes for as long as a master may be silent.
async fn heard<T>(next: impl Future<Output = Result<T, ClientError>>) -> Result<T, Failure> {
    let next = tokio::time::timeout(SILENCE_MAX, next).await;
    Ok(next.map_err(|_| Failure::Silent { waited: SILENCE_MAX })??)
}

/// Checks a backup as it arrives.
#[derive(Debug, Default)]
struct Receiver {
    decoder: Decoder,
    summary: Option<Summary>,
    digest: Option<Digest>,
    bytes: u64,
}

impl Receiver {
    fn take(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.decoder.push(bytes);
        while let Some(section) = self.decoder.next_section().map_err(Failure::Received)? {
            match section {
                Section::Summary(summary) => self.summary = Some(*summary),
                Section::End(digest) => self.digest = Some(digest),
                Section::Manifest(_) | Section::Part(_) => {}
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(Summary, Digest), Failure> {
        self.decoder.finish().map_err(Failure::Received)?;
        let whole = self.summary.take().zip(self.digest);
        whole.ok_or(Failure::Received(BackupError::Cut { bytes: self.bytes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64, role: v1::MasterRole, lag: Option<u64>) -> v1::Member {
        let (address, reachable) = (format!("m{id}:1"), lag.is_some());
        v1::Member { id, address, role: role.into(), lag, reachable, ..v1::Member::default() }
    }

    fn chosen(members: &[v1::Member]) -> Option<String> {
        let status = v1::ClusterStatus { members: members.to_vec(), ..Default::default() };
        closest_follower(&status).map(str::to_owned)
    }

    #[test]
    fn the_follower_that_is_closest_sends_the_backup() {
        use v1::MasterRole::{Follower, Leader, Unknown};
        let leader = member(1, Leader, Some(0));
        let (far, close) = (member(2, Follower, Some(500)), member(3, Follower, Some(7)));
        assert_eq!(chosen(&[leader.clone(), far, close]).as_deref(), Some("m3:1"));

        let (behind, gone) = (member(2, Follower, Some(CLOSE + 1)), member(3, Unknown, None));
        assert_eq!(chosen(&[leader, behind, gone]), None);
    }
}
