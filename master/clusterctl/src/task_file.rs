//! Files with tasks, in JSON, TOML or YAML: every fault is told with its file, line, column and key.

mod document;
mod json;
mod suggestion;
mod toml;
mod yaml;

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use proto::convert;
use proto::v1;
use serde_json::Value;

use self::document::{Document, Fault, Place};

/// Largest file that is read: more than one submission may have.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Faults that are told of all files.
const FAULTS_MAX: usize = 20;

/// Form of a file with tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TaskFormat {
    /// One task as an object, or a list of them
    Json,
    /// One task as a table, or many as an array of tables named `tasks`
    Toml,
    /// One task or a list of them in each document
    Yaml,
}

impl TaskFormat {
    /// Returns the form that the name of a file tells, or that of what standard input begins with.
    fn of(path: &Path, text: &str) -> Option<Self> {
        if path == Path::new("-") {
            let is_json = text.trim_start().starts_with(['{', '[']);
            return Some(if is_json { Self::Json } else { Self::Yaml });
        }
        match path.extension()?.to_str()? {
            "json" => Some(Self::Json),
            "toml" => Some(Self::Toml),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }

    fn documents(self, text: &str) -> Result<Vec<Document>, Fault> {
        match self {
            Self::Json => json::document(text).map(|document| vec![document]),
            Self::Toml => toml::document(text).map(|document| vec![document]),
            Self::Yaml => yaml::documents(text),
        }
    }
}

/// Tasks of a file, each with where it is.
#[derive(Debug)]
pub struct TaskFile {
    path: PathBuf,
    documents: Vec<Document>,
    tasks: Vec<FoundTask>,
}

/// A task, and its place in a document.
#[derive(Debug)]
struct FoundTask {
    task: v1::TaskSpec,
    document: usize,
    pointer: String,
}

/// Files that do not hold tasks, or tasks that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum TaskFileError {
    /// A file cannot be read.
    #[error("cannot read {}", name_of(path))]
    Read {
        /// The file.
        path: PathBuf,
        source: io::Error,
    },
    /// The name of a file does not tell its form.
    #[error(
        "{} is of no known form: its name should end in .json, .toml, .yaml or .yml; --format says which it is",
        path.display()
    )]
    UnknownForm {
        /// The file.
        path: PathBuf,
    },
    /// The content of files is not right.
    #[error("{}", lines(faults))]
    Faults {
        /// Each with its file.
        faults: Vec<FileFault>,
    },
}

/// A fault in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFault {
    path: PathBuf,
    fault: Fault,
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { place, pointer, detail } = &self.fault;
        f.write_str(&name_of(&self.path))?;
        if let Some(Place { line, column }) = place {
            write!(f, ":{line}:{column}")?;
        }
        let key = document::key_of(pointer);
        if key.is_empty() { write!(f, ": {detail}") } else { write!(f, ": {key}: {detail}") }
    }
}

fn lines(faults: &[FileFault]) -> String {
    let shown = faults.iter().take(FAULTS_MAX).map(ToString::to_string);
    let mut lines = shown.collect::<Vec<_>>();
    let more = faults.len().saturating_sub(FAULTS_MAX);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines.join("\n")
}

fn name_of(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

/// Reads all files. Nothing comes of any of them if one has a fault.
pub fn read_all(
    paths: &[PathBuf],
    format: Option<TaskFormat>,
) -> Result<Vec<TaskFile>, TaskFileError> {
    let mut files = Vec::with_capacity(paths.len());
    let mut faults = Vec::new();
    for path in paths {
        let text =
            read(path).map_err(|source| TaskFileError::Read { path: path.clone(), source })?;
        let format = format.or_else(|| TaskFormat::of(path, &text));
        let Some(format) = format else {
            return Err(TaskFileError::UnknownForm { path: path.clone() });
        };
        match TaskFile::parse(path.clone(), format, &text) {
            Ok(file) => files.push(file),
            Err(found) => faults.extend(found),
        }
    }
    if faults.is_empty() { Ok(files) } else { Err(TaskFileError::Faults { faults }) }
}

fn read(path: &Path) -> io::Result<String> {
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(path)?)
    };
    let mut text = String::new();
    let read = source.take(FILE_BYTES_MAX.saturating_add(1)).read_to_string(&mut text)?;
    if u64::try_from(read).is_ok_and(|read| read > FILE_BYTES_MAX) {
        return Err(io::Error::other("it has more than 64 MiB"));
    }
    Ok(text)
}

