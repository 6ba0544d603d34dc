//! The configuration: a TOML file, the environment over it, and flags over both.
//!
//! Each layer is read strictly into a [`document::Document`], so that an error names the file's line or the
//! variable; then the layers are laid over the defaults, and what spans keys is checked.

pub mod check;
pub mod device;
pub mod document;
pub mod environment;
pub mod error;
pub mod file;
pub mod value;

#[cfg(test)]
mod tests;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use wharf::settings::{ListenAddress, Settings};
use wharf_core::{
    broker::HistoryPolicy,
    namespace::{ChannelOptions, Namespaces},
};

pub use document::{LogFormat, LogLevel};
pub use error::{ConfigError, Origin};

use document::Document;
use environment::VariableLayer;
use file::FileLayer;

/// The file that is read where none is named and it is there.
pub const DEFAULT_FILE: &str = "wharf.toml";

/// What the command line says.
#[derive(Debug, Default, Clone)]
pub struct Flags {
    /// The configuration file; must be there.
    pub config: Option<PathBuf>,
    /// Replaces the addresses of file and environment, unless empty.
    pub listen: Vec<ListenAddress>,
    pub workers: Option<usize>,
    pub development: bool,
    /// Development mode may listen beyond loopback.
    pub insecure: bool,
    pub log_format: Option<LogFormat>,
    pub log_level: Option<LogLevel>,
}

/// A configuration that can be used.
#[derive(Debug)]
pub struct Configuration {
    pub settings: Settings,
    pub log_format: LogFormat,
    pub log_level: LogLevel,
    /// The file it came from, if any.
    pub file: Option<PathBuf>,
    /// The variables that had a part in it.
    pub variables: Vec<String>,
}

/// Reads all layers. `variables` is the environment, and `directory` is where [`DEFAULT_FILE`] is looked for.
pub fn load(
    flags: &Flags,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    directory: &Path,
) -> Result<Configuration, ConfigError> {
    let default_file = directory.join(DEFAULT_FILE);
    let path = flags.config.clone().or_else(|| default_file.exists().then_some(default_file));
    let layers = Layers {
        file: path.as_deref().map(FileLayer::read).transpose()?,
        variables: VariableLayer::read_all(variables)?,
        flags: flags.clone(),
    };
    layers.lay_together()
}

/// The layers of a configuration, each read and none yet applied.
pub struct Layers {
    file: Option<FileLayer>,
    variables: Vec<VariableLayer>,
    flags: Flags,
}

impl Layers {
    /// File and variables, the weakest first.
    fn documents(&self) -> impl DoubleEndedIterator<Item = &Document> {
        let variables = self.variables.iter().map(|variable| &variable.document);
        self.file.iter().map(|file| &file.document).chain(variables)
    }

    /// Where the effective value of a key comes from.
    fn origin(&self, key: &str) -> Origin {
        let flag = match key {
            "listen" if !self.flags.listen.is_empty() => Some("--listen"),
            "workers" if self.flags.workers.is_some() => Some("--workers"),
            "development" if self.flags.development => Some("--development"),
            _ => None,
        };
        if let Some(flag) = flag {
            return Origin::Flag(flag);
        }
        // A variable may set a whole list or table around the key.
        let covers = |variable: &&VariableLayer| {
            key.strip_prefix(variable.key.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        match self.variables.iter().rfind(covers) {
            Some(variable) => Origin::Variable(variable.name.clone()),
            None => self.file.as_ref().and_then(|file| file.origin(key)).unwrap_or(Origin::Default),
        }
    }

    /// Where the value of a key would stand that nobody may have written: its line, or that of the table around it.
    fn origin_near(&self, key: &str) -> Origin {
        match self.origin(key) {
            Origin::Default => {
                self.file.as_ref().and_then(|file| file.origin_near(key)).unwrap_or(Origin::Default)
            }
            origin => origin,
        }
    }

    /// The path of a key.
    fn path(&self, key: &str, read: impl Fn(&Document) -> Option<&str>) -> Option<PathBuf> {
        let text = self.documents().filter_map(read).next_back()?;
        Some(self.resolve(key, text))
    }

    /// The path that a key's text means; one that stands in the file counts from the file's directory.
    fn resolve(&self, key: &str, text: &str) -> PathBuf {
        match (self.origin(key), &self.file) {
            (Origin::Line(..), Some(file)) => file.path.parent().unwrap_or(Path::new("")).join(text),
            _ => PathBuf::from(text),
        }
    }

    /// Development mode: where somebody decides it, as decided; else where neither a file nor credentials in the
    /// environment say that this is meant to serve.
    fn development(&self) -> bool {
        let decided = self.documents().filter_map(|document| document.development).next_back();
        let credentials = self
            .documents()
            .any(|document| document.api.keys.is_some() || document.client.allowed_origins.is_some());
        self.flags.development || decided.unwrap_or(self.file.is_none() && !credentials)
    }

    fn lay_together(self) -> Result<Configuration, ConfigError> {
        let development = self.development();
        let (mut settings, base) = if development {
            (Settings::development(), ChannelOptions::DEVELOPMENT)
        } else {
            (closed_settings(), closed_options())
        };
        for document in self.documents() {
            document.lay_over(&mut settings, &base);
        }
        if !self.flags.listen.is_empty() {
            settings.listen.clone_from(&self.flags.listen);
        }
        if let Some(workers) = self.flags.workers {
            settings.workers = workers;
        }
        check::check(&mut settings, &self)?;
        self.refuse_exposure(&settings)?;
        let log = |document: &Document| (document.log.format, document.log.level);
        let format = self.documents().filter_map(|document| log(document).0).next_back();
        let level = self.documents().filter_map(|document| log(document).1).next_back();
        Ok(Configuration {
            settings,
            log_format: self.flags.log_format.or(format).unwrap_or_default(),
            log_level: self.flags.log_level.or(level).unwrap_or_default(),
            file: self.file.map(|file| file.path),
            variables: self.variables.into_iter().map(|variable| variable.name).collect(),
        })
    }

    /// In development mode everybody may do everything, so only this machine may reach it.
    fn refuse_exposure(&self, settings: &Settings) -> Result<(), ConfigError> {
        if !settings.development || self.flags.insecure {
            return Ok(());
        }
        let exposed = settings.listen.iter().find_map(|address| match address {
            ListenAddress::Tcp(address) if !address.ip().is_loopback() => Some(address),
            _ => None,
        });
        let Some(address) = exposed else { return Ok(()) };
        Err(ConfigError {
            origin: self.origin("listen"),
            key: "listen".to_owned(),
            message: format!(
                "refusing to listen on {address} in development mode, where every client may do everything. Set API \
                 keys (WHARF_API__KEYS, or keys in [api]) and the origins of your web pages \
                 (WHARF_CLIENT__ALLOWED_ORIGINS, or allowed_origins in [client]); or pass --insecure to open it to \
                 everybody who can reach that address"
            ),
        })
    }
}

/// What a channel offers where development mode is off and nothing is configured: a plain channel that only the
/// server API publishes to. Positions are kept for 30 days once a history is configured.
fn closed_options() -> ChannelOptions {
    let history = HistoryPolicy { size: 0, ttl_ms: 0, meta_ttl_ms: 30 * 24 * 3_600_000 };
    ChannelOptions { history, ..ChannelOptions::default() }
}

/// Where development mode is off, whatever is not configured is closed.
fn closed_settings() -> Settings {
    Settings {
        development: false,
        allow_anonymous_connect: false,
        rpc_echo: false,
        namespaces: Namespaces { without_namespace: closed_options(), ..Namespaces::default() },
        ..Settings::development()
    }
}
