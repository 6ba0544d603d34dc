//! What is wrong with a configuration, where, and how to mend it.

use std::{fmt, path::PathBuf};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line of the configuration file, counted from 1.
    Line(PathBuf, usize),
    /// The configuration file as a whole.
    File(PathBuf),
    /// A variable of the environment.
    Variable(String),
    /// A flag of the command line.
    Flag(&'static str),
    /// Nobody set it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(path, line) => write!(formatter, "{}:{line}", path.display()),
            Self::File(path) => write!(formatter, "{}", path.display()),
            Self::Variable(name) => write!(formatter, "environment variable {name}"),
            Self::Flag(name) => write!(formatter, "{name}"),
            Self::Default => formatter.write_str("default"),
        }
    }
}

/// A configuration that cannot be used. Shown as `wharf.toml:12: limits.message_bytes: what is wrong; the mend`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Where the fault stands.
    pub origin: Origin,
    /// The full name of the key, such as `limits.message_bytes`; empty where no single key is at fault.
    pub key: String,
    /// What is wrong, and the mend.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: ", self.origin)?;
        // A flag is its own name.
        if !self.key.is_empty() && !matches!(self.origin, Origin::Flag(_)) {
            write!(formatter, "{}: ", self.key)?;
        }
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for ConfigError {}

/// What serde says of an unknown key or word, taken apart: what was found, and what would have been known.
pub struct Unknown<'a> {
    pub found: &'a str,
    pub known: Vec<&'a str>,
    kind: &'static str,
}

impl<'a> Unknown<'a> {
    /// Reads serde's sentence: ``unknown field `lisen`, expected one of `listen`, `workers` ``. None for any other.
    pub fn parse(message: &'a str) -> Option<Self> {
        let (kind, rest) = match message.strip_prefix("unknown field ") {
            Some(rest) => ("key", rest),
            None => ("word", message.strip_prefix("unknown variant ")?),
        };
        let mut names = rest.split('`').skip(1).step_by(2);
        Some(Self { found: names.next()?, known: names.collect(), kind })
    }

    /// The known name that is nearest to what was found, if it is near enough to be meant.
    pub fn nearest(&self) -> Option<&'a str> {
        self.known
            .iter()
            .map(|known| (strsim::damerau_levenshtein(self.found, known), *known))
            .filter(|(distance, known)| *distance <= known.len().max(self.found.len()) / 3)
            .min()
            .map(|(_, known)| known)
    }

    /// The sentence for people. `spell` writes a known name as it must stand where the unknown one stood.
    pub fn explain(&self, spell: impl Fn(&str) -> String) -> String {
        match self.nearest() {
            Some(nearest) => format!("unknown {}; did you mean {}?", self.kind, spell(nearest)),
            None => {
                let known: Vec<_> = self.known.iter().map(|known| spell(known)).collect();
                format!("unknown {}; known here: {}", self.kind, known.join(", "))
            }
        }
    }
}

/// Rewords what serde says of wrong types for people who never saw serde.
pub fn reword(message: &str) -> String {
    let (found, expected) = match message.split_once(", expected ") {
        Some((found, expected)) if found.starts_with("invalid ") => (found, expected),
        _ => return message.trim_end().replace('\n', "; "),
    };
    let found =
        found.trim_start_matches("invalid type: ").trim_start_matches("invalid value: ").replace('`', "");
    let expected = match expected {
        "a boolean" => "true or false",
        "a string" => "a text in quotes",
        "a sequence" => "a list",
        expected if expected.starts_with("struct ") => "a table",
        expected => expected,
    };
    format!("found {found}, expected {expected}")
}
