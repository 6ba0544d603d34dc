//! `cargo xtask tidy`: what the architecture and the house style forbid and a compiler cannot see. Each rule is
//! one function in [`rules`], with a test that plants what it forbids.

mod catalogue;
mod documents;
mod manifests;
mod rules;
mod source;

use std::{fmt, fs, path::Path};

use anyhow::{Context, Result};

use self::source::Source;
use crate::stage::Outcome;

/// Something that a rule forbids, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule's name.
    pub rule: &'static str,
    /// The file's path from the project's folder.
    pub path: String,
    /// From 1; 0 for the file as a whole.
    pub line: usize,
    /// What is wrong and the mend.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, path, line, message } = self;
        write!(formatter, "{path}:{line}: {message} [{rule}]")
    }
}

/// What the rules look at: the project's Rust files, its manifests and its documents.
#[derive(Debug, Default)]
pub struct Project {
    pub sources: Vec<Source>,
    /// Paths and contents of every `Cargo.toml`, the workspace's first.
    pub manifests: Vec<(String, String)>,
    /// Paths and contents of the documents at the top, of the catalogue's and of the judges' lock files.
    pub documents: Vec<(String, String)>,
}

/// The folders in which there is Rust.
const RUST_FOLDERS: [&str; 4] = ["crates", "xtask", "fuzz", "benches"];
/// Folders that hold what tools made.
const SKIPPED: [&str; 5] = ["target", "node_modules", "corpus", "artifacts", ".git"];

/// `cargo xtask tidy`.
pub fn run(root: &Path) -> Result<bool> {
    let outcome = outcome(root)?;
    match &outcome.failure {
        Some(output) => print!("{output}"),
        None => println!("tidy: {}", outcome.note),
    }
    Ok(outcome.failure.is_none())
}

/// Reads the project and holds it against every rule.
pub fn outcome(root: &Path) -> Result<Outcome> {
    let project = read(root)?;
    let mut violations: Vec<Violation> = Vec::new();
    for rule in rules::ALL.iter().chain(manifests::ALL).chain(documents::ALL).chain(catalogue::ALL) {
        violations.extend(rule(&project));
    }
    if violations.is_empty() {
        return Ok(Outcome::passed(format!("{} files", project.sources.len())));
    }
    let lines: String = violations.iter().map(|violation| format!("{violation}\n")).collect();
    Ok(Outcome::failed(lines))
}

/// A rule: everything in the project that it forbids.
pub type Rule = fn(&Project) -> Vec<Violation>;

fn read(root: &Path) -> Result<Project> {
    let mut project = Project::default();
    project.manifests.push(("Cargo.toml".into(), text(&root.join("Cargo.toml"))?));
    for folder in RUST_FOLDERS {
        walk(root, &root.join(folder), &mut project)?;
    }
    source::mark_test_files(&mut project.sources);
    let documents = documents::NEEDED.iter().chain(documents::LOCK_FILES).chain([&catalogue::DOCUMENT]);
    for name in documents {
        let path = root.join(name);
        if path.exists() {
            project.documents.push(((*name).to_owned(), text(&path)?));
        }
    }
    Ok(project)
}

fn walk(root: &Path, folder: &Path, project: &mut Project) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths: Vec<_> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        if path.is_dir() {
            if !SKIPPED.contains(&name.as_str()) {
                walk(root, &path, project)?;
            }
        } else if name == "Cargo.toml" {
            project.manifests.push((relative, text(&path)?));
        } else if name.ends_with(".rs") {
            project.sources.push(Source::new(relative, &text(&path)?));
        }
    }
    Ok(())
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