impl TaskFile {
    /// Reads the tasks in a text.
    fn parse(path: PathBuf, format: TaskFormat, text: &str) -> Result<Self, Vec<FileFault>> {
        let at = |fault| FileFault { path: path.clone(), fault };
        let documents = format.documents(text).map_err(|fault| vec![at(fault)])?;
        let mut tasks = Vec::new();
        let mut faults = Vec::new();
        for (number, document) in documents.iter().enumerate() {
            match document.tasks() {
                Ok(found) => {
                    for (pointer, value) in found {
                        match task(document, &pointer, value) {
                            Ok(task) => tasks.push(FoundTask { task, document: number, pointer }),
                            Err(fault) => faults.push(at(fault)),
                        }
                    }
                }
                Err(fault) => faults.push(at(fault)),
            }
        }
        if tasks.is_empty() && faults.is_empty() {
            faults.push(at(Fault::nowhere("holds no tasks".to_owned())));
        }
        if faults.is_empty() { Ok(Self { path, documents, tasks }) } else { Err(faults) }
    }

    /// Returns the tasks, to be changed by what the command line says.
    pub fn tasks_mut(&mut self) -> impl Iterator<Item = &mut v1::TaskSpec> {
        self.tasks.iter_mut().map(|found| &mut found.task)
    }

    /// Points at a fault of one of its tasks. `within` leads there from the task.
    fn fault(&self, found: &FoundTask, within: &str, detail: String) -> FileFault {
        let pointer = format!("{}{within}", found.pointer);
        let place = self.documents.get(found.document).and_then(|it| it.place_of(&pointer));
        FileFault { path: self.path.clone(), fault: Fault { place, pointer, detail } }
    }
}

/// Returns what the cluster would refuse of the tasks, which are one submission, for what they say.
fn faults(files: &[TaskFile]) -> Vec<FileFault> {
    let found = files.iter().flat_map(|file| file.tasks.iter().map(move |task| (file, task)));
    let found = found.collect::<Vec<_>>();
    let tasks = found.iter().map(|(_, found)| found.task.clone()).collect();
    let Err(refused) = convert::task_batch(tasks) else { return Vec::new() };
    let located = refused.faults().iter().filter_map(|fault| {
        // A pointer begins with the position of the task.
        let place = fault.pointer.strip_prefix('/').unwrap_or_default();
        let (position, within) = place.split_at(place.find('/').unwrap_or(place.len()));
        let at = position.parse::<usize>().ok().and_then(|position| found.get(position));
        match at {
            Some((file, task)) => Some(file.fault(task, within, fault.detail.clone())),
            None => {
                let path = files.first()?.path.clone();
                Some(FileFault { path, fault: Fault::nowhere(fault.detail.clone()) })
            }
        }
    });
    located.collect()
}

/// Returns all tasks of all files, in their order, if the cluster may accept each of them.
pub fn into_tasks(files: Vec<TaskFile>) -> Result<Vec<v1::TaskSpec>, TaskFileError> {
    let faults = faults(&files);
    if !faults.is_empty() {
        return Err(TaskFileError::Faults { faults });
    }
    let tasks = files.into_iter().flat_map(|file| file.tasks);
    Ok(tasks.map(|found| found.task).collect())
}

/// Reads one task.
fn task(document: &Document, pointer: &str, value: &Value) -> Result<v1::TaskSpec, Fault> {
    let nowhere = |detail: String| Fault { pointer: pointer.to_owned(), ..Fault::nowhere(detail) };
    let text = serde_json::to_vec(value).map_err(|error| nowhere(error.to_string()))?;
    proto::json::read::<v1::TaskSpec>(&text).map_err(|misread| {
        let text = misread.to_string();
        // serde's place is one of the text above, which nobody sees.
        let detail = text.rfind(" at line ").and_then(|end| text.get(..end)).unwrap_or(&text);
        let pointer = format!("{pointer}{}", misread.pointer);
        let place = document.place_of(&pointer);
        Fault { place, pointer, detail: suggestion::explained(detail) }
    })
}

#[cfg(test)]
mod tests;
