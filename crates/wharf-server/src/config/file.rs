//! The configuration file: read whole, with the line of every key kept for errors.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use toml::de::{DeTable, DeValue};

use super::{
    document::Document,
    error::{ConfigError, Origin, Unknown, reword},
};

/// The longest configuration file, in bytes. See LIMITS.md, `config_file_bytes`.
pub const CONFIG_FILE_BYTES: u64 = 1024 * 1024;

/// A configuration file that could be read as a [`Document`].
pub struct FileLayer {
    pub path: PathBuf,
    pub document: Document,
    text: String,
}

impl FileLayer {
    /// Reads the file. An error names its line and key.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let whole =
            |message: String| ConfigError { origin: Origin::File(path.into()), key: String::new(), message };
        let size = std::fs::metadata(path).map_err(|error| whole(unreadable(&error)))?.len();
        if size > CONFIG_FILE_BYTES {
            return Err(whole(format!(
                "the file has {size} bytes; a configuration has at most {CONFIG_FILE_BYTES}"
            )));
        }
        let text = std::fs::read_to_string(path).map_err(|error| whole(unreadable(&error)))?;
        Self::parse(path, text)
    }

    /// Reads a file's text.
    pub fn parse(path: &Path, text: String) -> Result<Self, ConfigError> {
        let document = toml::from_str(&text).map_err(|error| explain(path, &text, &error))?;
        Ok(Self { path: path.into(), document, text })
    }

    /// Where a key such as `channel.namespaces.0.name` stands: its line, or that of the nearest table around it
    /// that is written in the file.
    pub fn origin(&self, key: &str) -> Option<Origin> {
        let root = DeTable::parse(&self.text).ok()?.into_inner();
        let at = find_key(&root, key)?;
        Some(Origin::Line(self.path.clone(), line_of(&self.text, at)))
    }

    /// Where the key stands, or else the nearest table or item around it that is written in the file.
    pub fn origin_near(&self, key: &str) -> Option<Origin> {
        let ends = key.rmatch_indices('.').map(|(end, _)| end);
        std::iter::once(key.len()).chain(ends).find_map(|end| self.origin(&key[..end]))
    }
}

fn unreadable(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file; give its path with --config".to_owned(),
        std::io::ErrorKind::InvalidData => "the file is not UTF-8 text".to_owned(),
        _ => format!("the file cannot be read: {error}"),
    }
}

fn explain(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let span = error.span().unwrap_or(0..0);
    let key = match DeTable::parse(text) {
        Ok(root) => key_at(root.get_ref(), &span).unwrap_or_default(),
        Err(_) => key_on_line(text, span.start),
    };
    let message = match Unknown::parse(error.message()) {
        Some(unknown) => unknown.explain(|name| format!("`{name}`")),
        None => reword(error.message()),
    };
    ConfigError { origin: Origin::Line(path.into(), line_of(text, span.start)), key, message }
}

/// What stands before the `=` on a line that cannot be read.
fn key_on_line(text: &str, at: usize) -> String {
    let line = text.lines().nth(line_of(text, at) - 1).unwrap_or_default();
    line.split_once('=').map_or_else(String::new, |(key, _)| key.trim().to_owned())
}

/// Lines count from 1.
fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count()
}

/// The name of the key, or of the value's key, that stands where an error points.
fn key_at(table: &DeTable<'_>, at: &Range<usize>) -> Option<String> {
    table.iter().find_map(|(name, value)| {
        if name.span().contains(&at.start) {
            return Some(name.get_ref().to_string());
        }
        let inside = match value.get_ref() {
            DeValue::Table(inner) => key_at(inner, at),
            DeValue::Array(items) => items.iter().find_map(|item| match item.get_ref() {
                DeValue::Table(inner) => key_at(inner, at),
                _ => None,
            }),
            _ => None,
        };
        match inside {
            Some(rest) => Some(format!("{}.{rest}", name.get_ref())),
            None => value.span().contains(&at.start).then(|| name.get_ref().to_string()),
        }
    })
}

/// Where the key stands; for an item of an array, where the item does.
fn find_key(table: &DeTable<'_>, key: &str) -> Option<usize> {
    let (first, rest) = key.split_once('.').map_or((key, None), |(first, rest)| (first, Some(rest)));
    let (name, value) = table.iter().find(|(name, _)| name.get_ref() == first)?;
    let Some(rest) = rest else { return Some(name.span().start) };
    match value.get_ref() {
        DeValue::Table(inner) => find_key(inner, rest),
        DeValue::Array(items) => {
            let (index, rest) =
                rest.split_once('.').map_or((rest, None), |(index, rest)| (index, Some(rest)));
            let item = items.get(index.parse::<usize>().ok()?)?;
            match (rest, item.get_ref()) {
                (None, _) => Some(item.span().start),
                (Some(rest), DeValue::Table(inner)) => find_key(inner, rest),
                (Some(_), _) => None,
            }
        }
        _ => None,
    }
}
