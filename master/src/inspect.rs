//! `master inspect`: looks into data directories of masters that do not run.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Command, ValueEnum};
use raft_store::{Content, Inspection, LogId, RecordedMembers, Unusable, inspect};
use serde::Serialize;

/// Exit code when a directory cannot be used.
const REFUSED: u8 = 9;

/// Order to look into directories.
#[derive(Debug, Args)]
pub struct InspectOrder {
    /// Data directories
    #[arg(value_name = "DIR", required = true)]
    directories: Vec<PathBuf>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

/// Form of what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Returns the command for the help and the parser.
pub(crate) fn command() -> Command {
    InspectOrder::augment_args(Command::new("inspect")).about(
        "Looks into data directories of masters that do not run, and changes nothing: whose they \
         are, how far they go, and whether a master can start there",
    )
}

/// Prints the findings, and returns the exit code: 0, or 9 when a directory cannot be used.
///
/// # Errors
///
/// If nobody can be told.
pub(crate) fn run(order: &InspectOrder) -> io::Result<u8> {
    let inspections = order.directories.iter().map(|dir| inspect(dir)).collect::<Vec<_>>();
    let told = inspections.iter().map(Told::of).collect::<Vec<_>>();
    let text = match order.output {
        Form::Json => format!("{}\n", serde_json::to_string_pretty(&told)?),
        Form::Text => told.iter().map(Told::text).collect::<Vec<_>>().join("\n"),
    };
    io::stdout().write_all(text.as_bytes())?;
    let is_sound = inspections.iter().all(|inspection| inspection.content.is_ok());
    Ok(if is_sound { 0 } else { REFUSED })
}

/// Findings about one directory, as they are told.
#[derive(Debug, Serialize)]
pub(crate) struct Told {
    directory: String,
    /// Reason that no master can start there; absent when one can.
    refused: Option<String>,
    in_use: bool,
    /// Name of the master.
    master: Option<u64>,
    /// Id of the log.
    node: Option<String>,
    cluster_name: Option<String>,
    cluster_id: Option<String>,
    #[serde(flatten)]
    content: Option<ToldContent>,
}

/// Content of a directory that can be used.
#[derive(Debug, Serialize)]
struct ToldContent {
    generation: u32,
    generation_id: String,
    level: u8,
    vote: Option<ToldVote>,
    /// Last entry in whose place a snapshot is.
    purged: Option<Position>,
    last: Option<Position>,
    /// Last entry that is known to be committed.
    committed: Option<Position>,
    /// Last entry whose effect is in the state on disk.
    applied: Option<Position>,
    members: ToldMembers,
    /// Newest membership in the log; may not be committed.
    last_members: ToldMembers,
    /// True if the last write was torn by a crash: a start cuts it off.
    torn: bool,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Position {
    index: u64,
    term: u64,
}

impl Position {
    const fn of(id: LogId) -> Self {
        Self { index: id.index, term: id.leader_id.term }
    }
}

#[derive(Debug, Serialize)]
struct ToldVote {
    term: u64,
    node: String,
    /// True if a majority has given the same vote.
    elected: bool,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct ToldMembers {
    index: Option<u64>,
    members: Vec<ToldMember>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct ToldMember {
    master: u64,
    node: String,
    address: String,
    voter: bool,
}

impl Told {
    pub(crate) fn of(inspection: &Inspection) -> Self {
        let Inspection { directory, cluster_name, identity, content } = inspection;
        let content = content.as_ref();
        let identity = content.ok().map(|content| content.identity).or(*identity);
        let cluster = content.ok().and_then(|content| content.cluster);
        let cluster = cluster.or(identity.and_then(|identity| identity.cluster));
        Self {
            directory: directory.display().to_string(),
            refused: content.err().map(causes),
            in_use: matches!(content, Err(Unusable::InUse)),
            master: identity.map(|identity| identity.name.0),
            node: identity.map(|identity| identity.node.to_string()),
            cluster_name: cluster_name.clone(),
            cluster_id: cluster.map(|cluster| cluster.to_string()),
            content: content.ok().map(ToldContent::of),
        }
    }

    /// Returns a paragraph.
    pub(crate) fn text(&self) -> String {
        let mut lines = vec![self.directory.clone()];
        let mut say = |name: &str, value: String| lines.push(format!("  {name:<14}{value}"));
        if let (Some(master), Some(node)) = (self.master, &self.node) {
            say("master", format!("{master} (log {node})"));
        }
        if let Some(id) = &self.cluster_id {
            let name = self.cluster_name.as_deref().unwrap_or("name unknown");
            say("cluster", format!("{name} ({id})"));
        }
        if let Some(content) = &self.content {
            content.tell(&mut say);
        }
        match &self.refused {
            Some(reason) if self.in_use => say("in use", reason.clone()),
            Some(reason) => say("refused", reason.clone()),
            None => say("sound", "a master can start here".to_owned()),
        }
        lines.push(String::new());
        lines.join("\n")
    }
}

impl ToldContent {
    fn of(content: &Content) -> Self {
        let vote = content.vote.map(|vote| ToldVote {
            term: vote.leader_id.term,
            node: vote.leader_id.voted_for.to_string(),
            elected: vote.committed,
        });
        Self {
            generation: content.generation.number,
            generation_id: format!("{:016x}", content.generation.id),
            level: content.level.0,
            vote,
            purged: content.purged.map(Position::of),
            last: content.last.map(Position::of),
            committed: content.committed.map(Position::of),
            applied: content.applied.map(Position::of),
            members: ToldMembers::of(&content.committed_members),
            last_members: ToldMembers::of(&content.last_members),
            torn: content.is_torn,
        }
    }

    fn tell(&self, say: &mut impl FnMut(&str, String)) {
        say("generation", format!("{} ({})", self.generation, self.generation_id));
        say("level", self.level.to_string());
        say("vote", self.vote.as_ref().map_or_else(|| "none".to_owned(), ToldVote::text));
        say("last entry", show(self.last));
        say("committed", format!("at least up to {}", show(self.committed)));
        say("state on disk", format!("up to {}", show(self.applied)));
        say("purged", format!("up to {}", show(self.purged)));
        say("members", self.members.text());
        if self.last_members != self.members {
            say("last members", format!("{}; may not be committed", self.last_members.text()));
        }
        if self.torn {
            say("torn", "a crash has torn the last write: a start cuts it off".to_owned());
        }
    }
}

impl ToldVote {
    fn text(&self) -> String {
        let Self { term, node, elected } = self;
        format!("term {term}, for log {node}{}", if *elected { ", which was elected" } else { "" })
    }
}

impl ToldMembers {
    fn of(recorded: &RecordedMembers) -> Self {
        let members = recorded.members.iter().map(|member| ToldMember {
            master: member.name.0,
            node: member.node.to_string(),
            address: member.address.clone(),
            voter: member.is_voter,
        });
        Self { index: recorded.index, members: members.collect() }
    }

    fn text(&self) -> String {
        let show = |member: &ToldMember| {
            let ToldMember { master, node, address, voter } = member;
            format!("{master} at {address} (log {node}{})", if *voter { "" } else { ", no vote" })
        };
        let members = self.members.iter().map(show).collect::<Vec<_>>();
        if members.is_empty() { "none".to_owned() } else { members.join(", ") }
    }
}

fn show(position: Option<Position>) -> String {
    let show = |Position { index, term }| format!("entry {index} of term {term}");
    position.map_or_else(|| "none".to_owned(), show)
}

/// Returns an error with every cause.
fn causes(error: &Unusable) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
