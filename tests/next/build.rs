//! Makes the sources of a package of the next release: those of this release, changed by the package's
//! `release.patch`.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// Packages here, and the directories whose sources they change.
const SOURCES: [(&str, &str); 3] = [
    ("next-state", "raft-store/state/src"),
    ("next-raft-store", "raft-store/src"),
    ("next-master", "master/src"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let package = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(std::env::var("OUT_DIR")?).join("src");
    let root = package.join("../../..");
    let name = std::env::var("CARGO_PKG_NAME")?;
    let (_, sources) = SOURCES.iter().find(|(known, _)| *known == name).ok_or("unknown package")?;
    let patch = package.join("release.patch");
    for input in [&root.join(sources), &patch] {
        println!("cargo:rerun-if-changed={}", input.display());
    }

    if out.exists() {
        fs::remove_dir_all(&out)?;
    }
    copy(&root.join(sources), &out)?;
    for change in parse(&fs::read_to_string(patch)?) {
        let path = out.join(Path::new(&change.path).strip_prefix(sources)?);
        let text = if path.exists() { fs::read_to_string(&path)? } else { String::new() };
        let changed = change.apply(text).map_err(|error| format!("{}: {error}", change.path))?;
        fs::write(path, changed)?;
    }
    // The files that include these two have documentation of their own.
    for name in ["lib.rs", "main.rs"] {
        let path = out.join(name);
        if path.exists() {
            let text = fs::read_to_string(&path)?;
            let lines = text.lines().skip_while(|line| line.starts_with("//!"));
            fs::write(path, lines.collect::<Vec<_>>().join("\n"))?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let to = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() { copy(&path, &to)? } else { fs::copy(&path, &to).map(|_| ())? }
    }
    Ok(())
}

/// Changes of one file.
struct Change {
    path: String,
    hunks: Vec<Hunk>,
}

/// Lines of a file, and those that take their place.
#[derive(Default)]
struct Hunk {
    before: String,
    after: String,
}

impl Change {
    /// Makes the changes. A hunk is found by its lines and not by their numbers, so that it stays
    /// right when others in the file change.
    fn apply(&self, mut text: String) -> Result<String, String> {
        for Hunk { before, after } in &self.hunks {
            if before.is_empty() {
                text.push_str(after);
                continue;
            }
            let whole = format!("\n{text}");
            let (before, after) = (format!("\n{before}"), format!("\n{after}"));
            let places = whole.matches(&before).count();
            if places != 1 {
                return Err(format!("{places} places, and not one, have the lines{before}"));
            }
            text = whole.replacen(&before, &after, 1).split_off(1);
        }
        Ok(text)
    }
}

/// Parses a unified diff without renames and deletions.
fn parse(patch: &str) -> Vec<Change> {
    let mut changes = Vec::<Change>::new();
    for line in patch.lines().filter(|line| !line.starts_with("--- ")) {
        if let Some(path) = line.strip_prefix("+++ b/") {
            changes.push(Change { path: path.to_owned(), hunks: Vec::new() });
            continue;
        }
        let Some(Change { hunks, .. }) = changes.last_mut() else { continue };
        if line.starts_with("@@") {
            hunks.push(Hunk::default());
        }
        let (Some(hunk), Some((mark, rest))) = (hunks.last_mut(), line.split_at_checked(1)) else {
            continue;
        };
        if matches!(mark, " " | "-") {
            hunk.before.push_str(rest);
            hunk.before.push('\n');
        }
        if matches!(mark, " " | "+") {
            hunk.after.push_str(rest);
            hunk.after.push('\n');
        }
    }
    changes
}
