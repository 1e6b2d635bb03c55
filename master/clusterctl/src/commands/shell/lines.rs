//! Reads lines: from a terminal with editing and history, or from a pipe without a prompt.

use std::io::{self, IsTerminal};

use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;
use rustyline::{Config, Editor};
use tokio::io::{AsyncBufReadExt, BufReader, Stdin};

const PROMPT: &str = "master> ";

type LineEditor = Editor<(), MemHistory>;

/// The input, line by line.
pub(super) enum Lines {
    /// A terminal. The editor is absent while it reads.
    Terminal(Option<LineEditor>),
    /// A pipe or a file.
    Pipe(tokio::io::Lines<BufReader<Stdin>>),
}

impl Lines {
    /// Opens standard input.
    pub(super) fn open() -> io::Result<Self> {
        if !io::stdin().is_terminal() {
            return Ok(Self::Pipe(BufReader::new(tokio::io::stdin()).lines()));
        }
        let editor = LineEditor::with_history(Config::default(), MemHistory::new());
        Ok(Self::Terminal(Some(editor.map_err(io::Error::other)?)))
    }

    /// Returns true if a person types the lines.
    pub(super) const fn is_interactive(&self) -> bool {
        matches!(self, Self::Terminal(_))
    }

    /// Returns the next line; none at the end of the input.
    pub(super) async fn next(&mut self) -> io::Result<Option<String>> {
        match self {
            Self::Terminal(editor) => {
                let Some(away) = editor.take() else { return Ok(None) };
                let (back, line) = tokio::task::spawn_blocking(move || read(away)).await?;
                *editor = Some(back);
                line
            }
            Self::Pipe(lines) => lines.next_line().await,
        }
    }
}

fn read(mut editor: LineEditor) -> (LineEditor, io::Result<Option<String>>) {
    let line = match editor.readline(PROMPT) {
        Ok(line) => editor.add_history_entry(&line).map(|_| Some(line)).map_err(io::Error::other),
        // Ctrl-C gives up the line, not the prompt.
        Err(ReadlineError::Interrupted) => Ok(Some(String::new())),
        Err(ReadlineError::Eof) => Ok(None),
        Err(ReadlineError::Io(error)) => Err(error),
        Err(error) => Err(io::Error::other(error)),
    };
    (editor, line)
}
